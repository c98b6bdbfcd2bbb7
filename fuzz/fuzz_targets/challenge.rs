//! What a registry says that it wants to be shown is read, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::images::registry::challenge;

fuzz_target!(|header: &str| {
    for one in challenge::parse(header) {
        assert_eq!(one.scheme, one.scheme.to_ascii_lowercase());
        assert_ne!(one.get("realm"), Some(""));
    }
});
