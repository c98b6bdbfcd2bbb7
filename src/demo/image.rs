//! The demo's two images, as layers for the engine to assemble: one with nothing but the running program in it, one
//! whose layers waste space in every way that there is.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Cursor, Read};

use super::{LABEL, WORKLOAD_VERB};
use crate::engine::Result;
use crate::engine::error::Attempt;
use crate::engine::model::ContainerConfig;

/// Where the program is in the image.
const PROGRAM: &str = "bin/wharf";

/// What the engine needs to assemble an image.
pub(super) struct Recipe {
    /// The process part of its configuration.
    pub(super) config: ContainerConfig,
    /// Command of the history and tar, bottom first.
    pub(super) layers: Vec<(String, Box<dyn Read + Send>)>,
}

/// Tells an image of this program from one that an older program made.
pub(super) fn build_label() -> Result<String> {
    let size = fs::metadata("/proc/self/exe")
        .attempt(|| "look at the running program")?
        .len();
    Ok(format!("{}-{size}", env!("CARGO_PKG_VERSION")))
}

/// The running program, and the few files that tell it who it is.
pub(super) fn workloads(build: &str) -> Result<Recipe> {
    let program = fs::read("/proc/self/exe").attempt(|| "read the running program")?;
    let config = ContainerConfig {
        entrypoint: vec![format!("/{PROGRAM}"), WORKLOAD_VERB.to_owned()],
        cmd: vec!["sh".to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        ..labelled(build)
    };
    recipe(config, &workload_layers(&program))
}

/// The image that is there to be looked at.
pub(super) fn wasteful(build: &str) -> Result<Recipe> {
    let config = ContainerConfig {
        cmd: vec!["/opt/app/server".to_owned()],
        env: vec!["PATH=/usr/local/bin".to_owned()],
        ..labelled(build)
    };
    recipe(config, &wasteful_layers())
}

fn labelled(build: &str) -> ContainerConfig {
    ContainerConfig {
        labels: [(LABEL.to_owned(), build.to_owned())].into(),
        ..ContainerConfig::default()
    }
}

fn recipe(config: ContainerConfig, layers: &[Layer<'_>]) -> Result<Recipe> {
    let layers = layers
        .iter()
        .map(|layer| {
            let tar: Box<dyn Read + Send> = Box::new(Cursor::new(tar_of(&layer.entries)?));
            Ok((layer.command.to_owned(), tar))
        })
        .collect::<io::Result<_>>()
        .attempt(|| "write the layers of the demo's image")?;
    Ok(Recipe { config, layers })
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
    File(Cow<'a, [u8]>),
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

    fn file(path: impl Into<String>, mode: u32, content: impl Into<Cow<'a, [u8]>>) -> Self {
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
    fn the_program_is_executable_and_goes_by_the_name_of_the_shell() {
        let mut recipe = recipe(labelled("1"), &workload_layers(b"program")).unwrap();
        let (_, tar) = recipe.layers.pop().unwrap();
        let mut archive = tar::Archive::new(tar);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let link = entry
                .link_name()
                .unwrap()
                .map(|l| l.to_string_lossy().into_owned());
            found.push((path, entry.header().mode().unwrap(), link));
        }
        assert!(found.contains(&(PROGRAM.to_owned(), 0o755, None)));
        assert!(found.contains(&("bin/sh".to_owned(), 0o777, Some("wharf".to_owned()))));
    }
}
