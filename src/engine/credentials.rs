//! Who the user is to registries: Docker's `config.json` and its credential helpers, read and written so that `docker`,
//! `skopeo` and wharf share them.
//!
//! A file that cannot be understood is an error and never "nobody": a request that was meant for one registry must not
//! reach another without its credentials, nor with wrong ones (CVE-2021-41092).

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value, json};

use super::error::{Attempt, Error, Kind, Result};
use super::model::reference::DEFAULT_DOMAIN;
use super::model::{Auth, Secret};
use super::sys::file;

/// What Docker Hub's credentials are kept under.
pub const HUB: &str = "https://index.docker.io/v1/";
/// The user of a helper's entry that is an identity token.
const TOKEN_USER: &str = "<token>";
/// What helpers answer for a registry that they do not know (docker-credential-helpers, `credentials/error.go`).
const UNKNOWN: &str = "credentials not found in native keychain";
/// More than this is no answer of a helper.
const ANSWER: u64 = 1 << 20;

/// The credentials below one configuration directory. Nothing is kept in memory: other programs write them too.
#[derive(Debug, Clone)]
pub struct Store {
    file: PathBuf,
    /// Where helpers are looked for.
    path: OsString,
}

/// What is known for one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// User name, if one is known; there may be one without a password.
    pub user: Option<String>,
    /// What to show the registry.
    pub auth: Auth,
}

/// Where credentials were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In the file, for everybody to read who may read the file.
    InFile(PathBuf),
    /// With this helper.
    ByHelper(String),
}

impl Store {
    /// The credentials in a directory, usually `~/.docker`. Nothing is read yet.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self::with_path(directory, std::env::var_os("PATH").unwrap_or_default())
    }

    /// The same, with other directories to look for helpers in.
    #[must_use]
    pub fn with_path(directory: &Path, path: OsString) -> Self {
        Self {
            file: directory.join("config.json"),
            path,
        }
    }

    /// What to show a registry (`docker.io`, `host:port`): nothing if the user has not logged in there.
    ///
    /// # Errors
    /// `InvalidInput` for a file or a helper's answer that cannot be understood; what the helper says.
    pub fn auth(&self, registry: &str) -> Result<Auth> {
        self.login(registry).map(|login| login.auth)
    }

    /// The same, with the user's name.
    ///
    /// # Errors
    /// As [`Self::auth`].
    pub fn login(&self, registry: &str) -> Result<Login> {
        let Some(config) = self.read()? else {
            return Ok(Login::default());
        };
        let (key, host) = (key_of(registry), host_of(registry));
        if let Some(helper) = self.helper(&config, &host)? {
            return self.ask_helper(&helper, &key);
        }
        let Some(entries) = self.member(&config, "auths")? else {
            return Ok(Login::default());
        };
        let entry = entries
            .get(&key)
            .or_else(|| find(entries, &host).map(|(_, entry)| entry));
        match entry {
            Some(entry) => self.read_entry(registry, entry),
            None => Ok(Login::default()),
        }
    }

    /// Keeps credentials for a registry, where the configuration says.
    ///
    /// # Errors
    /// As [`Self::auth`]; what writing says. The old file is then untouched.
    pub fn save(&self, registry: &str, login: &Login) -> Result<Kept> {
        let mut config = self.read()?.unwrap_or_default();
        let key = key_of(registry);
        let user = login.user.clone().unwrap_or_default();
        let helper = self.helper(&config, &host_of(registry))?;
        let entry = if let Some(helper) = &helper {
            let (user, secret) = match &login.auth {
                Auth::Basic { user, password } => (user.as_str(), password.reveal()),
                Auth::Identity(token) => (TOKEN_USER, token.reveal()),
                Auth::Anonymous | Auth::Registry(_) => return Err(nothing_to_keep()),
            };
            let request = json!({ "ServerURL": key, "Username": user, "Secret": secret });
            self.run(helper, "store", &request.to_string())?
                .map_err(|text| helper_error(helper, "store", &text))?;
            // Docker lists in the file what a helper has the secrets of.
            json!({})
        } else {
            let encode = |user: &str, secret: &str| STANDARD.encode(format!("{user}:{secret}"));
            match &login.auth {
                Auth::Basic { user, password } => {
                    json!({ "auth": encode(user, password.reveal()) })
                }
                Auth::Identity(token) => {
                    json!({ "auth": encode(&user, ""), "identitytoken": token.reveal() })
                }
                Auth::Anonymous | Auth::Registry(_) => return Err(nothing_to_keep()),
            }
        };
        let known = self.member(&config, "auths")?;
        let listed = known.and_then(|entries| entries.get(&key));
        if helper.is_none() || listed.is_none() {
            set(&mut config, "auths", &key, entry);
            self.write(&config)?;
        }
        Ok(match helper {
            Some(helper) => Kept::ByHelper(helper),
            None => Kept::InFile(self.file.clone()),
        })
    }

    /// Forgets the credentials of a registry, however its name was written then.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn forget(&self, registry: &str) -> Result<()> {
        let Some(mut config) = self.read()? else {
            return Ok(());
        };
        let (key, host) = (key_of(registry), host_of(registry));
        if let Some(helper) = self.helper(&config, &host)?
            && let Err(text) = self.run(&helper, "erase", &key)?
            && !text.contains(UNKNOWN)
        {
            return Err(helper_error(&helper, "erase", &text));
        }
        let Some(Value::Object(entries)) = config.get_mut("auths") else {
            return Ok(());
        };
        let before = entries.len();
        entries.retain(|known, _| host_of(known) != host);
        if entries.len() == before {
            return Ok(());
        }
        self.write(&config)
    }

    fn read(&self) -> Result<Option<Map<String, Value>>> {
        let Some(bytes) = file::read_optional(&self.file).map_err(|error| self.wrong(error))?
        else {
            return Ok(None);
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        // A parser's own words may quote a secret; place and kind are enough.
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(config)) => Ok(Some(config)),
            Ok(_) => Err(self.unclear("it is no JSON object")),
            Err(error) => Err(self.unclear(&format!(
                "it is not JSON (line {} column {})",
                error.line(),
                error.column()
            ))),
        }
    }

    fn write(&self, config: &Map<String, Value>) -> Result<()> {
        let mut text = Vec::new();
        let style = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut out = serde_json::Serializer::with_formatter(&mut text, style);
        serde::Serialize::serialize(config, &mut out).map_err(|error| {
            Error::new(Kind::Internal, format!("write {}", self.file.display())).caused_by(error)
        })?;
        if let Some(directory) = self.file.parent() {
            file::create_private_dir(directory)?;
        }
        // The file may be a link into a directory that is kept elsewhere.
        let target = std::fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        file::write_atomic_like(&target, &text)
    }

    fn wrong(&self, error: Error) -> Error {
        error
            .attempting(format!("read credentials of {}", self.file.display()))
            .with_hint("correct the file, or name another directory with --config")
    }

    fn unclear(&self, why: &str) -> Error {
        self.wrong(Error::invalid(why))
    }

    /// An object of the file.
    fn member<'a>(
        &self,
        config: &'a Map<String, Value>,
        name: &str,
    ) -> Result<Option<&'a Map<String, Value>>> {
        match config.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(member)) => Ok(Some(member)),
            Some(_) => Err(self.unclear(&format!("its {name:?} is no object"))),
        }
    }

    /// The helper that has a registry's secrets, if one has.
    fn helper(&self, config: &Map<String, Value>, host: &str) -> Result<Option<String>> {
        let own = self
            .member(config, "credHelpers")?
            .and_then(|helpers| find(helpers, host))
            .map(|(_, name)| name);
        let name = match own.or_else(|| config.get("credsStore")) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(name)) => name.clone(),
            Some(_) => return Err(self.unclear("a credential helper's name is no text")),
        };
        if name.is_empty() {
            return Ok(None);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(fits) {
            return Err(self.unclear(&format!("{name:?} is no name of a credential helper")));
        }
        Ok(Some(name))
    }

    fn read_entry(&self, registry: &str, entry: &Value) -> Result<Login> {
        let unclear = |why: &str| self.unclear(&format!("its entry for {registry} {why}"));
        let Value::Object(entry) = entry else {
            return Err(unclear("is no object"));
        };
        let text = |name: &str| match entry.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(unclear(&format!("has a {name:?} that is no text"))),
        };
        let encoded =
            match text("auth")? {
                Some(encoded) => Some(decode(encoded).ok_or_else(|| {
                    unclear("has an \"auth\" that is not base64 of user:password")
                })?),
                None => None,
            };
        let (user, password) = match encoded {
            Some((user, password)) => (Some(user), Some(password)),
            None => (
                text("username")?.map(str::to_owned),
                text("password")?.map(Secret::new),
            ),
        };
        let user = user.filter(|user| !user.is_empty());
        let auth = if let Some(token) = text("identitytoken")? {
            Auth::Identity(Secret::new(token))
        } else if let Some(token) = text("registrytoken")? {
            Auth::Registry(Secret::new(token))
        } else {
            match (&user, password) {
                (Some(user), Some(password)) => Auth::Basic {
                    user: user.clone(),
                    password,
                },
                _ => Auth::Anonymous,
            }
        };
        Ok(Login { user, auth })
    }

    fn ask_helper(&self, helper: &str, key: &str) -> Result<Login> {
        let answer = match self.run(helper, "get", key)? {
            Ok(answer) => answer,
            Err(text) if text.contains(UNKNOWN) => return Ok(Login::default()),
            Err(text) => return Err(helper_error(helper, "get", &text)),
        };
        let unclear = || {
            Error::invalid(format!(
                "credential helper {helper}: its answer for {key} cannot be understood"
            ))
        };
        // The answer is a secret as a whole: nothing of it is shown.
        let answer: Value = serde_json::from_str(&answer).map_err(|_secret| unclear())?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).ok_or_else(unclear);
        let (user, secret) = (text("Username")?, Secret::new(text("Secret")?));
        Ok(match user {
            TOKEN_USER => Login {
                user: None,
                auth: Auth::Identity(secret),
            },
            "" => Login::default(),
            user => Login {
                user: Some(user.to_owned()),
                auth: Auth::Basic {
                    user: user.to_owned(),
                    password: secret,
                },
            },
        })
    }

    /// Runs a helper: what it printed, or, if it failed, what it printed as the reason.
    fn run(&self, helper: &str, verb: &str, input: &str) -> Result<Result<String, String>> {
        let name = format!("docker-credential-{helper}");
        let what = || format!("credential helper {helper}: {verb}");
        // As Go's exec.LookPath: never from the working directory.
        let program = std::env::split_paths(&self.path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(&name))
            .find(|program| program.is_file());
        let Some(program) = program else {
            return Err(Error::not_found(format!(
                "credential helper {helper}: {name} is not on the PATH"
            ))
            .with_hint(format!(
                "install it, or take it out of {}",
                self.file.display()
            )));
        };
        let mut child = Command::new(program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .attempt(what)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read says by its exit whether it minded.
            let _ = stdin.write_all(input.as_bytes());
        }
        let mut output = String::new();
        let read = match child.stdout.take() {
            Some(stdout) => stdout.take(ANSWER).read_to_string(&mut output),
            None => Ok(0),
        };
        let status = child.wait().attempt(what)?;
        read.attempt(what)?;
        Ok(if status.success() {
            Ok(output)
        } else {
            Err(output)
        })
    }
}

fn nothing_to_keep() -> Error {
    Error::invalid("there is nothing to keep: neither a password nor a token")
}

/// What a helper said, in one line that is not too long.
fn helper_error(helper: &str, verb: &str, text: &str) -> Error {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).take(300).collect();
    let why = if line.is_empty() {
        "it failed without a word".to_owned()
    } else {
        line
    };
    Error::new(
        Kind::Unauthorized,
        format!("credential helper {helper}: {verb}: {why}"),
    )
}

fn set(config: &mut Map<String, Value>, member: &str, key: &str, value: Value) {
    let entries = config
        .entry(member)
        .or_insert_with(|| Value::Object(Map::new()));
    if entries.is_null() {
        *entries = Value::Object(Map::new());
    }
    if let Value::Object(entries) = entries {
        entries.insert(key.to_owned(), value);
    }
}

/// The member for a host, however it is written.
fn find<'a>(entries: &'a Map<String, Value>, host: &str) -> Option<(&'a String, &'a Value)> {
    entries.iter().find(|(known, _)| host_of(known) == host)
}

/// What a registry's credentials are kept under.
#[must_use]
pub fn key_of(registry: &str) -> String {
    let host = host_of(registry);
    if host == DEFAULT_DOMAIN {
        HUB.to_owned()
    } else {
        host
    }
}

/// `host[:port]` of what people and programs write for a registry: with a scheme, with a path, or as Docker Hub's many
/// names.
#[must_use]
pub fn host_of(registry: &str) -> String {
    let text = registry.trim();
    let without = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text);
    let host = without.split('/').next().unwrap_or(without);
    match host.to_ascii_lowercase().as_str() {
        "" | "index.docker.io" | "registry-1.docker.io" => DEFAULT_DOMAIN.to_owned(),
        host => host.to_owned(),
    }
}

/// User and password of an `auth` member.
fn decode(encoded: &str) -> Option<(String, Secret)> {
    // Written by many hands: some leave the padding out.
    let lenient = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let text = String::from_utf8(lenient.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((
        user.to_owned(),
        Secret::new(password.trim_end_matches('\0')),
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn basic(user: &str, password: &str) -> Login {
        Login {
            user: Some(user.to_owned()),
            auth: Auth::Basic {
                user: user.to_owned(),
                password: Secret::new(password),
            },
        }
    }

    fn with(config: &str) -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), config).unwrap();
        let store = Store::with_path(dir.path(), dir.path().into());
        (dir, store)
    }

    /// A helper that keeps one registry's answer in a file of its name.
    fn helper(dir: &TempDir, name: &str) {
        let path = dir.path().join(format!("docker-credential-{name}"));
        let kept = dir.path().join("kept");
        let script = format!(
            "#!/bin/sh\nkept={kept}\nread -r line\ncase $1 in\n\
             get) if [ -f $kept ]; then cat $kept; else echo '{UNKNOWN}'; exit 1; fi;;\n\
             store) echo \"$line\" > $kept;;\n\
             erase) rm -f $kept;;\nesac\n",
            kept = kept.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn an_entry_is_read_in_each_of_its_forms() {
        for (config, registry, expected) in [
            ("{}", "docker.io", Login::default()),
            ("", "docker.io", Login::default()),
            (
                r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"}}}"#,
                "docker.io",
                basic("me", "secret"),
            ),
            (
                r#"{"auths":{"https://h:5000/v2/":{"auth":"bWU6czplYw=="}}}"#,
                "h:5000",
                basic("me", "s:ec"),
            ),
            (
                r#"{"auths":{"h:5000":{"username":"me","password":"x"}}}"#,
                "h:5000",
                basic("me", "x"),
            ),
            (
                r#"{"auths":{"h":{"auth":"bWU6","identitytoken":"t"}}}"#,
                "h",
                Login {
                    user: Some("me".to_owned()),
                    auth: Auth::Identity(Secret::new("t")),
                },
            ),
            (
                r#"{"auths":{"h":{"registrytoken":"t"}}}"#,
                "h",
                Login {
                    user: None,
                    auth: Auth::Registry(Secret::new("t")),
                },
            ),
            (r#"{"auths":{"h":{}}}"#, "h", Login::default()),
            (
                r#"{"auths":{"other":{"auth":"bWU6eA=="}}}"#,
                "h",
                Login::default(),
            ),
        ] {
            let (_dir, store) = with(config);
            assert_eq!(store.login(registry).unwrap(), expected, "{config}");
        }
        let nowhere = Store::new(Path::new("/nonexistent"));
        assert_eq!(nowhere.auth("h").unwrap(), Auth::Anonymous);
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_that_names_the_file_and_no_secret() {
        for config in [
            "{",
            "[]",
            r#"{"auths":[]}"#,
            r#"{"auths":{"h":"hunter2"}}"#,
            r#"{"auths":{"h":{"auth":"hunter2hunter2"}}}"#,
            r#"{"auths":{"h":{"auth":7}}}"#,
            r#"{"auths":{"h":{"identitytoken":["hunter2"]}}}"#,
            r#"{"credsStore":"../hunter"}"#,
            r#"{"credsStore":["x"]}"#,
            r#"{"credHelpers":{"h":"a/b"}}"#,
        ] {
            let (dir, store) = with(config);
            let error = store.auth("h").unwrap_err();
            let text = format!("{error} {error:?}");
            assert_eq!(error.kind(), Kind::InvalidInput, "{config}");
            assert!(
                text.contains(&format!("{}/config.json", dir.path().display())),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
            // Nor is it written over.
            assert!(store.save("h", &basic("a", "b")).is_err() || config.contains("\"auths\":{"));
        }
    }

    #[test]
    fn what_is_saved_is_read_again_and_the_rest_stays() {
        let (dir, store) = with(
            r#"{"HttpHeaders":{"X":"1"},"auths":{"https://h/v1/":{"auth":"eDp5"}},"psFormat":"table"}"#,
        );
        for registry in ["docker.io", "h:5000"] {
            let kept = store.save(registry, &basic("me", "se:cret")).unwrap();
            assert_eq!(kept, Kept::InFile(dir.path().join("config.json")));
            assert_eq!(store.login(registry).unwrap(), basic("me", "se:cret"));
        }
        let token = Login {
            user: Some("me".to_owned()),
            auth: Auth::Identity(Secret::new("t0k")),
        };
        store.save("h:5000", &token).unwrap();
        assert_eq!(store.login("h:5000").unwrap(), token);
        store.forget("http://h:5000/v2/").unwrap();
        assert_eq!(store.login("h:5000").unwrap(), Login::default());
        let text = fs::read_to_string(dir.path().join("config.json")).unwrap();
        assert_eq!(
            text,
            "{\n\t\"HttpHeaders\": {\n\t\t\"X\": \"1\"\n\t},\n\t\"auths\": {\n\t\t\"https://h/v1/\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t},\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"bWU6c2U6Y3JldA==\"\n\t\t}\n\t},\n\t\"psFormat\": \"table\"\n}"
        );
    }

    #[test]
    fn a_new_file_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&dir.path().join("new"));
        store.save("h", &basic("me", "x")).unwrap();
        let mode = |name: &str| {
            let found = fs::metadata(dir.path().join(name)).unwrap();
            found.permissions().mode() & 0o777
        };
        assert_eq!((mode("new"), mode("new/config.json")), (0o700, 0o600));
    }

    #[test]
    fn a_helper_keeps_what_the_file_must_not() {
        for config in [
            r#"{"credsStore":"fake"}"#,
            r#"{"credsStore":"nosuch","credHelpers":{"h:5000":"fake"}}"#,
        ] {
            let (dir, store) = with(config);
            helper(&dir, "fake");
            assert_eq!(store.login("h:5000").unwrap(), Login::default());
            for login in [
                basic("me", "hunter2"),
                Login {
                    user: None,
                    auth: Auth::Identity(Secret::new("hunter2")),
                },
            ] {
                let kept = store.save("h:5000", &login).unwrap();
                assert_eq!(kept, Kept::ByHelper("fake".to_owned()));
                assert_eq!(store.login("h:5000").unwrap(), login);
            }
            let text = fs::read_to_string(dir.path().join("config.json")).unwrap();
            assert!(text.contains("\"h:5000\": {}") && !text.contains("hunter2"));
            store.forget("h:5000").unwrap();
            assert_eq!(store.login("h:5000").unwrap(), Login::default());
        }
    }

    #[test]
    fn a_helper_that_fails_is_quoted_and_one_that_is_missing_is_named() {
        let (dir, store) = with(r#"{"credsStore":"sad"}"#);
        let missing = store.auth("h").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "credential helper sad: docker-credential-sad is not on the PATH"
        );
        let path = dir.path().join("docker-credential-sad");
        fs::write(&path, "#!/bin/sh\necho 'the keyring\nis locked'\nexit 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            store.auth("h").unwrap_err().to_string(),
            "credential helper sad: get: the keyring is locked"
        );
        fs::write(&path, "#!/bin/sh\necho '{\"Secret\":\"hunter2\"'\n").unwrap();
        let unclear = store.auth("h").unwrap_err();
        assert!(!format!("{unclear} {unclear:?}").contains("hunter2"));
    }

    #[test]
    fn a_registry_has_one_host_however_it_is_written() {
        for (text, host) in [
            ("docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("https://H:5000/v2/", "h:5000"),
            ("http://h", "h"),
            ("h/some/path", "h"),
        ] {
            assert_eq!(host_of(text), host);
        }
        assert_eq!(key_of("docker.io"), HUB);
        assert_eq!(key_of("http://h:1/v2"), "h:1");
    }

    proptest! {
        #[test]
        fn any_user_and_password_come_back(user in "[^:\0]{1,20}", password in "[^\0]{0,40}") {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::new(dir.path());
            let login = basic(&user, &password);
            store.save("h:5000", &login).unwrap();
            prop_assert_eq!(store.login("h:5000").unwrap(), login);
        }

        #[test]
        fn a_host_is_its_own_host_with_any_scheme_and_path(host in "[a-z0-9.]{1,12}(:[0-9]{1,5})?", scheme in "(https?://)?", path in "(/[a-z0-9/]{0,9})?") {
            let once = host_of(&host);
            prop_assert_eq!(host_of(&format!("{scheme}{host}{path}")), once.clone());
            prop_assert_eq!(host_of(&key_of(&once)), once);
        }

        #[test]
        fn any_file_is_understood_or_refused_without_a_panic(text in "\\PC{0,60}", auth in "[A-Za-z0-9+/=]{0,12}") {
            let (_dir, store) = with(&text);
            let _ = store.auth("h");
            let (_dir, store) = with(&json!({ "auths": { "h": { "auth": auth } } }).to_string());
            let _ = store.auth("h");
        }
    }
}
