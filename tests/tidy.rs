//! What is easy to let slip: generated documents that are stale, broken links, blank documentation, leftovers, and
//! licences of dependencies.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn no_documentation_comment_is_blank() {
    let mut blank = String::new();
    for (file, text) in texts(&["rs"]) {
        let mut before_was_doc = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let is_doc = line.starts_with("///") || line.starts_with("//!");
            if is_doc && !before_was_doc && line.len() == 3 {
                let _ = writeln!(blank, "{}:{number}", file.display());
            }
            before_was_doc = is_doc;
        }
    }
    assert!(blank.is_empty(), "\n{blank}");
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    // Put together here, so that this file does not find itself.
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X:"].concat(),
    ];
    let mut found = String::new();
    for (file, text) in texts(&["rs", "toml", "sh", "md"]) {
        for (number, line) in (1..).zip(text.lines()) {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                let _ = writeln!(found, "{}:{number}: {}", file.display(), line.trim());
            }
        }
    }
    assert!(found.is_empty(), "write an issue, or do it:\n{found}");
}

#[test]
fn no_file_needs_the_machine_that_it_was_written_on() {
    let here = root().to_string_lossy().into_owned();
    let mut found = String::new();
    for (file, text) in texts(&["rs", "toml", "md", "sh", "json", "svg"]) {
        if text.contains(&here) {
            let _ = writeln!(found, "{} names {here}", file.display());
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = String::new();
    for (file, text) in texts(&["md"]) {
        let dir = root().join(&file).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://") || target.contains(' ');
            if !elsewhere && !dir.join(target).exists() {
                let _ = writeln!(broken, "{}: {target}", file.display());
            }
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

/// `just docs` (`WHARF_UPDATE=1`) writes it anew.
#[test]
fn the_list_of_keys_is_fresh() {
    let path = root().join("docs/keys.md");
    let fresh = wharf::app::keymap::documentation();
    if std::env::var_os("WHARF_UPDATE").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, fresh, "docs/keys.md is stale: just docs");
}

/// Where apparmor_parser is that of Debian 12; others write the same rules in other bytes. `WHARF_UPDATE=1` compiles anew.
#[test]
fn the_compiled_profiles_are_those_of_their_texts() {
    let Some(parser) = apparmor_parser() else {
        return;
    };
    for text in [
        "assets/apparmor/wharf-default",
        "tests/fixtures/apparmor/own",
        "tests/fixtures/apparmor/older",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("compiled");
        let status = Command::new(&parser)
            .args([
                "--skip-cache",
                "--skip-kernel-load",
                "--config-file",
                "/dev/null",
            ])
            .arg("--features-file")
            .arg(root().join("assets/apparmor/features"))
            .arg("--ofile")
            .arg(&out)
            .arg(root().join(text))
            .status()
            .unwrap();
        assert!(status.success(), "{text}");
        let fresh = fs::read(&out).unwrap();
        let path = root().join(format!("{text}.bin"));
        if std::env::var_os("WHARF_UPDATE").is_some() {
            fs::write(&path, &fresh).unwrap();
        }
        let written = fs::read(&path).unwrap_or_default();
        assert!(written == fresh, "{text}.bin is stale: just docs");
    }
}

/// The compiler of AppArmor's profiles, if it is there; says so if not.
fn apparmor_parser() -> Option<PathBuf> {
    const VERSION: &str = "AppArmor parser version 3.0.";
    let parser = ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .or_else(|| std::env::var_os("WHARF_APPARMOR_PARSER").map(PathBuf::from));
    let fits = |path: &PathBuf| {
        let output = Command::new(path).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with(VERSION))
    };
    let found = parser.filter(fits);
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "skipped: no apparmor_parser 3.0 (a skip is a failure with CI=true)"
        );
        // Not `eprintln!`: the harness would capture it, and a skip must be seen.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: the_compiled_profiles_are_those_of_their_texts: no apparmor_parser 3.0\n",
        );
    }
    found
}

/// `docs/runtime-spec.md`: every test that a line names is there, every test of `tests/engine/oci_spec` is named, and the
/// numbers at the top are the sums.
#[test]
fn the_runtime_specification_is_held_by_tests_that_there_are() {
    let text = fs::read_to_string(root().join("docs/runtime-spec.md")).unwrap();
    let tests = tests();
    let mut named = HashSet::new();
    let mut holding = HashSet::new();
    let (mut all, mut held) = (0, 0);
    let mut wrong = String::new();
    for (heading, cells) in table_lines(&text) {
        let number = cells.iter().find_map(|cell| cell.parse::<usize>().ok());
        all += number.unwrap_or(0);
        let names: Vec<&str> = cells
            .last()
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        if Path::new(heading).extension().is_some() {
            held += number.unwrap_or(0);
            holding.extend(names.iter().copied());
            if names.is_empty() || number.is_none() {
                let _ = writeln!(wrong, "{heading}: {cells:?}: no test, or no number");
            }
        }
        for name in names {
            named.insert(name);
            if !tests.contains_key(name) {
                let _ = writeln!(wrong, "{heading}: there is no test {name}");
            }
        }
    }
    let of_it = |file: &&PathBuf| file.starts_with("tests/engine/oci_spec");
    for (name, _) in tests.iter().filter(|(_, file)| of_it(file)) {
        if !named.contains(name.as_str()) {
            let _ = writeln!(wrong, "no line names {name}");
        }
    }
    for sum in [
        format!("**{all}** of them"),
        format!("**{held}** are for"),
        format!("**{}** tests", holding.len()),
    ] {
        if !text.contains(&sum) {
            let _ = writeln!(wrong, "the text should say {sum:?}");
        }
    }
    assert!(wrong.is_empty(), "docs/runtime-spec.md:\n{wrong}");
}

/// `docs/docker-surface.md`: every test that a line names is there, a command that is there is a verb and one that is not
/// is none, and the numbers at the top are the sums.
#[test]
fn dockers_command_line_is_held_by_tests_that_there_are() {
    let text = fs::read_to_string(root().join("docs/docker-surface.md")).unwrap();
    let tests = tests();
    let quoted = |cell: &str| -> Vec<String> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let is_verb = |name: &str| {
        let words: Vec<&str> = name.split(' ').collect();
        wharf::cli::verb::find(&words).is_some()
    };
    let mut sums: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut wrong = String::new();
    for (heading, cells) in table_lines(&text) {
        if heading == "Commands that are not there" {
            for name in quoted(cells[1]) {
                *sums.entry(("Commands", "no")).or_default() += 1;
                if is_verb(&name) {
                    let _ = writeln!(wrong, "{name} is there");
                }
            }
            continue;
        }
        let [what, there, _missing, held] = cells[..] else {
            panic!("{heading}: {cells:?}")
        };
        *sums.entry((heading, there)).or_default() += 1;
        if heading == "Commands" && !quoted(what).iter().all(|name| is_verb(name)) {
            let _ = writeln!(wrong, "{what} is not there");
        }
        let names = quoted(held);
        if names.is_empty() && there != "no" {
            let _ = writeln!(wrong, "{what}: no test");
        }
        for name in names.iter().filter(|name| !tests.contains_key(*name)) {
            let _ = writeln!(wrong, "{what}: there is no test {name}");
        }
    }
    let sum = |heading: &str, there: &str| -> usize {
        let fits = |key: &(&str, &str)| key.0.starts_with(heading) && key.1 == there;
        sums.iter()
            .filter(|(key, _)| fits(key))
            .map(|(_, n)| n)
            .sum()
    };
    for (heading, noun) in [("Commands", "commands"), ("Grammars", "grammars")] {
        let [yes, part, no] = ["yes", "part", "no"].map(|there| sum(heading, there));
        let line = format!(
            "Of **{}** {noun} **{yes}** are there, **{part}** in part, **{no}** not.",
            yes + part + no
        );
        if !text.contains(&line) {
            let _ = writeln!(wrong, "the text should say {line:?}");
        }
    }
    assert!(wrong.is_empty(), "docs/docker-surface.md:\n{wrong}");
}

/// The list of what others test of networks, in `docs/networks.md`: every test that it names is there.
#[test]
fn what_others_test_of_networks_is_held_by_tests_that_there_are() {
    let text = fs::read_to_string(root().join("docs/networks.md")).unwrap();
    let tests = tests();
    let mut wrong = String::new();
    let mut named = 0;
    let rows = table_lines(&text).into_iter();
    for (_, cells) in rows.filter(|(heading, _)| heading.starts_with("What others test")) {
        let [what, _theirs, here] = cells[..] else {
            panic!("{cells:?}")
        };
        let names = here.split('`').skip(1).step_by(2);
        // Files have dots.
        for name in names.filter(|name| !name.contains('.')) {
            named += 1;
            if !tests.contains_key(name) {
                let _ = writeln!(wrong, "{what}: there is no test {name}");
            }
        }
    }
    assert!(wrong.is_empty(), "docs/networks.md:\n{wrong}");
    assert!(named > 40, "{named}");
}

/// The lines of a document's tables below their heads, each with the heading before it and its cells.
fn table_lines(text: &str) -> Vec<(&str, Vec<&str>)> {
    let (mut heading, mut is_head) = ("", true);
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            (heading, is_head) = (name, true);
        } else if line.starts_with("|---") {
            is_head = false;
        } else if let Some(inner) = line.strip_prefix('|').filter(|_| !is_head) {
            let inner = inner.trim_end().trim_end_matches('|');
            found.push((heading, inner.split('|').map(str::trim).collect()));
        }
    }
    found
}

/// Every test by its name, with its file.
fn tests() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for (file, text) in texts(&["rs"]) {
        let mut awaited = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" {
                awaited = true;
            } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| awaited) {
                awaited = false;
                let name = rest.split('(').next().unwrap_or_default();
                found.insert(name.to_owned(), file.clone());
            }
        }
    }
    found
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut names: Vec<String> = fs::read_dir(root().join("docs/adr"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("{number:04}-")), "{name}");
    }
}

/// docs/security.md says which test shows what.
#[test]
fn tests_that_the_list_of_escapes_names_exist_and_those_named_after_one_stand_there() {
    let document = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let is_name = |text: &&str| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.matches('_').count() > 1 && text.chars().all(word)
    };
    let named: HashSet<&str> = document.split('`').filter(is_name).collect();
    let sources = texts(&["rs"]);
    let defined: HashSet<&str> = sources
        .iter()
        .flat_map(|(_, text)| text.split("fn ").skip(1))
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
        .collect();
    let mut wrong = String::new();
    for name in named.difference(&defined) {
        let _ = writeln!(wrong, "no test is called {name}");
    }
    let after_one = defined.iter().filter(|name| name.starts_with("cve_"));
    for name in after_one.filter(|name| !named.contains(*name)) {
        let _ = writeln!(wrong, "docs/security.md does not name {name}");
    }
    // The last column is a test, or the reason why there is none.
    let rows = document.lines().filter(|line| line.starts_with("| 2"));
    for row in rows.filter(|row| row.contains("20") && row.contains('-')) {
        let last = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default()
            .trim();
        let is_reason = ["later: ", "does not apply: "]
            .iter()
            .any(|word| last.starts_with(word));
        if !is_reason && !last.starts_with('`') {
            let _ = writeln!(wrong, "neither test nor reason: {row}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// `deny.toml` says which licences and sources are welcome; cargo-deny checks more, but is not on every machine.
#[test]
fn dependencies_have_licences_and_sources_that_are_welcome() {
    let deny: toml::Table = fs::read_to_string(root().join("deny.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let allowed: HashSet<&str> = deny["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|licence| licence.as_str().unwrap())
        .collect();
    let registry = deny["sources"]["allow-registry"][0].as_str().unwrap();
    let mut wrong = String::new();
    for (name, licence) in dependencies() {
        if !is_allowed(&licence, &allowed) {
            let _ = writeln!(wrong, "{name}: licence {licence:?}");
        }
    }
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let welcome = format!("source = \"registry+{registry}\"");
    for line in lock.lines().filter(|line| line.starts_with("source = ")) {
        if line != welcome {
            let _ = writeln!(wrong, "{line}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_licence_expression_needs_one_of_its_choices_and_all_of_its_parts() {
    let allowed = HashSet::from(["MIT", "ISC", "Unicode-3.0"]);
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "(GPL-3.0 OR MIT) AND Unicode-3.0",
        "MIT AND ISC",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(GPL-3.0 OR LGPL-2.1) AND MIT",
        "none",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

/// SPDX expressions as they occur: `OR` (also `/`), `AND`, one level of parentheses around an `OR`.
fn is_allowed(expression: &str, allowed: &HashSet<&str>) -> bool {
    let one = |part: &str| allowed.contains(part.trim().trim_matches(['(', ')']));
    if expression.contains('(') {
        return expression
            .split(" AND ")
            .all(|part| part.split(" OR ").any(one));
    }
    expression
        .replace('/', " OR ")
        .split(" OR ")
        .any(|part| part.split(" AND ").all(one))
}

/// What the program for this machine is made of, tests and build tools included: package and licence.
fn dependencies() -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix=none"])
        .args(["--edges=normal,build,dev", "--format={p}\t{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let found: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'))
        .collect();
    found
        .into_iter()
        .map(|(name, licence)| (name.to_owned(), licence.to_owned()))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files of the package with one of these extensions, by path from its root.
fn texts(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if name != "target" && name != ".git" && name != "fixtures" {
                    open.push(path);
                }
            } else if path
                .extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| extensions.contains(&e))
            {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}
