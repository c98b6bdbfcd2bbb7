//! What is told of a layer and of a path, line by line.

use super::Explorer;
use crate::app::document::DocLine;
use crate::app::text;
use crate::engine::model::layers::findings::{Finding, Rule};
use crate::engine::model::layers::listing::{Mark, mode_text};
use crate::engine::model::layers::tree::NodeId;
use crate::engine::model::layers::{Kind, instruction};
use crate::engine::model::{Timestamp, units};

/// Everything about the chosen layer and the chosen path. Long values are the drawer's to wrap.
#[must_use]
pub fn facts(explorer: &Explorer) -> Vec<DocLine> {
    let mut lines = Vec::new();
    if let Some(finding) = explorer.chosen_finding()
        && explorer.part == super::Part::Findings
    {
        finding_facts(explorer, finding, &mut lines);
        return lines;
    }
    if let Some(node) = explorer.tree.chosen()
        && explorer.part != super::Part::Layers
    {
        path_facts(explorer, node, &mut lines);
    }
    layer_facts(explorer, &mut lines);
    lines
}

fn finding_facts(explorer: &Explorer, finding: &Finding, lines: &mut Vec<DocLine>) {
    let mut tell = |field: &str, value: &str| {
        if !value.is_empty() {
            lines.push(DocLine::new(0, field, &text::sanitise(value)));
        }
    };
    let rule = format!("{} ({})", finding.rule.as_str(), finding.severity.as_str());
    tell("rule:", &rule);
    tell("where:", &finding.place());
    tell("what:", &finding.detail);
    tell("do:", finding.advice);
    tell("layer:", &finding.layers());
    let made_by = |layer: u16| {
        let facts = explorer.layers.get(usize::from(layer));
        facts.map_or(String::new(), |layer| instruction(&layer.command))
    };
    // What is a secret there is shown nowhere else either.
    if let Some(layer) = finding
        .layer
        .filter(|_| finding.rule != Rule::HistorySecret)
    {
        tell("made by:", &made_by(layer));
    }
    if let Some(hidden) = finding.hidden {
        tell("hidden by:", &made_by(hidden));
    }
    if finding.files > 1 || finding.bytes > 0 {
        let files = match finding.files {
            1 => "1 file".to_owned(),
            many => format!("{many} files"),
        };
        tell("could go:", &format!("{} in {files}", size(finding.bytes)));
    }
}

fn layer_facts(explorer: &Explorer, lines: &mut Vec<DocLine>) {
    let Some(layer) = explorer.layers.get(explorer.layer.at) else {
        return;
    };
    let mut tell = |field: &str, value: &str| lines.push(DocLine::new(0, field, value));
    let command = instruction(&layer.command);
    let command = if command.is_empty() {
        "the history does not say".to_owned()
    } else {
        command
    };
    tell("made by:", &command);
    let is_read = explorer.layer.at < explorer.read;
    if is_read {
        let files = match layer.files {
            1 => "1 file".to_owned(),
            many => format!("{many} files"),
        };
        tell("size:", &format!("{} in {files}", size(layer.size)));
        tell("hidden by others:", &share(layer.wasted, layer.size));
        tell("hides of others:", &size(layer.hides));
    }
    if layer.blob_size > 0 {
        let is_plain = layer.blob == layer.diff_id;
        let what = if is_plain { "archive:" } else { "compressed:" };
        tell(what, &size(layer.blob_size));
    }
    if let Some(created) = layer.created {
        tell("created:", &time(created));
    }
    tell("diff id:", layer.diff_id.as_str());
    tell("blob:", layer.blob.as_str());
}

fn path_facts(explorer: &Explorer, node: NodeId, lines: &mut Vec<DocLine>) {
    let Some(image) = explorer.image_of_layer() else {
        return;
    };
    let stack = &image.image.stack;
    let fact = explorer.tree.facts().get(node);
    let mut tell = |field: &str, value: &str| lines.push(DocLine::new(0, field, value));
    tell("path:", &path_text(&stack.tree.path(node)));
    let Some(at) = fact.entry else {
        return;
    };
    let entry = stack.entry(at);
    let did = match fact.mark {
        Mark::Removed => "removed here, from layer",
        Mark::Modified => "changed here, in layer",
        Mark::Added => "added here, in layer",
        Mark::Again => "here again as it was, in layer",
        Mark::Unmodified => "as it is since layer",
    };
    tell("what:", &format!("{did} {}", at.0));
    tell(
        "mode:",
        &format!(
            "{} {:04o}  owner {}:{}",
            mode_text(entry),
            entry.mode & 0o7777,
            entry.uid,
            entry.gid
        ),
    );
    match &entry.kind {
        Kind::Symlink { target } => tell("leads to:", &String::from_utf8_lossy(target)),
        Kind::HardLink { target } => tell("same file as:", &path_text(target)),
        Kind::Char { device } | Kind::Block { device } => {
            tell("device:", &format!("{}:{}", device.0, device.1));
        }
        _ => {}
    }
    tell(
        "size:",
        &format!("{} ({} bytes)", size(fact.bytes), fact.bytes),
    );
    if fact.wasted > 0 {
        tell("hidden in the end:", &size(fact.wasted));
    }
    if let Ok(modified) = Timestamp::from_second(entry.mtime.0) {
        tell("modified:", &time(modified));
    }
    for (name, value) in &entry.xattrs {
        let name = String::from_utf8_lossy(name);
        tell("attribute:", &format!("{name} ({} bytes)", value.len()));
    }
    let events: Vec<String> = stack
        .tree
        .events(node)
        .map(|event| event.layer.to_string())
        .collect();
    if events.len() > 1 {
        tell("layers with it:", &events.join(", "));
    }
}

/// A path as it is shown: from the root, safe to draw.
#[must_use]
pub fn path_text(path: &[u8]) -> String {
    format!("/{}", name_text(path))
}

/// A name as it is shown: a line end in it is no blank.
#[must_use]
pub fn name_text(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name).replace(['\t', '\n'], "\u{b7}");
    text::sanitise(&name).into_owned()
}

fn size(bytes: u64) -> String {
    units::human_size_short(bytes)
}

fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "nothing".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let percent = part as f64 * 100.0 / whole as f64;
    format!("{} ({percent:.1} %)", size(part))
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
