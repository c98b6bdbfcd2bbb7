//! `demo`: starts the example containers and opens the workstation on them, or takes them away. What the demo is made of
//! is in `crate::demo`.

use std::io::IsTerminal;

use super::report::{Failure, Outcome};
use super::{Context, Out, args};
use crate::demo;

/// `demo`.
///
/// # Errors
/// Without a terminal (exit code 2, nothing is started), or what the engine says.
pub fn demo(context: &Context, args: &args::Demo) -> Outcome {
    let workstation = !args.detach && !args.remove;
    if workstation && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failure::Usage {
            text: "wharf: the demo opens the workstation, which needs a terminal; 'wharf demo --detach' only starts the containers"
                .to_owned(),
            code: 2,
        });
    }
    let engine = context.engine()?;
    let mut out = Out::new();
    let mut lines = Vec::new();
    let outcome = if args.remove {
        demo::remove(&engine, |line| lines.push(line.to_owned()))
    } else {
        demo::start(&engine, |line| lines.push(line.to_owned()))
    };
    for line in lines {
        out.line(line)?;
    }
    if workstation && outcome.is_ok() {
        out.finish()?;
        let code = super::workstation(context)?;
        let mut out = Out::new();
        out.line("The demo's containers go on running; 'wharf demo --remove' takes them away.")?;
        out.finish()?;
        return Ok(code);
    }
    out.finish()?;
    outcome?;
    Ok(0)
}
