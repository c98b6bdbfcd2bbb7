//! Records in, specifications out.

use std::collections::BTreeMap;

use oci_spec::runtime::Mount;

use super::*;
use crate::engine::model::container::{ImageMount, Recursion, VolumeMount};
use crate::engine::model::selinux::LabelOption;
use crate::engine::model::{self, ContainerId, HostConfig, Platform, request};

fn record() -> Container {
    Container {
        version: model::container::RECORD_VERSION,
        id: ContainerId::try_from("ab".repeat(32)).unwrap(),
        name: "web".to_owned(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        image: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        platform: Platform::host(),
        layers: Vec::new(),
        config: model::ContainerConfig {
            cmd: vec!["sh".to_owned()],
            ..Default::default()
        },
        host: HostConfig::default(),
    }
}

fn spec(container: &Container) -> Result<Spec> {
    super::container(SpecInput {
        container,
        live: Path::new("/run/wharf/containers/x"),
        host: &Host {
            cgroups: Version::V1,
            hostname: "machine".to_owned(),
            cpus: 2,
        },
        sources: &Sources {
            volumes: BTreeMap::from([(
                "data".to_owned(),
                VolumeSource {
                    kind: "bind".to_owned(),
                    source: "/v/data/_data".to_owned(),
                    options: Vec::new(),
                },
            )]),
            layers: PathBuf::from("/l"),
            empty: (!container.host.contexts.mount.is_empty()).then(|| PathBuf::from("/e")),
        },
        devices: &Given::default(),
        apparmor: Some("own"),
        contexts: &container.host.contexts,
    })
}

fn targets(spec: &Spec) -> Vec<String> {
    let mounts = spec.mounts().as_ref().unwrap();
    mounts
        .iter()
        .map(|m| m.destination().display().to_string())
        .collect()
}

#[test]
fn an_exec_has_the_profile_of_its_container() {
    let spec = spec(&record()).unwrap();
    let main = spec.process().as_ref().unwrap();
    assert_eq!(main.apparmor_profile().as_deref(), Some("own"));
    for privileged in [false, true] {
        let request = request::Exec {
            cmd: vec!["sh".to_owned()],
            privileged,
            ..Default::default()
        };
        let process = exec_process(&spec, &request).unwrap();
        assert_eq!(process.apparmor_profile().as_deref(), Some("own"));
    }
}

#[test]
fn contexts_are_those_of_the_record_and_an_exec_has_them_too() {
    let mut record = record();
    record.host.contexts = Contexts {
        process: "u:r:t:s0:c1,c2".to_owned(),
        mount: "u:object_r:f:s0:c1,c2".to_owned(),
    };
    let digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
    let mut image = ImageMount {
        layers: vec![digest],
        target: "/i".to_owned(),
        ..ImageMount::default()
    };
    record.host.mounts = vec![model::Mount::Image(image.clone())];
    let made = spec(&record).unwrap();
    let main = made.process().as_ref().unwrap();
    assert_eq!(main.selinux_label().as_deref(), Some("u:r:t:s0:c1,c2"));
    assert_eq!(
        crate::engine::runtime::labels::of_mounts(&made),
        Some("u:object_r:f:s0:c1,c2")
    );
    let request = request::Exec {
        cmd: vec!["sh".to_owned()],
        privileged: true,
        ..Default::default()
    };
    let process = exec_process(&made, &request).unwrap();
    assert_eq!(process.selinux_label().as_deref(), Some("u:r:t:s0:c1,c2"));
    // An image is an overlay, also of one layer.
    let mut mounts = made.mounts().as_ref().unwrap().iter();
    let is_ours = |mount: &&Mount| mount.typ().as_deref() == Some("overlay");
    let mount = mounts.find(is_ours).unwrap();
    let lower = format!("lowerdir=/l/{}/fs:/e", "1".repeat(64));
    assert_eq!(mount.options().as_ref().unwrap().last(), Some(&lower));
    image.subpath = Some("x".to_owned());
    record.host.mounts = vec![model::Mount::Image(image)];
    // So is a part of it.
    let made = spec(&record).unwrap();
    let mut mounts = made.mounts().as_ref().unwrap().iter();
    let options = mounts.find(is_ours).unwrap().options().clone().unwrap();
    assert!(options.contains(&lower), "{options:?}");
    assert_eq!(options.last().unwrap(), "x-wharf.subpath=x");
}

#[test]
fn the_policy_is_seen_by_a_nested_container_alone() {
    let place = "/sys/fs/selinux".to_owned();
    let mut record = record();
    record.host.security.labels = vec![LabelOption::Nested];
    // Without SELinux there is none to be seen.
    assert!(!targets(&spec(&record).unwrap()).contains(&place));
    record.host.contexts.process = "u:r:t:s0".to_owned();
    assert!(targets(&spec(&record).unwrap()).contains(&place));
    record.host.security.labels.clear();
    assert!(!targets(&spec(&record).unwrap()).contains(&place));
}

#[test]
fn a_later_variable_takes_the_place_of_an_earlier_one() {
    let own = ["PATH=/bin", "A=1", "B=2", "A=3", "B", "HOSTNAME=h"].map(str::to_owned);
    assert_eq!(
        environment("x", true, &own),
        ["PATH=/bin", "HOSTNAME=h", "TERM=xterm", "A=3"]
    );
}

#[test]
fn a_container_without_network_has_all_namespaces_and_the_hosts_has_not() {
    let count = |c: &Container| {
        let spec = spec(c).unwrap();
        spec.linux()
            .as_ref()
            .unwrap()
            .namespaces()
            .as_ref()
            .unwrap()
            .len()
    };
    let mut record = record();
    assert_eq!(count(&record), 6);
    record.host.network = NetworkMode::Host;
    assert_eq!(count(&record), 5);
    let spec = spec(&record).unwrap();
    assert_eq!(spec.hostname().as_deref(), Some("machine"));
    assert_eq!(spec.linux().as_ref().unwrap().sysctl(), &None);
}

#[test]
fn a_given_host_name_counts_with_the_hosts_network_too() {
    let mut record = record();
    record.host.network = NetworkMode::Host;
    record.config.hostname = "own".to_owned();
    let made = spec(&record).unwrap();
    assert_eq!(made.hostname().as_deref(), Some("own"));
    let env = made.process().as_ref().unwrap().env().clone().unwrap();
    assert!(env.contains(&"HOSTNAME=own".to_owned()), "{env:?}");
}

#[test]
fn groups_are_writable_with_every_right_or_when_asked() {
    let options = |record: &Container| {
        let made = spec(record).unwrap();
        let mounts = made.mounts().as_ref().unwrap();
        let of_groups = |m: &&Mount| m.typ().as_deref() == Some("cgroup");
        let found = mounts.iter().find(of_groups).unwrap();
        found.options().clone().unwrap()[0].clone()
    };
    let mut record = record();
    assert_eq!(options(&record), "ro");
    record.host.rights.privileged = true;
    assert_eq!(options(&record), "rw");
    record.host.security.writable_cgroups = Some(false);
    assert_eq!(options(&record), "ro");
    record.host.rights.privileged = false;
    record.host.security.writable_cgroups = Some(true);
    assert_eq!(options(&record), "rw");
}

#[test]
fn a_users_mount_replaces_the_default_one() {
    let mut record = record();
    record.host.mounts = vec![
        model::Mount::Tmpfs {
            target: "/a/b".to_owned(),
            options: "size=1m".to_owned(),
        },
        model::Mount::Bind {
            source: "/src".to_owned(),
            target: "/dev/shm/".to_owned(),
            readonly: true,
            propagation: None,
            create_source: false,
            recursion: Recursion::Enabled,
            relabel: None,
        },
        model::Mount::Tmpfs {
            target: "/a".to_owned(),
            options: String::new(),
        },
    ];
    let spec = spec(&record).unwrap();
    let mut all = targets(&spec);
    all.retain(|target| !target.starts_with("/etc/"));
    assert_eq!(all.iter().filter(|t| *t == "/dev/shm").count(), 1);
    assert_eq!(
        all.get(all.len() - 3..).unwrap(),
        ["/a", "/a/b", "/dev/shm"]
    );
}

#[test]
fn a_volume_is_bound_and_an_image_is_its_layers() {
    let mut record = record();
    let digest = |c: &str| format!("sha256:{}", c.repeat(64)).parse().unwrap();
    let image = |layers: Vec<model::Digest>, target: &str| {
        model::Mount::Image(ImageMount {
            layers,
            target: target.to_owned(),
            ..ImageMount::default()
        })
    };
    record.host.mounts = vec![
        model::Mount::Volume(VolumeMount {
            name: "data".to_owned(),
            target: "/a".to_owned(),
            readonly: true,
            subpath: Some("x/y".to_owned()),
            ..VolumeMount::default()
        }),
        image(vec![digest("1")], "/b"),
        image(vec![digest("2"), digest("1")], "/c"),
    ];
    let made = spec(&record).unwrap();
    let mounts = made.mounts().as_ref().unwrap().iter();
    let shown: Vec<String> = mounts
        .filter(|mount| {
            let target = mount.destination();
            ["/a", "/b", "/c"]
                .iter()
                .any(|own| target == Path::new(own))
        })
        .map(|m| {
            let source = m.source().as_ref().unwrap().display();
            format!(
                "{} {source} {}",
                m.typ().as_ref().unwrap(),
                m.options().as_ref().unwrap().join(",")
            )
        })
        .collect();
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    assert_eq!(
        shown,
        [
            "bind /v/data/_data rbind,rprivate,x-wharf.subpath=x/y,rro".to_owned(),
            format!("bind /l/{one}/fs rbind,rprivate,rro"),
            format!("overlay overlay ro,lowerdir=/l/{two}/fs:/l/{one}/fs"),
        ]
    );
    record.host.mounts = vec![model::Mount::Volume(VolumeMount {
        name: "gone".to_owned(),
        target: "/a".to_owned(),
        ..VolumeMount::default()
    })];
    assert!(spec(&record).is_err());
}

#[test]
fn mounts_over_what_the_kernel_tells_are_refused() {
    for target in [
        "/proc",
        "/proc/self",
        "/x/../proc/sys",
        "/sys",
        "/sys/kernel",
        "/",
        "/..",
    ] {
        let mut record = record();
        record.host.mounts = vec![model::Mount::Tmpfs {
            target: target.to_owned(),
            options: String::new(),
        }];
        assert!(spec(&record).is_err(), "{target}");
    }
}

#[test]
fn limits_become_dockers_figures() {
    let resources = resources(&model::Resources {
        memory: Some(64 << 20),
        nano_cpus: Some(1_500_000_000),
        pids_limit: Some(10),
        ..Default::default()
    })
    .unwrap();
    let memory = resources.memory().unwrap();
    assert_eq!(
        (memory.limit(), memory.swap()),
        (Some(64 << 20), Some(128 << 20))
    );
    let cpu = resources.cpu().as_ref().unwrap();
    assert_eq!((cpu.quota(), cpu.period()), (Some(150_000), Some(100_000)));
    assert_eq!(resources.pids().unwrap().limit(), 10);
}

#[test]
fn an_exec_keeps_the_containers_rights_and_adds_its_own_variables() {
    let spec = spec(&record()).unwrap();
    let process = exec_process(
        &spec,
        &request::Exec {
            cmd: vec!["id".to_owned()],
            env: vec!["A=1".to_owned()],
            user: Some("web".to_owned()),
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!(process.user().username().as_deref(), Some("web"));
    assert!(process.env().as_ref().unwrap().contains(&"A=1".to_owned()));
    let main = spec.process().as_ref().unwrap();
    assert_eq!(process.capabilities(), main.capabilities());
}

#[test]
fn a_specification_survives_being_written_and_read() {
    let spec = spec(&record()).unwrap();
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec);
}
