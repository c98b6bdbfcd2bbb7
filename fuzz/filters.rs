//! A second opinion on filters of system calls: a small interpreter of their instructions, and what a `linux.seccomp`
//! document means by its text. Nothing of the compiler is used here.
//!
//! Used by the library's own tests, by `tests/fuzz.rs` and by the fuzz target.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use serde_json::{Value, json};

pub const ALLOW: u32 = 0x7fff_0000;
pub const LOG: u32 = 0x7ffc_0000;
pub const NOTIFY: u32 = 0x7fc0_0000;
pub const TRACE: u32 = 0x7ff0_0000;
pub const ERRNO: u32 = 0x0005_0000;
pub const TRAP: u32 = 0x0003_0000;
pub const KILL_THREAD: u32 = 0;
pub const KILL_PROCESS: u32 = 0x8000_0000;
pub const ENOSYS: u32 = ERRNO | 0x26;

/// An instruction: code, jump if true, jump if false, operand.
pub type Op = (u16, u8, u8, u32);

/// What the kernel shows a filter.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub audit: u32,
    pub number: u32,
    pub arguments: [u64; 6],
}

/// Runs a program as the kernel does, and refuses what the kernel's verifier refuses.
pub fn run(program: &[Op], call: &Call) -> u32 {
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
        let (code, jt, jf, k) = program[next];
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
pub fn verify(program: &[Op]) {
    assert!(program.len() <= 4096, "{} instructions", program.len());
    for (at, op) in program.iter().enumerate() {
        let furthest = match op.0 {
            0x06 => at,
            0x05 => at + 1 + usize::try_from(op.3).unwrap(),
            0x15 | 0x25 | 0x35 => at + 1 + usize::from(op.1.max(op.2)),
            _ => at + 1,
        };
        assert!(furthest < program.len(), "{at}: {op:?}");
    }
}

/// An architecture as a document names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine {
    pub name: &'static str,
    pub audit: u32,
    pub is_wide: bool,
    bit: u32,
}

/// In the order of the columns of `assets/syscalls.tsv`.
pub const MACHINES: [Machine; 5] = [
    machine("SCMP_ARCH_X86_64", 0xc000_003e, true, 0),
    machine("SCMP_ARCH_X86", 0x4000_0003, false, 0),
    machine("SCMP_ARCH_X32", 0xc000_003e, false, 0x4000_0000),
    machine("SCMP_ARCH_AARCH64", 0xc000_00b7, true, 0),
    machine("SCMP_ARCH_ARM", 0x4000_0028, false, 0),
];

const fn machine(name: &'static str, audit: u32, is_wide: bool, bit: u32) -> Machine {
    Machine {
        name,
        audit,
        is_wide,
        bit,
    }
}

/// System calls by architecture and name.
pub fn numbers() -> &'static HashMap<(Machine, &'static str), u32> {
    static NUMBERS: OnceLock<HashMap<(Machine, &'static str), u32>> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let text = include_str!("../assets/syscalls.tsv");
        let mut numbers = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')).skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            for (machine, field) in MACHINES.into_iter().zip(&fields[1..]) {
                if let Ok(number) = field.parse::<u32>() {
                    numbers.insert((machine, fields[0]), number | machine.bit);
                }
            }
        }
        numbers
    })
}

/// Whether a condition of a profile or document holds, by its text.
pub fn holds(op: &str, is_wide: bool, argument: u64, value: u64, mask: u64) -> bool {
    let bits = if is_wide { u64::MAX } else { 0xffff_ffff };
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

/// The largest number that a list of names has on an architecture; ARM's private ones apart.
pub fn newest<'a>(machine: Machine, names: impl Iterator<Item = &'a Value>) -> Option<u32> {
    let named = names.filter_map(|name| numbers().get(&(machine, name.as_str().unwrap())));
    named
        .copied()
        .filter(|n| machine.name != "SCMP_ARCH_ARM" || *n < 0xf_0000)
        .max()
}

/// What the kernel is to do for an action of a document.
fn value_of(action: &Value, errno: &Value) -> u32 {
    let number = u32::try_from(errno.as_u64().unwrap_or(1)).unwrap();
    match action.as_str().unwrap() {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_NOTIFY" => NOTIFY,
        "SCMP_ACT_TRACE" => TRACE | number,
        "SCMP_ACT_ERRNO" => ERRNO | number,
        "SCMP_ACT_TRAP" => TRAP,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        other => panic!("{other}"),
    }
}

/// What the first argument of a system call is. On i386 one call is the older way in for many (socketcall(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    IsAnArgument,
    SaysWhich,
}

/// A rule's conditions for one architecture.
struct Conditions<'a> {
    all: &'a [Value],
    is_wide: bool,
}

impl Conditions<'_> {
    /// Two conditions on one argument: any of the rule's is enough.
    fn is_any(&self) -> bool {
        let indices: HashSet<u64> = self
            .all
            .iter()
            .filter_map(|c| c["index"].as_u64())
            .collect();
        indices.len() < self.all.len()
    }

    fn combine(&self, met: impl Fn(&Value) -> bool) -> bool {
        if self.is_any() {
            self.all.iter().any(met)
        } else {
            self.all.iter().all(met)
        }
    }

    fn hold(&self, arguments: &[u64; 6], first: First) -> bool {
        self.combine(|condition| {
            let index = usize::try_from(condition["index"].as_u64().unwrap()).unwrap();
            if index == 0 && first == First::SaysWhich {
                return true;
            }
            let op = condition["op"].as_str().unwrap();
            let value = condition["value"].as_u64().unwrap();
            let second = condition["valueTwo"].as_u64().unwrap_or(0);
            let is_masked = op == "SCMP_CMP_MASKED_EQ";
            let (value, mask) = if is_masked {
                (second, value)
            } else {
                (value, 0)
            };
            holds(op, self.is_wide, arguments[index], value, mask)
        })
    }

    /// Whatever the arguments are: a mask without a bit that the architecture looks at says nothing.
    fn are_void(&self) -> bool {
        let bits = if self.is_wide { u64::MAX } else { 0xffff_ffff };
        self.combine(|condition| {
            condition["op"] == json!("SCMP_CMP_MASKED_EQ")
                && condition["value"].as_u64().unwrap() & bits == 0
        })
    }
}

/// Every answer that a document can mean, by its text: the default where nothing is said, the unconditional rule's where
/// there is one, else that of any rule that holds. `native` is the host's own architecture.
pub fn meaning(
    spec: &Value,
    native: Machine,
    machine: Machine,
    name: &str,
    arguments: &[u64; 6],
) -> Vec<u32> {
    let default = value_of(&spec["defaultAction"], &spec["defaultErrnoRet"]);
    let mut listed = spec["architectures"].as_array().unwrap().iter();
    let is_x86 = |m: Machine| m.name.starts_with("SCMP_ARCH_X");
    let is_listed = machine == native || listed.any(|arch| arch.as_str() == Some(machine.name));
    if !is_listed || is_x86(machine) != is_x86(native) {
        return vec![KILL_PROCESS];
    }
    let rules = spec["syscalls"].as_array().unwrap();
    let mut answers = Vec::new();
    for rule in rules {
        let action = value_of(&rule["action"], &rule["errnoRet"]);
        if action == default {
            continue;
        }
        let empty = Vec::new();
        let conditions = Conditions {
            all: rule["args"].as_array().unwrap_or(&empty),
            is_wide: machine.is_wide,
        };
        for rule_name in rule["names"].as_array().unwrap() {
            let first = match (rule_name.as_str().unwrap(), name, machine.name) {
                (rule_name, name, _) if rule_name == name => First::IsAnArgument,
                ("socket", "socketcall", "SCMP_ARCH_X86") if arguments[0] & 0xffff_ffff == 1 => {
                    First::SaysWhich
                }
                ("bind", "socketcall", "SCMP_ARCH_X86") if arguments[0] & 0xffff_ffff == 2 => {
                    First::SaysWhich
                }
                _ => continue,
            };
            if first == First::IsAnArgument && conditions.are_void() {
                return vec![action];
            }
            if conditions.hold(arguments, first) {
                answers.push(action);
            }
        }
    }
    if answers.is_empty() {
        let names = rules
            .iter()
            .flat_map(|rule| rule["names"].as_array().unwrap());
        let newest = newest(machine, names);
        let is_newer = newest.is_some_and(|newest| numbers()[&(machine, name)] > newest);
        let sees_all = matches!(default & 0xffff_0000, ALLOW | LOG | TRACE);
        answers.push(if is_newer && !sees_all {
            ENOSYS
        } else {
            default
        });
    }
    answers
}

/// System calls that documents name here: few, so that rules meet.
pub const NAMES: &[&str] = &[
    "read",
    "openat",
    "close",
    "clone",
    "ioctl",
    "prctl",
    "kill",
    "mmap",
    "getpid",
    "openat2",
    "futex",
    "mseal",
    "arch_prctl",
    "breakpoint",
    "socket",
    "bind",
    "socketcall",
    "no_such_call",
];

/// Reads choices out of bytes; zeros when they are used up.
pub struct Draw<'a>(pub &'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.byte()) % list.len()]
    }

    /// Near what other conditions compare with.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => u64::from(self.below(8)),
            1 => 1 << self.below(64),
            2 => 0xffff_ffff,
            3 => u64::from(self.below(8)) | 1 << 32,
            4 => u64::MAX - u64::from(self.below(8)),
            _ => (0..8).fold(0, |all, _| all << 8 | u64::from(self.byte())),
        }
    }

    /// Six arguments.
    pub fn arguments(&mut self) -> [u64; 6] {
        std::array::from_fn(|_| self.number())
    }

    fn action(&mut self, field: &str, errno_field: &str, value: &mut Value) {
        let actions = [
            "ALLOW",
            "ERRNO",
            "TRAP",
            "LOG",
            "TRACE",
            "KILL",
            "KILL_THREAD",
            "KILL_PROCESS",
            "NOTIFY",
        ];
        let may_notify = field == "action";
        let action = self.pick(&actions[..actions.len() - usize::from(!may_notify)]);
        value[field] = json!(format!("SCMP_ACT_{action}"));
        if matches!(action, "ERRNO" | "TRACE") && self.below(2) == 1 {
            value[errno_field] = json!(self.byte());
        }
    }

    fn condition(&mut self) -> Value {
        let op = self.pick(&["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
        let mut condition = json!({"index": self.below(3), "op": format!("SCMP_CMP_{op}"),
            "value": self.number()});
        if self.below(2) == 1 {
            condition["valueTwo"] = json!(self.number());
        }
        condition
    }

    fn rule(&mut self) -> Value {
        let names: Vec<&str> = (0..=self.below(3)).map(|_| self.pick(NAMES)).collect();
        let mut rule = json!({"names": names});
        self.action("action", "errnoRet", &mut rule);
        let args: Vec<Value> = (0..self.below(4)).map(|_| self.condition()).collect();
        if !args.is_empty() {
            rule["args"] = json!(args);
        }
        rule
    }

    /// A document that differs from any other in what its rules say.
    pub fn document(&mut self) -> Value {
        let listed = self.byte();
        let more = ["SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64"];
        let known = MACHINES.iter().map(|machine| machine.name).chain(more);
        let arches: Vec<&str> = known
            .enumerate()
            .filter(|(n, _)| listed >> n & 1 == 1)
            .map(|(_, name)| name)
            .collect();
        let mut document = json!({"architectures": arches, "listenerPath": "/run/agent"});
        self.action("defaultAction", "defaultErrnoRet", &mut document);
        let rules: Vec<Value> = (0..self.below(12)).map(|_| self.rule()).collect();
        document["syscalls"] = json!(rules);
        document
    }
}

/// Compares what a program answers with what the document means, for every call that [`NAMES`] and every architecture
/// have, with these arguments.
pub fn compare(program: &[Op], document: &Value, native: Machine, arguments: &[u64; 6]) {
    for machine in MACHINES {
        for name in NAMES {
            let Some(&number) = numbers().get(&(machine, *name)) else {
                continue;
            };
            let call = Call {
                audit: machine.audit,
                number,
                arguments: *arguments,
            };
            let means = meaning(document, native, machine, name, arguments);
            let got = run(program, &call);
            assert!(
                means.contains(&got),
                "{name} on {}: {call:x?}: {got:#x}, not {means:x?}: {document}",
                machine.name
            );
        }
    }
}
