//! Applies layers to a directory next to a decoy, which must not change. Needs root, and a directory for temporary files
//! on a file system with device nodes and extended attributes.

#![no_main]

use std::fs;
use std::os::unix::fs::MetadataExt;

use libfuzzer_sys::fuzz_target;
use wharf::engine::images::unpack;
use wharf::engine::sys::at::Dir;

/// A byte of input chooses what an entry is, the next ones its names.
fn archive(bytes: &[u8]) -> Vec<u8> {
    const NAMES: [&str; 16] = [
        "a",
        "b",
        "a/b",
        "b/a",
        "a/b/a",
        "../decoy",
        "/decoy",
        "../decoy/f",
        "a/../b",
        ".wh.a",
        "a/.wh.b",
        "b/.wh.a",
        ".wh..wh..opq",
        "a/.wh..wh..opq",
        ".",
        "/",
    ];
    let mut archive = Vec::new();
    for triple in bytes.chunks_exact(3) {
        let mut block = [0_u8; 512];
        let name = NAMES[usize::from(triple[1] % 16)];
        let link = NAMES[usize::from(triple[2] % 16)];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0007777");
        block[156] = b"01255236"[usize::from(triple[0] % 8)];
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&block);
    }
    archive
}

fuzz_target!(|bytes: &[u8]| {
    let root = std::env::temp_dir().join(format!("wharf-fuzz-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("fs")).unwrap();
    fs::create_dir(root.join("decoy")).unwrap();
    fs::write(root.join("decoy/f"), "precious").unwrap();
    let before = fs::metadata(root.join("decoy")).unwrap();
    let archive = archive(bytes);
    let dir = Dir::open(&root.join("fs")).unwrap();
    if let Ok(layer) = unpack::unpack(&mut archive.as_slice(), dir) {
        let _ = layer.complete(&[]);
    }
    let after = fs::metadata(root.join("decoy")).unwrap();
    assert_eq!(
        (before.mode(), before.mtime_nsec(), before.nlink()),
        (after.mode(), after.mtime_nsec(), after.nlink())
    );
    assert_eq!(fs::metadata(root.join("decoy/f")).unwrap().nlink(), 1);
    assert_eq!(
        fs::read_to_string(root.join("decoy/f")).unwrap(),
        "precious"
    );
    fs::remove_dir_all(&root).unwrap();
});
