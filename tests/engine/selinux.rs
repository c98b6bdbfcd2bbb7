//! SELinux without SELinux: what is accepted and has no effect on a host that has none, and how files get contexts. What a
//! policy does is asked in the machine of `scripts/vm-test-selinux`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use wharf::engine::runtime::relabel;
use wharf::engine::sys::selinux;

use crate::support::privileged;

const CONTEXT: &str = "system_u:object_r:container_file_t:s0";

/// A file's attribute, a link's own; any kernel keeps it.
fn context(path: &Path) -> Option<String> {
    let mut buffer = [0; 256];
    let length = rustix::fs::lgetxattr(path, selinux::ATTRIBUTE, &mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn a_tree_is_relabelled_and_no_link_of_it_followed() {
    let Some(host) = privileged() else { return };
    let (tree, outside) = (host.dir().join("tree"), host.dir().join("outside"));
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::create_dir_all(outside.join("dir")).unwrap();
    for file in [
        tree.join("file"),
        tree.join("a/b/file"),
        outside.join("file"),
        outside.join("dir/file"),
    ] {
        fs::write(file, "").unwrap();
    }
    symlink(outside.join("file"), tree.join("to-file")).unwrap();
    symlink(outside.join("dir"), tree.join("a/to-dir")).unwrap();
    symlink("../../outside", tree.join("a/up")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    // Through a link the user's own path may lead.
    let named = host.dir().join("named");
    symlink(&tree, &named).unwrap();
    relabel::source(&named, CONTEXT, &[]).unwrap();
    for inside in [
        "", "file", "a", "a/b", "a/b/file", "to-file", "a/to-dir", "a/up", "fifo",
    ] {
        assert_eq!(
            context(&tree.join(inside)).as_deref(),
            Some(CONTEXT),
            "{inside}"
        );
    }
    for left in [
        outside.join("file"),
        outside.join("dir"),
        outside.join("dir/file"),
        named,
    ] {
        assert_eq!(context(&left), None, "{}", left.display());
    }
    // What is right already is not touched.
    let changed = |path: &Path| {
        let of = path.metadata().unwrap();
        (of.ctime(), of.ctime_nsec())
    };
    let before = changed(&tree.join("a/b/file"));
    relabel::tree(&tree, CONTEXT).unwrap();
    assert_eq!(changed(&tree.join("a/b/file")), before);
    // What is done once is known by its top.
    fs::write(tree.join("a/new"), "").unwrap();
    relabel::tree_once(&tree, CONTEXT).unwrap();
    assert_eq!(context(&tree.join("a/new")), None);
    relabel::tree_once(&tree.join("a/new"), CONTEXT).unwrap();
    assert_eq!(context(&tree.join("a/new")).as_deref(), Some(CONTEXT));
    // A path of ours has no links at all.
    assert!(relabel::tree(&host.dir().join("named/a"), "u:object_r:t:s0").is_err());
    assert_eq!(context(&tree.join("a")).as_deref(), Some(CONTEXT));
}

#[test]
fn a_part_of_a_volume_is_relabelled_inside_of_it() {
    let Some(host) = privileged() else { return };
    let volume = host.dir().join("volume");
    fs::create_dir_all(volume.join("part/below")).unwrap();
    fs::create_dir_all(volume.join("other")).unwrap();
    fs::create_dir_all(host.dir().join("etc")).unwrap();
    symlink("/", volume.join("root")).unwrap();
    symlink("/../../etc", volume.join("out")).unwrap();
    relabel::inside(&volume, Path::new("part"), CONTEXT).unwrap();
    assert_eq!(
        context(&volume.join("part/below")).as_deref(),
        Some(CONTEXT)
    );
    assert_eq!(context(&volume), None);
    assert_eq!(context(&volume.join("other")), None);
    // An absolute link means the volume's own root.
    relabel::inside(&volume, Path::new("root/other"), CONTEXT).unwrap();
    assert_eq!(context(&volume.join("other")).as_deref(), Some(CONTEXT));
    assert!(relabel::inside(&volume, Path::new("out"), CONTEXT).is_err());
    assert_eq!(context(&host.dir().join("etc")), None);
}

#[test]
fn without_selinux_labels_are_checked_and_have_no_effect() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    if selinux::is_on() {
        println!(
            "elsewhere: without_selinux_labels_are_checked_and_have_no_effect: needs a host without SELinux"
        );
        return;
    }
    let source = host.dir().join("source");
    fs::create_dir(&source).unwrap();
    let bind = format!("{}:/b:Z", source.display());
    let given = ["type:spc_t", "level:s0:c1,c2", "disable", "nested"];
    let options = given.map(|option| format!("--security-opt=label={option}"));
    let before = [
        "create",
        "--name",
        "plain",
        "--network",
        "none",
        "-v",
        &bind,
    ];
    let create = before.into_iter().chain(options.iter().map(String::as_str));
    host.ok(create.chain([image, "true"]));
    host.ok(["start", "-a", "plain"]);
    assert_eq!(context(&source), None);
    let format =
        "{{.ProcessLabel}}|{{.MountLabel}}|{{.HostConfig.SecurityOpt}}|{{.HostConfig.Binds}}";
    let shown = host.ok(["inspect", "--format", format, "plain"]);
    let options = "[label=type:spc_t label=level:s0:c1,c2 label=disable label=nested]";
    assert_eq!(shown.trim(), format!("||{options}|[{bind}]"));
    let info = host.ok(["info", "--format", "{{.SecurityOptions}} {{.Warnings}}"]);
    assert!(!info.contains("selinux"), "{info}");
}
