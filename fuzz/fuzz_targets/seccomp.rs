//! Any `linux.seccomp` document makes a filter that the kernel takes, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::LinuxSeccomp;
use wharf::engine::runtime::seccomp::compile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<LinuxSeccomp>(bytes) else {
        return;
    };
    let Ok(filter) = compile(&spec) else {
        return;
    };
    assert!(filter.program.len() <= 4096);
    for (at, op) in filter.program.iter().enumerate() {
        // Return, jump, compare and jump; all else goes on with the next.
        let furthest = match op.code {
            0x06 => at,
            0x05 => at + 1 + op.k as usize,
            0x15 | 0x25 | 0x35 => at + 1 + usize::from(op.jt.max(op.jf)),
            _ => at + 1,
        };
        assert!(furthest < filter.program.len(), "{at}: {op:?}");
    }
});
