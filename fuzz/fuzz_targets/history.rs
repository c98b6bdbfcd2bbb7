//! Instructions of an image's history. What must hold is in `bodies.rs`.

#![no_main]

#[expect(dead_code, reason = "each target uses one of them")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::history(bytes));
