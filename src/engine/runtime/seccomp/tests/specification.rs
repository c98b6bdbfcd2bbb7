//! What documents of an OCI specification become: errors with their field, values, flags, filters.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::table::Arch;
use super::super::{Listener, NATIVE, compile};
use super::filters::{self, ALLOW, Draw};
use super::{EPERM, args, call, machine, ops, run, spec};
use crate::engine::error::Kind;

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
        Kind::InvalidInput,
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default action",
    );
    refused(
        &rule(json!({"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"})),
        Kind::InvalidInput,
        "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY cannot be used for the write syscall",
    );
    refused(
        &rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})),
        Kind::InvalidInput,
        "linux.seccomp.listenerPath is not set, and a rule has SCMP_ACT_NOTIFY",
    );
    refused(
        &rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY", "errnoRet": 1})),
        Kind::InvalidInput,
        "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_NOTIFY takes no error number",
    );
    refused(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}),
        Kind::InvalidInput,
        "linux.seccomp.listenerMetadata is set without linux.seccomp.listenerPath",
    );
    refused(
        &rule(json!({"names": [], "action": "SCMP_ACT_ERRNO"})),
        Kind::InvalidInput,
        "linux.seccomp.syscalls[0].names is empty",
    );
    refused(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}),
        Kind::InvalidInput,
        "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no error number",
    );
    refused(
        &rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
        Kind::InvalidInput,
        "linux.seccomp.syscalls[0].errnoRet: 4096 is more than 4095",
    );
    refused(
        &rule(json!({"names": ["read", ""], "action": "SCMP_ACT_ERRNO"})),
        Kind::InvalidInput,
        "linux.seccomp.syscalls[0].names[1] is empty",
    );
    refused(
        &rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]})),
        Kind::InvalidInput,
        "linux.seccomp.syscalls[0].args[0].index: 6 is not an argument, there are six (0 to 5)",
    );
    let args = json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]);
    refused(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": args},
            {"names": ["read"], "action": "SCMP_ACT_TRAP", "args": args}]}),
        Kind::InvalidInput,
        "linux.seccomp.syscalls[1]: read has the same conditions as an earlier rule with another action",
    );
}

#[test]
fn an_architecture_of_the_other_byte_order_is_refused() {
    for arch in [
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "PPC",
        "PPC64",
        "S390",
        "S390X",
    ] {
        refused(
            &json!({"defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_RISCV64", format!("SCMP_ARCH_{arch}")]}),
            Kind::InvalidInput,
            &format!(
                "linux.seccomp.architectures[1]: SCMP_ARCH_{arch} has another byte order than this host"
            ),
        );
    }
    // Foreign ones of the same order are as good as none: the host's own is always included.
    let foreign = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PPC64LE", "SCMP_ARCH_MIPSEL"]});
    let none = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    assert_eq!(
        compile(&spec(&foreign)).unwrap(),
        compile(&spec(&none)).unwrap()
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
        2
    );
    assert_eq!(with(json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])), 0);
}

#[test]
fn a_rule_that_asks_makes_a_listener() {
    let mut document = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
        "listenerMetadata": "for the agent", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]});
    let filter = compile(&spec(&document)).unwrap();
    assert_eq!((filter.flags, filter.listener), (0, None));
    document["syscalls"] = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
    let filter = compile(&spec(&document)).unwrap();
    let asked = run(&filter.program, &call(NATIVE, "openat", args(0)));
    assert_eq!((filter.flags, asked), (0x28, ALLOW));
    if NATIVE == Arch::X86_64 {
        let asked = run(&filter.program, &call(NATIVE, "mkdir", args(0)));
        assert_eq!(asked, filters::NOTIFY);
    }
    let listener = Listener {
        path: "/run/agent".into(),
        metadata: "for the agent".to_owned(),
    };
    assert_eq!(filter.listener, Some(listener));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn filters_say_what_the_specification_says(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        more in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let document = Draw(&bytes).document();
        match compile(&spec(&document)) {
            Err(error) => {
                prop_assert!(error.to_string().contains("same conditions"), "{}", error);
            }
            Ok(filter) => {
                let program = ops(&filter.program);
                filters::verify(&program);
                let mut draw = Draw(&more);
                for _ in 0..8 {
                    filters::compare(&program, &document, machine(NATIVE), &draw.arguments());
                }
            }
        }
    }
}
