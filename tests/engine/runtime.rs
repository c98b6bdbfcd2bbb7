//! Isolation as a container sees it: namespaces, rights, devices, masks, limits, users, and the escapes of other
//! engines (named by their CVE) as tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Archive, BUSYBOX, Host, Output, PATIENCE, WHARF, collect, image_archive, privileged, sha256,
    wait_until,
};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// Runs a command in a fresh container without network.
fn run(host: &Host, flags: &[&str], image: &str, command: &[&str]) -> Output {
    let mut args = vec!["run", "--rm", "--network", "none"];
    args.extend(flags);
    args.push(image);
    args.extend(command);
    host.wharf(args)
}

/// Standard output of a shell line in a fresh container, which must succeed.
fn sh(host: &Host, flags: &[&str], line: &str) -> String {
    let output = run(host, flags, BUSYBOX, &["sh", "-c", line]);
    assert_eq!(output.code, 0, "{line}: {output:#?}");
    output.stdout.trim_end().to_owned()
}

/// Loads an image of busybox under a few names, plus whatever the caller puts in.
pub fn image_with(host: &Host, tag: &str, fill: impl FnOnce(&mut Archive)) {
    let program = fs::read("/usr/bin/busybox")
        .or_else(|_| fs::read("/bin/busybox"))
        .unwrap();
    let mut layer = Archive::new();
    layer.directory("bin/", 0o755);
    layer.file("bin/busybox", 0o755, &program);
    for name in ["sh", "cat", "id", "ls", "sleep", "pwd", "true", "mount"] {
        layer.symlink(&format!("bin/{name}"), "busybox");
    }
    fill(&mut layer);
    let archive = image_archive(tag, &[layer.finish()], &["sh"]);
    let output = host.wharf_with(["load", "-q"], &archive);
    assert_eq!(output.code, 0, "load {tag}: {output:#?}");
}

/// A directory of the host that nothing may change, with what it looks like.
pub fn decoy(host: &Host) -> (String, String) {
    let dir = host.dir().join("decoy");
    fs::create_dir_all(dir.join("sub")).unwrap();
    for name in ["null", "ptmx", "file", "hosts", "resolv.conf", "hostname"] {
        fs::write(dir.join(name), "untouched").unwrap();
    }
    let path = dir.to_str().unwrap().to_owned();
    let before = look(&path);
    (path, before)
}

/// Everything below a directory, as text.
pub fn look(dir: &str) -> String {
    let list = collect(
        Command::new("find").args([dir, "-printf", "%P %y %m %u %s %l\\n"]),
        &[],
    );
    let content = collect(
        Command::new("sh").args(["-c", &format!("cat {dir}/* 2>/dev/null; true")]),
        &[],
    );
    let mut lines: Vec<&str> = list.stdout.lines().collect();
    lines.sort_unstable();
    format!("{}\n{}", lines.join("\n"), content.stdout)
}

fn namespaces_of_this_process() -> Vec<(String, String)> {
    ["pid", "mnt", "uts", "ipc", "net", "cgroup"]
        .iter()
        .map(|kind| {
            let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            ((*kind).to_owned(), link.to_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn every_namespace_is_the_containers_own_and_host_network_is_the_hosts() {
    let Some(host) = host() else { return };
    for network in ["none", "host"] {
        for (kind, ours) in namespaces_of_this_process() {
            let output = host.ok([
                "run",
                "--rm",
                "--network",
                network,
                BUSYBOX,
                "readlink",
                &format!("/proc/self/ns/{kind}"),
            ]);
            let shared = network == "host" && kind == "net";
            assert_eq!(output == ours, shared, "{network}: {kind}");
        }
    }
}

#[test]
fn rights_are_dockers_for_run_and_for_exec() {
    let Some(host) = host() else { return };
    let wanted = ["Cap", "Seccomp:", "NoNewPrivs"];
    let rights = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| wanted.iter().any(|start| line.starts_with(start)))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let expect = |effective: &str| {
        [
            "CapInh: 0000000000000000".to_owned(),
            format!("CapPrm: {effective}"),
            format!("CapEff: {effective}"),
            "CapBnd: 00000000a80425fb".to_owned(),
            "CapAmb: 0000000000000000".to_owned(),
            "NoNewPrivs: 0".to_owned(),
            "Seccomp: 2".to_owned(),
        ]
    };
    let (root, nobody) = ("00000000a80425fb", "0000000000000000");
    let line = "cat /proc/self/status";
    assert_eq!(rights(&sh(&host, &[], line)), expect(root));
    assert_eq!(rights(&sh(&host, &["-u", "nobody"], line)), expect(nobody));
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    let exec = |user: &str| host.ok(["exec", "-u", user, "box", "cat", "/proc/self/status"]);
    assert_eq!(rights(&exec("root")), expect(root));
    assert_eq!(rights(&exec("nobody")), expect(nobody));
}

#[test]
fn capabilities_are_added_and_dropped() {
    let Some(host) = host() else { return };
    let bounding = |flags: &[&str]| sh(&host, flags, "grep CapBnd /proc/self/status | cut -f2");
    assert_eq!(bounding(&["--cap-drop", "ALL"]), "0000000000000000");
    assert_eq!(
        bounding(&["--cap-drop", "ALL", "--cap-add", "net_admin"]),
        "0000000000001000"
    );
    let output = run(&host, &["--cap-add", "NOSUCH"], BUSYBOX, &["true"]);
    assert_eq!(output.code, 125);
    assert!(output.stderr.contains("unknown capability"), "{output:?}");
}

#[test]
fn cve_2022_0185_no_new_namespace_can_be_made_inside() {
    let Some(host) = host() else { return };
    for flags in ["-U", "-m", "-n", "-i", "-p", "-u"] {
        let output = run(&host, &[], BUSYBOX, &["unshare", flags, "true"]);
        assert_ne!(output.code, 0, "unshare {flags}");
        assert!(output.stderr.contains("not permitted"), "{output:?}");
    }
}

#[test]
fn cve_2022_0492_cgroups_are_read_only_and_cannot_be_mounted() {
    let Some(host) = host() else { return };
    let line = "mkdir -p /tmp/c; mount -t cgroup -o memory c /tmp/c 2>/dev/null && echo mounted; \
        for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs); do \
        echo 1 2>/dev/null > $f && echo written $f; done; true";
    assert_eq!(sh(&host, &[], line), "");
}

#[test]
fn what_the_kernel_tells_is_masked_or_read_only() {
    let Some(host) = host() else { return };
    let line = "for p in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do \
        [ -z \"$(ls -A $p 2>/dev/null)\" ] || echo \"$p shows something\"; done; \
        for p in /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/timer_list \
        /proc/timer_stats; do [ ! -e $p ] || [ $(head -c1 $p | wc -c) = 0 ] || echo \"$p shows something\"; done; \
        for p in /proc/sys/kernel/shmmax /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_helper; \
        do [ ! -e $p ] || ! (echo 1 > $p) 2>/dev/null || echo \"$p was written\"; done; true";
    assert_eq!(sh(&host, &[], line), "");
}

#[test]
fn dev_has_dockers_devices_and_nothing_else() {
    let Some(host) = host() else { return };
    let line = "ls /dev | grep -v '^core$'; stat -c '%t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom \
        /dev/tty; readlink /dev/ptmx; echo x > /dev/null; df /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    let expect = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero \
        1:3_666 1:5_666 1:7_666 1:8_666 1:9_666 5:0_666 pts/ptmx 65536";
    let got = sh(&host, &[], line).replace(' ', "_").replace('\n', " ");
    assert_eq!(got, expect);
    let shm = sh(
        &host,
        &["--shm-size", "1m"],
        "df /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2",
    );
    assert_eq!(shm, "1024");
}

#[test]
fn a_disk_of_the_host_can_be_named_but_not_opened() {
    let Some(host) = host() else { return };
    let output = run(
        &host,
        &[],
        BUSYBOX,
        &["sh", "-c", "mknod /tmp/d b 254 0 && head -c1 /tmp/d"],
    );
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("Operation not permitted"),
        "{output:?}"
    );
}

#[test]
fn the_hosts_mount_table_never_shows_a_container() {
    let Some(host) = host() else { return };
    let own = |host: &Host| -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dir = host.dir().to_str().unwrap();
        table
            .lines()
            .filter(|line| line.contains(dir) || line.contains("lowerdir"))
            .map(str::to_owned)
            .collect()
    };
    let before = own(&host);
    host.ok(["run", "-d", "--network", "none", BUSYBOX, "sleep", "1000"]);
    assert_eq!(own(&host), before);
}

#[test]
fn a_host_name_and_loopback_are_set() {
    let Some(host) = host() else { return };
    assert_eq!(sh(&host, &["-h", "box.example"], "hostname"), "box.example");
    let id = sh(&host, &[], "hostname; cat /etc/hostname | head -1");
    let names: Vec<&str> = id.lines().collect();
    assert_eq!(names.first().map(|name| name.len()), Some(12), "{id}");
    assert_eq!(names.first(), names.get(1));
    let lo = sh(
        &host,
        &[],
        "ifconfig lo | grep -c 'UP LOOPBACK'; ifconfig -a | grep -c Link.encap",
    );
    assert_eq!(lo, "1\n1");
}

#[test]
fn cve_2016_3697_digits_are_a_uid_whatever_passwd_says() {
    let Some(host) = host() else { return };
    image_with(&host, "users:1", |layer| {
        layer.directory("etc/", 0o755);
        layer.file(
            "etc/passwd",
            0o644,
            b"root:x:0:0::/root:/bin/sh\n31:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n",
        );
        layer.file("etc/group", 0o644, b"root:x:0:\nextra:x:70:web\n");
    });
    let id = |user: &str| {
        let line = "id -u; id -g; id -G; echo $HOME";
        let output = run(&host, &["-u", user], "users:1", &["sh", "-c", line]);
        let text = format!("{}{}", output.stdout, output.stderr);
        (output.code, text.trim_end().replace('\n', "|"))
    };
    for (user, expect) in [
        ("31", "31|0|0|/"),
        ("web", "33|33|33 70|/srv"),
        ("33:70", "33|70|70|/srv"),
        (":1", "0|1|1|/root"),
        ("1:", "1|0|0|/"),
    ] {
        assert_eq!(id(user), (0, expect.to_owned()), "{user}");
    }
    for user in [
        "+1",
        " 1",
        "0x1",
        "1abc",
        "4294967295",
        "4294967296",
        "nosuch",
        "web:nosuch",
    ] {
        let (code, text) = id(user);
        assert_eq!(code, 125, "{user}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn cve_2024_9676_a_passwd_that_is_no_file_is_refused_at_once() {
    let Some(host) = host() else { return };
    let (decoy, before) = decoy(&host);
    image_with(&host, "passwd:1", |layer| {
        layer.directory("etc/", 0o755);
        layer.symlink("etc/passwd", "/dev/zero");
    });
    assert_eq!(run(&host, &[], "passwd:1", &["true"]).code, 125);
    image_with(&host, "passwd:2", |layer| {
        layer.directory("etc/", 0o755);
        layer.symlink("etc/passwd", &format!("{decoy}/file"));
    });
    // Inside there is no such file, and no passwd means root alone.
    assert_eq!(run(&host, &[], "passwd:2", &["id", "-u"]).stdout, "0\n");
    assert_eq!(look(&decoy), before);
}

#[test]
fn a_working_directory_is_made_inside_also_through_a_link() {
    let Some(host) = host() else { return };
    let (decoy, before) = decoy(&host);
    assert_eq!(sh(&host, &["-w", "/a/b/c"], "pwd"), "/a/b/c");
    image_with(&host, "workdir:1", |layer| {
        layer.symlink("w", &format!("{decoy}/sub"));
    });
    let output = run(&host, &["-w", "/w/new"], "workdir:1", &["pwd"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(look(&decoy), before);
    let output = run(&host, &["-w", "/bin/busybox"], BUSYBOX, &["true"]);
    assert_ne!(output.code, 0);
}

#[test]
fn cve_2024_21626_no_descriptor_leads_out() {
    let Some(host) = host() else { return };
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    for number in 3..24 {
        let path = format!("/proc/self/fd/{number}");
        for output in [
            run(&host, &["-w", &path], BUSYBOX, &["ls", "../../../../../.."]),
            host.wharf(["exec", "-w", &path, "box", "ls", "../../../../../.."]),
        ] {
            if output.code == 0 {
                assert!(!output.stdout.contains("boot"), "{path}: {output:?}");
                assert!(output.stdout.contains("bin"), "{path}: {output:?}");
            }
        }
    }
}

#[test]
fn descriptors_of_the_engine_are_not_inherited() {
    let Some(host) = host() else { return };
    let line = "echo $(ls /proc/self/fd)";
    // 3 is the directory being listed.
    assert_eq!(sh(&host, &[], line), "0 1 2 3");
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    assert_eq!(host.ok(["exec", "box", "sh", "-c", line]), "0 1 2 3");
    assert_eq!(
        host.ok(["exec", "box", "sh", "-c", "echo $(ls /proc/1/fd)"]),
        "0 1 2"
    );
}

#[test]
fn cve_2016_9962_a_joining_process_shows_nothing_of_the_host() {
    let Some(host) = host() else { return };
    let watch = "while :; do for p in /proc/[0-9]*; do for f in $p/fd/* $p/cwd $p/exe; do readlink $f; done; done; \
        done 2>/dev/null >> /seen";
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sh",
        "-c",
        watch,
    ]);
    for _ in 0..30 {
        host.ok(["exec", "box", "true"]);
    }
    let seen = host.ok(["exec", "box", "sort", "-u", "/seen"]);
    let outside: Vec<&str> = seen
        .lines()
        .filter(|line| line.contains("wharf") || line.contains(host.dir().to_str().unwrap()))
        .collect();
    assert_eq!(outside, Vec::<&str>::new());
}

#[test]
fn cve_2019_5736_the_engines_binary_cannot_be_written_from_inside() {
    let Some(host) = host() else { return };
    let before = sha256(&fs::read(WHARF).unwrap());
    // The command is whatever runs the step before exec: the engine. Its demo workload lives long enough to look at.
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        "--entrypoint",
        "/proc/self/exe",
        BUSYBOX,
        "demo-workload",
        "tick",
    ]);
    let exe = host.ok(["exec", "box", "sh", "-c", "readlink /proc/1/exe"]);
    assert!(!exe.contains("busybox"), "{exe}");
    let write = host.wharf(["exec", "box", "sh", "-c", ": > /proc/1/exe"]);
    assert_ne!(write.code, 0);
    // Not "Text file busy": that would last only as long as the process.
    assert!(write.stderr.contains("Read-only file system"), "{write:?}");
    image_with(&host, "shebang:1", |layer| {
        layer.file("evil", 0o755, b"#!/proc/self/exe\n");
    });
    let _ = run(&host, &[], "shebang:1", &["/evil"]);
    assert_eq!(sha256(&fs::read(WHARF).unwrap()), before);
}

#[test]
fn a_command_that_cannot_be_run_gets_dockers_words_and_code() {
    let Some(host) = host() else { return };
    image_with(&host, "commands:1", |layer| {
        layer.file("plain", 0o644, b"x");
        layer.file("garbage", 0o755, b"\x01\x02\x03");
        layer.file("script", 0o755, b"#!/nosuch/interpreter\n");
    });
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        "commands:1",
        "sleep",
        "1000",
    ]);
    for (command, code, words) in [
        (
            "nosuch",
            127,
            "exec: \"nosuch\": executable file not found in $PATH",
        ),
        (
            "/nosuch",
            127,
            "exec: \"/nosuch\": stat /nosuch: no such file or directory",
        ),
        ("/bin", 126, "exec: \"/bin\": is a directory"),
        ("/plain", 126, "exec: \"/plain\": permission denied"),
        ("/garbage", 126, "exec /garbage: exec format error"),
        ("/script", 127, "exec /script: no such file or directory"),
    ] {
        for output in [
            run(&host, &[], "commands:1", &[command]),
            host.wharf(["exec", "box", command]),
        ] {
            assert_eq!(output.code, code, "{command}: {output:?}");
            assert!(output.stderr.contains(words), "{command}: {output:?}");
        }
    }
}

#[test]
fn a_terminal_is_the_containers_own() {
    let Some(host) = host() else { return };
    let line = "tty; stat -c %t:%T /dev/console; echo $(ls /dev/pts); echo $TERM; exec 3</dev/tty && echo controlling";
    let output = run(&host, &["-t"], BUSYBOX, &["sh", "-c", line]);
    let text = output.stdout.replace('\r', "");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        ["/dev/pts/0", "88:0", "0 ptmx", "xterm", "controlling"],
        "{output:?}"
    );
}

#[test]
fn an_exec_can_have_a_terminal_and_a_user_of_its_own() {
    let Some(host) = host() else { return };
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    let line = "tty; id -un; id -G; stat -c %u $(tty); exec 3</dev/tty && echo controlling";
    let exec = ["exec", "-t", "-u", "nobody", "box", "sh", "-c", line];
    let text = host.ok(exec).replace('\r', "");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        ["/dev/pts/0", "nobody", "65534 50", "65534", "controlling"]
    );
    let inside = host.ok(["exec", "box", "cat", "/proc/self/cgroup"]);
    assert!(inside.lines().all(|line| line.ends_with(":/")), "{inside}");
}

#[test]
fn kernel_parameters_of_its_own_network_are_dockers() {
    let Some(host) = host() else { return };
    let line =
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range";
    assert_eq!(sh(&host, &[], line), "0\n0\t2147483647");
}

#[test]
fn limits_hold() {
    let Some(host) = host() else { return };
    let many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait";
    let output = run(&host, &["--pids-limit", "5"], BUSYBOX, &["sh", "-c", many]);
    assert!(output.stderr.contains("can't fork"), "{output:?}");
    let grow = "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done";
    let output = run(&host, &["--memory", "16m"], BUSYBOX, &["sh", "-c", grow]);
    assert_eq!(output.code, 137, "{output:?}");
}

#[test]
fn a_read_only_root_is_read_only_and_tmpfs_is_not() {
    let Some(host) = host() else { return };
    let flags = ["--read-only", "--tmpfs", "/scratch:size=1m"];
    let line = "touch /x 2>/dev/null && echo root; touch /scratch/x && echo scratch; grep -c ' /scratch tmpfs .*noexec' \
        /proc/mounts";
    assert_eq!(sh(&host, &flags, line), "scratch\n1");
}

#[test]
fn cve_2015_3630_nothing_is_mounted_over_proc_or_sys() {
    let Some(host) = host() else { return };
    let source = host.dir().to_str().unwrap();
    for target in ["/proc", "/proc/self", "/sys", "/x/../proc", "/"] {
        let output = run(
            &host,
            &["-v", &format!("{source}:{target}")],
            BUSYBOX,
            &["true"],
        );
        assert_eq!(output.code, 125, "{target}: {output:?}");
    }
}

#[test]
fn a_bind_mount_shows_the_source_and_read_only_means_it() {
    let Some(host) = host() else { return };
    let source = host.dir().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let path = source.to_str().unwrap();
    let volume = format!("{path}:/data/deep:ro");
    let line = "cat /data/deep/file; touch /data/deep/x 2>/dev/null && echo written; true";
    assert_eq!(sh(&host, &["-v", &volume], line), "content");
    let volume = format!("{path}/file:/etc/new/name");
    let line = "cat /etc/new/name; echo more > /etc/new/name";
    assert_eq!(sh(&host, &["-v", &volume], line), "content");
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "more\n");
}

#[test]
fn cve_2019_18837_a_mount_target_that_leads_out_leads_inside() {
    let Some(host) = host() else { return };
    let (decoy, before) = decoy(&host);
    image_with(&host, "target:1", |layer| {
        layer.symlink("data", &format!("{decoy}/sub"));
        layer.symlink("up", "../../../../../../../../tmp");
        layer.symlink("file", &format!("{decoy}/file"));
    });
    let source = host.dir().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("mark"), "here").unwrap();
    let path = source.to_str().unwrap();
    for (target, seen) in [("/data", "/data/mark"), ("/up/x", "/up/x/mark")] {
        let volume = format!("{path}:{target}");
        let output = run(&host, &["-v", &volume], "target:1", &["cat", seen]);
        assert_eq!(output.stdout, "here", "{target}: {output:?}");
    }
    let volume = format!("{path}/mark:/file");
    let output = run(&host, &["-v", &volume], "target:1", &["cat", "/file"]);
    assert_eq!(output.stdout, "here", "{output:?}");
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2023_27561_a_proc_or_sys_that_is_a_link_is_refused() {
    let Some(host) = host() else { return };
    let (decoy, before) = decoy(&host);
    for (tag, name, to) in [
        ("link:1", "proc", decoy.as_str()),
        ("link:2", "proc", "bin"),
        ("link:3", "sys", ".."),
        ("link:4", "sys", "/bin"),
    ] {
        image_with(&host, tag, |layer| layer.symlink(name, to));
        let output = run(&host, &[], tag, &["true"]);
        assert_eq!(output.code, 125, "{tag}: {output:?}");
        assert!(output.stderr.contains("ordinary directory"), "{output:?}");
    }
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2026_41579_a_dev_that_is_a_link_changes_nothing_outside() {
    let Some(host) = host() else { return };
    let (decoy, before) = decoy(&host);
    let up = format!("../../../../../../../..{decoy}");
    for (tag, name, to) in [
        ("dev:1", "dev", decoy.as_str()),
        ("dev:2", "dev", up.as_str()),
        ("dev:3", "dev/pts", decoy.as_str()),
        ("dev:4", "dev/null", "/proc/sys/kernel/core_pattern"),
        ("dev:5", "dev/shm", decoy.as_str()),
    ] {
        image_with(&host, tag, |layer| {
            if name.contains('/') {
                layer.directory("dev/", 0o755);
            }
            layer.symlink(name, to);
        });
        let output = run(
            &host,
            &[],
            tag,
            &["sh", "-c", "echo x > /dev/null; ls /dev/pts"],
        );
        assert_eq!(output.code, 0, "{tag}: {output:?}");
    }
    assert_eq!(look(&decoy), before);
    assert_ne!(
        fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(),
        "x\n"
    );
}

#[test]
fn cve_2025_24965_files_of_the_engine_do_not_follow_links_of_the_image() {
    let Some(host) = host() else { return };
    let (decoy, before) = decoy(&host);
    image_with(&host, "etc:1", |layer| {
        layer.directory("etc/", 0o755);
        for name in ["hosts", "resolv.conf", "hostname"] {
            layer.symlink(&format!("etc/{name}"), &format!("{decoy}/{name}"));
        }
    });
    let output = run(
        &host,
        &["-h", "inside"],
        "etc:1",
        &["cat", "/etc/hostname", "/etc/hosts"],
    );
    assert!(output.stdout.starts_with("inside\n"), "{output:?}");
    assert!(output.stdout.contains("localhost"), "{output:?}");
    let write = "echo x > /etc/hosts; echo x > /etc/resolv.conf";
    run(&host, &[], "etc:1", &["sh", "-c", write]);
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2022_36109_groups_of_the_image_count() {
    let Some(host) = host() else { return };
    image_with(&host, "groups:1", |layer| {
        layer.directory("etc/", 0o755);
        layer.file("etc/passwd", 0o644, b"web:x:33:33::/:/bin/sh\n");
        layer.file("etc/group", 0o644, b"denied:x:70:web\n");
    });
    let volume = host.dir().join("secret");
    fs::write(&volume, "secret").unwrap();
    let chown = |mode: &str| {
        let path = volume.to_str().unwrap();
        collect(Command::new("chown").args(["0:70", path]), &[]);
        collect(Command::new("chmod").args([mode, path]), &[]);
    };
    chown("0704");
    let volume = format!("{}:/secret", volume.display());
    let output = run(
        &host,
        &["-u", "web", "-v", &volume],
        "groups:1",
        &["cat", "/secret"],
    );
    assert_ne!(output.code, 0, "{output:?}");
}

#[test]
fn pausing_stops_everything_and_killing_ends_it_even_then() {
    let Some(host) = host() else { return };
    let count = "i=0; while :; do i=$((i+1)); echo $i; done";
    let id = host.ok(["run", "-d", "--network", "none", BUSYBOX, "sh", "-c", count]);
    host.ok(["pause", &id]);
    let lines = || host.ok(["logs", &id]).lines().count();
    let mut before = lines();
    wait_until("the log to stand still", PATIENCE, || {
        let now = lines();
        std::mem::replace(&mut before, now) == now
    });
    assert_eq!(host.wharf(["exec", &id, "true"]).code, 1);
    host.ok(["rm", "-f", &id]);
    assert!(!Path::new("/proc").join(&id).exists());
}

#[test]
fn cve_2021_30465_a_target_that_is_swapped_meanwhile_does_not_lead_out() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};
    let Some(host) = host() else { return };
    let (decoy, before) = decoy(&host);
    let (shared, source) = (host.dir().join("shared"), host.dir().join("source"));
    fs::create_dir_all(shared.join("target")).unwrap();
    fs::create_dir(&source).unwrap();
    fs::write(source.join("mark"), "x").unwrap();
    std::os::unix::fs::symlink(format!("{decoy}/sub"), shared.join("link")).unwrap();
    let done = AtomicBool::new(false);
    let volumes = [
        format!("{}:/shared", shared.display()),
        format!("{}:/shared/target/deep", source.display()),
        format!("{}/mark:/shared/target/file", source.display()),
    ];
    let swaps = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0u64;
            while !done.load(Ordering::Relaxed) {
                let (one, other) = (shared.join("target"), shared.join("link"));
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        for _ in 0..40 {
            let flags: Vec<&str> = volumes.iter().flat_map(|v| ["-v", v.as_str()]).collect();
            // Whether it starts depends on the moment; what is outside must not.
            run(&host, &flags, BUSYBOX, &["true"]);
        }
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap()
    });
    assert!(swaps > 40, "{swaps}");
    assert_eq!(look(&decoy), before);
}
