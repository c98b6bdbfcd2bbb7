//! What a file is for, as far as its path tells: caches of package managers, files of version control, what is left over.
//! Images do well without these.

/// A kind of files that an image rarely needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Nature {
    /// What a package manager keeps for the next time; which one is a place in a list.
    PackageCache(u8),
    /// History of version control.
    VersionControl,
    /// Temporary files, logs, what editors and desktops leave.
    Temporary,
}

/// A cache: directories that end so, who fills it, and how not to.
struct Cache {
    tool: &'static str,
    directories: &'static [&'static str],
    advice: &'static str,
}

const CACHES: &[Cache] = &[
    Cache {
        tool: "apt",
        directories: &["var/cache/apt", "var/lib/apt/lists"],
        advice: "end the same RUN with rm -rf /var/lib/apt/lists/* /var/cache/apt, or RUN --mount=type=cache,target=/var/cache/apt --mount=type=cache,target=/var/lib/apt",
    },
    Cache {
        tool: "apk",
        directories: &["var/cache/apk", "etc/apk/cache"],
        advice: "apk add --no-cache",
    },
    Cache {
        tool: "dnf",
        directories: &[
            "var/cache/dnf",
            "var/cache/yum",
            "var/cache/libdnf5",
            "var/cache/zypp",
        ],
        advice: "end the same RUN with dnf clean all (yum clean all, zypper clean)",
    },
    Cache {
        tool: "pacman",
        directories: &["var/cache/pacman/pkg"],
        advice: "end the same RUN with pacman -Scc --noconfirm",
    },
    Cache {
        tool: "pip",
        directories: &[".cache/pip", ".cache/pypoetry", ".cache/uv"],
        advice: "pip install --no-cache-dir, or RUN --mount=type=cache,target=/root/.cache",
    },
    Cache {
        tool: "npm",
        directories: &[
            ".npm/_cacache",
            ".npm/_npx",
            ".npm/_logs",
            ".cache/yarn",
            ".yarn/cache",
            ".pnpm-store",
        ],
        advice: "RUN --mount=type=cache,target=/root/.npm npm ci, or npm cache clean --force in the same RUN",
    },
    Cache {
        tool: "go",
        directories: &[".cache/go-build", "go/pkg/mod"],
        advice: "build in an earlier stage and copy the result, or RUN --mount=type=cache,target=/root/.cache/go-build",
    },
    Cache {
        tool: "cargo",
        directories: &[
            ".cargo/registry",
            "cargo/registry",
            ".cargo/git",
            "cargo/git",
        ],
        advice: "build in an earlier stage and copy the result, or RUN --mount=type=cache,target=/usr/local/cargo/registry",
    },
    Cache {
        tool: "maven",
        directories: &[".m2/repository", ".gradle/caches", ".ivy2/cache"],
        advice: "build in an earlier stage and copy the result, or RUN --mount=type=cache,target=/root/.m2",
    },
    Cache {
        tool: "conda",
        directories: &["opt/conda/pkgs", "miniconda3/pkgs"],
        advice: "end the same RUN with conda clean -afy",
    },
    Cache {
        tool: "gem",
        directories: &[".gem/specs", ".bundle/cache", "usr/local/bundle/cache"],
        advice: "bundle install && rm -rf /usr/local/bundle/cache in the same RUN",
    },
    Cache {
        tool: "composer",
        directories: &[".composer/cache", ".cache/composer"],
        advice: "composer install --no-cache",
    },
    Cache {
        tool: "programs",
        directories: &["root/.cache"],
        advice: "remove it in the same RUN, or RUN --mount=type=cache,target=/root/.cache",
    },
];

const VERSION_CONTROL: &[&str] = &[".git", ".hg", ".svn", ".bzr"];
/// Directories whose files are there for a while only.
const PASSING: &[&str] = &[
    "tmp",
    "var/tmp",
    "var/log",
    "var/cache/debconf",
    "var/cache/ldconfig",
];
const LEFT_OVER: &[&str] = &[
    ".DS_Store",
    "Thumbs.db",
    "nohup.out",
    "npm-debug.log",
    "yarn-error.log",
];

impl Nature {
    /// What a file is by its path (without a slash in front), and how much of the path names the directory that is all of
    /// that nature; a file that stands alone is its own.
    #[must_use]
    pub fn of(path: &[u8]) -> Option<(Self, usize)> {
        let whole = std::str::from_utf8(path).ok()?;
        let name = whole.rsplit('/').next().unwrap_or(whole);
        let mut end = 0;
        for part in whole.split('/') {
            end += part.len();
            // The directory itself is nothing yet, what is in it is.
            if end < whole.len() && VERSION_CONTROL.contains(&part) {
                return Some((Self::VersionControl, end));
            }
            end += 1;
        }
        for (number, cache) in (0..).zip(CACHES) {
            for directory in cache.directories {
                if let Some(end) = below(whole, directory) {
                    return Some((Self::PackageCache(number), end));
                }
            }
        }
        let passing = PASSING.iter().find(|directory| {
            whole
                .strip_prefix(**directory)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        if let Some(directory) = passing {
            return Some((Self::Temporary, directory.len()));
        }
        let ending = name.rsplit('.').next().unwrap_or_default();
        let is_left_over =
            LEFT_OVER.contains(&name) || name.starts_with('.') && matches!(ending, "swp" | "swo");
        is_left_over.then_some((Self::Temporary, whole.len()))
    }

    /// One word or two, as the command line and JSON have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PackageCache(_) => "package-cache",
            Self::VersionControl => "version-control",
            Self::Temporary => "temporary",
        }
    }

    /// Whose cache it is.
    #[must_use]
    pub fn tool(self) -> Option<&'static str> {
        match self {
            Self::PackageCache(number) => CACHES.get(usize::from(number)).map(|cache| cache.tool),
            Self::VersionControl | Self::Temporary => None,
        }
    }

    /// How to write a Dockerfile that leaves it out.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::PackageCache(number) => CACHES
                .get(usize::from(number))
                .map_or("", |cache| cache.advice),
            Self::VersionControl => {
                "name it in .dockerignore, and copy what is needed instead of everything"
            }
            Self::Temporary => {
                "remove it in the RUN that makes it, or RUN --mount=type=tmpfs,target=/tmp"
            }
        }
    }
}

/// Where a directory of the path ends that ends in `directory`, if more follows it.
fn below(path: &str, directory: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = path.get(from..)?.find(directory) {
        let (start, end) = (from + found, from + found + directory.len());
        let is_part = start == 0 || path.as_bytes().get(start - 1) == Some(&b'/');
        if is_part && path.as_bytes().get(end) == Some(&b'/') {
            return Some(end);
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_what_a_file_is_for() {
        for (path, nature, top) in [
            (
                "var/lib/apt/lists/deb.debian.org_main",
                "apt",
                "var/lib/apt/lists",
            ),
            ("root/.cache/pip/http/a", "pip", "root/.cache/pip"),
            ("home/x/.npm/_cacache/a", "npm", "home/x/.npm/_cacache"),
            ("root/.cache/other/a", "programs", "root/.cache"),
            (
                "usr/local/cargo/registry/src/a",
                "cargo",
                "usr/local/cargo/registry",
            ),
            ("app/.git/objects/ab", "version-control", "app/.git"),
            ("tmp/x", "temporary", "tmp"),
            ("var/log/dpkg.log", "temporary", "var/log"),
            ("app/.DS_Store", "temporary", "app/.DS_Store"),
            ("app/.main.rs.swp", "temporary", "app/.main.rs.swp"),
        ] {
            let (found, end) = Nature::of(path.as_bytes()).unwrap();
            let word = found.tool().unwrap_or(found.as_str());
            assert_eq!((word, path.get(..end).unwrap()), (nature, top));
            assert!(!found.advice().is_empty());
        }
        for path in [
            "var/lib/apt/lists",
            "tmp",
            "tmpfiles/a",
            "app/.gitignore",
            "usr/bin/git",
            "app/go/pkg/model/a",
            "\u{fc}",
        ] {
            assert_eq!(Nature::of(path.as_bytes()), None, "{path}");
        }
    }
}
