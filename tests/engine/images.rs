//! Images against the tools that make and read them: archives of skopeo, umoci, podman and buildah are loaded, the
//! unpacked trees compared with tar's own, and what wharf saves is read by all of them.

use std::collections::BTreeMap;
use std::fmt::Write;
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

pub fn images(host: &Host, name: &str) -> Images {
    let root = host.dir().join(name);
    Images::open(&Roots {
        data: root.join("data"),
        run: root.join("run"),
    })
    .unwrap()
}

pub fn load(images: &Images, path: &Path) -> Vec<Loaded> {
    images
        .load(Source::Path(path.to_owned()), &|_| (), &Cancel::new())
        .unwrap()
}

/// Runs a command line with `sh -euc` in a directory; it must succeed.
pub fn sh(dir: &Path, script: &str) -> String {
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
        let _ = write!(text, " {}={:x?}", name.display(), &buffer[..length]);
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

pub fn assemble(images: &Images, name: &str, tars: &[PathBuf]) -> String {
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
                let hash = blake3::hash(&fs::read(&path).unwrap());
                assert_eq!(content.unwrap(), *hash.as_bytes());
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

/// A small layer's tar: one file per name.
pub fn small_tar(dir: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = dir.join(name);
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    for (file, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len().try_into().unwrap());
        builder
            .append_data(&mut header, file, content.as_bytes())
            .unwrap();
    }
    builder.finish().unwrap();
    path
}

pub fn save(images: &Images, names: &[&str], path: &Path) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut file = fs::File::create(path).unwrap();
    images
        .save(&names, &mut file, &|_| (), &Cancel::new())
        .unwrap();
}

#[test]
fn what_is_saved_is_read_by_skopeo_podman_and_umoci_and_by_wharf() {
    let Some(host) = privileged() else { return };
    if !(has_peer("skopeo") && has_peer("umoci") && has_peer("podman")) {
        return;
    }
    let dir = host.dir();
    rich_tree(dir);
    sh(dir, "tar -C tree -czf one.tar.gz .");
    let two = small_tar(dir, "two.tar", &[("two", "2"), ("bin/.wh.ls", "")]);
    let three = small_tar(dir, "three.tar", &[("three", "3")]);
    let from = images(&host, "from");
    let one = dir.join("one.tar.gz");
    let first = assemble(&from, "example/app:1", &[one.clone(), two]);
    let second = assemble(&from, "example/other:2", &[one, three]);
    from.tag("example/app:1", "example/app:latest").unwrap();
    save(
        &from,
        &["example/app", "example/other:2"],
        &dir.join("saved.tar"),
    );

    let list = sh(dir, "tar -tf saved.tar");
    let blobs: Vec<&str> = list.lines().filter(|line| line.len() > 64).collect();
    assert_eq!(
        blobs.len(),
        3 + 2 + 2,
        "shared blobs are there once: {list}"
    );

    let to = images(&host, "to");
    let loaded = load(&to, &dir.join("saved.tar"));
    assert_eq!(
        loaded,
        ["example/app:1", "example/app:latest", "example/other:2"]
            .map(|name| Loaded::Tagged(name.to_owned()))
    );
    for (name, id) in [("example/app", &first), ("example/other:2", &second)] {
        let (ours, mut theirs) = (to.resolve(name).unwrap(), from.resolve(name).unwrap());
        assert_eq!(ours.summary.id.as_str(), id);
        // The store's own memory, not the image's.
        theirs.tagged = None;
        assert_eq!(ours, theirs);
    }
    save(
        &to,
        &["example/app", "example/other:2"],
        &dir.join("again.tar"),
    );
    sh(dir, "cmp saved.tar again.tar");

    for (source, id) in [
        ("docker-archive:saved.tar:example/app:1", &first),
        ("docker-archive:saved.tar:example/other:2", &second),
        ("oci-archive:saved.tar:1", &first),
        ("oci-archive:saved.tar:2", &second),
    ] {
        sh(
            dir,
            &format!("rm -rf copy; skopeo copy -q {source} dir:copy"),
        );
        let config = sh(dir, "skopeo inspect --config --raw dir:copy | sha256sum");
        // skopeo rewrites nothing of a configuration unless it has to.
        assert!(id.contains(config.split(' ').next().unwrap()), "{source}");
    }
    sh(
        dir,
        "mkdir layout; tar -C layout -xf saved.tar
         umoci unpack --image layout:2 bundle
         test $(cat bundle/rootfs/three) = 3
         umoci unpack --image layout:1 bundle1
         test ! -e bundle1/rootfs/bin/ls",
    );
    let loaded = sh(
        dir,
        "podman --root $PWD/podman --runroot $PWD/podman-run --storage-driver vfs load -q -i saved.tar
         podman --root $PWD/podman --runroot $PWD/podman-run --storage-driver vfs images --format '{{.Repository}}:{{.Tag}}'",
    );
    assert!(loaded.contains("example/app:1"), "{loaded}");
    assert!(loaded.contains("example/other:2"), "{loaded}");
    // As a directory, the same layout is loaded.
    let layout = images(&host, "layout-store");
    assert_eq!(load(&layout, &dir.join("layout")).len(), 3);
}

#[test]
fn archives_that_podman_and_buildah_save_are_loaded() {
    let Some(host) = privileged() else { return };
    if !(has_peer("podman") && has_peer("buildah")) {
        return;
    }
    let dir = host.dir();
    sh(
        dir,
        "mkdir root; echo a > root/a; mkdir root/sub; chmod 1777 root/sub
         tar -C root -cf root.tar .
         P=\"podman --root $PWD/p --runroot $PWD/r --storage-driver vfs\"
         $P import -q -c 'CMD /a' root.tar example/p:1
         $P tag example/p:1 example/p:2
         $P save -q --format docker-archive -o docker.tar example/p:1
         $P save -q -m --format docker-archive -o multi.tar example/p:1 example/p:2
         $P save -q --format oci-archive -o oci.tar example/p:1
         B=\"buildah --root $PWD/p --runroot $PWD/r --storage-driver vfs\"
         $B push -q example/p:1 docker-archive:buildah.tar:example/p:1
         $B push -q example/p:1 oci:layout:example/p:1",
    );
    for (source, names) in [
        ("docker.tar", vec!["localhost/example/p:1"]),
        (
            "multi.tar",
            vec!["localhost/example/p:1", "localhost/example/p:2"],
        ),
        ("oci.tar", vec!["localhost/example/p:1"]),
        ("buildah.tar", vec!["example/p:1", "localhost/example/p:1"]),
        ("layout", vec!["example/p:1"]),
    ] {
        let images = images(&host, &format!("store-{source}"));
        let loaded = load(&images, &dir.join(source));
        let names: Vec<Loaded> = names
            .into_iter()
            .map(|name| Loaded::Tagged(name.to_owned()))
            .collect();
        assert_eq!(loaded, names, "{source}");
        let id = images.list().unwrap()[0].id.to_string();
        let image = images.resolve(&id).unwrap();
        assert_eq!(
            fs::read(images.layer_dirs(&image)[0].join("a")).unwrap(),
            b"a\n"
        );
    }
}

/// Archives with one thing wrong: one line, nothing left, no names.
#[test]
fn a_broken_archive_gives_one_clear_line_and_leaves_nothing() {
    let Some(host) = privileged() else { return };
    let dir = host.dir();
    let from = images(&host, "from");
    let tar = small_tar(dir, "layer.tar", &[("file", "content"), ("other", "x")]);
    assemble(&from, "good:1", &[tar]);
    save(&from, &["good:1"], &dir.join("good.tar"));
    sh(
        dir,
        r#"unpack() { rm -rf w; mkdir w; tar -C w -xf good.tar; }
         pack() { tar -C w -cf $1 $(cd w; ls); }
         layer() { sed -n 's/.*"Layers":\["\([^"]*\)".*/\1/p' w/manifest.json; }
         head -c 1300 good.tar > cut.tar
         head -c 3000 good.tar > padding.tar
         unpack; echo x >> w/$(layer); pack digest.tar
         unpack; rm w/index.json; echo x >> w/$(layer); sed -i 's/$/ /' w/manifest.json; mv w/blobs w/b; sed -i 's:blobs/:b/:g' w/manifest.json; pack diff.tar
         unpack; rm w/$(layer); pack missing.tar
         unpack; rm w/index.json; sed -i 's|"Config":|"Config":"../../etc/passwd","x":|' w/manifest.json; pack config.tar
         unpack; rm w/index.json; sed -i 's|"Layers".*|"Layers":["../../../etc/passwd"]}]|' w/manifest.json; pack escape.tar
         unpack; echo '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../x","size":1}]}' > w/index.json; pack path.tar
         unpack; echo '[[[' > w/index.json; pack json.tar
         unpack; rm w/index.json w/manifest.json; pack none.tar
         mkdir v; echo '{"a":{"latest":"x"}}' > v/repositories; tar -C v -cf old.tar repositories
         echo 'this is not a tar archive' > text.tar
         : > empty.tar
         gzip -c good.tar | head -c 700 > cut.tar.gz
         xz -c good.tar | head -c 700 > cut.tar.xz
         bzip2 -c good.tar | head -c 700 > cut.tar.bz2
         tar -C w -cf dots.tar --transform 's:^:../:' -P oci-layout"#,
    );
    for (name, expected) in [
        ("cut.tar", "cut short"),
        (
            "padding.tar",
            "cut short at byte 3000: the archive has no file \"blobs/sha256/",
        ),
        ("digest.tar", "has the wrong digest: its content is sha256:"),
        ("diff.tar", "the image configuration says sha256:"),
        ("missing.tar", "the archive has no file \"blobs/sha256/"),
        ("config.tar", "leaves the archive"),
        ("escape.tar", "leaves the archive"),
        ("path.tar", "is not 64 lower-case hexadecimal digits"),
        ("json.tar", "index.json: "),
        ("none.tar", "neither index.json nor manifest.json"),
        ("old.tar", "\"x\" is not the id of a layer"),
        ("text.tar", "no tar archive: it has "),
        ("empty.tar", "not an image archive: it is empty"),
        ("cut.tar.gz", "it is cut short"),
        ("cut.tar.xz", "xz: "),
        ("cut.tar.bz2", "bzip2: "),
        ("dots.tar", "leaves the archive"),
        ("absent.tar", "no such file"),
    ] {
        let store = format!("store-{name}");
        let images = images(&host, &store);
        let source = Source::Path(dir.join(name));
        let error = images
            .load(source, &|_| (), &Cancel::new())
            .expect_err(name);
        let text = error.to_string();
        assert!(text.contains(expected), "{name}: {text}");
        assert!(!text.contains('\n') && text.len() < 400, "{name}: {text}");
        assert!(images.list().unwrap().is_empty());
        let data = dir.join(store).join("data");
        for part in ["layers", "blobs/sha256"] {
            assert!(names_in(&data.join(part)).is_empty(), "{name}: {part}");
        }
    }
}

#[test]
fn a_cancelled_load_leaves_nothing_and_a_killed_ones_workspace_is_removed_later() {
    let Some(host) = privileged() else { return };
    let dir = host.dir();
    let images = images(&host, "store");
    let tar = small_tar(dir, "layer.tar", &[("file", "content")]);
    let cancel = Cancel::new();
    cancel.cancel();
    let file = Box::new(fs::File::open(&tar).unwrap());
    let error = images
        .load(Source::Stream(file), &|_| (), &cancel)
        .unwrap_err();
    assert_eq!(error.kind(), wharf::engine::Kind::Cancelled);
    assert_no_workspace(&host, "store");
    let stale = dir.join("store/data/layers/.tmp-0123");
    fs::create_dir_all(stale.join("d0/fs/deep")).unwrap();
    assemble(&images, "a:1", &[tar]);
    assert!(!stale.exists());
}

#[test]
fn eight_loads_of_one_archive_at_once_all_succeed() {
    let Some(host) = privileged() else { return };
    let dir = host.dir();
    rich_tree(dir);
    sh(dir, "tar -C tree -cf one.tar .");
    let two = small_tar(dir, "two.tar", &[("two", "2")]);
    let from = images(&host, "from");
    assemble(&from, "example/app:1", &[dir.join("one.tar"), two]);
    save(&from, &["example/app:1"], &dir.join("saved.tar"));
    let unused = wharf::engine::images::InUse {
        users: &|_| Ok(Vec::new()),
        layers: &|| Ok(std::collections::BTreeSet::new()),
    };
    let to = images(&host, "to");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (to, dir) = (&to, &dir);
            scope.spawn(move || {
                // Half of them open the store anew, as other processes do.
                let own = if number % 2 == 0 {
                    to.clone()
                } else {
                    images_at(&dir.join("to"))
                };
                assert_eq!(load(&own, &dir.join("saved.tar")).len(), 1);
            });
        }
        // Meanwhile somebody removes it again and again.
        for _ in 0..20 {
            let _ = to.remove("example/app:1", true, &unused);
        }
    });
    load(&to, &dir.join("saved.tar"));
    let image = to.resolve("example/app:1").unwrap();
    assert_eq!(image.layers.len(), 2);
    assert!(to.layer_dirs(&image).iter().all(|dir| dir.is_dir()));
    assert_no_workspace(&host, "to");
    let removed = to.remove("example/app:1", false, &unused).unwrap();
    assert_eq!(removed.len(), 2 + 2, "name, image, two layers: {removed:?}");
    for part in ["layers", "blobs/sha256"] {
        assert!(names_in(&dir.join("to/data").join(part)).is_empty());
    }
}

pub fn images_at(root: &Path) -> Images {
    Images::open(&Roots {
        data: root.join("data"),
        run: root.join("run"),
    })
    .unwrap()
}

#[test]
fn rmi_keeps_the_layers_that_a_container_or_another_image_uses() {
    let Some(host) = privileged() else { return };
    let dir = host.dir();
    let images = images(&host, "store");
    let shared = small_tar(dir, "shared.tar", &[("shared", "1")]);
    let one = small_tar(dir, "one.tar", &[("one", "1")]);
    let two = small_tar(dir, "two.tar", &[("two", "2")]);
    assemble(&images, "a:1", &[shared.clone(), one]);
    assemble(&images, "b:1", &[shared, two]);
    let a = images.resolve("a:1").unwrap();
    let b = images.resolve("b:1").unwrap();
    let used: std::collections::BTreeSet<_> = b.layers.iter().map(|l| l.chain_id.clone()).collect();
    let in_use = wharf::engine::images::InUse {
        users: &|_| Ok(Vec::new()),
        layers: &|| Ok(used.clone()),
    };
    images.remove("a:1", false, &in_use).unwrap();
    let exists = |chain| images.layer_dir(chain).is_dir();
    assert!(exists(&a.layers[0].chain_id), "shared with b");
    assert!(!exists(&a.layers[1].chain_id));
    images.remove("b:1", true, &in_use).unwrap();
    assert!(b.layers.iter().all(|layer| exists(&layer.chain_id)));
    let gone = images
        .collect(&|| Ok(std::collections::BTreeSet::new()))
        .unwrap();
    assert_eq!(gone.len(), 2);
    assert!(!b.layers.iter().any(|layer| exists(&layer.chain_id)));
}

#[test]
fn an_imported_tar_becomes_an_image_with_its_changes() {
    let Some(host) = privileged() else { return };
    let images = images(&host, "store");
    let tar = small_tar(host.dir(), "root.tar", &[("bin/sh", "program")]);
    for compress in ["cat", "gzip", "zstd -q"] {
        let path = tar.display();
        let script = format!("{compress} < {path} > in");
        sh(host.dir(), &script);
        let request = wharf::engine::model::request::Import {
            reference: Some("imported".parse().unwrap()),
            message: "by hand".to_owned(),
            changes: vec!["CMD [\"/bin/sh\"]".to_owned(), "ENV A=b".to_owned()],
            platform: None,
        };
        let mut file = fs::File::open(host.dir().join("in")).unwrap();
        let id = images
            .import(&mut file, &request, &|_| (), &Cancel::new())
            .unwrap();
        let image = images.resolve("imported:latest").unwrap();
        assert_eq!(image.summary.id, id);
        assert_eq!(image.config.cmd, ["/bin/sh"]);
        assert_eq!(image.history[0].comment, "by hand");
        assert_eq!((image.history[0].size, image.summary.size), (7, 7));
    }
    let bad = wharf::engine::model::request::Import {
        changes: vec!["RUN x".to_owned()],
        ..Default::default()
    };
    let mut input = &b"not a tar"[..];
    let error = images
        .import(&mut input, &bad, &|_| (), &Cancel::new())
        .unwrap_err();
    assert_eq!(error.to_string(), "RUN is not a valid change command");
    let error = images
        .import(
            &mut input,
            &wharf::engine::model::request::Import::default(),
            &|_| (),
            &Cancel::new(),
        )
        .unwrap_err();
    assert!(error.to_string().contains("no tar archive"), "{error}");
}

/// The most memory that this process ever had, in KiB (proc_pid_status(5), `VmHWM`).
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap()
}

#[test]
fn cve_2017_14992_ten_gibibytes_of_padding_take_little_memory() {
    use std::io::Write as _;
    const CHILD: &str = "WHARF_TEST_PADDING";
    if let Some(dir) = std::env::var_os(CHILD) {
        // In a process of its own: other tests must not count.
        let dir = PathBuf::from(dir);
        let images = images_at(&dir.join("store"));
        let mut file = fs::File::open(dir.join("bomb.gz")).unwrap();
        let request = wharf::engine::model::request::Import::default();
        images
            .import(&mut file, &request, &|_| (), &Cancel::new())
            .unwrap();
        println!("peak {}", peak_memory());
        return;
    }
    let Some(host) = privileged() else { return };
    let dir = host.dir();
    let tar = fs::read(small_tar(dir, "layer.tar", &[("file", "content")])).unwrap();
    let gzip = |bytes: &[u8]| {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    // Members of one gzip file: 160 times 64 MiB of zeros behind the end of the archive.
    let mut bomb = fs::File::create(dir.join("bomb.gz")).unwrap();
    bomb.write_all(&gzip(&tar)).unwrap();
    let zeros = gzip(&vec![0; 64 << 20]);
    for _ in 0..160 {
        bomb.write_all(&zeros).unwrap();
    }
    let name = "images::cve_2017_14992_ten_gibibytes_of_padding_take_little_memory";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture"]).env(CHILD, dir);
    let output = collect(&mut child, &[]);
    assert_eq!(output.code, 0, "{output:#?}");
    let peak = output
        .stdout
        .lines()
        .find_map(|line| line.split("peak ").nth(1));
    let peak: u64 = peak.and_then(|peak| peak.trim().parse().ok()).unwrap();
    assert!(peak < 64 << 10, "{peak} KiB");
}
