//! `layers findings`: what should be known of an image before it ships.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::{SCHEMA, SHOWN, explore_whole, instruction};
use crate::cli::image::platform;
use crate::cli::output::{Out, ellipsis, tabulate};
use crate::cli::report::{Failure, Outcome};
use crate::cli::{Context, args};
use crate::engine::Error;
use crate::engine::model::layers::Explored;
use crate::engine::model::layers::findings::allow::Allowed;
use crate::engine::model::layers::findings::{self, Finding, Rule, Severity, secrets};
use crate::engine::model::units;

/// `layers findings`.
pub fn findings(context: &Context, args: &args::LayersFindings) -> Outcome {
    let name = args.operands.first().map_or("", String::as_str);
    let wanted = platform(args.platform.as_deref())?;
    let allowed = allowed(args.allow.as_deref())?;
    let rules = rules(&args.rule).map_err(Failure::plain)?;
    let (image, evidence) = explore_whole(context, name, wanted.as_ref())?;
    let (found, let_be): (Vec<_>, Vec<_>) = findings::findings(&image, &evidence)
        .into_iter()
        .filter(|finding| rules.is_empty() || rules.contains(&finding.rule))
        .partition(|finding| !allowed.allows(finding));
    let mut out = Out::new();
    if args.json {
        let document = document(&image, &found, let_be.len());
        out.line(format!("{document:#}"))?;
    } else {
        let text = text(&image, &found, let_be.len(), args.no_trunc);
        out.write_all(text.as_bytes())?;
    }
    out.finish()?;
    Ok(0)
}

/// What a file of `--allow` lets be.
pub(super) fn allowed(path: Option<&str>) -> Result<Allowed, Failure> {
    let Some(path) = path else {
        return Ok(Allowed::default());
    };
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::io(format!("read {path}"), error))?;
    Allowed::parse(&text).map_err(|error| Failure::plain(format!("{path}: {error}")))
}

fn rules(names: &[String]) -> Result<Vec<Rule>, String> {
    let rule = |name: &str| {
        let known = || Rule::all().map(Rule::as_str).collect::<Vec<_>>().join(", ");
        Rule::of(name).ok_or_else(|| format!("there is no rule {name:?}: {}", known()))
    };
    let names = names.iter().flat_map(|list| list.split(','));
    names.map(rule).collect()
}

fn text(image: &Explored, found: &[Finding], let_be: usize, all: bool) -> String {
    let mut text = String::new();
    let shown = if all {
        found.len()
    } else {
        // Whatever is bad is shown.
        let bad = found
            .iter()
            .filter(|finding| finding.severity != Severity::Low);
        bad.count().max(SHOWN).min(found.len())
    };
    if shown > 0 {
        let mut lines = vec!["SEVERITY\tRULE\tLAYER\tFILES\tSIZE\tWHERE\tWHAT".to_owned()];
        lines.extend(found.iter().take(shown).map(|finding| line(finding, all)));
        text += &tabulate(&lines);
        if shown < found.len() {
            let _ = writeln!(text, "... and {} more (--no-trunc)", found.len() - shown);
        }
        text.push('\n');
    }
    let mut told: Vec<&Finding> = Vec::new();
    for finding in found.iter().take(shown) {
        let is_told =
            |known: &&Finding| known.rule == finding.rule && known.advice == finding.advice;
        if !told.iter().any(is_told) {
            told.push(finding);
            let tool = match finding.rule {
                Rule::PackageCache => format!(" ({})", finding.detail),
                _ => String::new(),
            };
            let _ = writeln!(text, "{}{tool}: {}", finding.rule.as_str(), finding.advice);
        }
    }
    if !told.is_empty() {
        text.push('\n');
    }
    text + &summary(image, found, let_be)
}

fn line(finding: &Finding, all: bool) -> String {
    let layer = finding.layers();
    let size = match finding.bytes {
        0 => "-".to_owned(),
        bytes => units::human_size_short(bytes),
    };
    let detail = if all {
        finding.detail.clone()
    } else {
        ellipsis(&finding.detail, 60)
    };
    format!(
        "{}\t{}\t{layer}\t{}\t{size}\t{}\t{}",
        finding.severity.as_str(),
        finding.rule.as_str(),
        finding.files,
        finding.place().replace(['\t', '\n'], "?"),
        detail.replace(['\t', '\n'], "?"),
    )
}

fn summary(image: &Explored, found: &[Finding], let_be: usize) -> String {
    let count = |severity| {
        found
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let mut text = match found.len() {
        0 => "nothing was found".to_owned(),
        _ => format!(
            "{} high, {} medium, {} low",
            count(Severity::High),
            count(Severity::Medium),
            count(Severity::Low)
        ),
    };
    if let_be > 0 {
        let _ = write!(text, "; {let_be} allowed");
    }
    let avoidable = findings::avoidable(found);
    if avoidable > 0 {
        let (size, wasted) = (image.size(), image.stack.wasted());
        let _ = write!(
            text,
            "\n{} could be left out, {} are hidden: without both it weighs {} and not {}",
            units::human_size_short(avoidable),
            units::human_size_short(wasted),
            units::human_size_short(size.saturating_sub(wasted).saturating_sub(avoidable)),
            units::human_size_short(size),
        );
    }
    text + "\n"
}

fn document(image: &Explored, found: &[Finding], let_be: usize) -> Value {
    let (size, wasted) = (image.size(), image.stack.wasted());
    let avoidable = findings::avoidable(found);
    let list: Vec<Value> = found.iter().map(|finding| value(image, finding)).collect();
    json!({
        "schemaVersion": SCHEMA,
        "image": {
            "name": image.about.name,
            "id": image.about.id,
            "platform": image.about.platform.to_string(),
            "bytes": size,
            "wastedBytes": wasted,
            "avoidableBytes": avoidable,
            "leanBytes": size.saturating_sub(wasted).saturating_sub(avoidable),
        },
        "allowed": let_be,
        "findings": list,
    })
}

fn value(image: &Explored, finding: &Finding) -> Value {
    let facts = finding
        .layer
        .and_then(|layer| image.layers.get(usize::from(layer)));
    json!({
        "rule": finding.rule.as_str(),
        "severity": finding.severity.as_str(),
        "path": finding.path.as_ref().map(|path| format!("/{}", String::from_utf8_lossy(path))),
        "line": finding.line,
        "layer": finding.layer,
        "diffId": facts.map(|layer| layer.diff_id.to_string()),
        // What stands in an instruction may be a secret itself.
        "command": facts
            .filter(|layer| secrets::in_words(&layer.command).is_empty())
            .map(|layer| instruction(&layer.command)),
        "hiddenBy": finding.hidden,
        "detail": finding.detail,
        "files": finding.files,
        "bytes": finding.bytes,
        "advice": finding.advice,
    })
}
