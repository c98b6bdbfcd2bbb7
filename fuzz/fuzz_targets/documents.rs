//! Manifests, indexes, configurations and `manifest.json`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::images::{self, document};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document::Document::Index(index)) = document::read(bytes, "") {
        let _ = images::platform::choose(&index.manifests, &wharf::engine::model::Platform::host());
    }
    if let Ok(config) = document::read_config(bytes, 0) {
        let _ = config.container_config();
    }
    let _ = document::read_archive_manifest(bytes);
});
