//! No list of mount options makes a bit both set and cleared, and order decides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::engine::runtime::mounts;
use wharf::engine::sys::mount;

fuzz_target!(|options: Vec<String>| {
    let parsed = mounts::parse(&options);
    assert_eq!(parsed.set & parsed.clear & !mount::ATIME, 0);
    let mut last = options;
    last.push("ro".to_owned());
    assert_ne!(mounts::parse(&last).set & mount::RDONLY, 0);
});
