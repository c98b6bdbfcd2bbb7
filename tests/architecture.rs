//! Who may use whom, as data ([`RULES`]); a breach fails. ARCHITECTURE.md explains the table to people.
//!
//! Sources are read as tokens, not compiled: comments and strings are dropped, `use` trees unfolded, `super` and names
//! that a file imported are resolved, and `#[cfg(test)]` modules are left out.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module and everything below it must not use. The longest `module` that fits a file is not the only one that
/// counts: all that fit do.
struct Rule {
    module: &'static str,
    forbidden: &'static [&'static str],
    /// Parts of what is forbidden that are allowed after all.
    except: &'static [&'static str],
    reason: &'static str,
}

const FRONTS: &[&str] = &[
    "crate::cli",
    "crate::app",
    "crate::views",
    "crate::api",
    "crate::compose",
    "crate::demo",
];

/// The façade: what stands directly in `engine` and orders the peers.
const FACADE: &[&str] = &[
    "crate::engine::Engine",
    "crate::engine::containers",
    "crate::engine::teardown",
    "crate::engine::recovery",
    "crate::engine::system",
    "crate::engine::exec",
];

const RULES: &[Rule] = &[
    Rule {
        module: "crate::engine::model",
        forbidden: &["crate", "tokio", "std::fs", "std::process::Command"],
        except: &["crate::engine::model"],
        reason: "plain data: no I/O, and nothing of ours",
    },
    Rule {
        module: "crate::engine::sys",
        forbidden: &["crate", "tokio"],
        except: &[
            "crate::engine::sys",
            "crate::engine::error",
            "crate::engine::model",
        ],
        reason: "the kernel's door knows none of its siblings",
    },
    Rule {
        module: "crate::engine::store",
        forbidden: &["crate", "tokio"],
        except: &[
            "crate::engine::sys",
            "crate::engine::error",
            "crate::engine::model",
            "crate::engine::store",
        ],
        reason: "records on disk know nothing of those who keep them",
    },
    Rule {
        module: "crate::engine::runtime",
        forbidden: &[
            "crate::engine::images",
            "crate::engine::net",
            "crate::engine::build",
            "crate::engine::store",
            "tokio",
        ],
        except: &[],
        reason: "peers do not import each other; the runtime is given paths, and stays single-threaded",
    },
    Rule {
        module: "crate::engine::images",
        forbidden: &[
            "crate::engine::runtime",
            "crate::engine::net",
            "crate::engine::build",
        ],
        except: &[],
        reason: "peers do not import each other",
    },
    Rule {
        module: "crate::engine::net",
        forbidden: &[
            "crate::engine::runtime",
            "crate::engine::images",
            "crate::engine::build",
            "tokio",
        ],
        except: &[],
        reason: "peers do not import each other",
    },
    Rule {
        module: "crate::engine::build",
        forbidden: &["crate::engine::runtime", "crate::engine::net"],
        except: &[],
        reason: "a build step runs through a trait that the façade implements",
    },
    Rule {
        module: "crate::engine::runtime",
        forbidden: FACADE,
        except: &[],
        reason: "the façade calls the peers, never the other way",
    },
    Rule {
        module: "crate::engine::images",
        forbidden: FACADE,
        except: &[],
        reason: "the façade calls the peers, never the other way",
    },
    Rule {
        module: "crate::engine",
        forbidden: FRONTS,
        except: &[],
        reason: "nothing in the engine knows who is asking",
    },
    Rule {
        module: "crate::app",
        forbidden: &[
            "crate::engine::runtime",
            "crate::engine::images",
            "crate::engine::net",
            "crate::engine::build",
            "crate::engine::sys",
            "crate::cli",
            "std::fs",
            "std::process::Command",
        ],
        except: &["crate::engine::runtime::channel"],
        reason: "the TUI asks the façade and does nothing by itself",
    },
    Rule {
        module: "crate::views",
        forbidden: &[
            "crate::engine",
            "crate::cli",
            "tokio",
            "std::fs",
            "std::process",
            "std::sync::mpsc",
            "std::time::Instant::now",
            "std::time::SystemTime",
        ],
        except: &["crate::engine::model"],
        reason: "drawing is a pure function of state",
    },
    Rule {
        module: "crate::cli",
        forbidden: &[
            "crate::views",
            "crate::engine::runtime",
            "crate::engine::images",
            "crate::engine::net",
            "crate::engine::build",
            "crate::engine::sys",
        ],
        except: &[
            "crate::engine::runtime::channel",
            // The runtime has a command line of its own, which is all that other engines see of it.
            "crate::engine::runtime::oci",
        ],
        reason: "the command line asks the façade, as everyone",
    },
];

#[test]
fn no_module_uses_what_it_must_not() {
    let mut breaches = String::new();
    for source in sources() {
        for used in &source.paths {
            for rule in RULES {
                let applies = starts_with(&source.module, rule.module)
                    && rule.forbidden.iter().any(|f| starts_with(used, f))
                    && !rule.except.iter().any(|e| starts_with(used, e));
                if applies {
                    let file = source.file.display();
                    let _ = writeln!(breaches, "{file} uses {used}: {}", rule.reason);
                }
            }
        }
    }
    assert!(breaches.is_empty(), "\n{breaches}");
}

#[test]
fn only_the_kernels_door_is_unsafe() {
    let mut breaches = String::new();
    for source in sources() {
        let is_door = starts_with(&source.module, "crate::engine::sys");
        if !is_door && source.tokens.iter().any(|token| token == "unsafe") {
            let _ = writeln!(breaches, "{} has unsafe code", source.file.display());
        }
    }
    assert!(breaches.is_empty(), "\n{breaches}");
}

#[test]
fn only_the_theme_names_colours() {
    let mut breaches = String::new();
    for source in sources() {
        let draws = ["crate::app", "crate::views"]
            .iter()
            .any(|module| starts_with(&source.module, module));
        let names = source
            .tokens
            .windows(2)
            .any(|pair| pair[0] == "Color" && pair[1] == "::");
        if draws && names && source.module != "crate::views::theme" {
            let _ = writeln!(breaches, "{} names a colour", source.file.display());
        }
    }
    assert!(breaches.is_empty(), "\n{breaches}");
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let mut breaches = String::new();
    for dir in ["src", "tests", "benches", "fuzz/fuzz_targets", "build.rs"] {
        for file in rust_files(&root().join(dir)) {
            if !fs::read_to_string(&file).unwrap().starts_with("//! ") {
                let _ = writeln!(breaches, "{} does not start with `//! `", file.display());
            }
        }
    }
    assert!(breaches.is_empty(), "\n{breaches}");
}

#[test]
fn the_reader_sees_through_groups_supers_and_imported_names() {
    let found = read(
        "crate::engine::images::load",
        r#"
        //! crate::comment is not code
        use crate::engine::{self, error::{Error, Kind as K}, sys::file};
        use super::layer;
        const TEXT: &str = "crate::string is not code";
        const RAW: &str = r"crate::raw \";
        fn f<'a>(c: char) -> bool { c == '\'' && engine::net::up() && layer::g() && K::X.ok() }
        #[cfg(test)]
        mod tests { use crate::cli; }
        mod inner { use super::super::other; }
        "#,
    );
    for path in [
        "crate::engine",
        "crate::engine::error::Error",
        "crate::engine::error::Kind",
        "crate::engine::sys::file",
        "crate::engine::images::layer::g",
        "crate::engine::net::up",
        "crate::engine::error::Kind::X",
        "crate::engine::images::other",
    ] {
        assert!(found.iter().any(|p| p == path), "{path} in {found:?}");
    }
    for path in [
        "crate::comment",
        "crate::string",
        "crate::raw",
        "crate::cli",
    ] {
        assert!(!found.iter().any(|p| starts_with(p, path)), "{path}");
    }
}

/// One file of `src`.
struct Source {
    file: PathBuf,
    /// `crate::engine::store`.
    module: String,
    /// Words and punctuation of the code outside of test modules.
    tokens: Vec<String>,
    /// Everything that it names by path, in absolute form.
    paths: Vec<String>,
}

fn sources() -> Vec<Source> {
    let base = root().join("src");
    rust_files(&base)
        .into_iter()
        .map(|file| {
            let inner = file.strip_prefix(&base).unwrap().with_extension("");
            let mut module = "crate".to_owned();
            for part in &inner {
                let part = part.to_str().unwrap();
                if !matches!(part, "mod" | "lib" | "main") {
                    let _ = write!(module, "::{part}");
                }
            }
            let tokens = without_tests(&tokens(&fs::read_to_string(&file).unwrap()));
            let paths = paths(&module, &tokens);
            Source {
                file: file.strip_prefix(root()).unwrap().to_owned(),
                module,
                tokens,
                paths,
            }
        })
        .collect()
}

fn read(module: &str, code: &str) -> Vec<String> {
    paths(module, &without_tests(&tokens(code)))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Identifiers, `::`, and single punctuation marks; no comments, strings, characters or lifetimes.
fn tokens(code: &str) -> Vec<String> {
    let chars: Vec<char> = code.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = raw_string_end(&chars, i) {
            i = end;
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1; // A lifetime: its name is harmless.
            }
        } else if c.is_alphanumeric() || c == '_' {
            let start = i;
            while i < chars.len() && (chars[i].is_alphanumeric() || chars[i] == '_') {
                i += 1;
            }
            found.push(chars[start..i].iter().collect());
        } else if c == ':' && at(i + 1) == ':' {
            found.push("::".to_owned());
            i += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.to_string());
            }
            i += 1;
        }
    }
    found
}

/// Where a raw string (`r"…"`, `br#"…"#`) that starts at `i` ends.
fn raw_string_end(chars: &[char], i: usize) -> Option<usize> {
    let before = i.checked_sub(1).map_or(' ', |b| chars[b]);
    if before.is_alphanumeric() || before == '_' {
        return None;
    }
    let mut j = i;
    if chars.get(j) == Some(&'b') {
        j += 1;
    }
    if chars.get(j) != Some(&'r') {
        return None;
    }
    j += 1;
    let hashes = chars.get(j..)?.iter().take_while(|c| **c == '#').count();
    j += hashes;
    if chars.get(j) != Some(&'"') {
        return None;
    }
    j += 1;
    loop {
        let c = *chars.get(j)?;
        j += 1;
        let closed = chars.get(j..)?.iter().take_while(|c| **c == '#').count() >= hashes;
        if c == '"' && closed {
            return Some(j + hashes);
        }
    }
}

/// Drops `#[cfg(test)] mod … { … }`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const MARK: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut kept = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let marked = tokens.len() >= i + MARK.len()
            && MARK
                .iter()
                .zip(&tokens[i..])
                .all(|(mark, token)| mark == token)
            && tokens.get(i + MARK.len() + 1).is_some_and(|t| t == "{");
        if marked {
            i = closing(tokens, i + MARK.len() + 1) + 1;
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    kept
}

/// Index of the brace that closes the one at `open`.
fn closing(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    tokens.len()
}

/// Every path of the code, absolute where it starts with `crate`, `super`, `self` or an imported name.
fn paths(module: &str, tokens: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut modules = vec![module.to_owned()];
    let mut closes: Vec<usize> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if closes.last() == Some(&i) {
            closes.pop();
            modules.pop();
        }
        let token = tokens[i].as_str();
        let here = modules.last().unwrap().clone();
        if token == "mod" && tokens.get(i + 2).is_some_and(|t| t == "{") {
            modules.push(format!("{here}::{}", tokens[i + 1]));
            closes.push(closing(tokens, i + 2));
            i += 3;
        } else if token == "use" {
            let mut leaves = Vec::new();
            i = use_tree(tokens, i + 1, "", &mut leaves);
            for (path, name) in leaves {
                let path = absolute(&here, &path, &HashMap::new());
                names.insert(name, path.clone());
                found.push(path);
            }
        } else if is_word(token)
            && tokens.get(i + 1).is_some_and(|t| t == "::")
            && (i == 0 || tokens[i - 1] != "::")
        {
            let mut path = token.to_owned();
            i += 1;
            while tokens.get(i).is_some_and(|t| t == "::")
                && tokens.get(i + 1).is_some_and(|t| is_word(t))
            {
                let _ = write!(path, "::{}", tokens[i + 1]);
                i += 2;
            }
            found.push(absolute(&here, &path, &names));
        } else {
            i += 1;
        }
    }
    found
}

/// Unfolds one tree of a `use`; returns the index after it. Leaves are path and local name.
fn use_tree(
    tokens: &[String],
    mut i: usize,
    prefix: &str,
    leaves: &mut Vec<(String, String)>,
) -> usize {
    let mut path = prefix.to_owned();
    let mut name = prefix.rsplit("::").next().unwrap_or("").to_owned();
    loop {
        match tokens.get(i).map_or(";", String::as_str) {
            "::" => i += 1,
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t != "}") {
                    i = use_tree(tokens, i, &path, leaves);
                    if tokens.get(i).is_some_and(|t| t == ",") {
                        i += 1;
                    }
                }
                return i + 1;
            }
            "as" => {
                name.clone_from(&tokens[i + 1]);
                i += 2;
            }
            "self" if !prefix.is_empty() => i += 1,
            "*" => {
                "*".clone_into(&mut name);
                i += 1;
            }
            word if is_word(word) => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(word);
                word.clone_into(&mut name);
                i += 1;
            }
            _ => {
                leaves.push((path, name));
                return i;
            }
        }
    }
}

fn absolute(here: &str, path: &str, names: &HashMap<String, String>) -> String {
    let (first, rest) = path.split_once("::").unwrap_or((path, ""));
    let join = |base: &str| {
        if rest.is_empty() {
            base.to_owned()
        } else {
            format!("{base}::{rest}")
        }
    };
    match first {
        "self" => join(here),
        "super" => {
            let parent = here.rsplit_once("::").map_or("crate", |(parent, _)| parent);
            if rest.is_empty() {
                parent.to_owned()
            } else if rest == "super" || rest.starts_with("super::") {
                absolute(parent, rest, names)
            } else {
                join(parent)
            }
        }
        // The binary sees the library under its name.
        "wharf" => join("crate"),
        _ => names
            .get(first)
            .map_or_else(|| path.to_owned(), |n| join(n)),
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
