//! Output of containers on its way to the screen: whatever it is, lines come out clean and their colours in place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::app::ansi::Parser;

fuzz_target!(|input: &[u8]| {
    let mut parser = Parser::default();
    let mut check = |line: wharf::app::ansi::Line| {
        assert!(!line.text.chars().any(char::is_control));
        for (at, _) in &*line.runs {
            let at = usize::try_from(*at).expect("an offset fits");
            assert!(line.text.is_char_boundary(at));
        }
    };
    parser.feed(input, &mut check);
    check(parser.finish());
});
