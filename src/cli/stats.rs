//! `stats`: figures of containers as a table that is drawn anew every second.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::format::Format;
use super::list::{self, Look};
use super::output::Out;
use super::report::{Failure, Outcome};
use super::{Context, args, client_config};
use crate::engine::Engine;
use crate::engine::model::{ContainerId, ContainerSummary, Stats, Status};

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// Cursor to the top left; then, after the rows, erase what is below.
const HOME: &str = "\x1b[H";
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_LINE: &str = "\x1b[K";

/// `stats`.
pub fn stats(context: &Context, args: &args::Stats) -> Outcome {
    let config = context.client_config();
    let given = client_config::format_or(args.format.as_deref(), &config.stats_format, false);
    let format = Format::parse(given, list::STATS)?;
    let engine = context.engine()?;
    let mut figures = engine.sampler()?;
    // Named ones must be there at the start; later they may go.
    for name in &args.operands {
        engine.resolve(name)?;
    }
    let look = Look::new(!args.no_trunc);
    let mut earlier: HashMap<ContainerId, Stats> = HashMap::new();
    let mut out = Out::new();
    let mut next = Instant::now() + INTERVAL;
    let clears = !args.no_stream && format.is_table();
    loop {
        let rows = containers(&engine, args)?;
        let ids: Vec<ContainerId> = rows
            .iter()
            .map(|(_, summary)| summary.container.id.clone())
            .collect();
        let samples: HashMap<ContainerId, Stats> = figures
            .sample(&ids)?
            .into_iter()
            .map(|stats| (stats.id.clone(), stats))
            .collect();
        let have_rates = samples.keys().all(|id| earlier.contains_key(id));
        // Rates need two samples: the first picture comes when there are two.
        if have_rates || !args.no_stream && !earlier.is_empty() {
            let lines: Vec<_> = rows
                .iter()
                .map(|(name, summary)| {
                    let id = &summary.container.id;
                    let pair = earlier.get(id).zip(samples.get(id));
                    list::stats(summary, name, pair, &look)
                })
                .collect();
            let text = format.render(list::STATS_HEADINGS, lines)?;
            if clears {
                let text = text.replace('\n', &format!("{CLEAR_LINE}\n"));
                write!(out, "{HOME}{text}{CLEAR_BELOW}")?;
            } else {
                out.write_all(text.as_bytes())?;
            }
            out.flush()?;
            if args.no_stream {
                return Ok(0);
            }
        }
        earlier = samples;
        wait_until(&mut next);
    }
}

/// The containers to show, with what they were asked for as.
fn containers(
    engine: &Engine,
    args: &args::Stats,
) -> Result<Vec<(String, ContainerSummary)>, Failure> {
    if args.operands.is_empty() {
        let all = engine.containers()?;
        return Ok(all
            .into_iter()
            .filter(|c| args.all || matches!(c.state.status, Status::Running | Status::Paused))
            .map(|c| (c.container.id.as_str().to_owned(), c))
            .collect());
    }
    let mut shown = Vec::new();
    for name in &args.operands {
        if let Ok(summary) = engine.resolve(name).and_then(|id| engine.container(&id)) {
            shown.push((name.clone(), summary));
        }
    }
    Ok(shown)
}

/// A steady beat: what the work in between took is part of the interval.
fn wait_until(next: &mut Instant) {
    loop {
        let left = next.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // It may wake early (std::thread::park_timeout).
        std::thread::park_timeout(left);
    }
    *next = Instant::now() + INTERVAL;
}
