//! The devices of v1: a mode (all but some, or none but some) and exceptions from it, written line by line
//! (cgroup-v1/devices.rst).

use std::collections::BTreeMap;

use super::{ANY, Devices, MKNOD, READ, Rule, Type, WRITE};
use crate::engine::error::{Error, Result};

/// `devices.allow` or `devices.deny`, and what to write there.
pub(in super::super) type Line = (&'static str, String);

/// What a group's list amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    /// Whether devices without an exception may be used.
    open: bool,
    /// Devices and the permissions in which they differ from the rest.
    exceptions: BTreeMap<Devices, u8>,
}

/// The lines for a new group, whatever its parent has.
///
/// # Errors
/// Rules that the kernel would take and not follow; the message begins with the field.
pub(in super::super) fn lines(rules: &[Rule]) -> Result<Vec<Line>> {
    Ok(state(rules)?.lines())
}

/// The lines that bring a group with a `devices.list` to other rules; its processes never lose what both allow.
///
/// # Errors
/// As [`lines`].
pub(in super::super) fn changes(list: &str, rules: &[Rule]) -> Result<Vec<Line>> {
    let (now, wanted) = (parse(list), state(rules)?);
    if now.open || wanted.open {
        return Ok(if now == wanted {
            Vec::new()
        } else {
            wanted.lines()
        });
    }
    let minus = |of: &State, less: &State| -> Vec<(Devices, u8)> {
        let rest = |(devices, access): (&Devices, &u8)| {
            let rest = access & !less.exceptions.get(devices).copied().unwrap_or(0);
            (rest != 0).then_some((*devices, rest))
        };
        of.exceptions.iter().filter_map(rest).collect()
    };
    let taken = minus(&now, &wanted);
    let given = minus(&wanted, &now);
    let line = |file, list: Vec<(Devices, u8)>| {
        list.into_iter()
            .map(move |(devices, access)| (file, text(devices, access)))
    };
    Ok(line("devices.deny", taken)
        .chain(line("devices.allow", given))
        .collect())
}

/// What is allowed, where that is a list: devices and `rwm`. `None` if it is all but some, or no list for v1.
pub(in super::super) fn listed(rules: &[Rule]) -> Option<Vec<(Devices, String)>> {
    let state = state(rules).ok().filter(|state| !state.open)?;
    let listed = state.exceptions.iter();
    Some(
        listed
            .map(|(devices, bits)| (*devices, access(*bits)))
            .collect(),
    )
}

impl State {
    fn lines(&self) -> Vec<Line> {
        let (all, exception) = if self.open {
            ("devices.allow", "devices.deny")
        } else {
            ("devices.deny", "devices.allow")
        };
        // The letter alone means everything and forgets all exceptions.
        let mut lines = vec![(all, "a".to_owned())];
        lines.extend(
            self.exceptions
                .iter()
                .map(|(devices, access)| (exception, text(*devices, *access))),
        );
        lines
    }
}

/// What rules amount to, read one after the other as the kernel reads lines.
fn state(rules: &[Rule]) -> Result<State> {
    let mut state = State {
        open: false,
        exceptions: BTreeMap::new(),
    };
    for (at, rule) in rules.iter().enumerate() {
        if rule.devices.typ == Type::All {
            state = State {
                open: rule.allow,
                exceptions: BTreeMap::new(),
            };
        } else if rule.allow == state.open {
            take_back(&mut state, at, rule)?;
        } else {
            *state.exceptions.entry(rule.devices).or_default() |= rule.access;
        }
    }
    Ok(state)
}

/// A rule that agrees with the rest takes an exception back. The kernel does that for the very same devices alone: a hole
/// in a wider exception would be ignored without a word.
fn take_back(state: &mut State, at: usize, rule: &Rule) -> Result<()> {
    let wider = |(devices, access): &(&Devices, &u8)| {
        **devices != rule.devices && is_wider(devices, &rule.devices) && **access & rule.access != 0
    };
    if let Some((devices, access)) = state.exceptions.iter().find(wider) {
        return Err(Error::unsupported(format!(
            "linux.resources.devices[{at}]: cgroup v1 cannot except {} from {}",
            text(rule.devices, rule.access),
            text(*devices, *access),
        )));
    }
    if let Some(access) = state.exceptions.get_mut(&rule.devices) {
        *access &= !rule.access;
        if *access == 0 {
            state.exceptions.remove(&rule.devices);
        }
    }
    Ok(())
}

fn is_wider(wide: &Devices, narrow: &Devices) -> bool {
    let covers = |wide: Option<u32>, narrow: Option<u32>| wide.is_none() || wide == narrow;
    wide.typ == narrow.typ && covers(wide.major, narrow.major) && covers(wide.minor, narrow.minor)
}

/// `c 1:3 rwm`.
fn text(devices: Devices, bits: u8) -> String {
    let kind = match devices.typ {
        Type::All => "a",
        Type::Block => "b",
        Type::Char => "c",
    };
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let (major, minor) = (number(devices.major), number(devices.minor));
    format!("{kind} {major}:{minor} {}", access(bits))
}

fn access(bits: u8) -> String {
    [('r', READ), ('w', WRITE), ('m', MKNOD)]
        .into_iter()
        .filter(|(_, bit)| bits & bit != 0)
        .map(|(letter, _)| letter)
        .collect()
}

/// Reads `devices.list`. A line that is not understood is left out: what it allows is then taken for denied, and
/// denied again in the worst case.
fn parse(list: &str) -> State {
    let mut state = State {
        open: false,
        exceptions: BTreeMap::new(),
    };
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let typ = match words.next() {
            Some("a") => {
                state.open = true;
                continue;
            }
            Some("b") => Type::Block,
            Some("c") => Type::Char,
            _ => continue,
        };
        let number = |text: &str| match text {
            "*" => Some(None),
            text => text.parse().ok().map(Some),
        };
        let numbers = words.next().and_then(|text| text.split_once(':'));
        let Some((Some(major), Some(minor))) = numbers.map(|(a, b)| (number(a), number(b))) else {
            continue;
        };
        let bits = words
            .next()
            .unwrap_or_default()
            .chars()
            .map(|letter| match letter {
                'r' => READ,
                'w' => WRITE,
                'm' => MKNOD,
                _ => 0,
            });
        let access = bits.fold(0, |access, bit| access | bit) & ANY;
        if access != 0 {
            *state
                .exceptions
                .entry(Devices { typ, major, minor })
                .or_default() |= access;
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use super::*;
    use proptest::prelude::*;

    fn joined(lines: Vec<Line>) -> Vec<String> {
        let join = |(file, line): Line| format!("{} {line}", file.trim_start_matches("devices."));
        lines.into_iter().map(join).collect()
    }

    const NONE: Rule = Rule {
        allow: false,
        devices: Devices {
            typ: Type::All,
            major: None,
            minor: None,
        },
        access: ANY,
    };

    #[test]
    fn lines_are_what_the_kernel_reads() {
        let rules = [
            NONE,
            rule(true, Type::Char, Some(1), Some(3), ANY),
            rule(true, Type::Block, None, None, MKNOD),
            rule(true, Type::Char, Some(1), Some(5), READ),
            rule(true, Type::Char, Some(1), Some(5), WRITE),
            rule(true, Type::Char, Some(4), Some(1), READ | WRITE),
            rule(false, Type::Char, Some(4), Some(1), WRITE),
        ];
        assert_eq!(
            joined(lines(&rules).unwrap()),
            [
                "deny a",
                "allow b *:* m",
                "allow c 1:3 rwm",
                "allow c 1:5 rw",
                "allow c 4:1 r"
            ]
        );
        let open = [
            rule(true, Type::All, None, None, ANY),
            rule(false, Type::Char, Some(1), Some(3), ANY),
        ];
        assert_eq!(joined(lines(&open).unwrap()), ["allow a", "deny c 1:3 rwm"]);
    }

    #[test]
    fn a_hole_that_the_kernel_would_ignore_is_refused() {
        let rules = [
            NONE,
            rule(true, Type::Char, Some(1), None, ANY),
            rule(false, Type::Char, Some(1), Some(3), WRITE),
        ];
        let error = lines(&rules).unwrap_err().to_string();
        assert!(error.starts_with("linux.resources.devices[2]: "), "{error}");
        let other = [
            NONE,
            rule(true, Type::Char, Some(1), None, MKNOD),
            rule(false, Type::Char, Some(1), Some(3), WRITE),
        ];
        assert!(lines(&other).is_ok());
    }

    #[test]
    fn a_change_touches_what_differs_alone() {
        let rules = [
            NONE,
            rule(true, Type::Char, Some(1), Some(3), ANY),
            rule(true, Type::Char, Some(1), Some(7), READ),
        ];
        let list = "c 1:3 rwm\nc 1:5 rwm\nc 1:7 rw\nb *:* m\n";
        assert_eq!(
            joined(changes(list, &rules).unwrap()),
            ["deny b *:* m", "deny c 1:5 rwm", "deny c 1:7 w"]
        );
        assert_eq!(
            joined(changes("c 1:3 r\n", &rules).unwrap()),
            ["allow c 1:3 wm", "allow c 1:7 r"]
        );
        assert_eq!(
            joined(changes("a *:* rwm\n", &rules).unwrap()),
            ["deny a", "allow c 1:3 rwm", "allow c 1:7 r"]
        );
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let number = || prop::option::of(0..3u32);
        (any::<bool>(), 0..3usize, number(), number(), 1..8u8).prop_map(
            |(allow, typ, major, minor, access)| {
                let typ = [Type::All, Type::Block, Type::Char]
                    .get(typ)
                    .copied()
                    .unwrap();
                rule(allow, typ, major, minor, access)
            },
        )
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "([abc*:0-9 rwm]{0,12}\n){0,4}.{0,8}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_change_leads_where_a_new_group_starts(
            before in prop::collection::vec(any_rule(), 0..6), after in prop::collection::vec(any_rule(), 0..6),
        ) {
            let (Ok(old), Ok(new)) = (state(&before), state(&after)) else { return Ok(()) };
            let listed = |state: &State| -> String {
                let line = |(devices, access): (&Devices, &u8)| format!("{}\n", text(*devices, *access));
                if state.open { "a *:* rwm\n".to_owned() } else { state.exceptions.iter().map(line).collect() }
            };
            // The lines, read as the kernel reads them.
            let mut now = parse(&listed(&old));
            for (file, line) in changes(&listed(&old), &after).unwrap() {
                let allow = file == "devices.allow";
                if line == "a" {
                    now = State { open: allow, exceptions: BTreeMap::new() };
                    continue;
                }
                let (devices, access) = parse(&line).exceptions.pop_first().unwrap();
                let entry = now.exceptions.entry(devices).or_default();
                if allow == now.open { *entry &= !access } else { *entry |= access }
                now.exceptions.retain(|_, access| *access != 0);
            }
            prop_assert_eq!(now, new);
        }
    }
}
