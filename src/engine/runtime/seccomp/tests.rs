//! Runs filters in a small interpreter and compares them with what profile and specification say, read anew.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Instant;

use oci_spec::runtime::{Capabilities, Capability, LinuxSeccomp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::table::Arch;
use super::{Instruction, NATIVE, READY, compile, default_filter, default_program};
use crate::engine::error::Kind;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL_PROCESS: u32 = 0x8000_0000;

/// What the kernel shows a filter.
#[derive(Debug, Clone, Copy)]
struct Call {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

/// Runs a program as the kernel does, and refuses what the kernel's verifier refuses.
fn run(program: &[Instruction], call: &Call) -> u32 {
    let word = |offset: u32| match offset {
        0 => call.number,
        4 => call.audit,
        16..64 if offset.is_multiple_of(4) => {
            let argument = call.arguments[usize::try_from((offset - 16) / 8).unwrap()];
            let shift = if offset.is_multiple_of(8) { 0 } else { 32 };
            u32::try_from(argument >> shift & u64::from(u32::MAX)).unwrap()
        }
        _ => panic!("a load from {offset}"),
    };
    let (mut next, mut a) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[next];
        next += 1;
        let skip = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => a = word(k),
            0x54 => a &= k,
            0x05 => next += usize::try_from(k).unwrap(),
            0x15 => next += skip(a == k),
            0x25 => next += skip(a > k),
            0x35 => next += skip(a >= k),
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}

/// Every jump ends inside, and every way at a return.
fn verify(program: &[Instruction]) {
    assert!(program.len() <= 4096, "{} instructions", program.len());
    for (at, op) in program.iter().enumerate() {
        let furthest = match op.code {
            0x06 => at,
            0x05 => at + 1 + usize::try_from(op.k).unwrap(),
            0x15 | 0x25 | 0x35 => at + 1 + usize::from(op.jt.max(op.jf)),
            _ => at + 1,
        };
        assert!(furthest < program.len(), "{at}: {op:?}");
    }
}

/// System calls by architecture and name, read without the table's code.
fn numbers() -> &'static HashMap<(Arch, &'static str), u32> {
    static NUMBERS: OnceLock<HashMap<(Arch, &'static str), u32>> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/syscalls.tsv"));
        let mut numbers = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')).skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            for (arch, field) in Arch::ALL.into_iter().zip(&fields[1..]) {
                if let Ok(number) = field.parse::<u32>() {
                    let bit = if arch == Arch::X32 { 0x4000_0000 } else { 0 };
                    numbers.insert((arch, fields[0]), number | bit);
                }
            }
        }
        numbers
    })
}

fn call(arch: Arch, name: &str, arguments: [u64; 6]) -> Call {
    Call {
        audit: arch.audit(),
        number: numbers()[&(arch, name)],
        arguments,
    }
}

fn args(first: u64) -> [u64; 6] {
    [first, 0, 0, 0, 0, 0]
}

const DOCKER: &[&str] = &["CAP_SYS_CHROOT"];
const ADMIN: &[&str] = &["CAP_SYS_ADMIN"];

/// What the default filter does with a call on each architecture that has it.
#[track_caller]
fn check_everywhere(caps: &[&str], name: &str, arguments: [u64; 6], expect: u32) {
    let numbers = numbers();
    let mut found = 0;
    for native in [Arch::X86_64, Arch::Aarch64] {
        let program = default_program(native, caps);
        for &arch in native.family() {
            if numbers.contains_key(&(arch, name)) {
                found += 1;
                let got = run(&program, &call(arch, name, arguments));
                assert_eq!(got, expect, "{name} {arguments:x?} on {arch:?}: {got:#x}");
            }
        }
    }
    assert!(found > 0, "{name} is in no table");
}

#[test]
fn everyday_calls_are_allowed() {
    for name in "read write openat execve mmap futex clone wait4 exit_group socketpair ptrace getdents64 chroot"
        .split(' ')
    {
        check_everywhere(DOCKER, name, args(0), ALLOW);
    }
}

#[test]
fn what_is_not_named_is_denied() {
    let names = "keyctl add_key request_key bpf userfaultfd io_uring_setup io_uring_enter io_uring_register \
                 perf_event_open mount umount2 move_mount open_tree fsopen fsconfig fsmount mount_setattr unshare setns \
                 pivot_root swapon reboot kexec_load init_module finit_module delete_module settimeofday quotactl acct \
                 open_by_handle_at syslog vhangup iopl mbind nfsservctl";
    for name in names.split_ascii_whitespace() {
        check_everywhere(DOCKER, name, args(0), EPERM);
    }
}

#[test]
fn capabilities_open_what_they_are_for() {
    for (cap, names) in [
        (
            "CAP_SYS_ADMIN",
            "mount umount2 unshare setns fsopen bpf clone3 syslog perf_event_open",
        ),
        ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
        ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_BPF", "bpf"),
        ("CAP_PERFMON", "perf_event_open"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_SYS_TTY_CONFIG", "vhangup"),
        (
            "CAP_SYS_NICE",
            "mbind set_mempolicy get_mempolicy set_mempolicy_home_node",
        ),
        (
            "CAP_SYS_TIME",
            "settimeofday clock_settime clock_settime64 stime",
        ),
        ("CAP_SYS_RAWIO", "iopl ioperm"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ] {
        for name in names.split(' ') {
            let without = if name == "clone3" { ENOSYS } else { EPERM };
            check_everywhere(&[], name, args(0), without);
            check_everywhere(&[cap], name, args(0), ALLOW);
        }
    }
}

#[test]
fn sockets_of_the_kernels_crypto_and_of_virtual_machines_are_denied() {
    for (family, expect) in [
        (1, ALLOW),
        (2, ALLOW),
        (37, ALLOW),
        (38, EPERM),
        (39, ALLOW),
        (40, EPERM),
        (41, ALLOW),
        (45, ALLOW),
    ] {
        check_everywhere(DOCKER, "socket", args(family), expect);
        // The kernel reads 32 bits; what is above must not lead past the rule.
        check_everywhere(DOCKER, "socket", args(family | 1 << 32), expect);
    }
}

#[test]
fn new_namespaces_need_the_capability() {
    let fork = 0x0120_0011;
    check_everywhere(DOCKER, "clone", args(fork), ALLOW);
    let namespaces = [
        0x0002_0000,
        0x0200_0000,
        0x0400_0000,
        0x0800_0000,
        0x1000_0000,
        0x2000_0000,
        0x4000_0000,
    ];
    for flag in namespaces {
        check_everywhere(DOCKER, "clone", args(fork | flag), EPERM);
        check_everywhere(ADMIN, "clone", args(fork | flag), ALLOW);
    }
    check_everywhere(DOCKER, "clone3", args(0), ENOSYS);
}

#[test]
fn personalities_are_the_usual_ones() {
    for (value, expect) in [
        (0, ALLOW),
        (8, ALLOW),
        (0x2_0000, ALLOW),
        (0x2_0008, ALLOW),
        (0xffff_ffff, ALLOW),
        (0x4_0000, EPERM),
        (0x40_0000, EPERM),
        (9, EPERM),
    ] {
        check_everywhere(DOCKER, "personality", args(value), expect);
    }
}

#[test]
fn the_old_ways_in_of_i386_stay_open() {
    let program = default_program(Arch::X86_64, DOCKER);
    for name in [
        "socketcall",
        "ipc",
        "sigreturn",
        "waitpid",
        "mmap2",
        "clock_gettime64",
    ] {
        assert_eq!(
            run(&program, &call(Arch::I386, name, args(1))),
            ALLOW,
            "{name}"
        );
    }
    for name in ["umount", "stime", "bdflush", "vm86", "uselib"] {
        assert_eq!(
            run(&program, &call(Arch::I386, name, args(1))),
            EPERM,
            "{name}"
        );
    }
}

#[test]
fn what_is_newer_than_the_profile_does_not_exist() {
    // x32 numbers older calls higher than these.
    let program = default_program(Arch::X86_64, DOCKER);
    for arch in [Arch::X86_64, Arch::I386] {
        let answer = |name| run(&program, &call(arch, name, args(0)));
        assert_eq!(answer("rseq_slice_yield"), ENOSYS, "{arch:?}");
        assert_eq!(answer("lsm_list_modules"), EPERM, "{arch:?}");
    }
    let deny = |default: &str| {
        let spec = spec(&json!({"defaultAction": default,
            "syscalls": [{"names": ["getpid", "openat2"], "action": "SCMP_ACT_ALLOW"}]}));
        let program = compile(&spec).unwrap().program;
        ["getpid", "openat2", "mount", "mseal"]
            .map(|name| run(&program, &call(NATIVE, name, args(0))))
    };
    assert_eq!(deny("SCMP_ACT_ERRNO"), [ALLOW, ALLOW, EPERM, ENOSYS]);
    assert_eq!(
        deny("SCMP_ACT_KILL_PROCESS"),
        [ALLOW, ALLOW, KILL_PROCESS, ENOSYS]
    );
    assert_eq!(
        deny("SCMP_ACT_LOG"),
        [ALLOW, ALLOW, 0x7ffc_0000, 0x7ffc_0000]
    );
}

#[test]
fn a_foreign_architecture_is_killed() {
    for native in [Arch::X86_64, Arch::Aarch64] {
        let program = default_program(native, DOCKER);
        for arch in Arch::ALL {
            let call = Call {
                audit: arch.audit(),
                number: 0,
                arguments: [0; 6],
            };
            let is_killed = run(&program, &call) == KILL_PROCESS;
            assert_eq!(
                is_killed,
                !native.family().contains(&arch),
                "{arch:?} on {native:?}"
            );
        }
        let riscv = Call {
            audit: 0xc000_00f3,
            number: 0,
            arguments: [0; 6],
        };
        assert_eq!(run(&program, &riscv), KILL_PROCESS);
    }
}

#[test]
fn x32_is_killed_unless_listed_but_a_skipped_call_is_not() {
    if NATIVE != Arch::X86_64 {
        return;
    }
    let filter = compile(&spec(&json!({"defaultAction": "SCMP_ACT_ALLOW"}))).unwrap();
    let number = |number| Call {
        audit: Arch::X86_64.audit(),
        number,
        arguments: [0; 6],
    };
    assert_eq!(run(&filter.program, &number(0x3fff_ffff)), ALLOW);
    assert_eq!(run(&filter.program, &number(0x4000_0000)), KILL_PROCESS);
    assert_eq!(run(&filter.program, &number(0xffff_fffe)), KILL_PROCESS);
    assert_eq!(run(&filter.program, &number(0xffff_ffff)), ALLOW);
}

#[test]
fn the_ready_filters_are_what_would_be_compiled() {
    assert_eq!(READY.len(), 2);
    for (set, program) in READY {
        let caps: Vec<&str> = set.split_ascii_whitespace().collect();
        let compiled = default_program(NATIVE, &caps);
        assert_eq!(compiled, *program, "{set}");
    }
}

#[test]
fn capabilities_that_make_no_difference_take_a_ready_filter() {
    let docker = [Capability::Chown, Capability::SysChroot, Capability::NetRaw];
    let filter = default_filter(&Capabilities::from(docker));
    assert!(matches!(filter.program, std::borrow::Cow::Borrowed(_)));
    assert_eq!(filter.program, default_program(NATIVE, DOCKER));
    let filter = default_filter(&Capabilities::new());
    assert!(matches!(filter.program, std::borrow::Cow::Borrowed(_)));
    let filter = default_filter(&Capabilities::from([Capability::SysAdmin]));
    assert_eq!(filter.program, default_program(NATIVE, ADMIN));
}

#[test]
fn the_default_filter_is_short_and_quickly_made() {
    for native in [Arch::X86_64, Arch::Aarch64] {
        for caps in [&[], DOCKER, ADMIN] {
            let start = Instant::now();
            let program = default_program(native, caps);
            let took = start.elapsed();
            println!(
                "{native:?} {caps:?}: {} instructions, {took:?}",
                program.len()
            );
            verify(&program);
            assert!(program.len() < 1024, "{}", program.len());
        }
    }
}

fn spec(value: &Value) -> LinuxSeccomp {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn refused(value: &Value, kind: Kind, message: &str) {
    let error = compile(&spec(value)).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
}

#[test]
fn mistakes_are_named_with_their_field() {
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    refused(
        &json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
        Kind::Unsupported,
        "seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported",
    );
    refused(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}),
        Kind::InvalidInput,
        "seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no error number",
    );
    refused(
        &rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
        Kind::InvalidInput,
        "seccomp.syscalls[0].errnoRet: 4096 is more than 4095",
    );
    refused(
        &rule(json!({"names": ["read", ""], "action": "SCMP_ACT_ERRNO"})),
        Kind::InvalidInput,
        "seccomp.syscalls[0].names[1] is empty",
    );
    refused(
        &rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]})),
        Kind::InvalidInput,
        "seccomp.syscalls[0].args[0].index: 6 is not an argument, there are six (0 to 5)",
    );
    let args = json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]);
    refused(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": args},
            {"names": ["read"], "action": "SCMP_ACT_TRAP", "args": args}]}),
        Kind::InvalidInput,
        "seccomp.syscalls[1]: read has the same conditions as an earlier rule with another action",
    );
}

#[test]
fn a_filter_that_is_too_long_is_refused() {
    let values = 0..2000;
    let rules: Vec<Value> = values
        .map(|value| {
            json!({"names": ["read"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let spec = spec(&json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    let error = compile(&spec).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(
        error.to_string().contains("the kernel takes 4096"),
        "{error}"
    );
}

#[test]
fn every_action_has_its_value() {
    for (action, expect) in [
        (json!({"action": "SCMP_ACT_KILL"}), 0),
        (json!({"action": "SCMP_ACT_KILL_THREAD"}), 0),
        (json!({"action": "SCMP_ACT_KILL_PROCESS"}), 0x8000_0000),
        (json!({"action": "SCMP_ACT_TRAP"}), 0x0003_0000),
        (json!({"action": "SCMP_ACT_ERRNO"}), 0x0005_0001),
        (
            json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 38}),
            0x0005_0026,
        ),
        (
            json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}),
            0x0005_0000,
        ),
        (json!({"action": "SCMP_ACT_TRACE"}), 0x7ff0_0001),
        (
            json!({"action": "SCMP_ACT_TRACE", "errnoRet": 7}),
            0x7ff0_0007,
        ),
        (json!({"action": "SCMP_ACT_LOG"}), 0x7ffc_0000),
    ] {
        let mut rule = action.clone();
        rule["names"] = json!(["read", "no_such_call"]);
        let filter = compile(&spec(
            &json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
        ))
        .unwrap();
        assert_eq!(
            run(&filter.program, &call(NATIVE, "read", args(0))),
            expect,
            "{action}"
        );
        assert_eq!(run(&filter.program, &call(NATIVE, "write", args(0))), ALLOW);
    }
}

#[test]
fn flags_are_kept_and_speculation_is_left_alone_without_any() {
    let with = |flags: Value| {
        let spec = spec(&json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags}));
        compile(&spec).unwrap().flags
    };
    assert_eq!(with(Value::Null), 4);
    assert_eq!(with(json!([])), 0);
    assert_eq!(
        with(json!([
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_LOG"
        ])),
        3
    );
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let filter = compile(&spec(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
            {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"},
            {"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]}]}),
    ))
    .unwrap();
    let read = |arguments| run(&filter.program, &call(NATIVE, "read", arguments));
    assert_eq!(read([1, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(read([5, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(read([0, 9, 0, 0, 0, 0]), EPERM);
    assert_eq!(read([0, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn a_rule_for_sockets_holds_for_the_old_way_in_too() {
    if NATIVE != Arch::X86_64 {
        return;
    }
    let filter = compile(&spec(&json!({"defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_ARM"],
        "syscalls": [{"names": ["socket", "shmget"], "action": "SCMP_ACT_ERRNO"}]})))
    .unwrap();
    let i386 = |name, first| run(&filter.program, &call(Arch::I386, name, args(first)));
    assert_eq!(i386("socket", 0), EPERM);
    assert_eq!(i386("socketcall", 1), EPERM);
    assert_eq!(i386("socketcall", 2), ALLOW);
    assert_eq!(i386("ipc", 23), EPERM);
    assert_eq!(i386("ipc", 24), ALLOW);
}

/// Whether a condition of a profile or specification holds, by its text.
fn holds(op: &str, wide: bool, argument: u64, value: u64, mask: u64) -> bool {
    let bits = if wide { u64::MAX } else { 0xffff_ffff };
    let (argument, value, mask) = (argument & bits, value & bits, mask & bits);
    match op {
        "lt" | "SCMP_CMP_LT" => argument < value,
        "SCMP_CMP_LE" => argument <= value,
        "eq" | "SCMP_CMP_EQ" => argument == value,
        "SCMP_CMP_NE" => argument != value,
        "SCMP_CMP_GE" => argument >= value,
        "gt" | "SCMP_CMP_GT" => argument > value,
        "masked" | "SCMP_CMP_MASKED_EQ" => argument & mask == value & mask,
        _ => panic!("{op}"),
    }
}

fn is_wide(arch: Arch) -> bool {
    matches!(arch, Arch::X86_64 | Arch::Aarch64)
}

/// The largest number that a list of names has on an architecture; ARM's private ones apart.
fn newest<'a>(arch: Arch, names: impl Iterator<Item = &'a Value>) -> Option<u32> {
    let numbers = numbers();
    let named = names.filter_map(|name| numbers.get(&(arch, name.as_str().unwrap())));
    named
        .copied()
        .filter(|n| arch != Arch::Arm || *n < 0xf_0000)
        .max()
}

/// The groups of the default profile that count, by its file alone.
fn counting<'a>(profile: &'a Value, native: &str, caps: &[&str]) -> Vec<&'a Value> {
    let groups = profile["groups"].as_array().unwrap().iter();
    let counts = |group: &&Value| {
        let mut with = group["with"].as_array().into_iter().flatten();
        (group["native"].is_null() || has(&group["native"], native))
            && with.all(|cap| caps.contains(&cap.as_str().unwrap()))
            && !caps.iter().any(|cap| has(&group["without"], cap))
    };
    groups.filter(counts).collect()
}

fn has(list: &Value, text: &str) -> bool {
    let mut list = list.as_array().into_iter().flatten();
    list.any(|entry| entry.as_str() == Some(text))
}

/// The default profile's answer. No two groups that count differ on a system call.
fn profile_says(groups: &[&Value], arch: Arch, name: &str, arguments: &[u64; 6]) -> u32 {
    for group in groups.iter().filter(|group| has(&group["names"], name)) {
        let mut any = group["any"].as_array().into_iter().flatten();
        let met = group["any"].is_null()
            || any.any(|all| {
                all.as_array().unwrap().iter().all(|condition| {
                    let wide = is_wide(arch) && condition["int"] != json!(true);
                    let index = usize::try_from(condition["index"].as_u64().unwrap()).unwrap();
                    let mask = condition["mask"].as_u64().unwrap_or(0);
                    let value = condition["value"].as_u64().unwrap();
                    let op = condition["op"].as_str().unwrap();
                    holds(op, wide, arguments[index], value, mask)
                })
            });
        if met {
            let errno = group["errno"].as_u64();
            return errno.map_or(ALLOW, |e| 0x0005_0000 | u32::try_from(e).unwrap());
        }
    }
    EPERM
}

/// Numbers near what profiles compare with.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..48_u64,
        (0..64_u32).prop_map(|bit| 1 << bit),
        Just(0xffff_ffff),
        Just(0x2_0008),
        any::<u64>(),
        (0..48_u64).prop_map(|low| low | 1 << 32),
    ]
}

#[test]
fn default_filters_say_what_the_profile_says() {
    let profile: Value = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/assets/seccomp.json"
    )))
    .unwrap();
    let numbers = numbers();
    let deciding: Vec<&str> = super::DECIDING.split(' ').collect();
    let strategy = (
        proptest::bits::u32::between(0, 18),
        prop::collection::vec(prop::array::uniform6(argument()), 4),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(8));
    let result = runner.run(&strategy, |(set, arguments)| {
        let caps = deciding
            .iter()
            .enumerate()
            .filter(|(n, _)| set >> n & 1 == 1);
        let caps: Vec<&str> = caps.map(|(_, cap)| *cap).collect();
        for (native, name) in [(Arch::X86_64, "x86_64"), (Arch::Aarch64, "aarch64")] {
            let program = default_program(native, &caps);
            verify(&program);
            let groups = counting(&profile, name, &caps);
            let names = || {
                groups
                    .iter()
                    .flat_map(|group| group["names"].as_array().unwrap())
            };
            let newest: HashMap<Arch, Option<u32>> = Arch::ALL
                .into_iter()
                .map(|arch| (arch, newest(arch, names())))
                .collect();
            let called = numbers
                .iter()
                .filter(|((arch, _), _)| native.family().contains(arch));
            for (&(arch, call_name), &number) in called {
                for &arguments in &arguments {
                    let call = Call {
                        audit: arch.audit(),
                        number,
                        arguments,
                    };
                    let is_private = arch == Arch::Arm && number >= 0xf_0000;
                    let says = match profile_says(&groups, arch, call_name, &arguments) {
                        EPERM if is_private || Some(number) > newest[&arch] => ENOSYS,
                        says => says,
                    };
                    prop_assert_eq!(
                        run(&program, &call),
                        says,
                        "{} {:?} {:?}",
                        call_name,
                        call,
                        caps
                    );
                }
            }
        }
        Ok(())
    });
    result.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn numbers_that_nobody_has_do_not_exist(
        number in prop_oneof![0..1000_u32, any::<u32>()],
        arguments in prop::array::uniform6(argument()),
    ) {
        let numbers = numbers();
        let program = default_program(Arch::X86_64, DOCKER);
        for arch in [Arch::X86_64, Arch::I386] {
            let is_known = numbers.iter().any(|((a, _), n)| a.audit() == arch.audit() && *n == number);
            // Holes of the tables are filled by the oldest kernels only.
            let expect = if number < 460 { EPERM } else { ENOSYS };
            if !is_known {
                let call = Call { audit: arch.audit(), number, arguments };
                prop_assert_eq!(run(&program, &call), expect, "{:?}", call);
            }
        }
    }
}

const NAMES: &[&str] = &[
    "read",
    "write",
    "openat",
    "close",
    "clone",
    "socket",
    "bind",
    "shmat",
    "ioctl",
    "prctl",
    "kill",
    "mmap",
    "socketcall",
    "getpid",
    "openat2",
    "futex",
    "no_such_call",
];

/// A specification with rules on few system calls, so that they meet.
fn specification() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
    let condition = (0..3_u8, op, argument(), argument()).prop_map(|(index, op, value, second)| {
        json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": second})
    });
    let action = || prop::sample::select(vec!["ALLOW", "ERRNO", "TRAP", "LOG", "KILL_PROCESS"]);
    let names = prop::collection::vec(prop::sample::select(NAMES), 1..4);
    let rule = (names, action(), prop::collection::vec(condition, 0..4)).prop_map(|(names, action, args)| {
        json!({"names": names, "action": format!("SCMP_ACT_{action}"), "args": args})
    });
    let arches = prop::sample::subsequence(
        vec!["X86_64", "X86", "X32", "AARCH64", "ARM", "S390X"],
        0..=6,
    );
    (action(), arches, prop::collection::vec(rule, 0..12)).prop_map(|(default, arches, rules)| {
        let arches: Vec<String> = arches.iter().map(|arch| format!("SCMP_ARCH_{arch}")).collect();
        json!({"defaultAction": format!("SCMP_ACT_{default}"), "architectures": arches, "syscalls": rules})
    })
}

fn value_of(action: &Value) -> u32 {
    match action.as_str().unwrap() {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => EPERM,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        other => panic!("{other}"),
    }
}

/// Every answer that a specification can mean, by its text: one where rules do not overlap, the unconditional rule's
/// where there is one, else that of any rule that holds.
fn specification_says(spec: &Value, arch: Arch, name: &str, arguments: &[u64; 6]) -> Vec<u32> {
    let default = value_of(&spec["defaultAction"]);
    let listed = |wanted: &str| {
        let mut arches = spec["architectures"].as_array().unwrap().iter();
        arches.any(|arch| arch.as_str() == Some(wanted))
    };
    let is_listed = arch == NATIVE
        || match arch {
            Arch::X86_64 => listed("SCMP_ARCH_X86_64"),
            Arch::I386 => listed("SCMP_ARCH_X86"),
            Arch::X32 => listed("SCMP_ARCH_X32"),
            Arch::Aarch64 => listed("SCMP_ARCH_AARCH64"),
            Arch::Arm => listed("SCMP_ARCH_ARM"),
        };
    if !is_listed || !NATIVE.family().contains(&arch) {
        return vec![KILL_PROCESS];
    }
    let mut answers = Vec::new();
    for rule in spec["syscalls"].as_array().unwrap() {
        let action = value_of(&rule["action"]);
        if action == default {
            continue;
        }
        let conditions = rule["args"].as_array().unwrap();
        let met = |condition: &Value, ignored: Option<u64>| {
            let index = condition["index"].as_u64().unwrap();
            Some(index) == ignored || {
                let op = condition["op"].as_str().unwrap();
                let (value, second) = (&condition["value"], &condition["valueTwo"]);
                let (value, second) = (value.as_u64().unwrap(), second.as_u64().unwrap());
                let masked = op == "SCMP_CMP_MASKED_EQ";
                let (value, mask) = if masked { (second, value) } else { (value, 0) };
                holds(
                    op,
                    is_wide(arch),
                    arguments[usize::try_from(index).unwrap()],
                    value,
                    mask,
                )
            }
        };
        // Always true: a mask without a bit that the architecture looks at.
        let is_void = |condition: &&Value| {
            let bits = if is_wide(arch) { u64::MAX } else { 0xffff_ffff };
            condition["op"] == json!("SCMP_CMP_MASKED_EQ")
                && condition["value"].as_u64().unwrap() & bits == 0
        };
        let indices: std::collections::HashSet<u64> = conditions
            .iter()
            .map(|c| c["index"].as_u64().unwrap())
            .collect();
        let is_any = indices.len() < conditions.len();
        for rule_name in rule["names"].as_array().unwrap() {
            let rule_name = rule_name.as_str().unwrap();
            let (direct, ignored) = match (rule_name, name, arch) {
                (a, b, _) if a == b => (true, None),
                ("socket", "socketcall", Arch::I386) => (arguments[0] & 0xffff_ffff == 1, Some(0)),
                ("bind", "socketcall", Arch::I386) => (arguments[0] & 0xffff_ffff == 2, Some(0)),
                _ => continue,
            };
            let always = ignored.is_none()
                && (conditions.iter().all(|c| is_void(&c))
                    || is_any && conditions.iter().any(|c| is_void(&c)));
            if always {
                return vec![action];
            }
            let holds = if is_any {
                conditions.iter().any(|c| met(c, ignored))
            } else {
                conditions.iter().all(|c| met(c, ignored))
            };
            if direct && holds {
                answers.push(action);
            }
        }
    }
    if answers.is_empty() {
        let rules = spec["syscalls"].as_array().unwrap().iter();
        let newest = newest(
            arch,
            rules.flat_map(|rule| rule["names"].as_array().unwrap()),
        );
        let is_newer = newest.is_some_and(|newest| numbers()[&(arch, name)] > newest);
        let is_refusal = !matches!(default, ALLOW | 0x7ffc_0000);
        answers.push(if is_newer && is_refusal {
            ENOSYS
        } else {
            default
        });
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn filters_say_what_the_specification_says(
        json in specification(),
        calls in prop::collection::vec(prop::array::uniform6(argument()), 8),
    ) {
        match compile(&spec(&json)) {
            Err(error) => {
                prop_assert!(error.to_string().contains("same conditions"), "{}", error);
            }
            Ok(filter) => {
                verify(&filter.program);
                let numbers = numbers();
                for arch in Arch::ALL {
                    for name in NAMES {
                        let Some(&number) = numbers.get(&(arch, *name)) else {
                            continue;
                        };
                        for &arguments in &calls {
                            let call = Call { audit: arch.audit(), number, arguments };
                            let says = specification_says(&json, arch, name, &arguments);
                            let got = run(&filter.program, &call);
                            prop_assert!(says.contains(&got), "{} {:x?}: {:#x}, not {:x?}", name, call, got, says);
                        }
                    }
                }
            }
        }
    }
}
