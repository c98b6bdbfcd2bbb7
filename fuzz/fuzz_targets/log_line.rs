//! Any line of a log file is an entry or none, also inside the shape that the fast parser knows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::logs::parse;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse(bytes);
    let mut line = b"{\"log\":\"".to_vec();
    line.extend_from_slice(bytes);
    line.extend_from_slice(b"\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.6Z\"}");
    let _ = parse(&line);
});
