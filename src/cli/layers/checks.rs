//! What is to be checked: the rules that flags and files ask for.

use std::path::Path;

use serde_json::Value;

use super::SCHEMA;
use super::verdicts::{self, Form};
use crate::cli::{args, dive};
use crate::engine::model::layers::dive_rules::DiveRules;
use crate::engine::model::layers::glob::Glob;
use crate::engine::model::layers::rules::{Baseline, Rules};
use crate::engine::model::units;

/// What `--ci` allows where no rule is given.
const USUAL_WASTE: f64 = 10.0;

/// Everything that was asked for.
pub(super) struct Checks {
    pub rules: Rules,
    /// dive's, if they are to be checked.
    pub dives: Option<DiveRules>,
    pub form: Form,
}

/// Reads the flags, and the files that they name.
///
/// # Errors
/// One line on the first flag or file that cannot be read, or does not go with the others.
pub(super) fn read(args: &args::Layers) -> Result<Checks, String> {
    let dives = dive::written(&args.dive_rules);
    if !args.dive && (!dives.is_empty() || args.dive_rules.ci_config.is_some()) {
        return Err("these are rules of dive: they go with --dive".to_owned());
    }
    if args.dive && args.report.is_some() {
        return Err("--dive has a report of its own".to_owned());
    }
    let check_dives = args.dive && args.ci;
    Ok(Checks {
        rules: rules(args)?,
        dives: if check_dives {
            Some(dive::rules(&args.dive_rules)?)
        } else {
            // What cannot be read is told all the same.
            dives.rules()?;
            None
        },
        form: verdicts::form(args.report.as_deref())?,
    })
}

fn rules(args: &args::Layers) -> Result<Rules, String> {
    let bytes = |flag: &str, text: &Option<String>| {
        let read = |text: &String| {
            units::parse_size(text).ok_or_else(|| {
                format!("invalid value for --{flag}: {text:?} is no size such as 200MB")
            })
        };
        text.as_ref().map(read).transpose()
    };
    if args
        .max_waste_percent
        .is_some_and(|percent| !(0.0..=100.0).contains(&percent))
    {
        return Err("invalid value for --max-waste-percent: it is between 0 and 100".to_owned());
    }
    let mut rules = Rules {
        max_size: bytes("max-size", &args.max_size)?,
        max_layer_size: bytes("max-layer-size", &args.max_layer_size)?,
        max_layers: args.max_layers,
        max_waste: bytes("max-waste", &args.max_waste)?,
        max_waste_percent: args.max_waste_percent,
        no_setuid: args.no_setuid,
        no_root: args.no_root,
        no_secrets: args.no_secrets,
        no_world_writable: args.no_world_writable,
        forbidden: args
            .forbid
            .iter()
            .map(|text| {
                Glob::parse(text).map_err(|why| format!("invalid value for --forbid: {why}"))
            })
            .collect::<Result<_, _>>()?,
        baseline: args
            .baseline
            .as_deref()
            .map(|path| baseline(path, args))
            .transpose()?,
    };
    let is_ours = args.base.is_some() || !rules.is_empty();
    if is_ours && (!args.ci || args.dive) {
        return Err("rules are checked by --ci, and --dive has rules of its own".to_owned());
    }
    if args.allow.is_some() && args.ci && !rules.needs_findings() {
        return Err("--allow is for rules about findings, such as --no-secrets".to_owned());
    }
    if rules.is_empty() && args.base.is_none() {
        rules.max_waste_percent = Some(USUAL_WASTE);
    }
    Ok(rules)
}

/// What a document of `--json` says of the image as it was.
fn baseline(path: &Path, args: &args::Layers) -> Result<Baseline, String> {
    let growth = args.max_growth.unwrap_or(0.0);
    if !(growth >= 0.0 && growth.is_finite()) {
        return Err("invalid value for --max-growth: it is 0 or more".to_owned());
    }
    let wrong = |why: &str| format!("read the baseline {}: {why}", path.display());
    let bytes = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
    let document: Value =
        serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
    if document["schemaVersion"] != SCHEMA {
        return Err(wrong("it is no document of 'wharf layers --json'"));
    }
    let number = |name: &str| {
        let found = document["image"][name].as_u64();
        found.ok_or_else(|| wrong(&format!("it has no image.{name}")))
    };
    Ok(Baseline {
        size: number("bytes")?,
        wasted: number("wastedBytes")?,
        growth,
    })
}
