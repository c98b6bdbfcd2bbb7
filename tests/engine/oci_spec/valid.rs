//! config.md, "Specification version", "Annotations", "Extensibility", "Valid values".

use serde_json::{Value, json};

use super::bundle::bundle;

#[test]
fn what_is_unknown_is_ignored() {
    let Some(mut b) = bundle("echo ran") else {
        return;
    };
    b.set("/nonsense", json!({"a": 1}));
    b.set("/process/nonsense", json!([1]));
    b.set("/linux/nonsense", json!("x"));
    b.set(
        "/annotations",
        json!({"org.opencontainers.image.nonsense": "x", "com.example.other": ""}),
    );
    assert_eq!(b.prints(), "ran");
}

#[test]
fn a_version_is_one_that_is_known() {
    let Some(mut b) = bundle("true") else { return };
    for version in ["nonsense", "2.0.0", "0.1.0"] {
        b.set("/ociVersion", json!(version));
        b.cannot_be_created("ociVersion");
    }
    for version in ["1.0.0", "1.0.2-dev", "1.1.0+build", "1.2.0", "1.2.1"] {
        b.set("/ociVersion", json!(version));
        assert_eq!(b.run().code, 0, "{version}");
    }
}

#[test]
fn annotations_are_strings_with_names() {
    let Some(mut b) = bundle("true") else { return };
    for annotations in [json!({"": "x"}), json!({"org.example": 1}), json!(["x"])] {
        b.set("/annotations", annotations);
        b.cannot_be_created("annotations");
    }
}

#[test]
fn a_value_that_cannot_be_is_an_error_with_its_field() {
    let cases: [(&str, Value, &str); 14] = [
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/cwd", json!(""), "process.cwd"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!("true"), "process.args"),
        (
            "/process/user",
            json!({"uid": -1, "gid": 0}),
            "process.user",
        ),
        (
            "/process/user",
            json!({"uid": 4_294_967_296_u64, "gid": 0}),
            "process.user",
        ),
        ("/process/oomScoreAdj", json!(2000), "oomScoreAdj"),
        ("/process/terminal", json!("yes"), "process.terminal"),
        ("/root", Value::Null, "root"),
        ("/root/readonly", json!("yes"), "root.readonly"),
        ("/mounts", json!({}), "mounts"),
        (
            "/mounts",
            json!([{"type": "tmpfs", "source": "tmpfs"}]),
            "mounts[0]",
        ),
        (
            "/linux/namespaces",
            json!([{"type": 1}]),
            "linux.namespaces[0]",
        ),
        (
            "/linux/rootfsPropagation",
            json!("nonsense"),
            "rootfsPropagation",
        ),
    ];
    for (pointer, value, field) in cases {
        let Some(mut b) = bundle("true") else { return };
        b.set(pointer, value);
        b.cannot_be_created(field);
    }
}
