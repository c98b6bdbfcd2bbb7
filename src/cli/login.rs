//! `login` and `logout`: asking for a password without showing it, and where it goes.

use std::io::{self, IsTerminal, Read, Write};

use super::output::Out;
use super::report::{Failure, Outcome};
use super::terminal::Raw;
use super::{Context, args, report};
use crate::engine::credentials::{HUB, Kept, Login, host_of, key_of};
use crate::engine::model::reference::DEFAULT_DOMAIN;
use crate::engine::model::{Auth, Secret};
use crate::engine::{Engine, Error, Kind};

/// More than any password is long.
const LIMIT: u64 = 64 << 10;

/// `login`.
pub fn login(context: &Context, args: &args::Login) -> Outcome {
    let registry = server(args.operands.first());
    if args.password.is_some() {
        report::complain(
            "WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
        );
        if args.password_stdin {
            return Err(wrong(
                "--password and --password-stdin are mutually exclusive",
            ));
        }
    }
    if args.password_stdin && args.username.is_none() {
        return Err(wrong("Must provide --username with --password-stdin"));
    }
    let given = if args.password_stdin {
        Some(from_stdin()?)
    } else {
        args.password.clone().map(Secret::new)
    };
    let credentials = context.credentials();
    let engine = context.engine()?;
    let mut known = None;
    if args.username.is_none() && given.is_none() {
        let login = credentials.login(&registry)?;
        if login.auth != Auth::Anonymous {
            let mut out = Out::new();
            out.line("Authenticating with existing credentials...")?;
            out.finish()?;
            match check(&engine, &registry, &login) {
                Ok(login) => return succeed(&credentials.save(&registry, &login)?),
                Err(error) if error.kind() == Kind::Unauthorized => {
                    report::complain(&format!("Login did not succeed, error: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        known = login.user;
    }
    let login = ask(&registry, args.username.clone(), given, known)?;
    let login = check(&engine, &registry, &login)?;
    succeed(&credentials.save(&registry, &login)?)
}

/// `logout`.
pub fn logout(context: &Context, args: &args::Plain) -> Outcome {
    let registry = server(args.operands.first());
    let mut out = Out::new();
    out.line(format_args!(
        "Removing login credentials for {}",
        key_of(&registry)
    ))?;
    out.finish()?;
    context.credentials().forget(&registry)?;
    Ok(0)
}

/// The registry of an operand; Docker Hub without one.
fn server(operand: Option<&String>) -> String {
    operand.map_or_else(|| DEFAULT_DOMAIN.to_owned(), |text| host_of(text))
}

fn wrong(text: &str) -> Failure {
    Failure::Usage {
        text: text.to_owned(),
        code: 1,
    }
}

/// What the registry makes of it: a token takes the password's place.
fn check(engine: &Engine, registry: &str, login: &Login) -> Result<Login, Error> {
    let token = engine.login(registry, &login.auth)?;
    Ok(match token.filter(|token| !token.is_empty()) {
        Some(token) => Login {
            user: login.user.clone(),
            auth: Auth::Identity(token),
        },
        None => login.clone(),
    })
}

fn succeed(kept: &Kept) -> Outcome {
    if let Kept::InFile(path) = kept {
        report::complain(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
             Configure a credential helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    super::say("Login Succeeded")
}

fn from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    io::stdin()
        .take(LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| Error::io("read password from standard input", error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Secret::new(text))
}

/// User and password: as given, else asked for.
fn ask(
    registry: &str,
    user: Option<String>,
    password: Option<Secret>,
    known: Option<String>,
) -> Result<Login, Failure> {
    let asks = user.is_none() || password.is_none();
    if asks && !io::stdin().is_terminal() {
        return Err(wrong(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    let user = if let Some(user) = user {
        user
    } else {
        if key_of(registry) == HUB {
            prompt(
                "Log in with your Docker ID or email address to push and pull images from Docker Hub.\n",
            )?;
        }
        let shown = known.as_ref().map_or_else(
            || "Username: ".to_owned(),
            |known| format!("Username ({known}): "),
        );
        prompt(&shown)?;
        let typed = read_line()?;
        let typed = typed.trim();
        match known {
            Some(known) if typed.is_empty() => known,
            _ => typed.to_owned(),
        }
    };
    if user.is_empty() {
        return Err(wrong("Error: Non-null Username Required"));
    }
    let password = match password {
        Some(password) => password,
        None => read_secret("Password: ")?,
    };
    if password.is_empty() {
        return Err(wrong("Error: Password Required"));
    }
    Ok(Login {
        user: Some(user.clone()),
        auth: Auth::Basic { user, password },
    })
}

/// Standard output may be read by a program; who types looks at standard error as well.
fn prompt(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// What a key does to a line that is typed unseen.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    More,
    Done,
    Stop,
}

fn type_byte(line: &mut Vec<u8>, byte: u8) -> Typed {
    match byte {
        // Ctrl-C; Ctrl-D where nothing was typed.
        3 => return Typed::Stop,
        4 if line.is_empty() => return Typed::Stop,
        b'\r' | b'\n' | 4 => return Typed::Done,
        // Backspace, in both of its forms: the bytes of one character.
        8 | 127 => {
            while let Some(gone) = line.pop() {
                if gone & 0xc0 != 0x80 {
                    break;
                }
            }
        }
        // Ctrl-U.
        21 => line.clear(),
        byte => line.push(byte),
    }
    Typed::More
}

/// Reads a line that does not show. The terminal is as before afterwards, also when the user gives up.
fn read_secret(text: &str) -> Result<Secret, Failure> {
    // Who is asked may answer at once, and a program does: nothing may show by then.
    let raw = Raw::enter().map_err(|error| Error::io("hide what is typed", error))?;
    prompt(text)?;
    let mut line = Vec::new();
    let ended = loop {
        let mut byte = [0];
        match io::stdin().read(&mut byte) {
            Ok(1) => {}
            Ok(_) => break Typed::Done,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read password", error).into()),
        }
        match type_byte(&mut line, byte[0]) {
            Typed::More => {}
            ended => break ended,
        }
    };
    drop(raw);
    prompt("\n")?;
    if ended == Typed::Stop {
        return Err(Failure::Said(130));
    }
    let text = String::from_utf8(line)
        .map_err(|_secret| Failure::plain("the password is not valid UTF-8"))?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_typed_with_corrections() {
        for (bytes, line, ended) in [
            (&b"secret\r"[..], "secret", Typed::Done),
            ("s\u{e9}\u{7f}\u{7f}x\n".as_bytes(), "x", Typed::Done),
            (b"wrong\x15right\r", "right", Typed::Done),
            (b"half\x03", "half", Typed::Stop),
            (b"\x04", "", Typed::Stop),
        ] {
            let mut typed = Vec::new();
            let last = bytes.iter().map(|byte| type_byte(&mut typed, *byte)).last();
            assert_eq!((typed.as_slice(), last), (line.as_bytes(), Some(ended)));
        }
    }
}
