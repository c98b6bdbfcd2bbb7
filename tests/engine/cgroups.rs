//! Control groups on the real kernel, through the runtime's own interface: places, limits, changes, figures, freezing,
//! killing, removal. What a host's kernel cannot do is not asked of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use oci_spec::runtime::LinuxResources;
use wharf::engine::error::Kind;
use wharf::engine::runtime::cgroup::{
    Cgroup, Driver, Hierarchy, Notice, Version, with_default_devices,
};

use crate::containers::{kill_9, monitor_of};
use crate::feature::{Feature, here};
use crate::support::{
    Host, PATIENCE, WHARF, cgroup_mounts, cgroups_of, collect, privileged, remove_group, wait_until,
};

/// A group of the test's, below one that nobody else uses, with what is in it.
struct Group {
    cgroup: Cgroup,
    top: String,
    children: Vec<Child>,
}

impl Group {
    /// Each test has its own name, and the process's id keeps runs apart.
    fn at(name: &str) -> Self {
        Self::on(&Hierarchy::detect().unwrap(), name)
    }

    /// In the unified tree, also on a host that has its controllers elsewhere: what belongs to the tree itself is there all
    /// the same. `None` where it is not mounted at all.
    fn unified(name: &str) -> Option<Self> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let of_v2 = |line: &&str| line.contains(" - cgroup2 ");
        let table: Vec<&str> = table.lines().filter(of_v2).collect();
        let hierarchy = Hierarchy::from_mountinfo(table.join("\n").as_bytes())?;
        Some(Self::on(&hierarchy, name))
    }

    fn on(hierarchy: &Hierarchy, name: &str) -> Self {
        let top = format!("wharf-test-{}-{name}", std::process::id());
        let path = PathBuf::from(format!("/{top}/a/b"));
        let cgroup = hierarchy
            .locate(Driver::Cgroupfs, Some(&path), "unused")
            .unwrap();
        Self {
            cgroup,
            top,
            children: Vec::new(),
        }
    }

    /// Starts a shell line in the group, which has these limits.
    fn start(&mut self, resources: &LinuxResources, line: &str) -> i32 {
        // The line waits for the end of its input, which comes when it is in its group.
        let mut child = Command::new("sh")
            .args(["-c", &format!("read _; {line}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.cgroup.create_for(pid, Some(resources)).unwrap();
        self.cgroup.attach(pid).unwrap();
        drop(child.stdin.take());
        self.children.push(child);
        pid
    }

    fn directories(&self) -> Vec<PathBuf> {
        let paths = self.cgroup.paths().into_values();
        paths.filter(|path| path.exists()).collect()
    }

    /// The file of a controller, on the interface that the host has.
    fn read(&self, v1: (&str, &str), v2: &str) -> String {
        let paths = self.cgroup.paths();
        let (controller, file) = match self.cgroup.version() {
            Version::V1 => v1,
            Version::V2 => ("", v2),
        };
        let path = paths.get(controller).unwrap().join(file);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim().to_owned()
    }

    fn finish(&mut self) {
        self.cgroup.kill_all().unwrap();
        for child in &mut self.children {
            child.wait().unwrap();
        }
        self.cgroup.remove().unwrap();
        assert_eq!(self.directories(), Vec::<PathBuf>::new());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.cgroup.kill_all();
        for child in &mut self.children {
            let _ = child.wait();
        }
        let _ = self.cgroup.remove();
        for mount in cgroup_mounts() {
            let _ = fs::remove_dir(mount.join(&self.top).join("a"));
            let _ = fs::remove_dir(mount.join(&self.top));
        }
    }
}

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

const LIMITS: &str = r#"{"memory":{"limit":67108864,"reservation":33554432},"pids":{"limit":50},
    "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"}}"#;

#[test]
fn limits_of_a_bundle_are_set_and_changed_in_place() {
    if privileged().is_none() {
        return;
    }
    let mut group = Group::at("limits");
    let before = resources(LIMITS);
    group.start(&before, "exec sleep 1000");
    let memory = |group: &Group| group.read(("memory", "memory.limit_in_bytes"), "memory.max");
    let pids = |group: &Group| group.read(("pids", "pids.max"), "pids.max");
    assert_eq!(
        (memory(&group), pids(&group)),
        ("67108864".to_owned(), "50".to_owned())
    );
    assert_eq!(group.read(("cpuset", "cpuset.cpus"), "cpuset.cpus"), "0");
    // Up and down again, each alone and in pairs that depend on each other.
    let mut now = before;
    for limit in [128u64 << 20, 32 << 20, 64 << 20] {
        let change = resources(&format!(
            r#"{{"memory":{{"limit":{limit}}},"pids":{{"limit":-1}}}}"#
        ));
        now = group.cgroup.update(&now, &change).unwrap();
        assert_eq!(memory(&group), limit.to_string());
        assert_eq!(pids(&group), "max");
    }
    for (quota, period) in [(200_000, 400_000), (5000, 10_000), (900_000, 900_000)] {
        let change = resources(&format!(
            r#"{{"cpu":{{"quota":{quota},"period":{period}}}}}"#
        ));
        now = group.cgroup.update(&now, &change).unwrap();
    }
    let quota = group.read(("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(quota.starts_with("900000"), "{quota}");
    // The answer holds everything that was asked for so far.
    assert_eq!(now.memory().unwrap().reservation(), Some(33_554_432));
    assert_eq!(now.cpu().as_ref().unwrap().shares(), Some(512));
    group.finish();
}

#[test]
fn a_change_that_the_kernel_refuses_changes_nothing() {
    if privileged().is_none() {
        return;
    }
    let mut group = Group::at("refused");
    let before = resources(LIMITS);
    group.start(&before, "exec sleep 1000");
    let pids = |group: &Group| group.read(("pids", "pids.max"), "pids.max");
    for (change, field) in [
        (
            r#"{"pids":{"limit":7},"cpu":{"period":1,"quota":1}}"#,
            "linux.resources.cpu.",
        ),
        (
            r#"{"pids":{"limit":7},"cpu":{"cpus":"4000"}}"#,
            "linux.resources.cpu.cpus",
        ),
        (
            r#"{"pids":{"limit":7},"blockIO":{"throttleReadBpsDevice":[{"major":4095,"minor":7,"rate":1}]}}"#,
            "linux.resources.blockIO.throttleReadBpsDevice",
        ),
        (
            r#"{"pids":{"limit":7},"devices":[{"allow":true,"access":"x"}]}"#,
            "linux.resources.devices[0].access",
        ),
    ] {
        let error = group
            .cgroup
            .update(&before, &resources(change))
            .unwrap_err();
        assert!(error.to_string().starts_with(field), "{change}: {error}");
        assert_eq!(pids(&group), "50", "{change}");
    }
    group.finish();
}

#[test]
fn a_hierarchy_is_joined_when_its_first_limit_comes() {
    if privileged().is_none() {
        return;
    }
    let mut group = Group::at("joined");
    let pid = group.start(&LinuxResources::default(), "exec sleep 1000");
    let change = resources(r#"{"cpu":{"cpus":"0"}}"#);
    group
        .cgroup
        .update(&LinuxResources::default(), &change)
        .unwrap();
    assert_eq!(group.read(("cpuset", "cpuset.cpus"), "cpuset.cpus"), "0");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    group.finish();
}

/// As when somebody else makes the group above at the same time, and has not come to its controllers yet.
#[test]
fn a_controller_that_the_group_above_keeps_is_handed_down_for_a_limit() {
    if privileged().is_none() || !here(Feature::Unified) {
        return;
    }
    let mut group = Group::at("kept");
    group.start(&LinuxResources::default(), "exec sleep 1000");
    let directory = group.directories().remove(0);
    let above = directory.parent().unwrap().join("cgroup.subtree_control");
    fs::write(above, "-pids").unwrap();
    assert!(!directory.join("pids.max").exists());
    let change = resources(r#"{"pids":{"limit":7}}"#);
    group
        .cgroup
        .update(&LinuxResources::default(), &change)
        .unwrap();
    assert_eq!(group.read(("", ""), "pids.max"), "7");
    group.finish();
}

#[test]
fn a_group_that_cannot_be_limited_is_not_left_behind() {
    if privileged().is_none() {
        return;
    }
    let group = Group::at("half");
    let wrong = resources(r#"{"memory":{"limit":67108864},"cpu":{"cpus":"4000"}}"#);
    let error = group.cgroup.create(Some(&wrong)).unwrap_err();
    assert!(
        error.to_string().starts_with("linux.resources.cpu.cpus: "),
        "{error}"
    );
    assert_eq!(group.directories(), Vec::<PathBuf>::new());
}

#[test]
fn groups_below_belong_to_the_container() {
    if privileged().is_some() {
        check_below(Group::at("below"));
    }
}

#[test]
fn groups_below_belong_to_the_container_on_v2() {
    if privileged().is_some()
        && let Some(group) = Group::unified("below-v2")
    {
        check_below(group);
    }
}

fn check_below(mut group: Group) {
    let first = group.start(&LinuxResources::default(), "exec sleep 1000");
    let second = group.start(&LinuxResources::default(), "exec sleep 1000");
    // What a payload with rights to its groups could do: a group of its own in every hierarchy, two levels deep.
    for directory in group.directories() {
        let below = directory.join("x/y");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("cgroup.procs"), second.to_string()).unwrap();
    }
    let mut expected = vec![first, second];
    expected.sort_unstable();
    assert_eq!(group.cgroup.pids().unwrap(), expected);
    let sub = group.cgroup.subgroup("x/y").unwrap();
    assert_eq!(sub.pids().unwrap(), [second]);
    group.finish();
}

#[test]
fn a_group_is_handed_over_with_the_files_that_the_kernel_lists() {
    if privileged().is_none() {
        return;
    }
    let owner = |path: PathBuf| fs::metadata(path).unwrap().uid();
    let Some(mut group) = Group::unified("heir") else {
        return;
    };
    group.start(&LinuxResources::default(), "exec sleep 1000");
    group.cgroup.hand_over(12_345).unwrap();
    for directory in group.directories() {
        assert_eq!(owner(directory.join("cgroup.procs")), 12_345);
        assert_eq!(owner(directory.join("cgroup.freeze")), 0);
        assert_eq!(owner(directory), 12_345);
    }
    group.finish();
    // It would be no boundary on v1.
    let mut group = Group::at("no-heir");
    if group.cgroup.version() == Version::V1 {
        group.start(&LinuxResources::default(), "exec sleep 1000");
        group.cgroup.hand_over(12_345).unwrap();
        assert!(group.directories().into_iter().all(|path| owner(path) == 0));
        group.finish();
    }
}

#[test]
fn a_group_with_processes_is_not_for_a_new_container() {
    if privileged().is_none() {
        return;
    }
    let mut group = Group::at("vacant");
    group.cgroup.ensure_vacant().unwrap();
    group.start(&LinuxResources::default(), "exec sleep 1000");
    let error = group.cgroup.ensure_vacant().unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(
        error.to_string().starts_with("linux.cgroupsPath: "),
        "{error}"
    );
    group.finish();
}

#[test]
fn all_tasks_are_frozen_signalled_and_killed() {
    if privileged().is_some() {
        check_signals(Group::at("signals"));
    }
}

#[test]
fn all_tasks_are_frozen_signalled_and_killed_on_v2() {
    if privileged().is_some()
        && let Some(group) = Group::unified("signals-v2")
    {
        check_signals(group);
    }
}

fn check_signals(mut group: Group) {
    // Everything that it starts is told too.
    group.start(&LinuxResources::default(), "sleep 1000 & sleep 1000 & wait");
    wait_until("all three run", PATIENCE, || {
        group.cgroup.pids().unwrap().len() == 3
    });
    group.cgroup.freeze().unwrap();
    assert!(group.cgroup.is_frozen().unwrap());
    group.cgroup.thaw().unwrap();
    assert!(!group.cgroup.is_frozen().unwrap());
    group.cgroup.signal_all(libc::SIGTERM).unwrap();
    wait_until("all three have ended", PATIENCE, || {
        group.cgroup.pids().unwrap().is_empty()
    });
    // A frozen group can be killed too.
    group.start(&LinuxResources::default(), "exec sleep 1000");
    group.cgroup.freeze().unwrap();
    group.finish();
}

#[test]
fn a_bomb_of_processes_is_killed_whole() {
    if privileged().is_none() {
        return;
    }
    let mut group = Group::at("bomb");
    let limit = resources(r#"{"pids":{"limit":40}}"#);
    // A shell that cannot fork ends; what became something else stays.
    group.start(&limit, "f() { f & f & exec sleep 1000; }; f 2>/dev/null");
    wait_until("it has grown", PATIENCE, || {
        group.cgroup.pids().unwrap().len() > 10
    });
    group.finish();
}

#[test]
fn figures_say_what_runs() {
    if privileged().is_none() {
        return;
    }
    let mut group = Group::at("figures");
    group.start(
        &resources(LIMITS),
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 1000",
    );
    wait_until("it has used the processor", PATIENCE, || {
        group.cgroup.report().unwrap().cpu.usage.total > 1_000_000
    });
    // v2 counts what is asked for after the move alone: the new program's pages.
    wait_until("it has used memory", PATIENCE, || {
        group.cgroup.report().unwrap().memory.usage.usage > 0
    });
    let report = group.cgroup.report().unwrap();
    assert_eq!(report.pids.limit, 50);
    assert!(report.pids.current >= 1);
    assert_eq!(report.memory.usage.limit, 67_108_864);
    assert!(!report.memory.raw.is_empty());
    let json = serde_json::to_value(&report).unwrap();
    for key in [
        "cpu",
        "cpuset",
        "memory",
        "pids",
        "blkio",
        "hugetlb",
        "intel_rdt",
        "network_interfaces",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    if group.cgroup.version() == Version::V1 {
        assert_eq!(report.cpuset.cpus, [0]);
        assert!(!report.cpu.usage.percpu.is_empty());
    }
    group.finish();
    assert_eq!(group.cgroup.report().unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn exhausted_memory_and_a_removed_group_are_noticed() {
    if privileged().is_none() {
        return;
    }
    let mut group = Group::at("oom");
    let limit = resources(r#"{"memory":{"limit":8388608,"swap":8388608}}"#);
    group.cgroup.create(Some(&limit)).unwrap();
    let mut watch = group.cgroup.oom_watch().unwrap();
    assert_eq!(watch.look().unwrap(), Notice::Nothing);
    // More than it may have, in one piece.
    group.start(&limit, "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    wait_until("it was killed", PATIENCE, || {
        group.cgroup.oom_kills().unwrap() > 0
    });
    assert_eq!(watch.look().unwrap(), Notice::Exhausted);
    group.finish();
    assert_eq!(watch.look().unwrap(), Notice::Gone);
}

#[test]
fn devices_are_denied_and_given_while_it_runs() {
    if privileged().is_some() {
        check_devices(Group::at("devices"));
    }
}

#[test]
fn devices_are_denied_and_given_while_it_runs_on_v2() {
    if privileged().is_some()
        && let Some(group) = Group::unified("devices-v2")
    {
        check_devices(group);
    }
}

fn check_devices(mut group: Group) {
    let before = with_default_devices(None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (asked, answer) = (dir.path().join("asked"), dir.path().join("answer"));
    // kmsg (1:11) is no default device: asked for each time that the file is there.
    let line = format!(
        "while sleep 0.05; do [ -e {0} ] && {{ head -c 0 /dev/kmsg && echo yes || echo no; }} >{1}.new 2>/dev/null && rm {0} && mv {1}.new {1}; done",
        asked.display(),
        answer.display()
    );
    group.start(&before, &line);
    let opens = || {
        let _ = fs::remove_file(&answer);
        fs::write(&asked, "").unwrap();
        wait_until("it has tried", PATIENCE, || answer.exists());
        fs::read_to_string(&answer).unwrap().trim() == "yes"
    };
    assert!(!opens(), "a device that nobody gave");
    let given = r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#;
    let given = with_default_devices(Some(&resources(given))).unwrap();
    group.cgroup.update(&before, &given).unwrap();
    assert!(opens(), "a device that was given");
    group.cgroup.update(&given, &before).unwrap();
    assert!(!opens(), "a device that was taken back");
    group.finish();
}

/// CVE-2022-0492's relatives: no text of a bundle names a group outside of its place.
#[test]
fn cgroups_path_cannot_climb() {
    if privileged().is_none() {
        return;
    }
    let hierarchy = Hierarchy::detect().unwrap();
    for path in ["/../x", "../x", "/a/../../x", "a/../..", "/", "."] {
        let error = hierarchy.locate(Driver::Cgroupfs, Some(Path::new(path)), "id");
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("linux.cgroupsPath: "), "{path}: {text}");
    }
    for slice in ["../x.slice:a:b", "a.slice:../b:c", "a.slice:b:../../c"] {
        let place = hierarchy.locate(Driver::Systemd, Some(Path::new(slice)), "id");
        assert_eq!(place.unwrap_err().kind(), Kind::InvalidInput, "{slice}");
    }
}

#[test]
fn a_relative_path_is_below_our_own_group() {
    if privileged().is_none() {
        return;
    }
    let name = format!("wharf-test-{}-own", std::process::id());
    let hierarchy = Hierarchy::detect().unwrap();
    let cgroup = hierarchy.locate(Driver::Cgroupfs, Some(Path::new(&name)), "id");
    // On a host whose tests run in a group that is mounted elsewhere, there is no such place.
    let Ok(cgroup) = cgroup else { return };
    cgroup.create(None).unwrap();
    assert!(
        cgroup
            .paths()
            .values()
            .any(|path| path.ends_with(&name) && path.exists())
    );
    cgroup.remove().unwrap();
}

#[test]
fn without_systemd_its_driver_says_so_in_one_line() {
    if privileged().is_none() || Path::new("/run/systemd/private").exists() {
        return;
    }
    let hierarchy = Hierarchy::detect().unwrap();
    let cgroup = hierarchy
        .locate(
            Driver::Systemd,
            Some(Path::new("system.slice:wharf:none")),
            "none",
        )
        .unwrap();
    assert_eq!(cgroup.birthplace(), None);
    let pid = i32::try_from(std::process::id()).unwrap();
    let error = cgroup.create_for(pid, None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(
        error
            .to_string()
            .starts_with("talk to systemd, which does not run here"),
        "{error}"
    );
    assert_eq!(error.hint(), Some("use --cgroup-manager cgroupfs"));
}

#[test]
fn systemd_makes_a_scope_changes_it_and_ends_it() {
    if privileged().is_none() || !Path::new("/run/systemd/private").exists() {
        return;
    }
    let place = format!("system.slice:wharf-test:{}", std::process::id());
    let cgroup = Hierarchy::detect()
        .unwrap()
        .locate(Driver::Systemd, Some(Path::new(&place)), "unused")
        .unwrap();
    let mut group = Group {
        cgroup,
        top: "none".to_owned(),
        children: Vec::new(),
    };
    let before = resources(LIMITS);
    group.start(
        &with_default_devices(Some(&before)).unwrap(),
        "exec sleep 1000",
    );
    let memory = |group: &Group| group.read(("memory", "memory.limit_in_bytes"), "memory.max");
    assert_eq!(memory(&group), "67108864");
    let scopes = group.directories();
    assert!(
        scopes
            .iter()
            .all(|path| path.to_str().unwrap().contains("system.slice/wharf-test-")),
        "{scopes:?}"
    );
    let change = resources(r#"{"memory":{"limit":134217728},"pids":{"limit":9}}"#);
    group.cgroup.update(&before, &change).unwrap();
    assert_eq!(memory(&group), "134217728");
    assert_eq!(group.read(("pids", "pids.max"), "pids.max"), "9");
    group.finish();
}

/// A service's or a session's group, with everything that a service manager would end there.
struct UnitGroup {
    groups: Vec<PathBuf>,
}

impl UnitGroup {
    /// In the hierarchies in which systemd keeps its units.
    fn make() -> Self {
        let name = format!("wharf-test-{}.service", std::process::id());
        let is_systemds = |mount: &PathBuf| {
            let name = mount.file_name().unwrap_or_default();
            ["cgroup", "systemd", "unified"]
                .iter()
                .any(|known| name == *known)
        };
        let mounts = cgroup_mounts().into_iter().filter(is_systemds);
        let groups: Vec<PathBuf> = mounts.map(|mount| mount.join(&name)).collect();
        for group in &groups {
            fs::create_dir(group).unwrap();
        }
        Self { groups }
    }

    /// Runs `wharf` in it.
    fn ok(&self, host: &Host, args: &[&str]) -> String {
        let mut command = Command::new("sh");
        let enter = "for group in $GROUPS_TO_ENTER; do echo $$ >$group/cgroup.procs || exit; done; exec \"$@\"";
        command.args(["-c", enter, "sh", WHARF]).args(args);
        host.dress(&mut command);
        let groups: Vec<&str> = self
            .groups
            .iter()
            .filter_map(|group| group.to_str())
            .collect();
        command.env("GROUPS_TO_ENTER", groups.join(" "));
        let output = collect(&mut command, b"");
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output.stdout.trim().to_owned()
    }

    /// Everybody who is in it.
    fn processes(&self) -> Vec<String> {
        let list = |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap();
        let lists = self.groups.iter().map(list).collect::<String>();
        lists.lines().map(str::to_owned).collect()
    }
}

impl Drop for UnitGroup {
    fn drop(&mut self) {
        for group in &self.groups {
            remove_group(group);
        }
    }
}

/// A `systemctl stop`, or the end of a session with `KillUserProcesses=yes`, kills who is left in the unit's group.
#[test]
fn nothing_of_a_container_stays_in_the_unit_that_it_was_started_from() {
    let Some(host) = privileged() else { return };
    host.busybox_image().unwrap();
    // The containers are removed before the group, also when this fails.
    let (unit, host) = (UnitGroup::make(), host);
    if unit.groups.is_empty() {
        return;
    }
    let run = ["run", "-d", "--network", "none", "--restart", "always"];
    let command = ["--name", "web", "busybox", "sleep", "1000"];
    let id = unit.ok(&host, &[&run[..], &command].concat());
    unit.ok(&host, &["exec", "-d", "web", "sleep", "1000"]);
    assert_eq!(unit.processes(), Vec::<String>::new());
    // It is where the first process is, which nobody ends.
    let systemds = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let line = |line: &&str| line.contains("systemd") || line.starts_with("0:");
        let lines = text.lines().filter(line).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    assert_eq!(systemds(monitor_of(&host, &id)), systemds(1));
    let before = host.ok(["inspect", "-f", "{{.State.Pid}}", "web"]);
    kill_9(before.parse().unwrap());
    wait_until("a start by its policy", PATIENCE, || {
        let now = host.ok(["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "web"]);
        now.starts_with("running") && !now.ends_with(&format!(" {before}"))
    });
    assert_eq!(unit.processes(), Vec::<String>::new());
    kill_9(monitor_of(&host, &id));
    host.ok(["rm", "-f", "web"]);
    assert_eq!(cgroups_of(&[id]), Vec::<PathBuf>::new());
    for group in &unit.groups {
        fs::remove_dir(group).unwrap();
    }
}
