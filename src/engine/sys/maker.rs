//! Who makes something temporary: part of its name, so that whoever finds it can tell whether somebody is still at work on it. A
//! number of a process alone is another one's after a while.

use std::sync::OnceLock;

use super::process;

/// This process, for names: its number, and when it was started (proc(5), `stat`, field 22).
#[must_use]
pub fn own() -> String {
    static KNOWN: OnceLock<(i32, String)> = OnceLock::new();
    let pid = std::process::id().cast_signed();
    let (known, text) = KNOWN.get_or_init(|| (pid, name(pid)));
    // A copy of that process has its memory, but not its number.
    if *known == pid {
        text.clone()
    } else {
        name(pid)
    }
}

fn name(pid: i32) -> String {
    match process::start_time(pid) {
        Ok(start) => format!("{pid}+{start}"),
        // Without `/proc`.
        Err(_) => pid.to_string(),
    }
}

/// Whether the process of [`own`]'s text is there and still does something; `None` if the text names none. A number alone, as
/// older versions wrote it, is whoever has it now.
#[must_use]
pub fn is_at_work(text: &str) -> Option<bool> {
    let (pid, start) = match text.split_once('+') {
        Some((pid, start)) => (pid, Some(start.parse().ok()?)),
        None => (text, None),
    };
    let pid: i32 = pid.parse::<u32>().ok()?.try_into().ok()?;
    let start = match start {
        Some(start) => start,
        None => match process::start_time(pid) {
            Ok(start) => start,
            Err(_) => return Some(false),
        },
    };
    // Who cannot be looked at may be at work.
    Some(process::is_alive(pid, start).unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_with_the_number_is_not_who_made_it() {
        let pid = std::process::id();
        let start = process::start_time(pid.cast_signed()).unwrap();
        assert_eq!(own(), format!("{pid}+{start}"));
        assert_eq!(is_at_work(&own()), Some(true));
        assert_eq!(is_at_work(&format!("{pid}+{}", start + 1)), Some(false));
        // As older versions wrote it.
        assert_eq!(is_at_work(&pid.to_string()), Some(true));
        for gone in ["4194305", "4194305+1"] {
            assert_eq!(is_at_work(gone), Some(false), "{gone}");
        }
        for nobody in ["", "x", "1+", "+1", "-1", "1+x", "1 ", "99999999999"] {
            assert_eq!(is_at_work(nobody), None, "{nobody:?}");
        }
    }
}
