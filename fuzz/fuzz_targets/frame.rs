//! Any bytes are frames, the beginning of one, or an error; cutting them differently changes nothing; requests and sizes
//! in them parse or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::runtime::channel::{Decoder, Frame, parse_request, parse_size};

fn decode(bytes: &[u8], step: usize) -> (Vec<Frame>, bool) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for part in bytes.chunks(step) {
        decoder.push(part);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, 3));
    for frame in whole.0 {
        let _ = parse_request(&frame.payload);
        let _ = parse_size(&frame.payload);
    }
});
