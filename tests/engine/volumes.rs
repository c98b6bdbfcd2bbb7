//! Volumes end to end: their verbs, what a container sees of them, what becomes of their data.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use crate::containers::kill_9;
use crate::support::{BUSYBOX, Host, PATIENCE, privileged, wait_until};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// `run --rm --network none FLAGS IMAGE sh -c SCRIPT`.
fn run(host: &Host, flags: &[&str], image: &str, script: &str) -> String {
    let start = ["run", "--rm", "--network", "none"];
    host.ok([&start[..], flags, &[image, "sh", "-c", script]].concat())
}

/// An image whose `/data` has a file, and is a volume if asked for.
fn image(host: &Host, name: &str, change: &str) {
    let script = "mkdir -p /data/sub; echo content >/data/f; echo s >/data/sub/s; chown 7:8 /data; chmod 750 /data; ln -s f /data/l";
    host.ok([
        "run",
        "--network",
        "none",
        "--name",
        "maker",
        BUSYBOX,
        "sh",
        "-c",
        script,
    ]);
    let command = ["commit", "-c", "CMD [\"sh\"]", "maker", name];
    let with = ["commit", "-c", "CMD [\"sh\"]", "-c", change, "maker", name];
    if change.is_empty() {
        host.ok(command);
    } else {
        host.ok(with);
    }
    host.ok(["rm", "maker"]);
}

fn data(host: &Host, name: &str) -> PathBuf {
    host.data().join("volumes").join(name).join("_data")
}

fn names(host: &Host) -> Vec<String> {
    host.ok(["volume", "ls", "-q"])
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn volumes_are_made_listed_inspected_and_removed() {
    let Some(host) = host() else { return };
    assert_eq!(
        host.ok(["volume", "create", "--label", "a=1", "web"]),
        "web"
    );
    assert_eq!(
        host.ok(["volume", "create", "web"]),
        "web",
        "one that is there is kept"
    );
    assert_eq!(
        host.ok(["volume", "ls"]),
        "DRIVER    VOLUME NAME\nlocal     web"
    );
    let shown = host.ok([
        "volume",
        "inspect",
        "-f",
        "{{.Name}} {{.Driver}} {{.Scope}} {{.Labels.a}} {{.Mountpoint}}",
        "web",
    ]);
    assert_eq!(
        shown,
        format!("web local local 1 {}", data(&host, "web").display())
    );
    assert_eq!(host.ok(["inspect", "-f", "{{.Name}}", "web"]), "web");
    let anonymous = host.ok(["volume", "create"]);
    assert_eq!(anonymous.len(), 64);
    assert_eq!(host.ok(["volume", "ls", "-qf", "label=a"]), "web");
    for (args, why) in [
        (&["volume", "create", "a/b"][..], "invalid characters"),
        (
            &["volume", "create", "-d", "nfs", "x1"],
            "plugin \"nfs\" not found",
        ),
        (&["volume", "create", "-o", "foo=1", "x1"], "invalid option"),
        (
            &["volume", "create", "-o", "type=tmpfs", "x1"],
            "missing required option",
        ),
        (
            &["volume", "create", "--scope", "multi", "x1"],
            "--scope is for volumes of a swarm",
        ),
        (&["volume", "inspect", "nosuch"], "no such volume"),
        (&["volume", "rm", "nosuch"], "no such volume"),
    ] {
        let refused = host.wharf(args);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert_eq!(host.ok(["volume", "rm", "-f", "nosuch"]), "nosuch");
    assert_eq!(
        host.ok(["volume", "prune", "-f"]),
        format!("Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 0B")
    );
    assert_eq!(host.ok(["volume", "rm", "web"]), "web");
    assert!(names(&host).is_empty());
    let events = host.ok([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "type=volume",
        "--format",
        "{{.Action}}",
    ]);
    assert_eq!(events, "create\ncreate\ndestroy\nprune\ndestroy");
}

#[test]
fn a_named_volume_begins_with_what_the_image_has_and_outlives_containers() {
    let Some(host) = host() else { return };
    image(&host, "with:1", "");
    let look = "cat /data/f /data/l /data/sub/s; stat -c '%u:%g %a' /data; echo more >>/data/f";
    assert_eq!(
        run(&host, &["-v", "web:/data"], "with:1", look),
        "content\ncontent\ns\n7:8 750"
    );
    // Kept, and not filled again.
    assert_eq!(
        run(
            &host,
            &["-v", "web:/data"],
            "with:1",
            "cat /data/f; rm -r /data/*"
        ),
        "content\nmore"
    );
    assert_eq!(
        run(&host, &["-v", "web:/data:nocopy"], "with:1", "ls /data"),
        ""
    );
    assert_eq!(
        run(&host, &["-v", "none:/data:nocopy"], "with:1", "ls /data"),
        ""
    );
    assert_eq!(
        run(
            &host,
            &["--mount", "src=none,dst=/data,volume-nocopy"],
            "with:1",
            "ls /data"
        ),
        ""
    );
    // Now that it is empty, it begins again.
    assert_eq!(
        run(
            &host,
            &["--mount", "source=web,target=/data,readonly"],
            "with:1",
            "cat /data/f; touch /data/x 2>/dev/null || echo ro"
        ),
        "content\nro"
    );
    assert_eq!(names(&host), ["none", "web"]);
    assert_eq!(
        std::fs::read_to_string(data(&host, "web").join("f")).unwrap(),
        "content\n"
    );
    let sub = "source=web,target=/only,volume-subpath=sub";
    assert_eq!(run(&host, &["--mount", sub], "with:1", "ls /only"), "s");
    let missing = host.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "--mount",
        "source=web,target=/only,volume-subpath=nosuch",
        "with:1",
        "true",
    ]);
    assert_ne!(missing.code, 0);
    assert!(missing.stderr.contains("nosuch"), "{missing:?}");
}

#[test]
fn anonymous_volumes_go_with_rm_and_never_by_surprise() {
    let Some(host) = host() else { return };
    image(&host, "with:1", "VOLUME /data");
    // The image's own, and one of `-v`.
    assert_eq!(
        run(
            &host,
            &["-v", "/other"],
            "with:1",
            "cat /data/f; ls -A /other; touch /other/x"
        ),
        "content"
    );
    wait_until("they are gone with --rm", PATIENCE, || {
        names(&host).is_empty()
    });
    host.ok([
        "run",
        "--network",
        "none",
        "--name",
        "web",
        "-v",
        "named:/n",
        "with:1",
        "true",
    ]);
    assert_eq!(names(&host).len(), 2);
    let used = host.ok([
        "inspect",
        "-f",
        "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}",
        "web",
    ]);
    assert_eq!(used, "volume /n true;volume /data true;");
    let anonymous = host.ok([
        "volume",
        "ls",
        "-q",
        "--filter",
        "label=com.docker.volume.anonymous",
    ]);
    let refused = host.wharf(["volume", "rm", &anonymous]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("volume is in use"), "{refused:?}");
    assert_eq!(
        host.ok(["volume", "prune", "-af"]),
        "Total reclaimed space: 0B"
    );
    // A plain rm leaves both.
    host.ok(["rm", "web"]);
    assert_eq!(names(&host).len(), 2);
    assert_eq!(
        host.ok(["volume", "ls", "-qf", "dangling=true"])
            .lines()
            .count(),
        2
    );
    host.ok([
        "run",
        "--network",
        "none",
        "--name",
        "web",
        "-v",
        "named:/n",
        "with:1",
        "true",
    ]);
    host.ok(["rm", "-v", "web"]);
    assert_eq!(
        names(&host).len(),
        2,
        "the named one, and the one that was left before"
    );
    assert_eq!(
        host.ok(["volume", "prune", "-f"]),
        format!("Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 10B")
    );
    assert_eq!(names(&host), ["named"]);
    host.ok(["system", "prune", "-f", "--volumes"]);
    assert_eq!(names(&host), ["named"]);
    host.ok(["volume", "prune", "-af"]);
    assert!(names(&host).is_empty());
}

#[test]
fn nobodys_etc_hides_the_files_that_are_ours() {
    let Some(host) = host() else { return };
    let own = host.dir().join("etc");
    std::fs::create_dir(&own).unwrap();
    let bind = format!("{}:/etc", own.display());
    for volume in ["/etc", bind.as_str()] {
        let names = run(
            &host,
            &["-h", "box", "-v", volume],
            BUSYBOX,
            "cat /etc/hostname; ls -s /etc/resolv.conf >/dev/null && echo there",
        );
        assert_eq!(names, "box\nthere", "{volume}");
    }
}

#[test]
fn volumes_from_shares_what_another_container_has() {
    let Some(host) = host() else { return };
    image(&host, "with:1", "VOLUME /data");
    let dir = host.dir().join("shared");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("b"), "bound").unwrap();
    let bind = format!("{}:/b", dir.display());
    host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "first",
        "-v",
        "named:/n",
        "-v",
        &bind,
        "with:1",
    ]);
    let script = "cat /data/f /b/b; echo w >/n/w; touch /data/mine";
    assert_eq!(
        run(&host, &["--volumes-from", "first"], BUSYBOX, script),
        "content\nbound"
    );
    // A target alone asks for any volume there.
    assert_eq!(
        run(
            &host,
            &["--volumes-from", "first", "-v", "/data"],
            BUSYBOX,
            "cat /data/f"
        ),
        "content"
    );
    // That was a --rm container with an anonymous volume, which the first one still has.
    assert_eq!(
        run(
            &host,
            &["--volumes-from", "first:ro"],
            BUSYBOX,
            "ls /data/mine; cat /n/w; touch /n/x 2>/dev/null || echo ro"
        ),
        "/data/mine\nw\nro"
    );
    // One that is used by its name, too, outlives a --rm container that it was made for.
    let id = host.ok([
        "run",
        "-d",
        "--rm",
        "--network",
        "none",
        "-v",
        "/made",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    let made = host.ok(["inspect", "-f", "{{range .Mounts}}{{.Name}}{{end}}", &id]);
    let by_name = format!("{made}:/x");
    let user = host.ok(["create", "--network", "none", "-v", &by_name, BUSYBOX]);
    host.ok(["rm", "-f", &id]);
    wait_until("the first is gone", PATIENCE, || {
        !host.container_ids().contains(&id)
    });
    assert!(names(&host).contains(&made), "the second still has it");
    host.ok(["rm", &user]);
    host.ok(["volume", "rm", &made]);
    // Its own mounts win.
    assert_eq!(
        run(
            &host,
            &["--volumes-from", "first", "-v", "own:/data:nocopy"],
            BUSYBOX,
            "ls -A /data"
        ),
        ""
    );
    host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "second",
        "--volumes-from",
        "first",
        BUSYBOX,
    ]);
    host.ok(["rm", "-v", "first"]);
    assert_eq!(names(&host).len(), 3, "the second still has it");
    host.ok(["rm", "-v", "second"]);
    assert_eq!(names(&host), ["named", "own"]);
    let refused = host.wharf(["create", "--volumes-from", "nosuch", BUSYBOX]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("No such container: nosuch"),
        "{refused:?}"
    );
}

#[test]
fn options_of_the_local_driver_are_mounted_in_the_container_alone() {
    let Some(host) = host() else { return };
    let dir = host.dir().join("elsewhere");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("f"), "bound\n").unwrap();
    let device = format!("device={}", dir.display());
    host.ok([
        "volume",
        "create",
        "-o",
        "type=none",
        "-o",
        "o=bind",
        "-o",
        &device,
        "bound",
    ]);
    host.ok([
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=1m,mode=700",
        "memory",
    ]);
    let script = "cat /b/f; stat -c %a /m; df -k /m | tail -1 | awk '{print $2}'; touch /b/new";
    assert_eq!(
        run(
            &host,
            &["-v", "bound:/b", "-v", "memory:/m"],
            BUSYBOX,
            script
        ),
        "bound\n700\n1024"
    );
    assert!(dir.join("new").exists());
    let opt = format!(
        "type=volume,src=made,dst=/b,volume-opt=type=none,volume-opt=o=bind,volume-opt={device}"
    );
    assert_eq!(run(&host, &["--mount", &opt], BUSYBOX, "cat /b/f"), "bound");
    host.ok(["volume", "rm", "bound", "made", "memory"]);
    assert!(dir.join("f").exists(), "what is elsewhere stays there");
}

/// As with Docker, which mounts it once and counts who has it; here the kernel counts.
#[test]
fn a_volume_in_memory_is_the_same_for_all_that_have_it_until_the_last_ends() {
    let Some(host) = host() else { return };
    let create = ["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs"];
    host.ok([&create[..], &["-o", "o=size=1m,mode=750", "memory"]].concat());
    let start = |name: &str, mount: &str, flags: &[&str]| {
        let run = [
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            name,
            "-v",
            mount,
        ];
        host.ok([&run[..], flags, &[BUSYBOX, "sleep", "1000"]].concat());
    };
    let inside = |name: &str, script: &str| host.ok(["exec", name, "sh", "-c", script]);
    // The first one may not write, and has it elsewhere.
    start("one", "memory:/one:ro", &[]);
    start("two", "memory:/two", &["--restart", "always"]);
    inside("two", "echo two >/two/f");
    assert_eq!(
        inside("one", "cat /one/f; touch /one/x 2>&1 | grep -c only"),
        "two\n1"
    );
    assert_eq!(
        run(
            &host,
            &["-v", "memory:/m"],
            BUSYBOX,
            "cat /m/f; stat -c %a /m"
        ),
        "two\n750"
    );
    // The one that made it goes: who else has it keeps it, also over a start by its policy.
    host.ok(["rm", "-f", "one"]);
    start("three", "memory:/three", &[]);
    assert_eq!(inside("three", "cat /three/f"), "two");
    let before = host.ok(["inspect", "-f", "{{.State.Pid}}", "two"]);
    kill_9(before.parse().unwrap());
    wait_until("a start by its policy", PATIENCE, || {
        let now = host.ok(["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "two"]);
        now.starts_with("running") && !now.ends_with(&format!(" {before}"))
    });
    assert_eq!(inside("two", "cat /two/f; echo again >/two/f"), "two");
    assert_eq!(inside("three", "cat /three/f"), "again");
    host.ok(["rm", "-f", "three", "two"]);
    assert_eq!(run(&host, &["-v", "memory:/m"], BUSYBOX, "ls /m"), "");
    host.ok(["volume", "rm", "memory"]);
}

#[test]
fn a_volume_in_memory_is_one_at_all_places_of_a_container() {
    let Some(host) = host() else { return };
    let create = ["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs"];
    host.ok([&create[..], &["-o", "o=mode=750", "memory"]].concat());
    let places = [
        "-v",
        "memory:/b",
        "-v",
        "memory:/a/deep:ro",
        "-v",
        "memory:/c",
    ];
    let script = "echo b >/b/f; cat /a/deep/f /c/f; echo c >/c/f; cat /b/f; touch /a/deep/x 2>&1 | grep -c only; \
        stat -c %a /a/deep /b /c; stat -c %d /a/deep /b /c | sort -u | wc -l";
    let expected = "b\nb\nc\n1\n750\n750\n750\n1";
    assert_eq!(run(&host, &places, BUSYBOX, script), expected);
    // Also of what another one has.
    let start = ["run", "-d", "--network", "none", "-v", "memory:/m"];
    host.ok([&start[..], &["--name", "has", BUSYBOX, "sleep", "1000"]].concat());
    assert_eq!(run(&host, &places, BUSYBOX, script), expected);
    assert_eq!(host.ok(["exec", "has", "cat", "/m/f"]), "c");
    host.ok(["rm", "-f", "has"]);
    host.ok(["volume", "rm", "memory"]);
}

#[test]
fn containers_that_start_at_once_have_one_volume_in_memory() {
    let Some(host) = host() else { return };
    host.ok([
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "memory",
    ]);
    let names: Vec<String> = (0..6).map(|n| format!("c{n}")).collect();
    let mut all = Vec::new();
    for name in &names {
        let run = [
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            name,
            "-v",
            "memory:/m",
            BUSYBOX,
        ];
        let script = format!("touch /m/{name}; exec sleep 1000");
        let run = [&run[..], &["sh", "-c", &script]].concat();
        let mut command = host.command(run);
        all.push(command.stdout(std::process::Stdio::null()).spawn().unwrap());
    }
    for mut child in all {
        assert!(child.wait().unwrap().success());
    }
    let expected = names.join("\n");
    for name in &names {
        wait_until("what all have written", PATIENCE, || {
            host.ok(["exec", name, "ls", "/m"]) == expected
        });
    }
    host.ok([
        &["rm", "-f"][..],
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    ]
    .concat());
    host.ok(["volume", "rm", "memory"]);
}

#[test]
fn an_image_is_mounted_read_only_and_kept() {
    let Some(host) = host() else { return };
    image(&host, "with:1", "");
    let several = ["--mount", "type=image,src=with:1,dst=/i"];
    // More layers than one fsconfig(2) call takes.
    for round in ["2", "3"] {
        host.ok([
            "run",
            "--network",
            "none",
            "--name",
            "more",
            "with:1",
            "touch",
            &format!("/{round}"),
        ]);
        host.ok(["commit", "more", &format!("with:{round}")]);
        host.ok(["commit", "more", "with:1"]);
        host.ok(["rm", "more"]);
    }
    assert_eq!(run(&host, &several, BUSYBOX, "ls /i/2 /i/3"), "/i/2\n/i/3");
    // A part of all of them together.
    let part = "type=image,src=with:1,dst=/i,image-subpath=data/sub";
    let script = "cat /i/s; ls /i; touch /i/x 2>/dev/null || echo ro";
    let shown = run(&host, &["--mount", part], BUSYBOX, script);
    assert_eq!(shown, "s\ns\nro");
    for (below, why) in [
        ("nosuch", "no such file or directory"),
        ("data/f", "not a directory"),
        ("../..", "image-subpath"),
    ] {
        let part = format!("type=image,src=with:1,dst=/i,image-subpath={below}");
        let start = ["run", "--rm", "--network", "none", "--mount", &part];
        let refused = host.wharf([&start[..], &[BUSYBOX, "true"]].concat());
        assert_eq!(refused.code, 125, "{refused:?}");
        assert!(refused.stderr.contains(why), "{below}: {refused:?}");
    }
    assert_eq!(
        run(
            &host,
            &several,
            BUSYBOX,
            "cat /i/data/f; touch /i/x 2>/dev/null || echo ro"
        ),
        "content\nro"
    );
    let part = format!("type=image,src={BUSYBOX},dst=/i,image-subpath=bin");
    assert_eq!(
        run(&host, &["--mount", &part], BUSYBOX, "ls /i/busybox"),
        "/i/busybox"
    );
    host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "web",
        "--mount",
        "type=image,src=with:1,dst=/i",
        BUSYBOX,
        "cat",
        "/i/data/f",
    ]);
    host.ok(["rmi", "-f", "with:1", "with:2", "with:3"]);
    assert_eq!(host.ok(["start", "-a", "web"]), "content");
}

#[test]
fn sizes_of_volumes_are_told() {
    let Some(host) = host() else { return };
    run(
        &host,
        &["-v", "web:/d"],
        BUSYBOX,
        "head -c 5000 /dev/zero >/d/f",
    );
    host.ok(["create", "--network", "none", "-v", "used:/d", BUSYBOX]);
    let summary = host.ok([
        "system",
        "df",
        "--format",
        "{{.Type}}: {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}",
    ]);
    assert!(
        summary.contains("Local Volumes: 2 1 5kB 5kB (100%)"),
        "{summary}"
    );
    let details = host.ok(["system", "df", "-v"]);
    assert!(details.contains("VOLUME NAME   LINKS     SIZE\nused          1         0B\nweb           0         5kB\n"), "{details}");
    assert_eq!(
        host.ok(["ps", "-a", "--format", "{{.Mounts}} {{.LocalVolumes}}"]),
        "used 1"
    );
    assert_eq!(
        host.ok(["ps", "-aq", "--filter", "volume=used"])
            .lines()
            .count(),
        1
    );
}

/// A container that could not be made leaves no volume that was made for it.
#[test]
fn a_failed_create_leaves_no_volume() {
    let Some(host) = host() else { return };
    image(&host, "with:1", "VOLUME /data");
    host.ok(["create", "--network", "none", "--name", "taken", BUSYBOX]);
    for args in [
        &[
            "create",
            "--network",
            "none",
            "--name",
            "taken",
            "-v",
            "new:/n",
            "with:1",
        ][..],
        &[
            "create",
            "--network",
            "none",
            "-v",
            "new:/n",
            "-v",
            "b/d:/x",
            "with:1",
        ],
        &[
            "create",
            "--network",
            "none",
            "-v",
            "new:/n",
            "-v",
            "/bin/busybox",
            "with:1",
        ],
    ] {
        let refused = host.wharf(args);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(names(&host).is_empty(), "{args:?}: {:?}", names(&host));
    }
}

/// CVE-2022-23648: a volume path of the image that leads to the host's files copies none of them. CVE-2024-23651: a subpath
/// that was swapped for a link leads nowhere but into the volume.
#[test]
fn links_of_image_and_volume_lead_nowhere_but_inside() {
    let Some(host) = host() else { return };
    let secret = host.dir().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("host"), "host").unwrap();
    let script = format!(
        "ln -s {} /evil; ln -s ../../../../../.. /up",
        secret.display()
    );
    host.ok([
        "run",
        "--network",
        "none",
        "--name",
        "maker",
        BUSYBOX,
        "sh",
        "-c",
        &script,
    ]);
    let up = format!("VOLUME /up{}", secret.display());
    host.ok([
        "commit",
        "-c",
        "VOLUME /evil",
        "-c",
        &up,
        "-c",
        "VOLUME /../../etc",
        "maker",
        "evil:1",
    ]);
    host.ok(["rm", "maker"]);
    host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "web",
        "evil:1",
        "true",
    ]);
    for name in names(&host) {
        let found: Vec<_> = std::fs::read_dir(data(&host, &name))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(
            !found.iter().any(|name| name == "host" || name == "shadow"),
            "{found:?}"
        );
    }
    assert_eq!(std::fs::metadata(&secret).unwrap().uid(), 0);
    host.ok(["volume", "create", "web"]);
    symlink(&secret, data(&host, "web").join("sub")).unwrap();
    let mount = "source=web,target=/s,volume-subpath=sub";
    let ran = host.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "--mount",
        mount,
        BUSYBOX,
        "ls",
        "/s",
    ]);
    assert!(!ran.stdout.contains("host"), "{ran:?}");
    assert_ne!(ran.code, 0, "{ran:?}");
}
