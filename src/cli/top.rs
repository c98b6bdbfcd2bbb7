//! `top`: the processes of a container in the columns of ps(1). There is no ps: what is asked for in its words is read
//! here, and what is not known is refused by name.

use super::Context;
use super::args;
use super::output::{Out, tabulate_at_least};
use super::report::{Failure, Outcome};
use crate::engine::model::Timestamp;
use crate::engine::model::process::Process;

/// Docker's least width of a column of `top`.
const CELL: usize = 20;

/// `top`.
pub fn top(context: &Context, args: &args::Top) -> Outcome {
    let mut words = args.operands.iter();
    let name = words.next().map_or("", String::as_str);
    let wanted: Vec<&str> = words.map(String::as_str).collect();
    let columns = columns(&wanted).map_err(Failure::plain)?;
    let engine = context.engine()?;
    let processes = engine.processes(&engine.resolve(name)?)?;
    let now = Timestamp::now();
    let zone = jiff::tz::TimeZone::system();
    let mut lines = vec![row(columns.iter().map(|column| column.title.clone()))];
    for process in &processes {
        let look = Look {
            process,
            now,
            zone: &zone,
        };
        lines.push(row(columns.iter().map(|column| (column.show)(&look))));
    }
    let mut out = Out::new();
    std::io::Write::write_all(&mut out, tabulate_at_least(&lines, CELL).as_bytes())?;
    out.finish()?;
    Ok(0)
}

/// Cells with tabs between them; what is in them is one line.
fn row(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells
        .map(|cell| cell.replace(|c: char| c.is_control(), " "))
        .collect();
    cells.join("\t")
}

/// One process, and what its columns depend on.
struct Look<'a> {
    process: &'a Process,
    now: Timestamp,
    zone: &'a jiff::tz::TimeZone,
}

type Show = fn(&Look<'_>) -> String;

#[derive(Debug, Clone)]
struct Column {
    title: String,
    show: Show,
}

/// Names in `-o`, the title, what is shown.
const COLUMNS: &[(&[&str], &str, Show)] = &[
    (&["pid", "tgid"], "PID", |l| l.process.pid.to_string()),
    (&["ppid"], "PPID", |l| l.process.parent.to_string()),
    (&["pgid", "pgrp"], "PGID", |l| l.process.group.to_string()),
    (&["sid", "sess", "session"], "SID", |l| {
        l.process.session.to_string()
    }),
    (&["tpgid"], "TPGID", |l| l.process.foreground.to_string()),
    (&["user", "euser", "uname"], "USER", |l| {
        l.process.user.clone()
    }),
    (&["uid", "euid"], "UID", |l| l.process.uid.to_string()),
    (&["group", "egroup"], "GROUP", |l| {
        l.process.group_name.clone()
    }),
    (&["gid", "egid"], "GID", |l| l.process.gid.to_string()),
    (&["comm", "ucmd", "ucomm"], "COMMAND", |l| {
        l.process.command.clone()
    }),
    (&["args", "command"], "COMMAND", arguments),
    (&["cmd"], "CMD", arguments),
    (&["c"], "C", |l| (share(l) / 10).min(99).to_string()),
    (&["pcpu", "%cpu"], "%CPU", |l| tenths(share(l))),
    (&["pmem", "%mem"], "%MEM", |l| {
        tenths(l.process.memory_share)
    }),
    (&["stime"], "STIME", |l| since(l)),
    (&["start_time", "bsdstart", "start"], "START", |l| since(l)),
    (&["time", "cputime"], "TIME", |l| {
        clock(l.process.cpu / 1000)
    }),
    (&["bsdtime"], "TIME", |l| minutes(l.process.cpu / 1000)),
    (&["etime"], "ELAPSED", |l| elapsed(age(l))),
    (&["etimes"], "ELAPSED", |l| age(l).to_string()),
    (&["tty", "tt", "tname"], "TT", terminal),
    (&["stat"], "STAT", state),
    (&["s", "state"], "S", |l| l.process.state.to_string()),
    (&["ni", "nice"], "NI", |l| l.process.nice.to_string()),
    (&["pri"], "PRI", |l| (39 - l.process.priority).to_string()),
    (&["vsz", "vsize"], "VSZ", |l| {
        (l.process.virtual_size / 1024).to_string()
    }),
    (&["rss", "rssize", "rsz"], "RSS", |l| {
        (l.process.resident / 1024).to_string()
    }),
    (&["sz"], "SZ", |l| {
        (l.process.virtual_size / 4096).to_string()
    }),
    (&["nlwp", "thcount"], "NLWP", |l| {
        l.process.threads.to_string()
    }),
    (&["psr"], "PSR", |l| l.process.processor.to_string()),
];

/// Formats of flags: names, each with its title there.
const FULL: &[(&str, &str)] = &[
    ("user", "UID"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("c", "C"),
    ("stime", "STIME"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("cmd", "CMD"),
];
const EXTRA_FULL: &[(&str, &str)] = &[
    ("user", "UID"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("c", "C"),
    ("sz", "SZ"),
    ("rss", "RSS"),
    ("psr", "PSR"),
    ("stime", "STIME"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("cmd", "CMD"),
];
const PLAIN: &[(&str, &str)] = &[
    ("pid", "PID"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("comm", "CMD"),
];
const JOBS: &[(&str, &str)] = &[
    ("pid", "PID"),
    ("pgid", "PGID"),
    ("sid", "SID"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("comm", "CMD"),
];
const LONG: &[(&str, &str)] = &[
    ("s", "S"),
    ("uid", "UID"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("c", "C"),
    ("pri", "PRI"),
    ("ni", "NI"),
    ("sz", "SZ"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("comm", "CMD"),
];
const BSD_USER: &[(&str, &str)] = &[
    ("user", "USER"),
    ("pid", "PID"),
    ("pcpu", "%CPU"),
    ("pmem", "%MEM"),
    ("vsz", "VSZ"),
    ("rss", "RSS"),
    ("tty", "TTY"),
    ("stat", "STAT"),
    ("start", "START"),
    ("bsdtime", "TIME"),
    ("args", "COMMAND"),
];
const BSD_PLAIN: &[(&str, &str)] = &[
    ("pid", "PID"),
    ("tty", "TTY"),
    ("stat", "STAT"),
    ("bsdtime", "TIME"),
    ("args", "COMMAND"),
];

/// The columns that options of ps(1) ask for. Those that choose processes choose all: they are the container's.
fn columns(words: &[&str]) -> Result<Vec<Column>, String> {
    let mut own: Vec<Column> = Vec::new();
    let mut format = if words.is_empty() { FULL } else { PLAIN };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (letters, bsd) = match word.strip_prefix('-') {
            Some(letters) => (letters, false),
            None => (*word, true),
        };
        if let Some(long) = letters.strip_prefix('-').filter(|_| !bsd) {
            let list = match long.split_once('=') {
                Some(("format", list)) => list,
                None if long == "format" => {
                    words.next().ok_or("ps option '--format' needs a list")?
                }
                _ => return Err(unknown(word)),
            };
            own.extend(list_of(list)?);
            continue;
        }
        if bsd && format == PLAIN {
            format = BSD_PLAIN;
        }
        for (at, letter) in letters.char_indices() {
            match (letter, bsd) {
                ('e', false) | ('A' | 'a' | 'd' | 'x' | 'g' | 'w', _) => {}
                ('f', false) => {
                    if format != EXTRA_FULL {
                        format = FULL;
                    }
                }
                ('F', false) => format = EXTRA_FULL,
                ('l', false) => format = LONG,
                ('j', false) => format = JOBS,
                ('u', true) => format = BSD_USER,
                ('o', _) => {
                    let rest = letters.get(at + 1..).unwrap_or_default();
                    let list = match rest {
                        "" => words.next().ok_or("ps option '-o' needs a list")?,
                        rest => rest,
                    };
                    own.extend(list_of(list)?);
                    break;
                }
                _ => return Err(unknown(word)),
            }
        }
    }
    let columns = if own.is_empty() {
        format
            .iter()
            .map(|(name, title)| named(name, Some(title)))
            .collect::<Result<_, _>>()?
    } else {
        own
    };
    // Docker finds a container's processes by this column of the host's ps.
    if columns.iter().any(|column| column.title == "PID") {
        Ok(columns)
    } else {
        Err("couldn't find PID field in ps output".to_owned())
    }
}

fn unknown(word: &str) -> String {
    format!(
        "ps option '{word}' is not supported: use -ef, -F, -l, -j, aux or -o with a list of columns"
    )
}

/// `pid,user=WHO,args`: a title of its own takes the rest of the list.
fn list_of(list: &str) -> Result<Vec<Column>, String> {
    let mut columns = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let end = rest.find([',', ' ', '=']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if let Some(title) = after.strip_prefix('=') {
            columns.push(named(name, Some(title))?);
            break;
        }
        if !name.is_empty() {
            columns.push(named(name, None)?);
        }
        rest = after.get(1..).unwrap_or_default();
    }
    Ok(columns)
}

fn named(name: &str, title: Option<&str>) -> Result<Column, String> {
    let lower = name.to_ascii_lowercase();
    let known = COLUMNS
        .iter()
        .find(|(names, ..)| names.contains(&lower.as_str()));
    let (_, usual, show) = known.ok_or_else(|| format!("unknown ps column '{name}'"))?;
    Ok(Column {
        title: title.unwrap_or(usual).to_owned(),
        show: *show,
    })
}

fn arguments(look: &Look<'_>) -> String {
    let process = look.process;
    if process.arguments.is_empty() {
        let dead = if process.state == 'Z' {
            " <defunct>"
        } else {
            ""
        };
        return format!("[{}]{dead}", process.command);
    }
    process.arguments.join(" ")
}

/// Seconds since its start, at least one.
fn age(look: &Look<'_>) -> u64 {
    let seconds = look.now.as_second() - look.process.started.as_second();
    u64::try_from(seconds).unwrap_or(0)
}

/// Processor time as a share of its life, in tenths of a per cent.
fn share(look: &Look<'_>) -> u64 {
    look.process.cpu / age(look).max(1)
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

/// `15:04` today, `Jan02` this year, else the year.
fn since(look: &Look<'_>) -> String {
    let then = look.process.started.to_zoned(look.zone.clone());
    let now = look.now.to_zoned(look.zone.clone());
    let format = if then.date() == now.date() {
        "%H:%M"
    } else if then.year() == now.year() {
        "%b%d"
    } else {
        "%Y"
    };
    then.strftime(format).to_string()
}

/// `1-02:03:04`, without days if there are none.
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => time,
        days => format!("{days}-{time}"),
    }
}

/// `62:03`.
fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// `02:03`, `01:02:03`, `1-01:02:03`.
fn elapsed(seconds: u64) -> String {
    match clock(seconds).strip_prefix("00:") {
        Some(short) if seconds < 3600 => short.to_owned(),
        _ => clock(seconds),
    }
}

fn terminal(look: &Look<'_>) -> String {
    match look.process.terminal {
        (0, 0) => "?".to_owned(),
        (4, minor @ 0..64) => format!("tty{minor}"),
        (4, minor) => format!("ttyS{}", minor - 64),
        (5, 1) => "console".to_owned(),
        (major @ 136..144, minor) => format!("pts/{}", (major - 136) * 256 + minor),
        (major, minor) => format!("{major},{minor}"),
    }
}

/// State and what ps adds to it: priority, session leader, threads, foreground.
fn state(look: &Look<'_>) -> String {
    let process = look.process;
    let marks = [
        (process.nice < 0, '<'),
        (process.nice > 0, 'N'),
        (process.session == process.pid, 's'),
        (process.threads > 1, 'l'),
        (process.foreground == process.group, '+'),
    ];
    let marks = marks
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, mark)| *mark);
    std::iter::once(process.state).chain(marks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(words: &[&str]) -> Result<String, String> {
        let columns = columns(words)?;
        let titles: Vec<String> = columns.into_iter().map(|column| column.title).collect();
        Ok(titles.join(" "))
    }

    #[test]
    fn the_options_of_ps_choose_the_columns() {
        for (words, expect) in [
            (&[][..], "UID PID PPID C STIME TTY TIME CMD"),
            (&["-ef"], "UID PID PPID C STIME TTY TIME CMD"),
            (&["-e"], "PID TTY TIME CMD"),
            (&["-eF"], "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD"),
            (
                &["aux"],
                "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
            ),
            (&["ax"], "PID TTY STAT TIME COMMAND"),
            (&["-o", "pid,comm"], "PID COMMAND"),
            (&["-eo", "pid,user=WHO IS"], "PID WHO IS"),
            (&["-opid,args"], "PID COMMAND"),
            (&["o", "pid,cmd"], "PID CMD"),
            (&["--format=pid"], "PID"),
        ] {
            assert_eq!(titles(words).as_deref(), Ok(expect), "{words:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (words, part) in [
            (&["-Z"][..], "'-Z'"),
            (&["--sort=pid"], "'--sort=pid'"),
            (&["-o", "pid,nosuch"], "'nosuch'"),
            (&["-o", "user"], "PID field"),
            (&["-o"], "needs a list"),
        ] {
            let error = titles(words).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_process_is_shown_as_ps_shows_it() {
        let mut process = Process {
            pid: 10,
            parent: 1,
            group: 10,
            session: 10,
            foreground: 10,
            terminal: (136, 3),
            state: 'S',
            uid: 0,
            user: "root".to_owned(),
            gid: 0,
            group_name: "root".to_owned(),
            cpu: 93_784_000,
            started: "2026-03-01T10:00:00Z".parse().unwrap(),
            nice: 5,
            priority: 25,
            threads: 2,
            virtual_size: 8 << 20,
            resident: 4 << 20,
            memory_share: 12,
            processor: 1,
            command: "sh".to_owned(),
            arguments: vec!["sh".to_owned(), "-c".to_owned()],
        };
        let zone = jiff::tz::TimeZone::UTC;
        let shown = |process: &Process, name: &str, now: &str| {
            let look = Look {
                process,
                now: now.parse().unwrap(),
                zone: &zone,
            };
            (named(name, None).unwrap().show)(&look)
        };
        let noon = "2026-03-01T12:00:00Z";
        for (name, expect) in [
            ("stat", "SNsl+"),
            ("tty", "pts/3"),
            ("time", "1-02:03:04"),
            ("bsdtime", "1563:04"),
            ("stime", "10:00"),
            ("etime", "02:00:00"),
            ("pmem", "1.2"),
            ("c", "99"),
            ("rss", "4096"),
            ("cmd", "sh -c"),
        ] {
            assert_eq!(shown(&process, name, noon), expect, "{name}");
        }
        assert_eq!(shown(&process, "stime", "2026-03-02T00:00:00Z"), "Mar01");
        assert_eq!(shown(&process, "stime", "2027-03-02T00:00:00Z"), "2026");
        process.arguments.clear();
        process.state = 'Z';
        assert_eq!(shown(&process, "args", noon), "[sh] <defunct>");
        assert_eq!(elapsed(63), "01:03");
    }
}
