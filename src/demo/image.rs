//! The demo's two images, as archives for `load`: one with nothing but the running program in it, one whose layers
//! waste space in every way that there is.

use std::fmt::Write as _;
use std::fs;
use std::io;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{IMAGE, LABEL, LAYERS_IMAGE, WORKLOAD_VERB};
use crate::engine::Result;
use crate::engine::error::Attempt;
use crate::engine::model::Platform;

/// Where the program is in the image.
const PROGRAM: &str = "bin/wharf";

/// Tells an image of this program from one that an older program made.
pub(super) fn build_label() -> Result<String> {
    let size = fs::metadata("/proc/self/exe")
        .attempt(|| "look at the running program")?
        .len();
    Ok(format!("{}-{size}", env!("CARGO_PKG_VERSION")))
}

/// [`IMAGE`]: the running program, and the few files that tell it who it is.
pub(super) fn workloads(build: &str) -> Result<Vec<u8>> {
    let program = fs::read("/proc/self/exe").attempt(|| "read the running program")?;
    let process = json!({
        "Entrypoint": [format!("/{PROGRAM}"), WORKLOAD_VERB],
        "Cmd": ["sh"],
        "Env": ["PATH=/bin"],
    });
    assemble(&workload_layers(&program), IMAGE, process, build).attempt(|| format!("make {IMAGE}"))
}

/// [`LAYERS_IMAGE`].
pub(super) fn wasteful(build: &str) -> Result<Vec<u8>> {
    let process = json!({"Cmd": ["/opt/app/server"], "Env": ["PATH=/usr/local/bin"]});
    assemble(&wasteful_layers(), LAYERS_IMAGE, process, build)
        .attempt(|| format!("make {LAYERS_IMAGE}"))
}

fn workload_layers(program: &[u8]) -> Vec<Layer<'_>> {
    vec![
        Layer {
            command: "COPY etc /etc",
            entries: vec![
                Entry::directory("etc/", 0o755),
                Entry::file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n"),
                Entry::file("etc/group", 0o644, b"root:x:0:\n"),
                Entry::file(
                    "etc/os-release",
                    0o644,
                    b"NAME=\"wharf demo\"\nPRETTY_NAME=\"wharf demo\"\nID=wharf-demo\n",
                ),
                Entry::directory("tmp/", 0o1777),
            ],
        },
        Layer {
            command: "COPY wharf /bin/wharf",
            entries: vec![
                Entry::directory("bin/", 0o755),
                Entry::file(PROGRAM, 0o755, program),
                Entry::symlink("bin/sh", "wharf"),
            ],
        },
    ]
}

/// Each layer is one well-known mistake.
fn wasteful_layers() -> Vec<Layer<'static>> {
    let server = noise(1, 600_000);
    let packages = ["libc6", "libssl3", "python3"].into_iter().zip(2..);
    let mut base = vec![
        Entry::directory("etc/", 0o755),
        Entry::directory("etc/app/", 0o755),
        Entry::file("etc/app/defaults.toml", 0o644, noise(10, 20_000)),
        Entry::file("etc/app/examples.toml", 0o644, noise(11, 60_000)),
        Entry::file("etc/os-release", 0o644, b"ID=wharf-demo-layers\n"),
        Entry::directory("usr/", 0o755),
        Entry::directory("usr/lib/", 0o755),
        Entry::file("usr/lib/libdemo.so.1.0.0", 0o644, noise(12, 400_000)),
        Entry::symlink("usr/lib/libdemo.so.1", "libdemo.so.1.0.0"),
        Entry::directory("var/", 0o755),
        Entry::directory("var/cache/", 0o755),
        Entry::directory("var/cache/apt/", 0o755),
        Entry::directory("var/cache/apt/archives/", 0o755),
        Entry::directory("var/lib/", 0o755),
        Entry::directory("var/lib/apt/", 0o755),
        Entry::directory("var/lib/apt/lists/", 0o755),
        Entry::file(
            "var/lib/apt/lists/deb.example_dists_stable_Packages",
            0o644,
            noise(13, 250_000),
        ),
    ];
    base.extend(packages.map(|(name, seed)| {
        let path = format!("var/cache/apt/archives/{name}_1.0_all.deb");
        Entry::file(path, 0o644, noise(seed, 300_000))
    }));
    vec![
        Layer {
            command: "RUN apt-get update && apt-get install -y libc6 libssl3 python3",
            entries: base,
        },
        Layer {
            command: "RUN make install 2>&1 | tee /opt/app/build.log",
            entries: vec![
                Entry::directory("opt/", 0o755),
                Entry::directory("opt/app/", 0o755),
                Entry::file("opt/app/server", 0o644, server.clone()),
                Entry::file("opt/app/build.log", 0o644, noise(20, 500_000)),
                Entry::directory("opt/app/cache/", 0o755),
                Entry::file("opt/app/cache/a.o", 0o644, noise(21, 120_000)),
                Entry::file("opt/app/cache/b.o", 0o644, noise(22, 120_000)),
            ],
        },
        // Deleted, but still shipped below.
        Layer {
            command: "RUN rm -rf /opt/app/build.log /opt/app/cache /var/cache/apt/archives/*.deb",
            entries: vec![
                Entry::whiteout("opt/app/.wh.build.log"),
                Entry::whiteout("opt/app/.wh.cache"),
                Entry::whiteout("var/cache/apt/archives/.wh.libc6_1.0_all.deb"),
                Entry::whiteout("var/cache/apt/archives/.wh.libssl3_1.0_all.deb"),
                Entry::whiteout("var/cache/apt/archives/.wh.python3_1.0_all.deb"),
            ],
        },
        // The same bytes again, for one bit of the mode.
        Layer {
            command: "RUN chmod 755 /opt/app/server",
            entries: vec![Entry::file("opt/app/server", 0o755, server.clone())],
        },
        // An opaque directory hides everything that was in it.
        Layer {
            command: "COPY config /etc/app",
            entries: vec![
                Entry::directory("etc/app/", 0o755),
                Entry::whiteout("etc/app/.wh..wh..opq"),
                Entry::file("etc/app/app.toml", 0o644, b"listen = \"0.0.0.0:80\"\n"),
            ],
        },
        // The same content under another name.
        Layer {
            command: "RUN cp /opt/app/server /usr/local/bin/server",
            entries: vec![
                Entry::directory("usr/local/", 0o755),
                Entry::directory("usr/local/bin/", 0o755),
                Entry::file("usr/local/bin/server", 0o755, server),
            ],
        },
    ]
}

/// One layer, and the command that its history tells.
struct Layer<'a> {
    command: &'static str,
    entries: Vec<Entry<'a>>,
}

/// One entry of a layer.
struct Entry<'a> {
    path: String,
    mode: u32,
    what: What<'a>,
}

enum What<'a> {
    Directory,
    File(std::borrow::Cow<'a, [u8]>),
    Symlink(&'static str),
}

impl<'a> Entry<'a> {
    fn directory(path: &str, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            what: What::Directory,
        }
    }

    fn file(
        path: impl Into<String>,
        mode: u32,
        content: impl Into<std::borrow::Cow<'a, [u8]>>,
    ) -> Self {
        Self {
            path: path.into(),
            mode,
            what: What::File(content.into()),
        }
    }

    fn whiteout(path: &str) -> Self {
        Self::file(path, 0o600, &[][..])
    }

    fn symlink(path: &str, target: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            mode: 0o777,
            what: What::Symlink(target),
        }
    }
}

/// An archive as `docker save` writes it (image-spec v1.2 of Docker: `manifest.json`, configuration, layer tars).
/// `process` is the configuration's `config`.
fn assemble(
    layers: &[Layer<'_>],
    tag: &str,
    mut process: serde_json::Value,
    build: &str,
) -> io::Result<Vec<u8>> {
    let now = jiff::Timestamp::now().to_string();
    let tars = layers
        .iter()
        .map(|layer| tar_of(&layer.entries))
        .collect::<io::Result<Vec<_>>>()?;
    let diff_ids: Vec<String> = tars
        .iter()
        .map(|tar| format!("sha256:{}", sha256(tar)))
        .collect();
    let history: Vec<_> = layers
        .iter()
        .map(|layer| json!({"created": now, "created_by": layer.command, "comment": "wharf demo"}))
        .collect();
    let platform = Platform::host();
    process["Labels"] = json!({LABEL: build});
    let config = serde_json::to_vec(&json!({
        "created": now,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }))?;
    let config_name = format!("{}.json", sha256(&config));
    let names: Vec<String> = (0..tars.len())
        .map(|number| format!("{number}/layer.tar"))
        .collect();
    let manifest = serde_json::to_vec(&json!([
        {"Config": config_name, "RepoTags": [tag], "Layers": names}
    ]))?;
    let mut files = vec![Entry::file(config_name, 0o644, config)];
    files.extend(
        names
            .into_iter()
            .zip(tars)
            .map(|(name, tar)| Entry::file(name, 0o644, tar)),
    );
    files.push(Entry::file("manifest.json", 0o644, manifest));
    tar_of(&files)
}

fn tar_of(entries: &[Entry<'_>]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        // A fixed time: the same program makes the same layers.
        header.set_mtime(1_700_000_000);
        match &entry.what {
            What::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                builder.append_data(&mut header, &entry.path, io::empty())?;
            }
            What::File(content) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
                builder.append_data(&mut header, &entry.path, content.as_ref())?;
            }
            What::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, &entry.path, target)?;
            }
        }
    }
    builder.into_inner()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Bytes that do not compress, the same for the same seed (xorshift64).
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wasteful_image_has_every_kind_of_waste() {
        let layers = wasteful_layers();
        let all: Vec<&Entry<'_>> = layers.iter().flat_map(|layer| &layer.entries).collect();
        let content = |path: &str| -> Vec<&[u8]> {
            all.iter()
                .filter(|entry| entry.path == path)
                .filter_map(|entry| match &entry.what {
                    What::File(bytes) => Some(bytes.as_ref()),
                    What::Directory | What::Symlink(_) => None,
                })
                .collect()
        };
        let server = content("opt/app/server");
        assert_eq!(server.len(), 2);
        assert_eq!(server[0], server[1]);
        assert_eq!(content("usr/local/bin/server"), [server[0]]);
        assert_eq!(content("opt/app/.wh.build.log").len(), 1);
        assert_eq!(content("etc/app/.wh..wh..opq").len(), 1);
        assert!(!content("opt/app/build.log").is_empty());
    }

    #[test]
    fn an_archive_names_layers_by_what_they_contain() {
        let bytes = assemble(&workload_layers(b"program"), "a:b", json!({}), "1").unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files = std::collections::HashMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            io::Read::read_to_end(&mut entry, &mut content).unwrap();
            files.insert(name, content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let config_name = manifest[0]["Config"].as_str().unwrap();
        let config: serde_json::Value = serde_json::from_slice(&files[config_name]).unwrap();
        for (number, diff_id) in config["rootfs"]["diff_ids"]
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
        {
            let layer = &files[&format!("{number}/layer.tar")];
            assert_eq!(
                diff_id.as_str().unwrap(),
                format!("sha256:{}", sha256(layer))
            );
        }
    }
}
