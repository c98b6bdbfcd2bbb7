//! `manifest`: lists of manifests, made here and pushed to a registry, and what registries have under a name.

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::output::Out;
use super::report::{Failure, Outcome};
use super::{Context, args, report};
use crate::engine::manifests::{self, Lists};
use crate::engine::model::manifest::{Listed, Trust};
use crate::engine::model::{Platform, Reference};
use crate::engine::{Engine, Error, Kind};

/// Architectures and the operating systems that there are for them (Go's list, which Docker goes by).
const COMBINATIONS: &[(&str, &[&str])] = &[
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm"]),
    (
        "linux",
        &[
            "386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64",
            "s390x",
        ],
    ),
    ("netbsd", &["386", "amd64", "arm"]),
    ("openbsd", &["386", "amd64", "arm"]),
    ("plan9", &["386", "amd64"]),
    ("solaris", &["amd64"]),
    ("windows", &["386", "amd64", "arm64"]),
];

fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse::<Reference>()
        .map(Reference::with_default_tag)
        .map_err(Failure::plain)
}

fn trust(insecure: bool) -> Trust {
    if insecure {
        Trust::Insecure
    } else {
        Trust::Configured
    }
}

fn lists(context: &Context) -> Lists {
    Lists::new(&context.config)
}

fn no_such(name: &Reference) -> Failure {
    Failure::plain(format_args!("No such manifest: {name}"))
}

fn fetch(
    context: &Context,
    engine: &Engine,
    name: &Reference,
    trust: Trust,
) -> Result<Listed, Failure> {
    let auth = context.credentials().auth(name.domain())?;
    engine.manifest(name, &auth, trust).map_err(|error| {
        if error.kind() == Kind::NotFound {
            Failure::plain(format_args!("no such manifest: {name}"))
        } else {
            error.into()
        }
    })
}

/// `manifest inspect`.
pub fn inspect(context: &Context, args: &args::ManifestInspect) -> Outcome {
    let trust = trust(args.insecure);
    if let [list, name] = args.operands.as_slice() {
        let (list, name) = (reference(list)?, reference(name)?);
        let entry = lists(context).find(&list, &name)?;
        return show(&entry.ok_or_else(|| no_such(&name))?, args.verbose);
    }
    let name = reference(args.operands.first().map_or("", String::as_str))?;
    if let Some(list) = lists(context).get(&name)? {
        return show_list(&list, args.verbose);
    }
    let engine = context.engine()?;
    let found = fetch(context, &engine, &name, trust)?;
    if !(args.verbose && is_list(&found)) {
        return show(&found, args.verbose);
    }
    let mut entries = Vec::new();
    for (digest, platform) in described(&found) {
        let child = name.clone().with_digest(digest);
        let mut entry = fetch(context, &engine, &child, trust)?;
        // The list knows better than the configuration what the image is for.
        entry.platform = platform.or(entry.platform);
        entries.push(entry);
    }
    show_list(&entries, true)
}

fn is_list(found: &Listed) -> bool {
    found.media_type.ends_with(".index.v1+json")
        || found.media_type.ends_with(".manifest.list.v2+json")
}

/// Manifests of an index, with what it says that they are for.
fn described(index: &Listed) -> Vec<(crate::engine::model::Digest, Option<Platform>)> {
    let document = serde_json::from_slice::<Value>(&index.document).unwrap_or_default();
    let manifests = document.get("manifests").and_then(Value::as_array);
    let entries = manifests.into_iter().flatten();
    entries
        .filter_map(|entry| {
            let digest = entry.get("digest")?.as_str()?.parse().ok()?;
            let platform = entry.get("platform").cloned();
            let platform = platform.and_then(|platform| serde_json::from_value(platform).ok());
            Some((digest, platform))
        })
        .collect()
}

fn show(found: &Listed, verbose: bool) -> Outcome {
    if verbose {
        return print(&manifests::verbose(found), b"\t");
    }
    let document: Value = serde_json::from_slice(&found.document)
        .map_err(|error| Error::invalid("read manifest").caused_by(error))?;
    // Docker indents lists by three spaces and everything else by a tab.
    let indent: &[u8] = if is_list(found) { b"   " } else { b"\t" };
    print(&document, indent)
}

fn show_list(list: &[Listed], verbose: bool) -> Outcome {
    if verbose {
        let all = list.iter().map(manifests::verbose).collect();
        return print(&Value::Array(all), b"\t");
    }
    let document = Engine::manifest_list(list)?;
    super::say(String::from_utf8_lossy(&document))
}

fn print(value: &Value, indent: &[u8]) -> Outcome {
    let mut text = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(
            &mut text,
            PrettyFormatter::with_indent(indent),
        ))
        .map_err(|error| Error::invalid("print manifest").caused_by(error))?;
    super::say(String::from_utf8_lossy(&text))
}

/// `manifest create`.
pub fn create(context: &Context, args: &args::ManifestCreate) -> Outcome {
    let mut names = args.operands.iter().map(|name| reference(name));
    let list = names.next().unwrap_or_else(|| reference(""))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let lists = lists(context);
    if lists.get(&list)?.is_some() && !args.amend {
        return Err(Failure::plain(
            "refusing to amend an existing manifest list with no --amend flag",
        ));
    }
    let engine = context.engine()?;
    // All are there before the first is written: a list is not left half made.
    let mut entries = Vec::new();
    for name in &names {
        let entry = match lists.find(&list, name)? {
            Some(entry) => entry,
            None => fetch(context, &engine, name, trust(args.insecure))?,
        };
        if is_list(&entry) {
            return Err(Failure::plain(format_args!("{name} is a manifest list")));
        }
        entries.push(entry);
    }
    for entry in &entries {
        lists.save(&list, entry)?;
    }
    super::say(format_args!("Created manifest list {list}"))
}

/// `manifest annotate`.
pub fn annotate(context: &Context, args: &args::ManifestAnnotate) -> Outcome {
    let [list, name] = args.operands.as_slice() else {
        return Ok(0);
    };
    let (target, image) = (reference(list)?, reference(name)?);
    let lists = lists(context);
    let Some(mut entry) = lists.find(&target, &image)? else {
        return Err(Failure::plain(format_args!(
            "manifest for image {name} does not exist in {list}"
        )));
    };
    let platform = annotated(entry.platform.take().unwrap_or_default(), args);
    if !is_known(&platform) {
        return Err(Failure::plain(format_args!(
            "manifest entry for image has unsupported os/arch combination: {}/{}",
            platform.os, platform.architecture
        )));
    }
    entry.platform = Some(platform);
    lists.save(&target, &entry)?;
    Ok(0)
}

fn annotated(mut platform: Platform, args: &args::ManifestAnnotate) -> Platform {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(os) = given(&args.os) {
        platform.os = os;
    }
    if let Some(architecture) = given(&args.arch) {
        platform.architecture = architecture;
    }
    platform.variant = given(&args.variant).or(platform.variant);
    platform.os_version = given(&args.os_version).or(platform.os_version);
    for feature in args.os_features.iter().flat_map(|list| list.split(',')) {
        if !feature.is_empty() && !platform.os_features.iter().any(|known| known == feature) {
            platform.os_features.push(feature.to_owned());
        }
    }
    platform
}

fn is_known(platform: &Platform) -> bool {
    COMBINATIONS.iter().any(|(os, architectures)| {
        *os == platform.os && architectures.contains(&platform.architecture.as_str())
    })
}

/// `manifest push`.
pub fn push(context: &Context, args: &args::ManifestPush) -> Outcome {
    let name = reference(args.operands.first().map_or("", String::as_str))?;
    let lists = lists(context);
    let Some(list) = lists.get(&name)?.filter(|list| !list.is_empty()) else {
        return Err(no_such(&name));
    };
    let auth = context.credentials().auth(name.domain())?;
    let engine = context.engine()?;
    let pushed = engine.push_manifest_list(&name, &list, &auth, trust(args.insecure))?;
    let mut out = Out::new();
    for (brought, digest) in &pushed.brought {
        out.line(format_args!("Pushed ref {brought} with digest: {digest}"))?;
    }
    out.line(&pushed.digest)?;
    out.finish()?;
    if args.purge {
        lists.remove(&name)?;
    }
    Ok(0)
}

/// `manifest rm`.
pub fn rm(context: &Context, args: &args::Plain) -> Outcome {
    let lists = lists(context);
    let mut code = 0;
    for name in &args.operands {
        let removed = reference(name).and_then(|name| match lists.get(&name) {
            Ok(None) => Err(no_such(&name)),
            // A damaged list is removed as any other.
            Ok(Some(_)) | Err(_) => Ok(lists.remove(&name)?),
        });
        match removed {
            Ok(()) => {}
            Err(Failure::Usage { text, .. }) => {
                report::complain(&text);
                code = 1;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(os: &str, arch: &str, features: &[&str]) -> args::ManifestAnnotate {
        args::ManifestAnnotate {
            arch: Some(arch.to_owned()),
            os: Some(os.to_owned()),
            os_features: features.iter().map(|f| (*f).to_owned()).collect(),
            os_version: None,
            variant: Some("v8".to_owned()),
            operands: vec![],
        }
    }

    #[test]
    fn what_is_said_takes_the_place_of_what_was_known() {
        let before: Platform = "linux/arm/v7".parse().unwrap();
        let after = annotated(before.clone(), &said("", "arm64", &["a,b", "a"]));
        assert_eq!(
            (after.os.as_str(), after.architecture.as_str()),
            ("linux", "arm64")
        );
        assert_eq!(after.variant.as_deref(), Some("v8"));
        assert_eq!(after.os_features, ["a", "b"]);
        assert!(is_known(&after));
        assert!(!is_known(&annotated(before, &said("plan9", "s390x", &[]))));
    }

    #[test]
    fn an_index_tells_what_its_manifests_are_for() {
        let digest = crate::engine::model::Digest::from_sha256(&[1; 32]);
        let index = Listed {
            reference: "a".parse().unwrap(),
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            digest: digest.clone(),
            size: 0,
            platform: None,
            document: format!(
                r#"{{"manifests":[{{"digest":"{digest}","platform":{{"os":"linux","architecture":"arm"}}}},{{"digest":"?"}}]}}"#
            )
            .into_bytes(),
        };
        assert!(is_list(&index));
        assert_eq!(
            described(&index),
            [(
                digest,
                "linux/arm"
                    .parse::<Platform>()
                    .ok()
                    .map(|p| Platform { variant: None, ..p })
            )]
        );
    }
}
