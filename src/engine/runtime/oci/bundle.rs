//! A bundle: a directory with a configuration and a root file system (runtime-spec, "Filesystem Bundle"). What is wrong
//! with a configuration is said with the path of the field: `linux.resources.memory.limit: …`.

use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;

use oci_spec::runtime::{Hook, LinuxNamespaceType, Process, Spec};

use super::field;
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::runtime::cgroup::with_default_devices;
use crate::engine::runtime::dialect::{self, Document};
use crate::engine::runtime::{init, mounts};
use crate::engine::sys::file;
use crate::engine::sys::own;

/// Longest document that is read, in bytes: far more than anybody needs, and little enough to be held.
const MAX_DOCUMENT: u64 = 16 << 20;

/// A configuration that was read and looked through.
#[derive(Debug)]
pub struct Bundle {
    /// The directory, absolute.
    pub dir: PathBuf,
    /// The configuration.
    pub spec: Spec,
    /// The same as it stands in the file.
    pub content: Vec<u8>,
    /// The root file system's directory, absolute and without links.
    pub rootfs: PathBuf,
    /// What of the configuration is left alone.
    pub warnings: Vec<String>,
}

impl Bundle {
    /// Reads `config`, relative to `dir`, or else the bundle's own, and checks what can be checked without making
    /// anything. What a caller names may be a pipe; what a bundle brings along may not.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn load(dir: &Path, config: Option<&Path>) -> Result<Self> {
        let dir = file::canonical(dir).attempt(|| format!("open bundle {}", dir.display()))?;
        check_unicode("--bundle", &dir)?;
        let (config, content) = match config {
            None => {
                let path = dir.join("config.json");
                let content = file::read_regular(&path, MAX_DOCUMENT)?;
                (path, content)
            }
            Some(given) => {
                let path = dir.join(given);
                let content = file::read_named(&path, MAX_DOCUMENT)?;
                (path, content)
            }
        };
        let content = content.ok_or_else(|| {
            Error::not_found(format!(
                "JSON specification file {} not found",
                config.display()
            ))
        })?;
        let what = || format!("read {}", config.display());
        let (mut spec, warnings) = parse(&content).attempt(what)?;
        // Reading a document takes more of the program than anything else; what is dropped comes back from the page cache.
        own::forget_code();
        check(&spec)?;
        let rootfs = rootfs(&dir, &spec)?;
        complete_devices(&mut spec)?;
        mounts::complete_sources(&mut spec, &dir);
        Ok(Self {
            dir,
            spec,
            content,
            rootfs,
            warnings,
        })
    }

    /// The process to start.
    ///
    /// # Errors
    /// If there is none.
    pub fn process(&self) -> Result<&Process> {
        self.spec
            .process()
            .as_ref()
            .ok_or_else(|| Error::invalid("process property must not be empty"))
    }

    /// Whether the process is to have a terminal.
    #[must_use]
    pub fn wants_terminal(&self) -> bool {
        let process = self.spec.process().as_ref();
        process.and_then(Process::terminal).unwrap_or(false)
    }
}

/// A document that a caller names, which may be a pipe; `-` is standard input.
///
/// # Errors
/// If it is not there, cannot be read or is too long.
pub fn read_document(name: &str) -> Result<Vec<u8>> {
    if name == "-" {
        return file::read_standard_input(MAX_DOCUMENT);
    }
    file::read_named(Path::new(name), MAX_DOCUMENT)?
        .ok_or_else(|| Error::not_found(format!("read {name}: no such file or directory")))
}

/// A path that is told to others in JSON, which holds Unicode only. runc tells another path then, and hooks look for it.
fn check_unicode(field: &str, path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(Error::invalid(format!(
            "{field}: {} is not valid UTF-8, and states that name it are",
            path.display()
        ))
        .with_hint("rename the directory")),
    }
}

/// Reads a configuration, and says what of it means nothing here.
///
/// # Errors
/// The field that is wrong.
pub fn parse(content: &[u8]) -> Result<(Spec, Vec<String>)> {
    let (mut spec, mut warnings) = read::<Spec>(content, Document::Container)?;
    dialect::tidy(&mut spec, content);
    warnings.extend(dialect::ignored(&spec));
    Ok((spec, warnings))
}

/// Reads a process for a running container in the same way.
///
/// # Errors
/// The field that is wrong.
pub fn parse_process(content: &[u8]) -> Result<(Process, Vec<String>)> {
    let (mut process, warnings) = read::<Process>(content, Document::Process)?;
    dialect::tidy_process(&mut process);
    Ok((process, warnings))
}

/// The usual case is read at once; only what cannot be read, or would be read too kindly, is translated first.
fn read<T: DeserializeOwned>(content: &[u8], document: Document) -> Result<(T, Vec<String>)> {
    let read = field::read(content);
    if read.is_ok() && !dialect::has_other_names(content, document) {
        return read.map(|read| (read, Vec::new()));
    }
    match dialect::translate(content, document) {
        Some(translated) => {
            let read = field::read_unseen(&translated.content)?;
            Ok((read, translated.warnings))
        }
        None => read.map(|read| (read, Vec::new())),
    }
}

/// What must hold for any container, whoever started it.
fn check(spec: &Spec) -> Result<()> {
    check_version(spec.version())?;
    match spec.process() {
        Some(process) => check_process(process, "process")?,
        None => return Err(Error::invalid("process property must not be empty")),
    }
    check_namespaces(spec)?;
    for (number, mount) in spec.mounts().iter().flatten().enumerate() {
        if mount.destination().as_os_str().is_empty() {
            return Err(Error::invalid(format!(
                "mounts[{number}].destination: must not be empty"
            )));
        }
    }
    if let Some(hooks) = spec.hooks() {
        let prestart = hooks.prestart();
        check_hooks("prestart", prestart.as_deref())?;
        check_hooks("createRuntime", hooks.create_runtime().as_deref())?;
        check_hooks("createContainer", hooks.create_container().as_deref())?;
        check_hooks("startContainer", hooks.start_container().as_deref())?;
        check_hooks("poststart", hooks.poststart().as_deref())?;
        check_hooks("poststop", hooks.poststop().as_deref())?;
    }
    if spec
        .annotations()
        .iter()
        .flatten()
        .any(|(key, _)| key.is_empty())
    {
        return Err(Error::invalid("annotations: a key must not be empty"));
    }
    Ok(())
}

/// Without the harmless devices the container's own `/dev` could not be made.
fn complete_devices(spec: &mut Spec) -> Result<()> {
    let mut linux = spec.linux().clone().unwrap_or_default();
    let resources = with_default_devices(linux.resources().as_ref())?;
    linux.set_resources(Some(resources));
    spec.set_linux(Some(linux));
    Ok(())
}

/// runc takes any version; a later major one may mean something else by the same fields.
fn check_version(version: &str) -> Result<()> {
    let major = version.split('.').next().unwrap_or_default();
    if version.is_empty() || major == "1" {
        Ok(())
    } else {
        Err(Error::unsupported(format!(
            "ociVersion: {version:?} is not a version that is supported (1.x)"
        )))
    }
}

/// Checks a process; `field` is where it stands.
///
/// # Errors
/// The field that is wrong.
pub fn check_process(process: &Process, field: &str) -> Result<()> {
    check_cwd(process, &format!("{field}.cwd"))?;
    for (number, entry) in process.env().iter().flatten().enumerate() {
        init::split_variable(entry).attempt(|| format!("{field}.env[{number}]"))?;
    }
    match process.args().as_deref() {
        Some([_, ..]) => Ok(()),
        Some([]) | None => Err(Error::invalid(format!(
            "{field}.args: args must not be empty"
        ))),
    }
}

/// Checks a process's working directory; `field` is where it stands.
///
/// # Errors
/// Why it cannot be one.
pub fn check_cwd(process: &Process, field: &str) -> Result<()> {
    let invalid = |text: &str| Err(Error::invalid(format!("{field}: {text}")));
    let cwd = process.cwd();
    if cwd.as_os_str().is_empty() {
        return invalid("Cwd property must not be empty");
    }
    if !cwd.is_absolute() {
        return invalid("Cwd must be an absolute path");
    }
    if is_descriptor(cwd) {
        let cwd = cwd.display();
        return invalid(&format!(
            "{cwd} is a descriptor, not a directory of the container"
        ));
    }
    Ok(())
}

/// Whether a path names an open descriptor of some process, as procfs has them: where that leads is decided by who has
/// opened what, and without procfs directories of that name would be made (CVE-2024-21626).
fn is_descriptor(path: &Path) -> bool {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(names.pop()),
            Component::Normal(name) => names.push(name.to_str().unwrap_or_default()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    matches!(
        names[..],
        ["proc", _, "fd", _, ..] | ["proc", _, "task", _, "fd", _, ..] | ["dev", "fd", _, ..]
    )
}

fn check_namespaces(spec: &Spec) -> Result<()> {
    let list = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.namespaces().as_deref())
        .unwrap_or_default();
    for (number, namespace) in list.iter().enumerate() {
        let typ = namespace.typ();
        if list.iter().take(number).any(|other| other.typ() == typ) {
            return Err(Error::invalid(format!(
                "linux.namespaces[{number}].type: malformed spec file: duplicated ns {typ}"
            )));
        }
        if let Some(path) = namespace.path()
            && !path.is_absolute()
        {
            return Err(Error::invalid(format!(
                "linux.namespaces[{number}].path: {} is not an absolute path",
                path.display()
            )));
        }
    }
    let has_uts = has_namespace(spec, LinuxNamespaceType::Uts);
    for (name, value) in [
        ("hostname", spec.hostname()),
        ("domainname", spec.domainname()),
    ] {
        if !has_uts && value.as_deref().is_some_and(|value| !value.is_empty()) {
            return Err(Error::invalid(format!(
                "{name}: unable to set {name} without a private UTS namespace"
            )));
        }
    }
    Ok(())
}

fn has_namespace(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let linux = spec.linux().as_ref();
    let list = linux.and_then(|linux| linux.namespaces().as_deref());
    list.unwrap_or_default()
        .iter()
        .any(|namespace| namespace.typ() == kind)
}

fn check_hooks(name: &str, hooks: Option<&[Hook]>) -> Result<()> {
    for (number, hook) in hooks.unwrap_or_default().iter().enumerate() {
        let invalid = |what: &str| {
            let text = format!("hooks.{name}[{number}].{what}");
            Err(Error::invalid(text))
        };
        if !hook.path().is_absolute() {
            return invalid("path: must be an absolute path");
        }
        if hook.timeout().is_some_and(|seconds| seconds <= 0) {
            return invalid("timeout: must be greater than zero");
        }
    }
    Ok(())
}

fn rootfs(dir: &Path, spec: &Spec) -> Result<PathBuf> {
    let root = spec
        .root()
        .as_ref()
        .ok_or_else(|| Error::invalid("root: must be specified"))?;
    if root.path().as_os_str().is_empty() {
        return Err(Error::invalid("root.path: must not be empty"));
    }
    let path = dir.join(root.path());
    let canonical = file::canonical(&path).attempt(|| "root.path")?;
    if !canonical.is_dir() {
        return Err(Error::invalid(format!(
            "root.path: {} is not a directory",
            path.display()
        )));
    }
    check_unicode("root.path", &canonical)?;
    // pivot_root(2) cannot exchange the host's root for itself, and would not keep anybody in.
    let is_hosts = canonical.parent().is_none();
    if is_hosts && has_namespace(spec, LinuxNamespaceType::Mount) {
        return Err(Error::invalid(
            "root.path: / is the root of the host and cannot be that of a container, too",
        ));
    }
    Ok(canonical)
}
