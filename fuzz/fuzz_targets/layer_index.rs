//! The reader of layer indexes; what it reads must survive being written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::images::index;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((summary, entries)) = index::read(bytes) {
        let again = index::encode(entries.iter().cloned(), &summary.diff_id, &summary.chain_id);
        let (_, same) = index::read(&again).expect("what was written is readable");
        assert_eq!(entries, same);
    }
});
