//! The tar reader: headers, PAX records, sparse maps. Checksums are made right first, or nothing would get past them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::images::tarball::Reader;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let mut reader = Reader::new(bytes.as_slice());
    let mut buffer = [0; 1000];
    while let Ok(Some(entry)) = reader.next_entry() {
        assert!(!entry.path.is_empty());
        let mut stored = 0_u64;
        while let Ok(read @ 1..) = reader.read_data(&mut buffer) {
            stored += read as u64;
        }
        assert!(entry.sparse.is_some() || stored <= entry.size);
    }
});
