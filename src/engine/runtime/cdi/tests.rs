//! Descriptions in, specifications out.

use std::fs;

use oci_spec::runtime::{LinuxDeviceType, Spec};
use serde_json::json;

use super::*;

fn wanted(names: &[&str]) -> DeviceRequest {
    DeviceRequest {
        driver: CDI.to_owned(),
        ids: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeviceRequest::default()
    }
}

/// A specification after injection, of files in two directories.
fn injected(
    files: &[(usize, &str, &str)],
    requests: &[DeviceRequest],
) -> std::result::Result<Spec, (String, String)> {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (number, name, content) in files {
        fs::write(dirs[*number].path().join(name), content).unwrap();
    }
    let json = json!({"ociVersion": "1.2.0", "linux": {},
        "process": {"cwd": "/", "user": {"uid": 0, "gid": 0, "username": "7:8"}, "env": ["A=0", "B=0"]}});
    let mut spec: Spec = serde_json::from_value(json).unwrap();
    let from: Vec<&Path> = dirs.iter().map(tempfile::TempDir::path).collect();
    match inject_from(&mut spec, requests, &from) {
        Ok(()) => Ok(spec),
        Err(error) => Err((
            error.to_string(),
            error.hint().unwrap_or_default().to_owned(),
        )),
    }
}

const YAML: &str = "cdiVersion: 0.7.0
kind: vendor.com/class
devices:
- name: one
  containerEdits:
    env: [ 'A=1' ]
    deviceNodes:
    - path: /dev/one
      hostPath: /dev/zero
      permissions: r
    - { path: /dev/pipe, type: p, fileMode: 384 }
    additionalGids: [ 5, 0, 5 ]
- name: two
  containerEdits:
    env:
    - A=2
    deviceNodes:
    - {path: /dev/two, type: c, major: 1, minor: 7, uid: 3, gid: 4}
containerEdits:
  env: [C=1]
  mounts:
  - hostPath: /usr/lib
    containerPath: /vendor/lib
    options: [ro, nosuid]
  hooks:
  - hookName: createContainer
    path: /bin/hook
    args: [hook, x]
    timeout: 5
  intelRdt:
    closID: c
";

#[test]
fn everything_that_comes_with_devices_is_in_the_specification() {
    let names = ["vendor.com/class=one", "vendor.com/class=two"];
    let spec = injected(&[(0, "a.yaml", YAML)], &[wanted(&names)]).unwrap();
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.env().as_ref().unwrap(), &["A=2", "B=0", "C=1"]);
    assert_eq!(process.user().additional_gids(), &Some(vec![5]));
    let linux = spec.linux().as_ref().unwrap();
    let nodes: Vec<_> = linux
        .devices()
        .iter()
        .flatten()
        .map(|d| {
            let path = d.path().display().to_string();
            (path, d.typ(), d.major(), d.minor(), d.uid(), d.gid())
        })
        .collect();
    let (c, p) = (LinuxDeviceType::C, LinuxDeviceType::P);
    assert_eq!(
        nodes,
        [
            ("/dev/one".to_owned(), c, 1, 5, Some(7), None),
            ("/dev/pipe".to_owned(), p, 0, 0, Some(7), None),
            ("/dev/two".to_owned(), c, 1, 7, Some(3), Some(4)),
        ]
    );
    let rules = linux
        .resources()
        .as_ref()
        .unwrap()
        .devices()
        .clone()
        .unwrap();
    let access: Vec<_> = rules
        .iter()
        .map(|rule| rule.access().clone().unwrap())
        .collect();
    assert_eq!(access, ["r", "rwm"]);
    assert_eq!(
        linux.intel_rdt().as_ref().unwrap().clos_id().as_deref(),
        Some("c")
    );
    let mounts = spec.mounts().as_ref().unwrap();
    // Once, though two devices of the file are there.
    assert_eq!(
        mounts
            .iter()
            .filter(|m| m.destination() == Path::new("/vendor/lib"))
            .count(),
        1
    );
    let hooks = spec
        .hooks()
        .as_ref()
        .unwrap()
        .create_container()
        .as_ref()
        .unwrap();
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0].timeout(), Some(5));
}

fn json_of(device: &str, value: &str) -> String {
    json!({"cdiVersion": "1.0.0", "kind": "v.com/c",
        "devices": [{"name": device, "containerEdits": {"env": [format!("A={value}")]}}]})
    .to_string()
}

#[test]
fn the_later_directory_counts_and_two_files_of_one_do_not() {
    let (low, high) = (json_of("x", "low"), json_of("x", "high"));
    let files = [(1, "b.json", high.as_str()), (0, "a.json", low.as_str())];
    let spec = injected(&files, &[wanted(&["v.com/c=x"])]).unwrap();
    let env = spec.process().as_ref().unwrap().env().clone().unwrap();
    assert_eq!(env[0], "A=high");
    let files = [(0, "a.json", low.as_str()), (0, "b.json", high.as_str())];
    let (error, _) = injected(&files, &[wanted(&["v.com/c=x"])]).unwrap_err();
    assert_eq!(
        error,
        "CDI device injection failed: unresolvable CDI devices v.com/c=x"
    );
}

#[test]
fn what_nobody_describes_is_named_with_the_files_that_were_left_out() {
    let good = json_of("x", "1");
    for (bad, why) in [
        ("{", "EOF"),
        (
            r#"{"cdiVersion":"9.0.0","kind":"v.com/c","devices":[{"name":"y"}]}"#,
            "9.0.0",
        ),
        (
            r#"{"cdiVersion":"0.5.0","kind":"v.com/c","devices":[]}"#,
            "no device",
        ),
        (
            r#"{"cdiVersion":"0.5.0","kind":"v","devices":[{"name":"y"}]}"#,
            "no name",
        ),
        (
            r#"{"cdiVersion":"0.5.0","kind":"v.com/c","devices":[{"name":"y"},{"name":"y"}]}"#,
            "twice",
        ),
        (
            r#"{"cdiVersion":"0.5.0","kind":"v.com/c","devices":[{"name":"y"}],"more":1}"#,
            "more",
        ),
        (
            r#"{"cdiVersion":"0.5.0","kind":"v.com/c","devices":[{"name":"y","containerEdits":{"hooks":[{"hookName":"x","path":"/a"}]}}]}"#,
            "hookName",
        ),
    ] {
        let files = [(0, "a.json", good.as_str()), (0, "b.json", bad)];
        let names = ["v.com/c=x", "v.com/c=y", "v.com/c=z"];
        let (error, hint) = injected(&files, &[wanted(&names)]).unwrap_err();
        assert_eq!(
            error,
            "CDI device injection failed: unresolvable CDI devices v.com/c=y, v.com/c=z"
        );
        assert!(hint.contains("b.json: ") && hint.contains(why), "{hint}");
    }
}

#[test]
fn graphics_processors_are_devices_of_their_vendor() {
    let gpus = |count: i64, ids: &[&str]| DeviceRequest {
        count,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        capabilities: vec!["gpu".to_owned()],
        ..DeviceRequest::default()
    };
    let described = json!({"cdiVersion": "0.5.0", "kind": GPU, "devices": [
        {"name": "all", "containerEdits": {"env": ["A=all"]}},
        {"name": "0", "containerEdits": {"env": ["A=0"]}},
        {"name": "1", "containerEdits": {"env": ["A=1"]}},
    ]})
    .to_string();
    let env = |request: DeviceRequest| {
        let spec = injected(&[(0, "n.json", &described)], &[request]).unwrap();
        spec.process().as_ref().unwrap().env().as_ref().unwrap()[0].clone()
    };
    assert_eq!(env(gpus(-1, &[])), "A=all");
    assert_eq!(env(gpus(2, &[])), "A=1");
    assert_eq!(env(gpus(0, &["0"])), "A=0");
    let (error, hint) = injected(&[], &[gpus(-1, &[])]).unwrap_err();
    assert_eq!(
        error,
        "could not select device driver \"\" with capabilities: [[gpu]]"
    );
    assert!(hint.contains("nvidia.com/gpu"), "{hint}");
    let other = DeviceRequest {
        driver: "x".to_owned(),
        ..gpus(1, &[])
    };
    let (error, _) = injected(&[(0, "n.json", &described)], &[other]).unwrap_err();
    assert_eq!(
        error,
        "could not select device driver \"x\" with capabilities: [[gpu]]"
    );
}
