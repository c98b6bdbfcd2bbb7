//! `system check --repair` against real registries: who is let in, how much is read, and what Ctrl-C ends.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::interrupted::interruptible;
use crate::keep::{layer, load, problems};
use crate::registry::proxy::Proxy;
use crate::registry::{Door, PASSWORD, Registry, USER, Wire};
use crate::support::{Host, WHARF, collect, names_in, privileged, wait_until};

/// Blobs of the only image, each with other content.
fn damage_all(host: &Host) -> Vec<String> {
    let blobs = host.data().join("blobs/sha256");
    let all = names_in(&blobs);
    for hex in &all {
        fs::write(blobs.join(hex), "damaged").unwrap();
    }
    all
}

#[test]
fn a_damaged_blob_is_fetched_again_from_a_registry_that_lets_only_its_users_in() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::start(&host, Door::Password, Wire::Plain) else {
        return;
    };
    let server = registry.address.to_string();
    let login = || {
        let arguments = ["login", "-u", USER, "--password-stdin", &server];
        let output = host.wharf_with(arguments, PASSWORD.as_bytes());
        assert_eq!(output.code, 0, "{output:#?}");
    };
    login();
    let name = registry.reference("team/app:1");
    load(&host, &name, &[layer("a", 5000), layer("b", 100)]);
    host.ok(["push", "-q", &name]);
    let all = damage_all(&host);
    assert_eq!(all.len(), 4);
    host.ok(["logout", &server]);
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!((code, found.len()), (1, 4), "{found:?}");
    for line in &found {
        assert!(line.contains("no basic auth credentials"), "{line}");
        assert!(line.ends_with(&format!("remove {name} and bring it in again => -")));
    }
    login();
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!((code, found.len()), (0, 4), "{found:?}");
    let repository = registry.reference("team/app");
    for line in &found {
        let expected = format!(" => fetched again from {repository}");
        assert!(line.ends_with(&expected), "{line}");
    }
    assert_eq!(problems(&host, &[]), (0, vec![]));
}

#[test]
fn a_store_on_a_read_only_file_system_is_looked_at_and_checked() {
    let Some(host) = privileged() else { return };
    load(&host, "app:1", &[layer("a", 5000)]);
    let readonly = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c"]);
        command.arg("mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"");
        command.arg(host.data()).arg(WHARF).args(arguments);
        host.dress(&mut command);
        collect(&mut command, &[])
    };
    let saved = host.dir().join("saved.tar").display().to_string();
    // Also where nobody has ever made a lock.
    let _ = fs::remove_file(host.data().join("images.lock"));
    for arguments in [
        &["images"][..],
        &["system", "df", "-v"],
        &["system", "check"],
        &["save", "-o", &saved, "app:1"],
    ] {
        let output = readonly(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {output:#?}");
    }
    for arguments in [&["rmi", "app:1"][..], &["tag", "app:1", "app:2"]] {
        let output = readonly(arguments);
        assert_eq!(output.code, 1, "{arguments:?}: {output:#?}");
        assert!(
            output.stderr.contains("read-only file system"),
            "{output:#?}"
        );
    }
    assert_eq!(host.ok(["images", "-q"]).lines().count(), 1);
}

#[test]
fn a_registry_that_sends_more_than_a_blob_has_is_not_read_to_the_end() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("team/app:1");
    load(&host, &name, &[layer("a", 5000)]);
    host.ok(["push", "-q", &name]);
    let inspected = host.ok(["image", "inspect", "--format", "{{.Id}}", &name]);
    let config = inspected.trim_start_matches("sha256:");
    let blobs = host.data().join("blobs/sha256");
    let size = fs::metadata(blobs.join(config)).unwrap().len();
    fs::write(blobs.join(config), "damaged").unwrap();
    let mut more = fs::read(registry.blob_file(config)).unwrap();
    more.extend(vec![b' '; 3 << 20]);
    fs::write(registry.blob_file(config), more).unwrap();
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!((code, found.len()), (1, 1), "{found:?}");
    let repository = registry.reference("team/app");
    let expected = format!("; {repository} sends more than the {size} bytes that it has; ");
    assert!(found[0].contains(&expected), "{found:?}");
    assert_eq!(fs::read(blobs.join(config)).unwrap(), b"damaged");
}

#[test]
fn a_repair_whose_registry_has_fallen_silent_ends_with_ctrl_c_and_changes_nothing() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("team/app:1");
    load(&host, &name, &[layer("a", 1 << 20)]);
    host.ok(["push", "-q", &name]);
    let all = damage_all(&host);
    proxy.hold_after(Some(100));
    let mut child = interruptible(&host, &["system", "check", "--repair"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    proxy.wait_until_held(|| child.try_wait().unwrap().is_some());
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    // Well before the silence itself is given up.
    let patience = std::time::Duration::from_secs(15);
    wait_until("the end of the check", patience, || {
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "wharf: check cancelled\n");
    proxy.hold_after(None);
    let blobs = host.data().join("blobs/sha256");
    assert_eq!(names_in(&blobs), all);
    for hex in &all {
        assert_eq!(fs::read(blobs.join(hex)).unwrap(), b"damaged");
    }
    assert!(
        problems(&host, &["--repair"])
            .1
            .iter()
            .all(|line| line.contains("fetched again"))
    );
}
