//! Verbs about wharf itself: version, info, events, completion, demo; and `inspect` of anything.

use super::report::{Failure, Outcome};
use super::{Context, args, verb};
use crate::engine::Error;

/// The commit this was built from, if the build knew it.
pub const BUILD: &str = match option_env!("WHARF_BUILD") {
    Some(commit) => commit,
    None => "unknown",
};

/// `completion`.
pub fn completion(_context: &Context, args: &args::Plain) -> Outcome {
    let name = args.operands.first().map_or("", String::as_str);
    let shell: clap_complete::Shell = name.parse().map_err(|_error: String| {
        Failure::plain(format_args!(
            "completion: shell {name:?} is not known; use bash, fish, zsh, elvish or powershell"
        ))
    })?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut verb::tree(), "wharf", &mut script);
    let mut out = super::Out::new();
    std::io::Write::write_all(&mut out, &script)?;
    out.finish()?;
    Ok(0)
}

/// `demo`.
pub fn demo(_context: &Context, _args: &args::Demo) -> Outcome {
    later("demo")
}

fn later(what: &str) -> Outcome {
    Err(Error::unsupported(format!("{what} is not available yet")).into())
}

macro_rules! later {
    ($($name:ident: $args:ty),*) => {$(
        pub fn $name(_context: &Context, _args: &$args) -> Outcome { later(stringify!($name)) }
    )*};
}
later!(version: args::Formatted, info: args::Formatted, events: args::Events, inspect: args::Inspect);
