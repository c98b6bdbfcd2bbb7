//! Runs the default filters in a small interpreter and compares them with what the profile says, read anew.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Instant;

use oci_spec::runtime::{Capabilities, Capability, LinuxSeccomp};
use proptest::prelude::*;
use serde_json::{Value, json};

use filters::{ALLOW, Call, ENOSYS, ERRNO, KILL_PROCESS, MACHINES, Machine, Op, holds};

use super::table::Arch;
use super::{Instruction, NATIVE, READY, compile, default_filter, default_program};

#[expect(unreachable_pub, reason = "shared with the fuzz targets")]
#[path = "../../../../../fuzz/filters.rs"]
mod filters;
mod specification;

const EPERM: u32 = ERRNO | 1;

/// Runs a program of ours in the interpreter.
fn run(program: &[Instruction], call: &Call) -> u32 {
    filters::run(&ops(program), call)
}

fn ops(program: &[Instruction]) -> Vec<Op> {
    let parts = |i: &Instruction| (i.code, i.jt, i.jf, i.k);
    program.iter().map(parts).collect()
}

/// The interpreter's name of an architecture.
fn machine(arch: Arch) -> Machine {
    let of = Arch::ALL.into_iter().zip(MACHINES);
    of.into_iter().find(|(a, _)| *a == arch).unwrap().1
}

/// System calls by architecture and name, read without the table's code.
fn numbers() -> &'static HashMap<(Arch, &'static str), u32> {
    static NUMBERS: OnceLock<HashMap<(Arch, &'static str), u32>> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let all = filters::numbers().iter();
        let arch = |of| {
            Arch::ALL
                .into_iter()
                .find(|arch| machine(*arch) == of)
                .unwrap()
        };
        all.map(|((of, name), number)| ((arch(*of), *name), *number))
            .collect()
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
            filters::verify(&ops(&program));
            assert!(program.len() < 1024, "{}", program.len());
        }
    }
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
                    let wide = machine(arch).is_wide && condition["int"] != json!(true);
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
            filters::verify(&ops(&program));
            let groups = counting(&profile, name, &caps);
            let names = || {
                groups
                    .iter()
                    .flat_map(|group| group["names"].as_array().unwrap())
            };
            let newest: HashMap<Arch, Option<u32>> = Arch::ALL
                .into_iter()
                .map(|arch| (arch, filters::newest(machine(arch), names())))
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

fn spec(value: &Value) -> LinuxSeccomp {
    serde_json::from_value(value.clone()).unwrap()
}
