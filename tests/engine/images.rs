//! Images against the tools that make and read them: archives of skopeo, umoci, podman and buildah are loaded, the
//! unpacked trees compared with tar's own, and what wharf saves is read by all of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf::engine::images::{Images, Source};
use wharf::engine::model::image::Loaded;
use wharf::engine::model::{Cancel, ContainerConfig, Reference};
use wharf::engine::store::Roots;

use crate::support::{Host, collect, has_peer, names_in, privileged};

fn images(host: &Host, name: &str) -> Images {
    let root = host.dir().join(name);
    Images::open(&Roots {
        data: root.join("data"),
        run: root.join("run"),
    })
    .unwrap()
}

fn load(images: &Images, path: &Path) -> Vec<Loaded> {
    images
        .load(Source::Path(path.to_owned()), &|_| (), &Cancel::new())
        .unwrap()
}

/// Runs a command line with `sh -euc` in a directory; it must succeed.
fn sh(dir: &Path, script: &str) -> String {
    let mut command = Command::new("sh");
    command
        .args(["-euc", script])
        .current_dir(dir)
        .env("HOME", dir)
        .env("TMPDIR", dir);
    let output = collect(&mut command, &[]);
    assert_eq!(output.code, 0, "{script}\n{output:#?}");
    output.stdout
}

/// Everything that unpacking must get right, as one line per path.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_file() {
                let mut bytes = Vec::new();
                fs::File::open(&path)
                    .unwrap()
                    .read_to_end(&mut bytes)
                    .unwrap();
                format!("{} bytes {:x?}", bytes.len(), sum(&bytes))
            } else if stat.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                String::new()
            };
            let links = if stat.is_dir() { 1 } else { stat.nlink() };
            found.insert(
                path.strip_prefix(root).unwrap().to_owned(),
                format!(
                    "{:o} {}:{} {}.{:09} dev {} links {links} {content} {}",
                    stat.mode(),
                    stat.uid(),
                    stat.gid(),
                    stat.mtime(),
                    stat.mtime_nsec(),
                    stat.rdev(),
                    xattrs(&path)
                ),
            );
            if stat.is_dir() {
                walk(root, &path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1_469_598_103_934_665_603, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211)
    })
}

fn xattrs(path: &Path) -> String {
    let mut buffer = vec![0_u8; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut *buffer).unwrap();
    let names = buffer[..length].to_vec();
    let mut text = String::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let name = std::ffi::OsStr::from_bytes(name);
        let length = rustix::fs::lgetxattr(path, name, &mut *buffer).unwrap();
        text += &format!(" {}={:x?}", name.display(), &buffer[..length]);
    }
    text
}

fn assert_same_tree(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (tree(ours), tree(theirs));
    for (path, line) in &theirs {
        assert_eq!(ours.get(path), Some(line), "{}", path.display());
    }
    assert_eq!(ours.len(), theirs.len());
    assert!(theirs.len() > 5, "nothing was compared");
}

/// A tree with one of everything, and its tar.
fn rich_tree(dir: &Path) -> PathBuf {
    sh(
        dir,
        "mkdir -p tree/bin tree/sub/deep tree/tmp tree/empty
         cp $(command -v busybox) tree/bin/busybox
         ln tree/bin/busybox tree/bin/sh
         ln -s busybox tree/bin/ls
         ln -s /etc/passwd tree/sub/absolute
         ln -s ../../../../../.. tree/sub/up
         echo hello > tree/sub/deep/file
         : > tree/sub/nothing
         chmod 4755 tree/bin/busybox
         chmod 1777 tree/tmp
         chmod 2750 tree/sub
         chmod 000 tree/sub/nothing
         chown 1234:4321 tree/sub/deep/file
         chown -h 77:88 tree/bin/ls
         mkfifo -m 640 tree/sub/pipe
         mknod -m 660 tree/sub/null c 1 3
         mknod -m 600 tree/sub/disk b 7 200
         setfattr -n user.test -v value tree/sub/deep/file || true
         setcap cap_net_bind_service+ep tree/bin/busybox || true
         dd if=/dev/zero of=tree/sub/holes bs=1 count=1 seek=5000000 2>/dev/null
         name=$(printf 'long%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30)
         mkdir tree/$name; echo x > tree/$name/$name; ln -s $name tree/$name/link
         touch -h -d '2001-02-03 04:05:06.123456789' tree/bin/ls
         touch -d '1969-12-31 23:59:58.5' tree/sub/deep/file
         touch -d '2002-02-03 04:05:06.987654321' tree/sub/deep tree/empty tree/sub",
    );
    dir.join("tree")
}

fn assemble(images: &Images, name: &str, tars: &[PathBuf]) -> String {
    let layers = tars
        .iter()
        .map(|tar| {
            let file: Box<dyn Read + Send> = Box::new(fs::File::open(tar).unwrap());
            (format!("ADD {}", tar.display()), file)
        })
        .collect();
    let name: Reference = name.parse().unwrap();
    let config = ContainerConfig {
        cmd: vec!["/bin/sh".to_owned()],
        ..ContainerConfig::default()
    };
    let id = images
        .assemble(&name, &config, layers, &Cancel::new())
        .unwrap();
    id.to_string()
}

#[test]
fn a_layer_is_unpacked_as_tar_unpacks_it() {
    let Some(host) = privileged() else { return };
    rich_tree(host.dir());
    for (format, options) in [
        ("gnu", "--format=gnu"),
        ("gnu-sparse", "--format=gnu --sparse"),
        ("pax", "--format=pax --xattrs --xattrs-include=*"),
        ("pax-sparse", "--format=pax --sparse --sparse-version=1.0"),
        ("pax-sparse-0", "--format=pax --sparse --sparse-version=0.0"),
        ("pax-sparse-1", "--format=pax --sparse --sparse-version=0.1"),
        ("gzip", "--format=pax --gzip"),
        ("zstd", "--format=pax --zstd"),
    ] {
        sh(
            host.dir(),
            &format!(
                "tar -C tree {options} -cf {format}.tar .
                 mkdir {format}.out
                 tar -C {format}.out --xattrs --xattrs-include='*' --same-owner -pxf {format}.tar"
            ),
        );
        let images = images(&host, format);
        assemble(&images, "rich", &[host.dir().join(format!("{format}.tar"))]);
        let image = images.resolve("rich").unwrap();
        let ours = &images.layer_dirs(&image)[0];
        assert_same_tree(ours, &host.dir().join(format!("{format}.out")));
        assert_index_is_true(&images, &image.layers[0].chain_id, ours);
    }
}

fn assert_index_is_true(images: &Images, chain_id: &wharf::engine::model::Digest, root: &Path) {
    use wharf::engine::images::index::Kind;
    let (summary, entries) = images.layer_index(chain_id).unwrap();
    let on_disk = tree(root);
    assert_eq!(
        entries.len(),
        on_disk.len() + 1,
        "the root has an entry, too"
    );
    let mut size = 0;
    for entry in &entries {
        let path = root.join(std::ffi::OsStr::from_bytes(&entry.path));
        let stat = fs::symlink_metadata(&path).unwrap();
        assert_eq!(entry.mode, stat.mode() & 0o7777, "{}", path.display());
        assert_eq!((entry.uid, entry.gid), (stat.uid(), stat.gid()));
        if !entry.path.is_empty() {
            let mtime = (stat.mtime(), u32::try_from(stat.mtime_nsec()).unwrap());
            assert_eq!(entry.mtime, mtime, "{}", path.display());
        }
        match &entry.kind {
            Kind::File { content } => {
                assert_eq!(entry.size, stat.size());
                size += stat.size();
                let digest = sh(root, &format!("sha256sum < '{}'", path.display()));
                let ours = content.unwrap().map(|b| format!("{b:02x}")).concat();
                assert_eq!(digest.split(' ').next(), Some(ours.as_str()));
            }
            Kind::HardLink { target } => {
                let target = root.join(std::ffi::OsStr::from_bytes(target));
                assert_eq!(fs::symlink_metadata(target).unwrap().ino(), stat.ino());
            }
            Kind::Symlink { target } => {
                assert_eq!(fs::read_link(&path).unwrap().as_os_str().as_bytes(), target);
            }
            Kind::Directory { .. } => assert!(stat.is_dir()),
            Kind::Char { .. } | Kind::Block { .. } | Kind::Fifo | Kind::Whiteout => {}
        }
    }
    assert_eq!(summary.size, size);
}

#[test]
fn archives_of_skopeo_umoci_podman_and_buildah_are_loaded() {
    let Some(host) = privileged() else { return };
    if !(has_peer("skopeo") && has_peer("umoci")) {
        return;
    }
    let dir = host.dir();
    rich_tree(dir);
    // An OCI layout of two layers made by umoci: the second removes, replaces and hides.
    sh(
        dir,
        "umoci init --layout oci
         umoci new --image oci:one
         umoci unpack --image oci:one bundle
         cp -a tree/. bundle/rootfs/
         umoci repack --image oci:one bundle
         rm -rf bundle
         umoci unpack --image oci:one bundle
         cd bundle/rootfs
         rm -r sub/deep bin/ls
         rm -r empty; echo file > empty
         rm tmp -r; mkdir tmp; echo new > tmp/new
         cd ../..
         umoci repack --image oci:one bundle
         umoci config --image oci:one --config.cmd /bin/sh --config.env A=b
         umoci unpack --image oci:one again
         mv again/rootfs merged.theirs
         skopeo copy -q oci:oci:one docker-archive:docker.tar:example/app:1
         skopeo copy -q oci:oci:one oci-archive:oci.tar:example/app:1
         skopeo copy -q --dest-compress-format zstd --dest-compress oci:oci:one oci:zstd:example/app:1
         gzip -k docker.tar",
    );
    let mut ids = Vec::new();
    for source in ["oci", "docker.tar", "oci.tar", "zstd", "docker.tar.gz"] {
        let images = images(&host, &format!("store-{source}"));
        let loaded = load(&images, &dir.join(source));
        let list = images.list().unwrap();
        let [summary] = list.as_slice() else {
            panic!("{source}: {list:?}")
        };
        if source == "oci" {
            assert_eq!(loaded, [Loaded::Untagged(summary.id.clone())]);
        } else {
            assert_eq!(loaded, [Loaded::Tagged("example/app:1".to_owned())]);
            assert_eq!(summary.tags, ["example/app:1"]);
        }
        let image = images.resolve(summary.id.short()).unwrap();
        assert_eq!(image.config.cmd, ["/bin/sh"]);
        assert_eq!(image.layers.len(), 2, "{source}");
        assert_merged(
            &host,
            &images.layer_dirs(&image),
            &dir.join("merged.theirs"),
        );
        for (layer, path) in image.layers.iter().rev().zip(images.layer_dirs(&image)) {
            assert!(layer.size > 0);
            assert!(path.is_dir());
        }
        assert_no_workspace(&host, &format!("store-{source}"));
        ids.push(summary.id.clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one configuration, one id: {ids:?}");
}

/// Mounts layers as a container would, in a mount namespace of its own, and compares what is seen.
fn assert_merged(host: &Host, layers: &[PathBuf], theirs: &Path) {
    let lowers: Vec<String> = layers.iter().map(|dir| dir.display().to_string()).collect();
    let dir = host.dir();
    sh(
        dir,
        &format!(
            "rm -rf merged.ours merged.mnt; mkdir merged.ours merged.mnt
             unshare -m sh -euc 'mount -t overlay overlay -o ro,lowerdir={} merged.mnt
             cp -a merged.mnt/. merged.ours/'",
            lowers.join(":")
        ),
    );
    assert_same_tree(&dir.join("merged.ours"), theirs);
}

fn assert_no_workspace(host: &Host, store: &str) {
    let left: Vec<String> = names_in(&host.dir().join(store).join("data/layers"))
        .into_iter()
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
