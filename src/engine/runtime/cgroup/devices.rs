//! The list of devices that a container may use: lines for v1, a small eBPF program for v2. Pure.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::engine::sys::bpf::Instruction;

/// `(devices.allow or devices.deny, line)` for each rule (cgroup-v1/devices.rst).
pub(super) fn v1_lines(rules: &[LinuxDeviceCgroup]) -> Vec<(&'static str, String)> {
    rules
        .iter()
        .map(|rule| {
            let file = if rule.allow() {
                "devices.allow"
            } else {
                "devices.deny"
            };
            let number = |n: Option<i64>| match n {
                Some(n) if n >= 0 => n.to_string(),
                _ => "*".to_owned(),
            };
            let access = rule
                .access()
                .as_deref()
                .filter(|text| !text.is_empty())
                .unwrap_or("rwm");
            let line = match kind(rule) {
                // The kernel takes the letter alone for "everything".
                Type::All => "a".to_owned(),
                Type::Block => format!(
                    "b {}:{} {access}",
                    number(rule.major()),
                    number(rule.minor())
                ),
                Type::Char => format!(
                    "c {}:{} {access}",
                    number(rule.major()),
                    number(rule.minor())
                ),
            };
            (file, line)
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    All,
    Block,
    Char,
}

fn kind(rule: &LinuxDeviceCgroup) -> Type {
    match rule.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::B => Type::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => Type::Char,
        LinuxDeviceType::A | LinuxDeviceType::P => Type::All,
    }
}

// Operations of extended BPF that are used (linux/bpf.h, linux/bpf_common.h).
const LOAD_W: u8 = 0x61;
const MOV32_REG: u8 = 0xbc;
const MOV64_IMM: u8 = 0xb7;
const AND32_IMM: u8 = 0x54;
const RSH32_IMM: u8 = 0x74;
const JNE_IMM: u8 = 0x55;
const JNE_REG: u8 = 0x5d;
const EXIT: u8 = 0x95;

/// `bpf_cgroup_dev_ctx`: type in the low half of the first word, access in the high half; then major, minor.
const TYPE_BLOCK: i32 = 1;
const TYPE_CHAR: i32 = 2;
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

/// The same rules as a `BPF_PROG_TYPE_CGROUP_DEVICE` program: the last rule that fits decides, as on v1; without one
/// access is denied. Nothing follows a rule that fits everything: the kernel refuses a program with instructions that are
/// never reached.
pub(super) fn v2_program(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    let mut program = vec![
        op(LOAD_W, 2, 1, 0, 0),         // r2 = type and access
        op(MOV32_REG, 3, 2, 0, 0),      // r3 = r2
        op(RSH32_IMM, 3, 0, 0, 16),     // r3 = access
        op(AND32_IMM, 2, 0, 0, 0xffff), // r2 = type
        op(LOAD_W, 4, 1, 4, 0),         // r4 = major
        op(LOAD_W, 5, 1, 8, 0),         // r5 = minor
    ];
    for rule in rules.iter().rev() {
        program.extend(rule_code(rule));
        if kind(rule) == Type::All {
            return program;
        }
    }
    program.extend(verdict(false));
    program
}

fn rule_code(rule: &LinuxDeviceCgroup) -> Vec<Instruction> {
    let mut code = Vec::new();
    match kind(rule) {
        Type::All => {}
        Type::Block => code.push(op(JNE_IMM, 2, 0, 0, TYPE_BLOCK)),
        Type::Char => code.push(op(JNE_IMM, 2, 0, 0, TYPE_CHAR)),
    }
    if kind(rule) != Type::All {
        let text = rule
            .access()
            .as_deref()
            .filter(|text| !text.is_empty())
            .unwrap_or("rwm");
        let bit = |letter: char, bit: i32| if text.contains(letter) { bit } else { 0 };
        let mask = bit('m', ACCESS_MKNOD) | bit('r', ACCESS_READ) | bit('w', ACCESS_WRITE);
        if mask != ACCESS_MKNOD | ACCESS_READ | ACCESS_WRITE {
            // Everything that is wanted must be in the rule: (access & mask) == access.
            code.push(op(MOV32_REG, 1, 3, 0, 0));
            code.push(op(AND32_IMM, 1, 0, 0, mask));
            code.push(op(JNE_REG, 1, 3, 0, 0));
        }
        for (register, number) in [(4, rule.major()), (5, rule.minor())] {
            if let Some(number) = number
                .and_then(|n| i32::try_from(n).ok())
                .filter(|n| *n >= 0)
            {
                code.push(op(JNE_IMM, register, 0, 0, number));
            }
        }
    }
    code.extend(verdict(rule.allow()));
    let length = code.len();
    for (at, instruction) in code.iter_mut().enumerate() {
        if matches!(instruction.code, JNE_IMM | JNE_REG) {
            // To the first instruction after this rule. A rule has at most nine.
            instruction.offset = i16::try_from(length - at - 1).unwrap_or(0);
        }
    }
    code
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [
        op(MOV64_IMM, 0, 0, 0, i32::from(allow)),
        op(EXIT, 0, 0, 0, 0),
    ]
}

fn op(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: (source << 4) | destination,
        offset,
        immediate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;
    use proptest::prelude::*;

    fn rule(
        allow: bool,
        typ: LinuxDeviceType,
        major: Option<i64>,
        minor: Option<i64>,
        access: &str,
    ) -> LinuxDeviceCgroup {
        let mut builder = LinuxDeviceCgroupBuilder::default()
            .allow(allow)
            .typ(typ)
            .access(access);
        if let Some(major) = major {
            builder = builder.major(major);
        }
        if let Some(minor) = minor {
            builder = builder.minor(minor);
        }
        builder.build().unwrap()
    }

    /// Runs a program as the kernel would, for the few operations that it uses.
    fn run(program: &[Instruction], typ: i32, access: i32, major: i32, minor: i32) -> bool {
        let context = [typ | (access << 16), major, minor];
        let mut r = [0i64; 11];
        let mut at = 0usize;
        loop {
            let i = program[at];
            let (dst, src) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let jump = usize::try_from(i.offset).unwrap();
            match i.code {
                LOAD_W => r[dst] = i64::from(context[jump / 4]),
                MOV32_REG => r[dst] = r[src],
                MOV64_IMM => r[dst] = i64::from(i.immediate),
                AND32_IMM => r[dst] &= i64::from(i.immediate),
                RSH32_IMM => r[dst] >>= i.immediate,
                JNE_IMM if r[dst] != i64::from(i.immediate) => at += jump,
                JNE_REG if r[dst] != r[src] => at += jump,
                JNE_IMM | JNE_REG => {}
                EXIT => return r[0] != 0,
                other => panic!("operation {other:#x}"),
            }
            at += 1;
        }
    }

    /// Whether every instruction can be reached from the first, as the kernel's check_cfg() asks.
    fn is_all_reached(program: &[Instruction]) -> bool {
        let mut reached = vec![false; program.len()];
        let mut next = vec![0];
        while let Some(at) = next.pop() {
            if std::mem::replace(&mut reached[at], true) || program[at].code == EXIT {
                continue;
            }
            next.push(at + 1);
            if matches!(program[at].code, JNE_IMM | JNE_REG) {
                next.push(at + 1 + usize::try_from(program[at].offset).unwrap());
            }
        }
        reached.into_iter().all(|is| is)
    }

    #[test]
    fn the_v2_program_ends_with_a_rule_that_fits_everything() {
        let rules = [
            rule(true, LinuxDeviceType::C, Some(1), Some(3), "rwm"),
            rule(false, LinuxDeviceType::A, None, None, "rwm"),
            rule(true, LinuxDeviceType::B, None, None, "m"),
        ];
        let program = v2_program(&rules);
        assert!(is_all_reached(&program), "{program:?}");
        assert!(program.ends_with(&verdict(false)));
        assert!(run(&program, TYPE_BLOCK, ACCESS_MKNOD, 8, 0));
        assert!(!run(&program, TYPE_CHAR, ACCESS_READ, 1, 3));
    }

    /// What the list means, read without a program.
    fn allowed(rules: &[LinuxDeviceCgroup], typ: i32, access: i32, major: i32, minor: i32) -> bool {
        let fits = |rule: &&LinuxDeviceCgroup| {
            let wanted = match kind(rule) {
                Type::All => return true,
                Type::Block => TYPE_BLOCK,
                Type::Char => TYPE_CHAR,
            };
            let text = rule.access().clone().unwrap_or_default();
            let letters = [('m', ACCESS_MKNOD), ('r', ACCESS_READ), ('w', ACCESS_WRITE)];
            let covered = letters
                .iter()
                .all(|(letter, bit)| access & bit == 0 || text.contains(*letter));
            let number = |n: Option<i64>, is: i32| n.is_none_or(|n| n == i64::from(is));
            wanted == typ && covered && number(rule.major(), major) && number(rule.minor(), minor)
        };
        rules
            .iter()
            .rev()
            .find(fits)
            .is_some_and(LinuxDeviceCgroup::allow)
    }

    #[test]
    fn v1_lines_are_what_the_kernel_reads() {
        let rules = [
            rule(false, LinuxDeviceType::A, None, None, "rwm"),
            rule(true, LinuxDeviceType::C, Some(1), Some(3), "rwm"),
            rule(true, LinuxDeviceType::B, None, None, "m"),
        ];
        let expected = [
            ("devices.deny", "a"),
            ("devices.allow", "c 1:3 rwm"),
            ("devices.allow", "b *:* m"),
        ];
        let lines = v1_lines(&rules);
        assert_eq!(lines, expected.map(|(file, line)| (file, line.to_owned())));
    }

    proptest! {
        #[test]
        fn the_v2_program_decides_as_the_list_reads(
            rules in prop::collection::vec((any::<bool>(), 0..3u8, prop::option::of(0..4i64), prop::option::of(0..4i64), "[rwm]{1,3}"), 0..8),
            block in any::<bool>(), access in 1..8i32, major in 0..4i32, minor in 0..4i32,
        ) {
            let rules: Vec<_> = rules
                .into_iter()
                .map(|(allow, typ, major, minor, access)| {
                    let typ = [LinuxDeviceType::A, LinuxDeviceType::B, LinuxDeviceType::C][usize::from(typ)];
                    rule(allow, typ, major, minor, &access)
                })
                .collect();
            let typ = if block { TYPE_BLOCK } else { TYPE_CHAR };
            let program = v2_program(&rules);
            prop_assert!(is_all_reached(&program));
            prop_assert_eq!(run(&program, typ, access, major, minor), allowed(&rules, typ, access, major, minor));
        }
    }
}
