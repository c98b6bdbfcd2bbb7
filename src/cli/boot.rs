//! `system boot` and `system shutdown`: what the host's start and end mean for all containers, and the systemd unit that
//! calls them.

use std::io::Write;

use super::output::Out;
use super::report::{self, Failure, Outcome};
use super::{Context, DATA_ROOT, RUN_ROOT, args};
use crate::engine::store::Roots;
use crate::engine::{BootTurn, Engine, Error};

/// The unit as it is for a binary at [`PATH`] and the usual roots.
const UNIT: &str = include_str!("../../assets/wharf.service");
/// Where that unit has the binary.
const PATH: &str = "/usr/local/bin/wharf";

/// Something that the engine does to all containers, and tells of one by one.
type ForAll = fn(&Engine, &mut dyn FnMut(BootTurn)) -> Result<(), Error>;

/// `system boot`: prints the names of the containers that it started.
pub fn boot(context: &Context, args: &args::Boot) -> Outcome {
    if args.unit {
        let own = std::env::current_exe()
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok())
            .ok_or_else(|| Failure::plain("the path of this program is not known"))?;
        let mut out = Out::new();
        out.write_all(unit(&own, &context.roots)?.as_bytes())?;
        out.finish()?;
        return Ok(0);
    }
    each(context, "start", Engine::boot)
}

/// `system shutdown`: prints the names of the containers that it stopped.
pub fn shutdown(context: &Context, _args: &args::Plain) -> Outcome {
    each(context, "stop", Engine::shutdown)
}

/// Goes on where one container cannot be started or stopped: exit code 1 then, 125 if nothing could be done.
fn each(context: &Context, verb: &str, all: ForAll) -> Outcome {
    let in_all = |error: Error| Failure::from(error).in_run();
    let engine = context.engine().map_err(in_all)?;
    let mut code = 0;
    let mut out = Out::new();
    let mut written = Ok(());
    let mut tell = |turn: BootTurn| match turn.result {
        Ok(()) => {
            let line = out.line(&turn.name).and_then(|()| out.flush());
            written = std::mem::replace(&mut written, Ok(())).and(line);
        }
        Err(error) => {
            let error = error.attempting(format!("{verb} container {}", turn.name));
            report::complain(&report::line(&error));
            code = 1;
        }
    };
    all(&engine, &mut tell).map_err(in_all)?;
    written?;
    out.finish()?;
    Ok(code)
}

/// The unit for a binary at `path`. Roots that are not the usual ones are named in it.
fn unit(path: &str, roots: &Roots) -> Result<String, Failure> {
    let (data, run) = (roots.data.to_string_lossy(), roots.run.to_string_lossy());
    for word in [path, &data, &run] {
        // A unit quotes in its own way and a shell in its own, and the text passes through both (systemd.service(5)).
        let is_plain = word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte));
        if !is_plain {
            return Err(Failure::plain(format_args!(
                "{word:?} cannot stand in a unit; use a path of letters, digits and /._-+:@"
            )));
        }
    }
    let mut command = path.to_owned();
    if data != DATA_ROOT {
        command = format!("{command} --root {data}");
    }
    if run != RUN_ROOT {
        command = format!("{command} --run-root {run}");
    }
    Ok(UNIT.replace(PATH, &command).replace(
        &format!("RequiresMountsFor={DATA_ROOT}"),
        &format!("RequiresMountsFor={data}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(data: &str, run: &str) -> Roots {
        Roots {
            data: data.into(),
            run: run.into(),
        }
    }

    #[test]
    fn the_unit_calls_the_program_where_it_is() {
        let usual = unit(PATH, &roots(DATA_ROOT, RUN_ROOT)).unwrap();
        assert_eq!(usual, UNIT);
        let other = unit("/opt/wharf", &roots("/srv/w", "/run/w")).unwrap();
        let command = "/opt/wharf --root /srv/w --run-root /run/w system";
        assert_eq!(other.matches(command).count(), 2, "{other}");
        assert!(other.contains("\nRequiresMountsFor=/srv/w\n"), "{other}");
        assert!(!other.contains(PATH), "{other}");
    }

    #[test]
    fn a_path_that_a_unit_would_read_as_something_else_is_refused() {
        for path in ["/opt/my wharf", "/opt/%n", "/opt/$HOME", "/opt/'x'"] {
            let refused = unit(path, &roots(DATA_ROOT, RUN_ROOT));
            assert!(refused.is_err(), "{path}");
        }
    }
}
