//! Go's text/template, as far as `--format` needs it, over JSON values: fields, pipelines, variables, `if`, `with`, `range`,
//! and the functions that Docker adds (docker/cli, `templates`). Not there: `define`, `template`, `block`.

mod functions;
mod lex;
mod parse;
mod print;
mod run;
mod types;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use lex::lex;
use parse::{Node, asked, parse};
use run::run;
use types::{GO_NAMES, Val};

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    source: Vec<char>,
    nodes: Vec<Node>,
    /// See [`Self::asks`]; `None` for all.
    asked: Option<BTreeSet<String>>,
}

/// What is wrong with a template, or with this template for this value; the text has line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: template: :{line}:{column}: {message}")]
pub struct TemplateError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// An error and the character at which it is.
type Fault = (usize, String);
type Eval<T> = Result<T, Fault>;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first thing that is wrong, with its position.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let chars: Vec<char> = source.chars().collect();
        match lex(&chars).and_then(|items| parse(items, chars.len())) {
            Ok(nodes) => Ok(Self {
                source: chars,
                asked: asked(&nodes),
                nodes,
            }),
            Err(fault) => Err(located(&chars, fault)),
        }
    }

    /// Whether it may take the field of this name from the value that it is filled in with. Only a template that names the fields
    /// that it takes, and never uses a value as a whole, can do without the others.
    #[must_use]
    pub fn asks(&self, name: &str) -> bool {
        self.asked.as_ref().is_none_or(|asked| {
            let other = |(go, json): &&(&str, &str)| *json == name && asked.contains(*go);
            asked.contains(name) || GO_NAMES.iter().any(|pair| other(&pair))
        })
    }

    /// Fills it in. `methods` holds what may be asked of the top value beside its fields: a map there is asked with an
    /// argument (`.Label "key"`).
    ///
    /// # Errors
    /// A field that is not there, a function that cannot take its arguments.
    pub fn execute(
        &self,
        value: Value,
        methods: &Map<String, Value>,
    ) -> Result<String, TemplateError> {
        let root = Val {
            is_root: true,
            ..value.into()
        };
        run(&self.nodes, &root, methods).map_err(|fault| located(&self.source, fault))
    }
}

fn located(source: &[char], (at, message): Fault) -> TemplateError {
    let before = source.get(..at.min(source.len())).unwrap_or_default();
    let line = before.iter().filter(|c| **c == '\n').count() + 1;
    let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
    TemplateError {
        line,
        column,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::print::printf;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn row() -> Value {
        json!({
            "ID": "4bf0a1c2d3e4", "Names": "web", "Size": 12, "Ratio": 0.5, "On": true, "Off": false,
            "Empty": "", "List": ["a", "b", "c"], "None": null,
            "Labels": {"com.x": "1", "b": "2"},
            "State": {"Status": "running", "Pid": 42, "Health": {"Log": []}},
            "Mounts": [{"Source": "/a", "RW": true}, {"Source": "/b", "RW": false}],
        })
    }

    fn fill(template: &str) -> Result<String, String> {
        let mut methods = Map::new();
        methods.insert("Label".to_owned(), json!({"com.x": "1"}));
        Template::parse(template)
            .and_then(|t| t.execute(row(), &methods))
            .map_err(|e| format!("{}:{}: {}", e.line, e.column, e.message))
    }

    #[track_caller]
    fn gives(template: &str, text: &str) {
        assert_eq!(fill(template).as_deref(), Ok(text), "{template}");
    }

    #[track_caller]
    fn refuses(template: &str, message: &str) {
        assert_eq!(fill(template), Err(message.to_owned()), "{template}");
    }

    #[test]
    fn a_template_asks_for_what_it_names_or_for_everything() {
        for (text, asked) in [
            ("{{.ID}}\t{{.Names | upper}}", &["ID", "Id", "Names"][..]),
            (
                "{{if .On}}{{$.State.Status}}{{else}}{{.Size}}{{end}}",
                &["On", "State", "Status", "Size"],
            ),
            ("{{range $n, $v := .List}}{{$n}}{{$v}}{{end}}", &["List"]),
            ("{{printf \"%s\" (.Label \"ID\")}}", &["Label"]),
            (
                "{{with .ID}}{{.}}{{end}}{{range .List}}{{.}}{{end}}",
                &["ID", "Id", "List"],
            ),
            ("text", &[]),
        ] {
            let template = Template::parse(text).unwrap();
            for name in [
                "ID", "Id", "Names", "On", "State", "Status", "Size", "List", "Label",
            ] {
                assert_eq!(template.asks(name), asked.contains(&name), "{text}: {name}");
            }
        }
        for text in [
            "{{json .}}",
            "{{.}}",
            "{{$x := .}}{{$x.ID}}",
            "{{json $}}",
            "{{index . \"ID\"}}",
            "{{range .List}}{{$}}{{end}}",
            "{{range .List}}{{else}}{{.}}{{end}}",
            "{{with .ID}}{{else}}{{.}}{{end}}",
            "{{if .ID}}{{.}}{{end}}",
            "{{range $}}{{.}}{{end}}",
            "{{with $}}{{.ID}}{{end}}",
            "{{if (and . true)}}{{end}}",
        ] {
            assert!(Template::parse(text).unwrap().asks("Anything"), "{text}");
        }
    }

    #[test]
    fn fields_literals_and_pipelines_are_filled_in() {
        gives("{{.ID}}: {{.Names}}", "4bf0a1c2d3e4: web");
        gives("{{ .State.Status }}/{{.State.Pid}}", "running/42");
        gives("{{.Names | upper | printf \"%5s|\"}}", "  WEB|");
        gives("{{json .List}}", "[\"a\",\"b\",\"c\"]");
        gives("{{.List}} {{.Labels}}", "[a b c] map[b:2 com.x:1]");
        gives(
            "{{\"a\\tb\"}}{{`\\n`}}{{3}}{{1.5}}{{true}}",
            "a\tb\\n31.5true",
        );
        gives("{{.None}}", "<no value>");
        gives("{{(index .Mounts 0).Source}}", "/a");
        gives("{{$.State}}{{/* nothing */}}", "{running 42 {[]}}");
    }

    /// Docker fills in its types, which know of more than their JSON shows.
    #[test]
    fn what_json_leaves_out_or_calls_null_reads_as_in_dockers_types() {
        let object = serde_json::json!({
            "Id": "sha256:1",
            "Config": {"Cmd": null, "Volumes": null, "Labels": null, "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}},
            "HostConfig": {"CpuShares": 2, "PidsLimit": null, "DeviceRequests": null, "Dns": null},
            "Mounts": [{"Type": "bind", "Destination": "/a"}],
            "State": {"Healthcheck": {"Test": ["CMD", "true"], "Timeout": 90_000_000_000_i64}},
            "NetworkSettings": {"Ports": {
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
                "443/tcp": null,
            }},
        });
        let check = |template: &str, expected: &str| {
            let filled = Template::parse(template)
                .and_then(|template| template.execute(object.clone(), &Map::new()));
            assert_eq!(filled.as_deref(), Ok(expected), "{template}");
        };
        check("{{.ID}} {{.Id}}", "sha256:1 sha256:1");
        check("{{.Config.Cmd}} {{.Config.Volumes}}", "[] map[]");
        check("{{.Config}}", "{[] map[] map[] [A=b] map[80/tcp:{}]}");
        check("{{.Config.ExposedPorts}}", "map[80/tcp:{}]");
        check(
            "{{.NetworkSettings.Ports}}",
            "map[443/tcp:[] 80/tcp:[{0.0.0.0 8080}]]",
        );
        check("{{.SizeRw}} {{.SizeRootFs}}", "<nil> <nil>");
        check("{{.HostConfig.CPUShares}} {{.HostConfig.CpuShares}}", "2 2");
        check("{{with index .Mounts 0}}{{.Name}}-{{.Driver}}{{end}}", "-");
        check(
            "{{with .State.Healthcheck}}{{.Timeout}} {{.Interval}} {{.Retries}} {{json .Timeout}}{{end}}",
            "1m30s 0s 0 90000000000",
        );
        check("{{.State.Healthcheck}}", "{[CMD true] 1m30s}");
        check(
            "{{with .HostConfig}}{{.PidsLimit}} {{.Init}} {{.DeviceRequests}} {{.DNS}} {{.Sysctls}}{{end}}",
            "<nil> <nil> [] [] map[]",
        );
        check(
            "{{.Config.Labels.x}}, {{index .Config.Labels \"x\"}}, {{index .HostConfig.Tmpfs \"/x\"}}",
            "<no value>, , ",
        );
        check("{{json .Config.Cmd}}", "null");
        check("{{len .Config.Cmd}}{{range .Config.Cmd}}x{{end}}", "0");
        check("{{.Config.Healthcheck}}", "<nil>");
        check("{{if .Config.Healthcheck}}y{{else}}n{{end}}", "n");
        check("{{.Config.Shell}}{{.Config.StopSignal}}", "[]");
        assert!(
            Template::parse("{{.Config.Healthcheck.Test}}")
                .and_then(|template| template.execute(object.clone(), &Map::new()))
                .is_err()
        );
    }

    #[test]
    fn white_space_is_trimmed_where_a_dash_says_so() {
        gives("a  {{- .Names -}}  b", "awebb");
        gives("a\n{{- /* c */ -}}\nb", "ab");
        gives("{{-1}}", "-1");
    }

    #[test]
    fn conditions_choose_and_loops_repeat() {
        gives("{{if .On}}a{{else}}b{{end}}", "a");
        gives("{{if .Off}}a{{else if .Empty}}b{{else}}c{{end}}", "c");
        gives("{{if and .On (eq .Names \"web\") (not .Off)}}y{{end}}", "y");
        gives("{{if or .Off .Empty}}y{{else}}n{{end}}", "n");
        gives("{{with .State}}{{.Pid}}{{end}}", "42");
        gives("{{with .Empty}}x{{else}}none{{end}}", "none");
        gives("{{range .Mounts}}{{.Source}};{{end}}", "/a;/b;");
        gives(
            "{{range $i, $e := .List}}{{$i}}={{$e}} {{end}}",
            "0=a 1=b 2=c ",
        );
        gives(
            "{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}",
            "b=2 com.x=1 ",
        );
        gives("{{range .State.Health.Log}}x{{else}}empty{{end}}", "empty");
        gives(
            "{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}",
            "ac",
        );
        gives(
            "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}",
            "a",
        );
        gives("{{$x := .Names}}{{$x = upper $x}}{{$x}}", "WEB");
        gives("{{range .Mounts}}{{$.Names}}{{end}}", "webweb");
    }

    #[test]
    fn functions_are_gos_and_dockers() {
        gives("{{len .List}}{{len .Names}}{{len .Labels}}", "332");
        gives(
            "{{index .Labels \"com.x\"}}{{index .List 2}}{{index .Labels \"no\"}}",
            "1c",
        );
        gives("{{.Labels.nosuch}}", "<no value>");
        gives("{{.Label \"com.x\"}}{{.Label \"no\"}}", "1");
        gives("{{join .List \"/\"}}", "a/b/c");
        gives("{{json (split \"a,b\" \",\")}}", "[\"a\",\"b\"]");
        gives("{{title \"hello big world\"}}", "Hello Big World");
        gives(
            "{{pad .Names 1 2}}|{{pad \"\" 3 3}}|{{truncate .ID 4}}",
            " web  ||4bf0",
        );
        gives(
            "{{printf \"%-5s|%03d|%q|%v|%.1f%%\" .Names 7 \"x\" .On .Ratio}}",
            "web  |007|\"x\"|true|0.5%",
        );
        gives("{{println .Names 3}}", "web 3\n");
        gives("{{print 1 2 \"x\" 3}}", "1 2x3");
        gives("{{slice .ID 0 3}}{{slice .List 1}}", "4bf[b c]");
        gives(
            "{{eq .Size 12}}{{ne .Size 12}}{{lt 1 2}}{{le 2 2}}{{gt .Size 11.5}}{{ge 1 2}}",
            "truefalsetruetruetruefalse",
        );
        gives("{{eq .Names \"a\" \"web\"}}", "true");
        gives("{{html \"<a>\"}}{{urlquery \"a b&\"}}", "&lt;a&gt;a+b%26");
        gives("{{json .None}}", "null");
    }

    #[test]
    fn an_error_says_where_it_is() {
        refuses("{{.ID", "1:1: unclosed action");
        refuses(
            "x\n {{.Nosuch}}",
            "2:4: map has no entry for key \"Nosuch\"",
        );
        refuses(
            "{{.State.Nosuch}}",
            "1:3: map has no entry for key \"Nosuch\"",
        );
        refuses("{{nosuch .ID}}", "1:3: function \"nosuch\" not defined");
        refuses("{{if .On}}x", "1:1: unclosed {{if}}: missing {{end}}");
        refuses("{{end}}", "1:1: unexpected {{end}}");
        refuses("{{else}}", "1:1: unexpected {{else}}");
        refuses("{{$x}}", "1:3: undefined variable \"$x\"");
        refuses("{{\"abc}}", "1:3: unterminated quoted string");
        refuses("{{}}", "1:3: missing value for command");
        refuses("{{.ID | }}", "1:9: missing value after |");
        refuses("{{(.ID}}", "1:3: unclosed left paren");
        refuses(
            "{{lower 3}}",
            "1:3: error calling lower: wrong type for value; expected string; got 3",
        );
        refuses(
            "{{eq 1 \"a\"}}",
            "1:3: error calling eq: incompatible types for comparison",
        );
        refuses("{{template \"x\"}}", "1:1: {{template}} is not supported");
        refuses("{{break}}", "1:1: {{break}} outside {{range}}");
        refuses(
            "{{.ID.Foo}}",
            "1:3: can't evaluate field Foo in 4bf0a1c2d3e4",
        );
        refuses(
            "{{.ID \"x\"}}",
            "1:3: ID has arguments but cannot be invoked as function",
        );
        refuses(
            &format!(
                "{}1{}",
                "{{".to_owned() + &"(".repeat(100),
                ")".repeat(100) + "}}"
            ),
            "1:66: nested too deeply",
        );
    }

    proptest! {
        #[test]
        fn any_text_is_filled_in_or_refused_without_a_panic(text in "(\\{\\{|\\}\\}|[ -~]|\\.ID|\\.List|range |if |end|else|with |\\$x|:=|index |printf |\"|\n|é){0,40}") {
            let _ = fill(&text);
        }

        #[test]
        fn text_without_braces_is_left_alone(text in "[^{]{0,40}") {
            prop_assert_eq!(fill(&text), Ok(text));
        }

        #[test]
        fn printf_takes_any_format(format in "[ -~]{0,12}") {
            let _ = printf(&format, &[&json!("x"), &json!(3), &json!(null)]);
        }
    }
}
