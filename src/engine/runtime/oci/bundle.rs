//! A bundle: a directory with a configuration and a root file system (runtime-spec, "Filesystem Bundle"). What is wrong
//! with a configuration is said with the path of the field: `linux.resources.memory.limit: …`.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use oci_spec::runtime::{Hook, LinuxNamespaceType, Process, Spec};

use super::field;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::cgroup::with_default_devices;
use crate::engine::runtime::dialect::{self, Document};
use crate::engine::runtime::mounts;
use crate::engine::sys::file;

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
    /// Reads `config`, relative to `dir`, and checks what can be checked without making anything.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn load(dir: &Path, config: &Path) -> Result<Self> {
        let dir = file::canonical(dir).attempt(|| format!("open bundle {}", dir.display()))?;
        let config = dir.join(config);
        let content = file::read_optional(&config)?.ok_or_else(|| {
            Error::not_found(format!(
                "JSON specification file {} not found",
                config.display()
            ))
        })?;
        let what = || format!("read {}", config.display());
        let (mut spec, warnings) = parse(&content).attempt(what)?;
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

/// The usual case is read at once; only what cannot be read is translated first.
fn read<T: DeserializeOwned>(content: &[u8], document: Document) -> Result<(T, Vec<String>)> {
    match field::read(content) {
        Ok(read) => Ok((read, Vec::new())),
        Err(error) => match dialect::translate(content, document) {
            Some(translated) => {
                let read = field::read(&translated.content)?;
                Ok((read, translated.warnings))
            }
            None => Err(error),
        },
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
    let invalid = |text: &str| Err(Error::invalid(format!("{field}.{text}")));
    let cwd = process.cwd();
    if cwd.as_os_str().is_empty() {
        return invalid("cwd: Cwd property must not be empty");
    }
    if !cwd.is_absolute() {
        return invalid("cwd: Cwd must be an absolute path");
    }
    match process.args().as_deref() {
        Some([_, ..]) => Ok(()),
        Some([]) | None => invalid("args: args must not be empty"),
    }
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
    let has_uts = list
        .iter()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Uts);
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
    if canonical.is_dir() {
        Ok(canonical)
    } else {
        Err(Error::new(
            Kind::InvalidInput,
            format!("root.path: {} is not a directory", path.display()),
        ))
    }
}
