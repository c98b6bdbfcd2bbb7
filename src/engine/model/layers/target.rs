//! Where an image is that is looked into.

use std::path::PathBuf;

use crate::engine::model::{Platform, request};

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// In the store.
    Stored(String),
    /// In an archive that lies somewhere: no store is needed.
    Archive {
        /// The archive or directory; `-` is standard input.
        path: PathBuf,
        /// One of several images in it.
        name: Option<String>,
        /// Which platform of it.
        platform: Option<Platform>,
        /// Where lists of layers are kept.
        cache: Option<PathBuf>,
    },
    /// A root file system in one archive; `-` is standard input.
    Rootfs(PathBuf),
    /// In its registry.
    Registry {
        /// What would be pulled.
        wanted: Box<request::Pull>,
        /// Where lists of layers are kept.
        cache: Option<PathBuf>,
    },
    /// With another engine of this host.
    Engine {
        /// What stands before an image of it, such as `docker://`.
        start: &'static str,
        /// Where it listens.
        socket: PathBuf,
        /// The image, as that engine calls it.
        image: String,
        /// Which platform of it.
        platform: Option<Platform>,
    },
}

impl Target {
    /// As the command line has it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Stored(name) => name.clone(),
            Self::Archive { path, name, .. } => {
                let path = path.to_string_lossy();
                let shown = if path.starts_with(['/', '.']) || path == "-" {
                    path.into_owned()
                } else {
                    format!("./{path}")
                };
                match name {
                    Some(name) => format!("{shown}:{name}"),
                    None => shown,
                }
            }
            Self::Rootfs(path) => format!("rootfs:{}", path.display()),
            Self::Registry { wanted, .. } => {
                format!("registry://{}", wanted.reference.familiar())
            }
            Self::Engine { start, image, .. } => format!("{start}{image}"),
        }
    }

    /// The platform that was asked for, if one was.
    #[must_use]
    pub fn platform(&self) -> Option<&Platform> {
        match self {
            Self::Stored(_) | Self::Rootfs(_) => None,
            Self::Archive { platform, .. } | Self::Engine { platform, .. } => platform.as_ref(),
            Self::Registry { wanted, .. } => wanted.platform.as_ref(),
        }
    }

    /// It is in the store.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_))
    }
}
