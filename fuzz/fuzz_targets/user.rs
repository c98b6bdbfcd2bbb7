//! Whatever `passwd` and `group` of an image hold: digits stay a number, ids stay in range, the primary group is listed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::runtime::user;

fuzz_target!(|input: (&str, &str, &str)| {
    let (text, passwd, group) = input;
    if let Ok(who) = user::identify(text, passwd, group) {
        assert!(who.uid <= i32::MAX.cast_unsigned());
        assert!(who.gid <= i32::MAX.cast_unsigned());
        assert!(who.groups.contains(&who.gid));
        let name = text.split(':').next().unwrap_or_default();
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            assert_eq!(name.parse(), Ok(who.uid));
        }
    }
});
