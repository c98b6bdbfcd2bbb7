//! What engines write into a `config.json`, and runc reads, that the types of `oci-spec` do not: capabilities of later
//! kernels, names that those types spell differently, empty texts that mean "none".

use std::collections::BTreeSet;

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde_json::{Map, Value};

use super::caps;

/// A document in words that the types know, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// The document.
    pub content: Vec<u8>,
    /// What is to be told to the user.
    pub warnings: Vec<String>,
}

/// What a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// A container: `config.json`.
    Container,
    /// A process: what `exec --process` reads.
    Process,
}

/// Names of scheduler flags: as the specification has them, and as `oci-spec` reads them.
const SCHEDULER_FLAGS: &[(&str, &str)] = &[
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

/// Translates a document that could not be read. `None`: there is nothing in it to translate.
#[must_use]
pub fn translate(content: &[u8], kind: Document) -> Option<Translated> {
    let mut document: Value = serde_json::from_slice(content).ok()?;
    let before = document.clone();
    let process = match kind {
        Document::Container => document.get_mut("process"),
        Document::Process => Some(&mut document),
    };
    let mut warnings = Vec::new();
    if let Some(process) = process.and_then(Value::as_object_mut) {
        translate_process(process, &mut warnings);
    }
    let content = serde_json::to_vec(&document).ok()?;
    (document != before).then_some(Translated { content, warnings })
}

/// Whether a document that can be read names capabilities otherwise than the specification does: the types also take
/// `KILL` and `cap_kill`, which runc leaves out.
#[must_use]
pub fn has_other_names(content: &[u8], kind: Document) -> bool {
    let process = match kind {
        Document::Container => serde_json::from_slice::<NamedContainer>(content)
            .ok()
            .and_then(|container| container.process),
        Document::Process => serde_json::from_slice(content).ok(),
    };
    let sets = process.and_then(|process: NamedProcess| process.capabilities);
    let lists = sets
        .iter()
        .flat_map(Map::values)
        .filter_map(Value::as_array);
    let mut names = lists.flatten().filter_map(Value::as_str);
    names.any(|name| caps::by_name(name).is_none())
}

/// As much of a configuration as [`has_other_names`] looks at.
#[derive(serde::Deserialize)]
struct NamedContainer {
    process: Option<NamedProcess>,
}

#[derive(serde::Deserialize)]
struct NamedProcess {
    capabilities: Option<Map<String, Value>>,
}

/// Takes out what means nothing on Linux, and empty texts that mean "none". To be done with every document that was read;
/// `content` is its text.
pub fn tidy(spec: &mut Spec, content: &[u8]) {
    if let Some(process) = spec.process_mut() {
        tidy_process(process);
    }
    let linux = spec.linux_mut().as_mut();
    if let Some(resources) = linux.and_then(|linux| linux.resources_mut().as_mut()) {
        tidy_resources(resources, content, "/linux/resources");
    }
    let linux = spec.linux_mut().as_mut();
    let Some(namespaces) = linux.and_then(|linux| linux.namespaces_mut().as_mut()) else {
        return;
    };
    for namespace in namespaces {
        let is_empty = |path: &std::path::PathBuf| path.as_os_str().is_empty();
        if namespace.path().as_ref().is_some_and(is_empty) {
            namespace.set_path(None);
        }
    }
}

/// The same for a process. A user's name is for Windows (runtime-spec, "Windows process"); the engine's own
/// specifications use that field for what is to be looked up in the image.
pub fn tidy_process(process: &mut Process) {
    process.user_mut().set_username(None);
}

/// Takes out a limit of tasks that is left out: the types read `{"pids": {}}` as a limit of 0. The resources stand at
/// `place`, a JSON pointer, in a document's text.
pub fn tidy_resources(resources: &mut LinuxResources, content: &[u8], place: &str) {
    let is_zero = resources
        .pids()
        .as_ref()
        .is_some_and(|pids| pids.limit() == 0);
    // The text is walked again only then.
    if is_zero {
        let document: Option<Value> = serde_json::from_slice(content).ok();
        let limit = document
            .as_ref()
            .and_then(|document| document.pointer(&format!("{place}/pids/limit")));
        if limit.is_none_or(Value::is_null) {
            resources.set_pids(None);
        }
    }
}

/// What is understood and changes nothing.
#[must_use]
pub fn ignored(spec: &Spec) -> Vec<String> {
    let linux = spec.linux().as_ref();
    let personality = linux.and_then(|linux| linux.personality().as_ref());
    let flags = personality.and_then(|personality| personality.flags().as_ref());
    flags
        .filter(|flags| !flags.is_empty())
        .map(|flags| {
            format!(
                "ignoring unsupported personality flags: {}",
                flags.join(" ")
            )
        })
        .into_iter()
        .collect()
}

fn translate_process(process: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    process
        .entry("user")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(Value::Object(sets)) = process.get_mut("capabilities") {
        let unknown = drop_unknown(sets);
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.into_iter().collect();
            warnings.push(format!(
                "ignoring unknown or unavailable capabilities: [{}]",
                names.join(" ")
            ));
        }
    }
    if let Some(Value::Array(flags)) = process
        .get_mut("scheduler")
        .and_then(|s| s.get_mut("flags"))
    {
        for flag in flags {
            let known = SCHEDULER_FLAGS.iter().find(|(name, _)| *flag == **name);
            if let Some((_, name)) = known {
                *flag = Value::from(*name);
            }
        }
    }
    if let Some(Value::Object(affinity)) = process.get_mut("execCPUAffinity") {
        for list in affinity.values_mut() {
            if let Some(text) = list.as_str() {
                *list = plain_list(text);
            }
        }
    }
}

/// Takes the names that are no capability's out of all sets.
fn drop_unknown(sets: &mut Map<String, Value>) -> BTreeSet<String> {
    let mut unknown = BTreeSet::new();
    let lists = sets.values_mut().filter_map(Value::as_array_mut);
    for list in lists {
        list.retain(|name| {
            match name.as_str() {
                Some(text) if caps::by_name(text).is_none() => {
                    unknown.insert(text.to_owned());
                    false
                }
                // What is no text stays, and is complained of.
                _ => true,
            }
        });
    }
    unknown
}

/// Without blanks and superfluous commas; nothing if nothing is left.
fn plain_list(text: &str) -> Value {
    let parts: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() {
        Value::Null
    } else {
        Value::from(parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a process after translation.
    fn process(json: &str) -> (Process, Vec<String>) {
        assert!(serde_json::from_str::<Process>(json).is_err(), "{json}");
        let translated =
            translate(json.as_bytes(), Document::Process).expect("something to translate");
        let process = serde_json::from_slice(&translated.content).unwrap();
        (process, translated.warnings)
    }

    #[test]
    fn unknown_capabilities_are_left_out_with_a_warning() {
        let (process, warnings) = process(
            r#"{"cwd":"/","user":{},"capabilities":{"bounding":["CAP_KILL","CAP_NEW"],"ambient":["X","CAP_NEW"]}}"#,
        );
        let sets = process.capabilities().as_ref().unwrap();
        assert_eq!(sets.bounding().as_ref().unwrap().len(), 1);
        assert_eq!(sets.ambient().as_ref().unwrap().len(), 0);
        let text = "ignoring unknown or unavailable capabilities: [CAP_NEW X]";
        assert_eq!(warnings, [text]);
    }

    #[test]
    fn a_capability_has_the_name_that_the_specification_has() {
        let json = |name: &str| {
            let sets = format!(r#""capabilities":{{"bounding":["CAP_CHOWN","{name}"]}}"#);
            let process = format!(r#"{{"cwd":"/","user":{{}},{sets}}}"#);
            (format!(r#"{{"process":{process}}}"#), process)
        };
        for (name, other) in [
            ("CAP_KILL", false),
            ("KILL", true),
            ("cap_kill", true),
            ("CAP_kill", true),
            ("CAP_CAP_KILL", true),
            ("CAP_NEW", true),
        ] {
            let (container, process) = json(name);
            for (text, kind) in [
                (container, Document::Container),
                (process, Document::Process),
            ] {
                assert_eq!(has_other_names(text.as_bytes(), kind), other, "{text}");
                let left = translate(text.as_bytes(), kind).map(|done| done.warnings);
                let warning = format!("ignoring unknown or unavailable capabilities: [{name}]");
                let told = left.filter(|_| other);
                assert_eq!(told, other.then(|| vec![warning]), "{text}");
            }
        }
    }

    #[test]
    fn every_scheduler_flag_of_the_specification_is_read() {
        for flag in [
            "RESET_ON_FORK",
            "RECLAIM",
            "DL_OVERRUN",
            "KEEP_POLICY",
            "KEEP_PARAMS",
            "UTIL_CLAMP_MIN",
            "UTIL_CLAMP_MAX",
        ] {
            let json = format!(
                r#"{{"cwd":"/","scheduler":{{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_{flag}"]}}}}"#
            );
            let (process, warnings) = process(&json);
            let flags = process.scheduler().as_ref().unwrap().flags();
            assert_eq!(flags.as_ref().unwrap().len(), 1, "{flag}");
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn an_affinity_may_have_blanks_or_be_empty() {
        let (process, _) =
            process(r#"{"cwd":"/","execCPUAffinity":{"initial":"","final":" 0-1, 3,"}}"#);
        let affinity = process.exec_cpu_affinity().as_ref().unwrap();
        assert_eq!(affinity.initial(), &None);
        assert_eq!(affinity.cpu_affinity_final().as_deref(), Some("0-1,3"));
    }

    #[test]
    fn what_is_wrong_otherwise_stays_wrong() {
        let affinity = br#"{"process":{"user":{},"execCPUAffinity":{"final":"x"}}}"#;
        assert_eq!(translate(affinity, Document::Container), None);
        assert_eq!(translate(b"{", Document::Container), None);
        assert_eq!(translate(b"7", Document::Process), None);
        let number = br#"{"user":{},"capabilities":{"bounding":[1]}}"#;
        assert_eq!(translate(number, Document::Process), None);
    }

    #[test]
    fn flags_of_a_personality_are_said_to_mean_nothing() {
        let read = |flags: &str| {
            let json = format!(
                r#"{{"ociVersion":"1.2.0","linux":{{"personality":{{"domain":"LINUX","flags":{flags}}}}}}}"#
            );
            ignored(&serde_json::from_str(&json).unwrap())
        };
        assert_eq!(read("[]"), [""; 0]);
        assert_eq!(
            read(r#"["A","B"]"#),
            ["ignoring unsupported personality flags: A B"]
        );
    }

    #[test]
    fn empty_paths_and_names_of_users_are_none() {
        let json = r#"{"ociVersion":"1.2.0","process":{"cwd":"/","user":{"username":"x"}},
            "linux":{"namespaces":[{"type":"pid","path":""},{"type":"uts","path":"/x"}]}}"#;
        let mut spec: Spec = serde_json::from_str(json).unwrap();
        tidy(&mut spec, json.as_bytes());
        assert_eq!(spec.process().as_ref().unwrap().user().username(), &None);
        let linux = spec.linux().as_ref().unwrap();
        let paths = linux
            .namespaces()
            .iter()
            .flatten()
            .map(|n| n.path().clone());
        assert_eq!(paths.collect::<Vec<_>>(), [None, Some("/x".into())]);
    }

    #[test]
    fn a_limit_of_tasks_that_is_left_out_is_none() {
        for (pids, limit) in [("{}", None), (r#"{"limit":0}"#, Some(0))] {
            let json =
                format!(r#"{{"ociVersion":"1.2.0","linux":{{"resources":{{"pids":{pids}}}}}}}"#);
            let mut spec: Spec = serde_json::from_str(&json).unwrap();
            tidy(&mut spec, json.as_bytes());
            let linux = spec.linux().as_ref().unwrap();
            let pids = linux.resources().as_ref().unwrap().pids().as_ref();
            assert_eq!(
                pids.map(oci_spec::runtime::LinuxPids::limit),
                limit,
                "{json}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_translate_afterwards(
            caps in proptest::collection::vec("CAP_[A-Z]{1,4}|CAP_KILL", 0..4),
            list in "[0-9, -]{0,8}",
        ) {
            let document = serde_json::json!({
                "capabilities": { "bounding": caps },
                "execCPUAffinity": { "initial": list },
            });
            let content = serde_json::to_vec(&document).unwrap();
            let once = translate(&content, Document::Process).unwrap();
            prop_assert_eq!(translate(&once.content, Document::Process), None);
        }
    }
}
