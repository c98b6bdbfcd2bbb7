//! `-v`, `--mount`, `--tmpfs` and `--volumes-from`: how they are written.

use std::collections::BTreeMap;
use std::path::Path;

use super::value::{self, boolean, bytes, clean};
use crate::engine::model::container::{ImageMount, Recursion, VolumeMount};
use crate::engine::model::selinux::Relabel;
use crate::engine::model::{Mount, request};

const PROPAGATION: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// `-v [source:]target[:options]`. `here` is the directory that `./x` is relative to.
pub fn volume(text: &str, here: &Path) -> Result<Mount, String> {
    let wrong = || format!("invalid volume specification: '{text}'");
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match *parts.as_slice() {
        [target] if target.starts_with('/') => ("", target, ""),
        [source, target] if !source.is_empty() => (source, target, ""),
        [source, target, options] if !source.is_empty() => (source, target, options),
        _ => return Err(wrong()),
    };
    if target.is_empty() {
        return Err(wrong());
    }
    let words = Words::read(options)?;
    let target = mount_target(target).map_err(|why| format!("{}: {why}", wrong()))?;
    let is_path = source.starts_with(['/', '.']);
    if !is_path {
        if words.propagation.is_some() {
            return Err(format!("invalid mode: {options}"));
        }
        return Ok(Mount::Volume(VolumeMount {
            name: source.to_owned(),
            target,
            readonly: words.readonly,
            nocopy: words.nocopy,
            relabel: words.relabel,
            ..VolumeMount::default()
        }));
    }
    if words.nocopy {
        return Err(format!("invalid mode: {options}"));
    }
    Ok(Mount::Bind {
        source: if source.starts_with('/') {
            source.to_owned()
        } else {
            clean(&format!("{}/{source}", here.display()))
        },
        target,
        readonly: words.readonly,
        propagation: words.propagation,
        create_source: true,
        recursion: Recursion::Enabled,
        relabel: words.relabel,
    })
}

/// The options behind the second colon.
#[derive(Default)]
struct Words {
    readonly: bool,
    nocopy: bool,
    propagation: Option<String>,
    relabel: Option<Relabel>,
}

impl Words {
    fn read(options: &str) -> Result<Self, String> {
        let mut words = Self::default();
        let mut access_given = false;
        for option in options.split(',') {
            match option {
                "ro" | "rw" => {
                    if access_given {
                        return Err(format!("invalid mode: {options}"));
                    }
                    access_given = true;
                    words.readonly = option == "ro";
                }
                "z" | "Z" if words.relabel.is_none() => words.relabel = Relabel::parse(option),
                // macOS caching has no meaning here, as in Docker on Linux.
                "consistent" | "cached" | "delegated" => {}
                "nocopy" => words.nocopy = true,
                "" if options.is_empty() => {}
                other if PROPAGATION.contains(&other) && words.propagation.is_none() => {
                    words.propagation = Some(other.to_owned());
                }
                _ => return Err(format!("invalid mode: {options}")),
            }
        }
        Ok(words)
    }
}

/// `--volumes-from container[:ro|rw]`.
pub fn volumes_from(text: &str) -> Result<request::VolumesFrom, String> {
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    if container.is_empty() {
        return Err("malformed volumes-from specification: ".to_owned() + text);
    }
    let (mut readonly, mut relabel) = (false, None);
    for word in mode.split(',') {
        match word {
            "ro" => readonly = true,
            "z" | "Z" if relabel.is_none() => relabel = Relabel::parse(word),
            "" | "rw" => {}
            _ => return Err(format!("invalid mode: {mode}")),
        }
    }
    Ok(request::VolumesFrom {
        container: container.to_owned(),
        readonly,
        relabel,
    })
}

/// `--tmpfs target[:options]`.
pub fn tmpfs(text: &str) -> Result<Mount, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    Ok(Mount::Tmpfs {
        target: mount_target(target)
            .map_err(|why| format!("invalid tmpfs specification: '{text}': {why}"))?,
        options: options.to_owned(),
    })
}

/// `--mount type=bind,source=…,target=…`.
pub fn mount(text: &str) -> Result<Mount, String> {
    let mut fields = Fields::default();
    let list = value::csv(text).map_err(|why| format!("invalid mount '{text}': {why}"))?;
    for field in list {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            (
                "readonly" | "ro" | "bind-nonrecursive" | "volume-nocopy" | "bind-create-src",
                None,
            ) => {
                fields.set(&key, "true", &field)?;
            }
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
            (_, Some(value)) => fields.set(&key, value, &field)?,
        }
    }
    fields.finish()
}

#[derive(Default)]
struct Fields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    readonly: bool,
    propagation: Option<String>,
    recursion: Option<Recursion>,
    create_source: bool,
    tmpfs: Vec<String>,
    volume: VolumeMount,
    image_subpath: Option<String>,
    /// `bind`, `volume`, `tmpfs`, `image`: whose options were given.
    families: Vec<&'static str>,
}

const FAMILIES: [&str; 4] = ["bind", "volume", "image", "tmpfs"];

impl Fields {
    fn set(&mut self, key: &str, value: &str, field: &str) -> Result<(), String> {
        let invalid = || format!("invalid value for {key}: {value}");
        let yes = || boolean(value).map_err(|_e| invalid());
        let family = FAMILIES.into_iter().find(|family| {
            key.split_once('-')
                .is_some_and(|(first, _)| first == *family)
        });
        self.families.extend(family);
        match key {
            "type" => self.kind = Some(value.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(value.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(value.to_owned()),
            "readonly" | "ro" => self.readonly = yes()?,
            "consistency" => {}
            "bind-propagation" => {
                if !PROPAGATION.contains(&value) {
                    return Err(format!("invalid propagation: {value}"));
                }
                self.propagation = Some(value.to_owned());
            }
            "bind-nonrecursive" => {
                self.recursion = yes()?.then_some(Recursion::Disabled);
            }
            "bind-recursive" => self.recursion = Some(recursion(value)?),
            "bind-create-src" => self.create_source = yes()?,
            "volume-nocopy" => self.volume.nocopy = yes()?,
            "volume-subpath" => self.volume.subpath = Some(subpath(value)?),
            "volume-label" => insert(&mut self.volume.labels, value),
            "volume-opt" => insert(&mut self.volume.options, value),
            "volume-driver" if matches!(value, "" | "local") => {}
            "volume-driver" => {
                return Err(format!(
                    "plugin \"{value}\" not found: the volume driver is \"local\""
                ));
            }
            "image-subpath" => self.image_subpath = Some(subpath(value)?),
            "tmpfs-size" => self
                .tmpfs
                .push(format!("size={}", bytes(value).map_err(|_e| invalid())?)),
            "tmpfs-mode" => {
                u32::from_str_radix(value, 8).map_err(|_e| invalid())?;
                self.tmpfs.push(format!("mode={value}"));
            }
            _ => return Err(format!("unknown option '{key}' in '{field}'")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Mount, String> {
        let kind = self.kind.clone().unwrap_or_else(|| "volume".to_owned());
        let target = self.target.as_deref().ok_or("target is required")?;
        let target = mount_target(target)
            .map_err(|why| format!("invalid mount config for type \"{kind}\": {why}"))?;
        if !FAMILIES.contains(&kind.as_str()) {
            return Err(match kind.as_str() {
                "cluster" | "npipe" => format!("mount type '{kind}' is not available on this host"),
                _ => format!("mount type unknown: \"{kind}\""),
            });
        }
        if let Some(other) = self.families.iter().find(|family| **family != kind) {
            return Err(format!(
                "cannot mix '{other}-*' options with mount type '{kind}'"
            ));
        }
        match kind.as_str() {
            "bind" => self.bind(target),
            "tmpfs" => self.into_tmpfs(target),
            "image" => self.image(target),
            _ => Ok(Mount::Volume(VolumeMount {
                name: self.source.unwrap_or_default(),
                target,
                readonly: self.readonly,
                long: true,
                ..self.volume
            })),
        }
    }

    fn bind(self, target: String) -> Result<Mount, String> {
        let source = self.source.unwrap_or_default();
        if source.is_empty() {
            return Err(
                "invalid mount config for type \"bind\": field Source must not be empty".to_owned(),
            );
        }
        if !source.starts_with('/') {
            return Err(format!(
                "invalid mount config for type \"bind\": invalid mount path: '{source}' mount path must be absolute"
            ));
        }
        let recursion = self.recursion.unwrap_or_default();
        let word = match recursion {
            Recursion::Writable => Some("writable"),
            Recursion::Readonly => Some("readonly"),
            Recursion::Enabled | Recursion::Disabled => None,
        };
        if let Some(word) = word.filter(|_| !self.readonly) {
            return Err(format!(
                "option 'bind-recursive={word}' requires 'readonly' to be specified in conjunction"
            ));
        }
        if recursion == Recursion::Readonly && self.propagation.as_deref() != Some("rprivate") {
            return Err("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction".to_owned());
        }
        Ok(Mount::Bind {
            source,
            target,
            readonly: self.readonly,
            propagation: self.propagation,
            create_source: self.create_source,
            recursion,
            relabel: None,
        })
    }

    fn into_tmpfs(self, target: String) -> Result<Mount, String> {
        if self.source.is_some() {
            return Err(
                "invalid mount config for type \"tmpfs\": field Source must not be specified"
                    .to_owned(),
            );
        }
        let mut options = self.tmpfs;
        if self.readonly {
            options.push("ro".to_owned());
        }
        Ok(Mount::Tmpfs {
            target,
            options: options.join(","),
        })
    }

    fn image(self, target: String) -> Result<Mount, String> {
        let image = self
            .source
            .filter(|source| !source.is_empty())
            .ok_or("invalid mount config for type \"image\": field Source must not be empty")?;
        Ok(Mount::Image(ImageMount {
            image,
            layers: Vec::new(),
            target,
            subpath: self.image_subpath,
        }))
    }
}

fn recursion(value: &str) -> Result<Recursion, String> {
    match value {
        "enabled" => Ok(Recursion::Enabled),
        "disabled" => Ok(Recursion::Disabled),
        "writable" => Ok(Recursion::Writable),
        "readonly" => Ok(Recursion::Readonly),
        _ => Err(format!(
            "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
        )),
    }
}

/// Relative, and inside by its text; links in it are for the start.
fn subpath(value: &str) -> Result<String, String> {
    let escapes = value.split('/').any(|part| part == "..");
    if value.starts_with('/') || escapes {
        return Err(format!(
            "invalid subpath: {value:?} must be a relative path within the volume"
        ));
    }
    Ok(value.to_owned())
}

/// `key=value` or `key`.
fn insert(map: &mut BTreeMap<String, String>, pair: &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    map.insert(key.to_owned(), value.to_owned());
}

fn mount_target(target: &str) -> Result<String, String> {
    if target.is_empty() {
        return Err("field Target must not be empty".to_owned());
    }
    if !target.starts_with('/') {
        return Err(format!(
            "invalid mount path: '{target}' mount path must be absolute"
        ));
    }
    let clean = clean(target);
    if clean == "/" {
        return Err("invalid specification: destination can't be '/'".to_owned());
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    #[track_caller]
    fn refused<T: Debug>(given: &Result<T, String>, why: &str) {
        assert_eq!(given.as_ref().unwrap_err(), why);
    }

    fn bind(text: &str) -> Result<Mount, String> {
        volume(text, Path::new("/here"))
    }

    #[test]
    fn a_bind_mount_has_source_target_and_options() {
        let mount = |source: &str, readonly, propagation: Option<&str>| {
            let relabel = propagation.map(|_| Relabel::Shared);
            Ok(Mount::Bind {
                source: source.to_owned(),
                target: "/b".to_owned(),
                readonly,
                propagation: propagation.map(str::to_owned),
                create_source: true,
                recursion: Recursion::Enabled,
                relabel,
            })
        };
        assert_eq!(bind("/a:/b"), mount("/a", false, None));
        assert_eq!(bind("/a:/b/"), mount("/a", false, None));
        assert_eq!(
            bind("/a:/b:ro,z,rshared"),
            mount("/a", true, Some("rshared"))
        );
        assert_eq!(bind("./x:/b:rw"), mount("/here/x", false, None));
        assert_eq!(bind("..:/b"), mount("/", false, None));
        refused(&bind("/a:/b:zz"), "invalid mode: zz");
        refused(&bind("/a:/b:nocopy"), "invalid mode: nocopy");
        refused(&bind("/a:/b:ro,rw"), "invalid mode: ro,rw");
        refused(
            &bind("/a:/b:ro:x"),
            "invalid volume specification: '/a:/b:ro:x'",
        );
        refused(&bind("/a:"), "invalid volume specification: '/a:'");
        refused(&bind(""), "invalid volume specification: ''");
        refused(&bind("name"), "invalid volume specification: 'name'");
        refused(&bind(":/x"), "invalid volume specification: ':/x'");
        refused(
            &bind("/a:b"),
            "invalid volume specification: '/a:b': invalid mount path: 'b' mount path must be absolute",
        );
        refused(
            &bind("/a:/"),
            "invalid volume specification: '/a:/': invalid specification: destination can't be '/'",
        );
    }

    #[test]
    fn files_are_labelled_for_one_container_or_for_all() {
        let relabel = |text: &str| match bind(text)? {
            Mount::Bind { relabel, .. } => Ok(relabel),
            Mount::Volume(volume) => Ok(volume.relabel),
            other @ (Mount::Tmpfs { .. } | Mount::Image(_)) => Err(format!("{other:?}")),
        };
        for source in ["/a", "data"] {
            let of = |mode: &str| relabel(&format!("{source}:/b:{mode}"));
            assert_eq!(of("z"), Ok(Some(Relabel::Shared)));
            assert_eq!(of("ro,Z"), Ok(Some(Relabel::Private)));
            assert_eq!(of("ro"), Ok(None));
            for both in ["z,Z", "Z,z", "z,z"] {
                refused(&of(both), &format!("invalid mode: {both}"));
            }
        }
        let from = |text: &str| volumes_from(text).map(|from| (from.readonly, from.relabel));
        assert_eq!(from("web:ro,z"), Ok((true, Some(Relabel::Shared))));
        assert_eq!(from("web:Z"), Ok((false, Some(Relabel::Private))));
        refused(&from("web:z,Z"), "invalid mode: z,Z");
        // Not with --mount, as with Docker.
        for (field, why) in [
            ("z", "invalid field 'z' must be a key=value pair"),
            (
                "relabel=shared",
                "unknown option 'relabel' in 'relabel=shared'",
            ),
        ] {
            refused(&mount(&format!("type=bind,src=/a,dst=/b,{field}")), why);
        }
    }

    #[test]
    fn a_volume_has_a_name_or_gets_one() {
        let named = |name: &str, readonly, nocopy| {
            Ok(Mount::Volume(VolumeMount {
                name: name.to_owned(),
                target: "/x".to_owned(),
                readonly,
                nocopy,
                ..VolumeMount::default()
            }))
        };
        assert_eq!(bind("data:/x"), named("data", false, false));
        assert_eq!(bind("data:/x:ro,nocopy"), named("data", true, true));
        assert_eq!(bind("/x"), named("", false, false));
        refused(&bind("data:/x:rshared"), "invalid mode: rshared");
        let from = volumes_from("web:ro").unwrap();
        assert_eq!((from.container.as_str(), from.readonly), ("web", true));
        assert!(!volumes_from("web").unwrap().readonly);
        refused(&volumes_from("web:xx"), "invalid mode: xx");
    }

    #[test]
    fn a_mount_is_read_field_by_field() {
        assert_eq!(
            mount("type=bind,src=/a,\"dst=/b\",readonly,bind-propagation=slave"),
            Ok(Mount::Bind {
                source: "/a".to_owned(),
                target: "/b".to_owned(),
                readonly: true,
                propagation: Some("slave".to_owned()),
                create_source: false,
                recursion: Recursion::Enabled,
                relabel: None,
            })
        );
        assert_eq!(
            mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777"),
            Ok(Mount::Tmpfs {
                target: "/t".to_owned(),
                options: "size=1048576,mode=1777".to_owned(),
            })
        );
        let Ok(Mount::Volume(volume)) = mount(
            "source=data,target=/x,ro,volume-nocopy,volume-subpath=a/b,volume-label=k=v,volume-opt=type=none",
        ) else {
            panic!("a volume is the usual type");
        };
        assert_eq!(
            (volume.name.as_str(), volume.readonly, volume.nocopy),
            ("data", true, true)
        );
        assert_eq!(volume.subpath.as_deref(), Some("a/b"));
        assert_eq!(volume.labels.get("k").map(String::as_str), Some("v"));
        assert_eq!(volume.options.get("type").map(String::as_str), Some("none"));
        let Ok(Mount::Image(image)) = mount("type=image,src=busybox,dst=/i,image-subpath=bin")
        else {
            panic!("an image");
        };
        assert_eq!(
            (image.image.as_str(), image.subpath.as_deref()),
            ("busybox", Some("bin"))
        );
    }

    #[test]
    fn a_mount_that_cannot_be_is_refused_in_dockers_words() {
        for (text, why) in [
            ("foo", "invalid field 'foo' must be a key=value pair"),
            ("type=bind,src=/a", "target is required"),
            ("type=foo,target=/x", "mount type unknown: \"foo\""),
            (
                "type=bind,target=/x",
                "invalid mount config for type \"bind\": field Source must not be empty",
            ),
            (
                "type=bind,src=a,target=/x",
                "invalid mount config for type \"bind\": invalid mount path: 'a' mount path must be absolute",
            ),
            (
                "type=tmpfs,src=/a,target=/x",
                "invalid mount config for type \"tmpfs\": field Source must not be specified",
            ),
            (
                "type=bind,nosuch=1,target=/x",
                "unknown option 'nosuch' in 'nosuch=1'",
            ),
            ("type=bind,ro=maybe", "invalid value for ro: maybe"),
            (
                "type=tmpfs,target=/x,tmpfs-mode=9",
                "invalid value for tmpfs-mode: 9",
            ),
            (
                "type=volume,target=/x,bind-propagation=slave",
                "cannot mix 'bind-*' options with mount type 'volume'",
            ),
            (
                "type=bind,src=/a,target=/x,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
            (
                "target=/x,volume-subpath=../x",
                "invalid subpath: \"../x\" must be a relative path within the volume",
            ),
            (
                "target=/x,volume-driver=nfs",
                "plugin \"nfs\" not found: the volume driver is \"local\"",
            ),
            (
                "type=cluster,target=/x",
                "mount type 'cluster' is not available on this host",
            ),
            (
                "type=bind,\"src=/a",
                "invalid mount 'type=bind,\"src=/a': extraneous or missing \" in quoted field",
            ),
        ] {
            refused(&mount(text), why);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,30}") {
            let _ = (bind(&text), mount(&text), tmpfs(&text), volumes_from(&text));
        }

        #[test]
        fn a_plain_bind_mount_reads_back(source in "(/[a-z.]{1,6}){1,3}", target in "(/[a-z]{1,6}){1,3}", readonly: bool) {
            let text = format!("{source}:{target}{}", if readonly { ":ro" } else { "" });
            proptest::prop_assert_eq!(bind(&text), Ok(Mount::Bind {
                source, target, readonly, propagation: None, create_source: true, recursion: Recursion::Enabled, relabel: None,
            }));
        }
    }
}
