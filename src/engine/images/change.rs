//! Dockerfile instructions that change a configuration: `import -c 'CMD ["/bin/sh"]'`.

use serde::Deserialize as _;

use super::document::{Empty, Process};
use crate::engine::model::{HealthCheck, go_duration, signal};

/// Why an instruction cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not one of those that change a configuration.
    #[error("{0} is not a valid change command")]
    Instruction(String),
    /// No argument.
    #[error("{0} requires at least one argument")]
    Missing(&'static str),
    /// An argument that cannot be read.
    #[error("{instruction}: {why}: {argument}")]
    Argument {
        /// The instruction.
        instruction: &'static str,
        /// What is wrong.
        why: &'static str,
        /// With what.
        argument: String,
    },
}

/// Instructions, with the function that applies each.
type Apply = fn(&mut Process, &str) -> Result<(), Error>;
const INSTRUCTIONS: [(&str, Apply); 11] = [
    ("CMD", |process, text| {
        process.cmd = command(text);
        Ok(())
    }),
    ("ENTRYPOINT", |process, text| {
        process.entrypoint = command(text);
        Ok(())
    }),
    ("ENV", env),
    ("EXPOSE", expose),
    ("HEALTHCHECK", healthcheck),
    ("LABEL", label),
    ("ONBUILD", on_build),
    ("STOPSIGNAL", stop_signal),
    ("USER", |process, text| {
        process.user = single(process, "USER", text)?;
        Ok(())
    }),
    ("VOLUME", volume),
    ("WORKDIR", work_dir),
];

/// Applies one instruction.
///
/// # Errors
/// [`Error`]; the configuration is then as it was.
pub fn apply(process: &mut Process, line: &str) -> Result<(), Error> {
    let line = line.trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let upper = name.to_ascii_uppercase();
    let known = INSTRUCTIONS.iter().find(|(known, _)| *known == upper);
    let Some((name, apply)) = known else {
        return Err(Error::Instruction(name.to_owned()));
    };
    let may_be_empty = matches!(*name, "CMD" | "ENTRYPOINT");
    if rest.is_empty() && !may_be_empty {
        return Err(Error::Missing(name));
    }
    apply(process, rest)
}

/// A JSON list is taken as it is; anything else is for the shell.
fn command(text: &str) -> Vec<String> {
    match json_list(text) {
        Some(words) => words,
        None if text.is_empty() => Vec::new(),
        None => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()],
    }
}

fn json_list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') {
        serde_json::from_str(text).ok()
    } else {
        None
    }
}

fn single(process: &Process, instruction: &'static str, text: &str) -> Result<String, Error> {
    let words = words(process, instruction, text)?;
    match words.as_slice() {
        [word] if !word.is_empty() => Ok(word.clone()),
        _ => Err(Error::Argument {
            instruction,
            why: "exactly one argument is needed",
            argument: text.to_owned(),
        }),
    }
}

/// `NAME=value NAME2="a b"`, or the old `NAME the rest`.
fn pairs(
    process: &Process,
    instruction: &'static str,
    text: &str,
) -> Result<Vec<(String, String)>, Error> {
    let wrong = |why| Error::Argument {
        instruction,
        why,
        argument: text.to_owned(),
    };
    let first = text.split_whitespace().next().unwrap_or("");
    if !first.contains('=') {
        let (name, value) = text
            .split_once(char::is_whitespace)
            .ok_or(wrong("a value is missing"))?;
        let value = words(process, instruction, value.trim_start())?.join(" ");
        return Ok(vec![(name.to_owned(), value)]);
    }
    let mut pairs = Vec::new();
    for word in words(process, instruction, text)? {
        let (name, value) = word.split_once('=').ok_or(wrong("expected NAME=value"))?;
        if name.is_empty() {
            return Err(wrong("a name is empty"));
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// Words separated by blanks, with quotes, backslashes and the environment's variables as in a Dockerfile.
fn words(process: &Process, instruction: &'static str, text: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', Some('"') | None) => {
                let next = chars.next().unwrap_or('\\');
                let word = word.get_or_insert_default();
                // Inside quotes only these are special.
                if quote.is_some() && !matches!(next, '"' | '\\' | '$') {
                    word.push('\\');
                }
                word.push(next);
            }
            ('$', Some('"') | None) => {
                let value = variable(process, &mut chars).map_err(|why| Error::Argument {
                    instruction,
                    why,
                    argument: text.to_owned(),
                })?;
                word.get_or_insert_default().push_str(&value);
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::Argument {
            instruction,
            why: "a quote is not closed",
            argument: text.to_owned(),
        });
    }
    words.extend(word);
    Ok(words)
}

/// What `$NAME`, `${NAME}`, `${NAME:-if unset or empty}` or `${NAME:+if not}` stands for, behind the dollar.
fn variable(process: &Process, chars: &mut std::str::Chars<'_>) -> Result<String, &'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let find = |name: &str| {
        let mut known = process.env.iter().filter_map(|pair| pair.split_once('='));
        let found = known.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned())
    };
    let rest = chars.as_str();
    let Some(inside) = rest.strip_prefix('{') else {
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(length);
        *chars = after.chars();
        // A dollar that nothing follows is a dollar.
        return Ok(if name.is_empty() {
            "$".to_owned()
        } else {
            find(name).unwrap_or_default()
        });
    };
    let length = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
    let (name, mut after) = inside.split_at(length);
    if name.is_empty() {
        return Err("a variable without a name");
    }
    let value = find(name);
    let with_colon = after.strip_prefix(':');
    after = with_colon.unwrap_or(after);
    let given = value
        .as_ref()
        .is_some_and(|value| with_colon.is_none() || !value.is_empty());
    let mut own = after.chars();
    let chosen = match own.next() {
        Some('}') if with_colon.is_none() => value.unwrap_or_default(),
        Some('-') => {
            let other = alternative(process, &mut own)?;
            value.filter(|_| given).unwrap_or(other)
        }
        Some('+') => {
            let other = alternative(process, &mut own)?;
            if given { other } else { String::new() }
        }
        None => return Err("a brace is not closed"),
        Some(_) => return Err("unsupported modifier of a variable"),
    };
    *chars = own;
    Ok(chosen)
}

/// The text up to the closing brace, with its own variables.
fn alternative(process: &Process, chars: &mut std::str::Chars<'_>) -> Result<String, &'static str> {
    let mut text = String::new();
    loop {
        match chars.next() {
            None => return Err("a brace is not closed"),
            Some('}') => return Ok(text),
            Some('$') => text.push_str(&variable(process, chars)?),
            Some('\\') => text.extend(chars.next()),
            Some(c) => text.push(c),
        }
    }
}

fn env(process: &mut Process, text: &str) -> Result<(), Error> {
    for (name, value) in pairs(process, "ENV", text)? {
        let prefix = format!("{name}=");
        process.env.retain(|known| !known.starts_with(&prefix));
        process.env.push(prefix + &value);
    }
    Ok(())
}

fn label(process: &mut Process, text: &str) -> Result<(), Error> {
    process.labels.extend(pairs(process, "LABEL", text)?);
    Ok(())
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn expose(process: &mut Process, text: &str) -> Result<(), Error> {
    let mut ports = Vec::new();
    for word in words(process, "EXPOSE", text)? {
        let wrong = |why| Error::Argument {
            instruction: "EXPOSE",
            why,
            argument: word.clone(),
        };
        let (range, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(wrong("unknown protocol"));
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let port = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (first, last) = port(first)
            .zip(port(last))
            .filter(|(first, last)| first <= last)
            .ok_or(wrong("not a port or a range of ports"))?;
        ports.extend((first..=last).map(|port| (format!("{port}/{protocol}"), Empty {})));
    }
    process.exposed_ports.extend(ports);
    Ok(())
}

fn volume(process: &mut Process, text: &str) -> Result<(), Error> {
    let paths = match json_list(text) {
        Some(paths) => paths,
        None => words(process, "VOLUME", text)?,
    };
    if paths.is_empty() || paths.iter().any(|path| path.trim().is_empty()) {
        return Err(Error::Argument {
            instruction: "VOLUME",
            why: "a path is empty",
            argument: text.to_owned(),
        });
    }
    let paths = paths.into_iter().map(|path| (path, Empty {}));
    process.volumes.extend(paths);
    Ok(())
}

/// Relative to the one before it.
fn work_dir(process: &mut Process, text: &str) -> Result<(), Error> {
    let path = words(process, "WORKDIR", text)?.join(" ");
    let whole = if path.starts_with('/') {
        path
    } else {
        format!("{}/{path}", process.working_dir)
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    process.working_dir = format!("/{}", parts.join("/"));
    Ok(())
}

fn stop_signal(process: &mut Process, text: &str) -> Result<(), Error> {
    let name = single(process, "STOPSIGNAL", text)?;
    if signal::parse(&name).is_none() {
        return Err(Error::Argument {
            instruction: "STOPSIGNAL",
            why: "unknown signal",
            argument: name,
        });
    }
    process.stop_signal = name;
    Ok(())
}

fn on_build(process: &mut Process, text: &str) -> Result<(), Error> {
    let trigger = text.split_whitespace().next().unwrap_or("");
    if ["ONBUILD", "FROM", "MAINTAINER"]
        .iter()
        .any(|forbidden| trigger.eq_ignore_ascii_case(forbidden))
    {
        return Err(Error::Argument {
            instruction: "ONBUILD",
            why: "not allowed as a trigger",
            argument: trigger.to_owned(),
        });
    }
    process.on_build.push(text.to_owned());
    Ok(())
}

/// `NONE`, or options and `CMD`, as Docker's `Healthcheck` object with times in nanoseconds.
fn healthcheck(process: &mut Process, text: &str) -> Result<(), Error> {
    let wrong = |why, argument: &str| Error::Argument {
        instruction: "HEALTHCHECK",
        why,
        argument: argument.to_owned(),
    };
    let mut probe = serde_json::Map::new();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option
            .split_once(char::is_whitespace)
            .ok_or(wrong("no command", text))?;
        let (name, value) = option
            .split_once('=')
            .ok_or(wrong("an option without a value", option))?;
        let key = match name {
            "interval" => "Interval",
            "timeout" => "Timeout",
            "start-period" => "StartPeriod",
            "start-interval" => "StartInterval",
            "retries" => "Retries",
            _ => return Err(wrong("unknown option", name)),
        };
        let number = if key == "Retries" {
            value.parse::<u32>().ok().map(i64::from)
        } else {
            go_duration::parse(value).filter(|nanos| *nanos >= 0)
        };
        let number = number.ok_or(wrong("not a valid value", option))?;
        probe.insert(key.to_owned(), number.into());
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    let test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => vec!["NONE".to_owned()],
        "CMD" if !command.is_empty() => match json_list(command) {
            Some(words) => [vec!["CMD".to_owned()], words].concat(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        _ => return Err(wrong("expected NONE or CMD", rest)),
    };
    probe.insert("Test".to_owned(), test.into());
    // In Docker's order of fields.
    let probe = HealthCheck::deserialize(serde_json::Value::Object(probe));
    process.healthcheck = probe.and_then(serde_json::to_value).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(lines: &[&str]) -> Process {
        let mut process = Process::default();
        for line in lines {
            apply(&mut process, line).unwrap();
        }
        process
    }

    fn refused(line: &str) -> String {
        apply(&mut Process::default(), line)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn commands_have_a_json_and_a_shell_form() {
        let process = applied(&[r#"CMD ["a", "b c"]"#, "entrypoint run me"]);
        assert_eq!(process.cmd, ["a", "b c"]);
        assert_eq!(process.entrypoint, ["/bin/sh", "-c", "run me"]);
        assert_eq!(applied(&["CMD ['a']"]).cmd, ["/bin/sh", "-c", "['a']"]);
    }

    #[test]
    fn variables_and_labels_have_two_forms_and_the_last_wins() {
        let process = applied(&[
            r#"ENV A=1 B="two words" C=three\ words"#,
            "ENV A the rest of it",
            "LABEL x=y z='q r'",
        ]);
        assert_eq!(
            process.env,
            ["B=two words", "C=three words", "A=the rest of it"]
        );
        assert_eq!(process.labels["z"], "q r");
    }

    #[test]
    fn the_other_instructions_set_their_fields() {
        let process = applied(&[
            "EXPOSE 80 53/udp 8000-8002",
            "USER 1000:1000",
            "VOLUME /data /more",
            r#"VOLUME ["/json"]"#,
            "WORKDIR /a/b",
            "WORKDIR ../c",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN make",
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl localhost",
        ]);
        let ports: Vec<&String> = process.exposed_ports.keys().collect();
        assert_eq!(
            ports,
            ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]
        );
        assert_eq!(process.user, "1000:1000");
        assert_eq!(process.volumes.len(), 3);
        assert_eq!(process.working_dir, "/a/c");
        assert_eq!(process.stop_signal, "SIGINT");
        assert_eq!(process.on_build, ["RUN make"]);
        assert_eq!(
            process.healthcheck,
            Some(serde_json::json!({
                "Interval": 90_000_000_000_i64,
                "Retries": 3,
                "Test": ["CMD-SHELL", "curl localhost"]
            }))
        );
    }

    #[test]
    fn what_cannot_be_applied_is_named() {
        for (line, expected) in [
            ("RUN make", "RUN is not a valid change command"),
            ("", " is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV A", "ENV: a value is missing: A"),
            (
                "EXPOSE 70000",
                "EXPOSE: not a port or a range of ports: 70000",
            ),
            ("EXPOSE 9-8", "EXPOSE: not a port or a range of ports: 9-8"),
            ("STOPSIGNAL SIGX", "STOPSIGNAL: unknown signal: SIGX"),
            ("ONBUILD FROM x", "ONBUILD: not allowed as a trigger: FROM"),
            ("LABEL a=\"b", "LABEL: a quote is not closed: a=\"b"),
        ] {
            assert_eq!(refused(line), expected);
        }
    }

    #[test]
    fn variables_of_the_environment_are_put_in() {
        let mut process = Process::default();
        for line in [
            "ENV A=one B=",
            "ENV C=$A-${A} D=\"$A two\" E='$A' F=\\$A G=$ H=a$",
            "ENV I=${NO:-x$A} J=${B:-empty} K=${B-kept} L=${A:+set} M=${NO:+set} N=${A:-other}",
            "ENV OLD $A form",
            "WORKDIR /srv/$A",
            "LABEL l=${A}",
            "USER $A",
        ] {
            apply(&mut process, line).unwrap();
        }
        assert_eq!(
            process.env,
            [
                "A=one",
                "B=",
                "C=one-one",
                "D=one two",
                "E=$A",
                "F=$A",
                "G=$",
                "H=a$",
                "I=xone",
                "J=empty",
                "K=",
                "L=set",
                "M=",
                "N=one",
                "OLD=one form",
            ]
        );
        assert_eq!(process.working_dir, "/srv/one");
        assert_eq!(process.labels["l"], "one");
        assert_eq!(process.user, "one");
        for line in [
            "ENV X=${A",
            "ENV X=${}",
            "ENV X=${A:?no}",
            "ENV X=${A:-${B}",
        ] {
            assert!(apply(&mut process, line).is_err(), "{line}");
        }
    }
}
