//! dive's report and rules, so that a pipeline can change the program and keep its lines (dive 0.13).

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::image::platform;
use super::layers::source::explore;
use super::layers::{CANNOT_TELL, RULE_FAILED, is_for_a_person, open_explorer};
use super::output::Out;
use super::report::{Failure, Outcome};
use super::{Context, args, warn};
use crate::engine::Reading;
use crate::engine::model::layers::dive::figures_of;
use crate::engine::model::layers::dive_rules::{DiveRules, Written, number};
use crate::engine::model::layers::findings::allow::Allowed;
use crate::engine::model::layers::{Explored, export};

/// dive's file of rules.
const FILE: &str = ".dive-ci";

/// A file of rules is no longer than this, in bytes.
const LONGEST: u64 = 64 << 10;

/// `dive`: its flags, its report, its document.
pub fn dive(context: &Context, args: &args::Dive) -> Outcome {
    // dive writes the document instead of checking.
    let is_check =
        args.json.is_none() && (args.ci || is_pipeline(std::env::var("CI").ok().as_deref()));
    let done = look(context, args, is_check);
    if is_check {
        done.map_err(|failure| failure.with_code(CANNOT_TELL))
    } else {
        done
    }
}

fn look(context: &Context, args: &args::Dive, is_check: bool) -> Outcome {
    let checked = if is_check {
        Some(rules(&args.rules).map_err(Failure::plain)?)
    } else {
        written(&args.rules).rules().map_err(Failure::plain)?;
        None
    };
    let name = source_of(
        args.source.as_deref(),
        args.operands.first().map_or("", String::as_str),
    )
    .map_err(Failure::plain)?;
    let wanted = platform(args.platform.as_deref())?;
    // As dive: the screen, where there is one and nothing else is asked for.
    if args.json.is_none() && checked.is_none() && is_for_a_person(&name) {
        return open_explorer(context, &name, wanted.as_ref(), Allowed::default());
    }
    let image = explore(context, &name, wanted.as_ref(), Reading::Lists)?;
    if let Some(path) = &args.json {
        std::fs::write(path, export::document(&image))
            .map_err(|error| Failure::plain(format!("write {}: {error}", path.display())))?;
        return Ok(0);
    }
    let (text, passed) = report(&image, checked.as_ref());
    let mut out = Out::new();
    out.write_all(text.as_bytes())?;
    out.finish()?;
    Ok(if passed { 0 } else { RULE_FAILED })
}

/// What Go reads as true, and what later versions of dive add.
fn is_pipeline(variable: Option<&str>) -> bool {
    matches!(
        variable,
        Some("1" | "t" | "T" | "true" | "TRUE" | "True" | "yes")
    )
}

/// The image with its source in front, as `--source` says.
fn source_of(source: Option<&str>, name: &str) -> Result<String, String> {
    match source {
        None => Ok(name.to_owned()),
        Some(known @ ("docker" | "podman" | "docker-archive")) => {
            let start = format!("{known}://");
            let name = name.strip_prefix(&start).unwrap_or(name);
            Ok(format!("{start}{name}"))
        }
        Some(other) => Err(format!(
            "invalid value for --source: {other:?} is none of docker, podman, docker-archive; wharf's own store needs no --source"
        )),
    }
}

/// The limits that flags name.
pub fn written(args: &args::DiveRules) -> Written {
    Written([
        args.highest_user_wasted_percent.clone(),
        args.highest_wasted_bytes.clone(),
        args.lowest_efficiency.clone(),
    ])
}

/// The rules: flags, then the file (one that is named must be there), then dive's own limits.
///
/// # Errors
/// One line on what cannot be read.
pub fn rules(args: &args::DiveRules) -> Result<DiveRules, String> {
    let path = args.ci_config.as_deref();
    let file = read_file(path.unwrap_or(Path::new(FILE)), path.is_some())?;
    written(args).or(file).rules()
}

fn read_file(path: &Path, is_named: bool) -> Result<Written, String> {
    let wrong = |why: &str| format!("read dive's rules in {}: {why}", path.display());
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {
            return Ok(Written::default());
        }
        Err(error) => return Err(wrong(&error.to_string())),
        Ok(_) => {}
    }
    if text.len() > usize::try_from(LONGEST).unwrap_or(usize::MAX) {
        return Err(wrong("it is longer than 64 KiB"));
    }
    let (written, unknown) = Written::read(&text).map_err(|why| wrong(&why))?;
    for name in unknown {
        warn(&format!(
            "{}: {name} is no rule of dive's and is not checked",
            path.display()
        ));
    }
    Ok(written)
}

/// dive's report, with its rules if they are to be checked; `true` unless one of them failed.
#[must_use]
pub fn report(image: &Explored, rules: Option<&DiveRules>) -> (String, bool) {
    let figures = figures_of(image);
    let mut text = format!(
        "Image Source: wharf://{}\nAnalyzing image...\n",
        image.about.name
    );
    let _ = writeln!(text, "  efficiency: {} %", percent(figures.efficiency));
    let _ = writeln!(
        text,
        "  wastedBytes: {} bytes ({})",
        figures.wasted,
        size(figures.wasted)
    );
    let _ = writeln!(
        text,
        "  userWastedPercent: {} %",
        percent(figures.user_wasted)
    );
    text += "Inefficient Files:\nCount  Wasted Space  File Path\n";
    if figures.inefficient.is_empty() {
        text += "None\n";
    }
    for file in figures.inefficient.iter().rev() {
        let path = String::from_utf8_lossy(&file.path);
        let _ = writeln!(text, "{:>5}  {:>12}  {path}", file.count, size(file.bytes));
    }
    let Some(rules) = rules else {
        return (text, true);
    };
    text += "Results:\n";
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (rule, verdict) in rules.judge(&figures) {
        let (count, line) = match verdict {
            None => (&mut skipped, format!("SKIP: {rule}: rule disabled")),
            Some(Ok(())) => (&mut passed, format!("PASS: {rule}")),
            Some(Err(why)) => (&mut failed, format!("FAIL: {rule}: {why}")),
        };
        *count += 1;
        let _ = writeln!(text, "  {line}");
    }
    let word = if failed > 0 { "FAIL" } else { "PASS" };
    let _ = writeln!(
        text,
        "Result:{word} [Total:3] [Passed:{passed}] [Failed:{failed}] [Warn:0] [Skipped:{skipped}]"
    );
    (text, failed == 0)
}

fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:.4}", share * 100.0)
    } else {
        number(share)
    }
}

/// As go-humanize prints bytes: `131 B`, `6.4 kB`, `13 kB`.
fn size(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = 1_u64;
    let mut names = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].iter();
    let mut name = names.next();
    while bytes / unit >= 1000 {
        unit *= 1000;
        name = names.next();
    }
    // Tenths, rounded half up.
    let tenths = (u128::from(bytes) * 10 + u128::from(unit / 2)) / u128::from(unit);
    let name = name.copied().unwrap_or("EB");
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", (tenths + 5) / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_go_humanize() {
        let cases = [
            (0, "0 B"),
            (9, "9 B"),
            (131, "131 B"),
            (6405, "6.4 kB"),
            (12_810, "13 kB"),
            (32_025, "32 kB"),
            (1_220_598, "1.2 MB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_source_stands_before_the_image_once() {
        assert_eq!(source_of(None, "a").unwrap(), "a");
        assert_eq!(source_of(Some("docker"), "a:1").unwrap(), "docker://a:1");
        assert_eq!(
            source_of(Some("docker"), "docker://a:1").unwrap(),
            "docker://a:1"
        );
        assert_eq!(
            source_of(Some("docker-archive"), "a.tar").unwrap(),
            "docker-archive://a.tar"
        );
        assert!(
            source_of(Some("containerd"), "a")
                .unwrap_err()
                .contains("containerd")
        );
    }
}
