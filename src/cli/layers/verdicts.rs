//! What rules say of an image, in the forms that pipelines read: lines, JSON, `JUnit`, SARIF, annotations of GitHub.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::VERSION;
use crate::engine::model::layers::Verdict;

/// A form by its name.
pub(super) type Form = fn(&str, &[Verdict]) -> String;

/// All forms, the usual one first.
const FORMS: &[(&str, Form)] = &[
    ("text", text),
    ("json", json),
    ("junit", junit),
    ("sarif", sarif),
    ("github", github),
];

/// The form of this name; without one the usual.
///
/// # Errors
/// One line that says which there are.
pub(super) fn form(name: Option<&str>) -> Result<Form, String> {
    let name = name.unwrap_or("text");
    let found = FORMS.iter().find(|(known, _)| *known == name);
    found.map(|(_, form)| *form).ok_or_else(|| {
        let names: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
        format!(
            "invalid value for --report: {name:?} is none of {}",
            names.join(", ")
        )
    })
}

fn text(_image: &str, verdicts: &[Verdict]) -> String {
    let line = |verdict: &Verdict| {
        let word = if verdict.passed { "PASS" } else { "FAIL" };
        format!("{word}  {}: {}\n", verdict.rule, verdict.found)
    };
    verdicts.iter().map(line).collect()
}

fn json(image: &str, verdicts: &[Verdict]) -> String {
    let all: Vec<Value> = verdicts
        .iter()
        .map(|one| json!({ "rule": one.rule, "passed": one.passed, "found": one.found }))
        .collect();
    let document = json!({
        "schemaVersion": 1,
        "image": image,
        "passed": verdicts.iter().all(|one| one.passed),
        "rules": all,
    });
    format!("{document:#}\n")
}

/// A `testsuite` of the form that Jenkins' and GitLab's readers take, a `testcase` for each rule.
fn junit(image: &str, verdicts: &[Verdict]) -> String {
    let failed = verdicts.iter().filter(|one| !one.passed).count();
    let image = xml(image);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"wharf layers {image}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">\n",
        verdicts.len()
    );
    for one in verdicts {
        let (rule, found) = (xml(one.rule), xml(&one.found));
        let case = format!("    <testcase classname=\"{image}\" name=\"{rule}\"");
        text += &case;
        text += &failure(one, &found);
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// The rest of a `testcase`.
fn failure(one: &Verdict, found: &str) -> String {
    if one.passed {
        return "/>\n".to_owned();
    }
    format!(">\n      <failure message=\"{found}\">{found}</failure>\n    </testcase>\n")
}

/// What XML 1.0 cannot hold is a question mark.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// SARIF 2.1.0: a result for each rule that failed.
fn sarif(image: &str, verdicts: &[Verdict]) -> String {
    let mut names: Vec<&str> = verdicts.iter().map(|one| one.rule).collect();
    names.dedup();
    let rules: Vec<Value> = names.iter().map(|name| json!({ "id": name })).collect();
    let results: Vec<Value> = verdicts
        .iter()
        .filter(|one| !one.passed)
        .map(|one| {
            json!({
                "ruleId": one.rule,
                "level": "error",
                "message": { "text": format!("{image}: {}", one.found) },
                "locations": [{
                    "physicalLocation": { "artifactLocation": { "uri": uri(image) } },
                    "logicalLocations": [{ "fullyQualifiedName": image, "kind": "resource" }],
                }],
            })
        })
        .collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "wharf", "version": VERSION, "rules": rules } },
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

/// A relative reference (RFC 3986) that reads as the text.
fn uri(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                escaped.push(char::from(byte));
            }
            byte => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// Workflow commands: an error for each rule that failed, a notice for each that was kept.
fn github(image: &str, verdicts: &[Verdict]) -> String {
    let line = |one: &Verdict| {
        let word = if one.passed { "notice" } else { "error" };
        let title = workflow(&format!("{image} {}", one.rule), ":,");
        format!("::{word} title={title}::{}\n", workflow(&one.found, ""))
    };
    verdicts.iter().map(line).collect()
}

fn workflow(text: &str, beside: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '\r' | '\n') || beside.contains(c) {
            let _ = write!(escaped, "%{:02X}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts() -> Vec<Verdict> {
        let one = |rule, passed, found: &str| Verdict {
            rule,
            passed,
            found: found.to_owned(),
        };
        vec![
            one("max-size", true, "5 bytes, at most 9 bytes"),
            one("forbid", false, "*.pem: /a\"<b>&\n\u{1}.pem"),
        ]
    }

    #[test]
    fn lines_are_one_for_each_rule() {
        let expected =
            "PASS  max-size: 5 bytes, at most 9 bytes\nFAIL  forbid: *.pem: /a\"<b>&\n\u{1}.pem\n";
        assert_eq!(text("a:1", &verdicts()), expected);
        let found: Value = serde_json::from_str(&json("a:1", &verdicts())).unwrap();
        assert_eq!(
            (&found["passed"], &found["rules"][1]["rule"]),
            (&json!(false), &json!("forbid"))
        );
    }

    #[test]
    fn junit_has_a_case_for_each_rule_and_is_well_formed() {
        let found = junit("a&b", &verdicts());
        assert!(found.contains("tests=\"2\" failures=\"1\""), "{found}");
        assert!(
            found.contains("<testcase classname=\"a&amp;b\" name=\"max-size\"/>"),
            "{found}"
        );
        assert!(
            found.contains("message=\"*.pem: /a&quot;&lt;b&gt;&amp;&#10;?.pem\""),
            "{found}"
        );
    }

    #[test]
    fn sarif_has_a_result_for_each_rule_that_failed() {
        let found: Value = serde_json::from_str(&sarif("host:5000/a b", &verdicts())).unwrap();
        let run = &found["runs"][0];
        assert_eq!(run["results"].as_array().unwrap().len(), 1);
        assert_eq!(run["results"][0]["ruleId"], "forbid");
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "host%3A5000/a%20b");
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "max-size");
    }

    #[test]
    fn annotations_are_one_line_each() {
        let expected = "::notice title=a%3A1 max-size::5 bytes, at most 9 bytes\n::error title=a%3A1 forbid::*.pem: /a\"<b>&%0A\u{1}.pem\n";
        assert_eq!(github("a:1", &verdicts()), expected);
    }

    #[test]
    fn a_form_is_one_of_a_list() {
        assert!(form(None).is_ok() && form(Some("sarif")).is_ok());
        let told = form(Some("xml")).unwrap_err();
        assert!(told.contains("text, json, junit, sarif, github"), "{told}");
    }
}
