//! Lists of manifests that are being made, below the configuration directory and in Docker's own form, so that `docker
//! manifest` and wharf see the same lists (docker/cli, `manifest/store`).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::error::{Error, Kind, Result};
use super::images::manifest_list::platform_json;
use super::model::manifest::Listed;
use super::model::{Digest, Platform, Reference};
use super::sys::file::{self, Durability};

/// OCI's manifests are kept under another name than Docker's.
const OCI: &str = "application/vnd.oci.";

/// The lists of one configuration directory.
#[derive(Debug, Clone)]
pub struct Lists {
    directory: PathBuf,
}

impl Lists {
    /// The lists below a configuration directory, usually `~/.docker`.
    #[must_use]
    pub fn new(config: &Path) -> Self {
        Self {
            directory: config.join("manifests"),
        }
    }

    /// All manifests of a list, in Docker's order; `None` if there is no such list.
    ///
    /// # Errors
    /// A file that cannot be understood; what the file system says.
    pub fn get(&self, list: &Reference) -> Result<Option<Vec<Listed>>> {
        let Some(directory) = self.existing(list)? else {
            return Ok(None);
        };
        let mut found = Vec::new();
        for name in file::list_dir(&directory)? {
            // What a killed writer left.
            if name.starts_with('.') {
                continue;
            }
            found.extend(read(&directory.join(name))?);
        }
        Ok(Some(found))
    }

    /// One manifest of a list.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn find(&self, list: &Reference, manifest: &Reference) -> Result<Option<Listed>> {
        let Some(directory) = self.existing(list)? else {
            return Ok(None);
        };
        for name in file_names(manifest) {
            if let Some(found) = read(&directory.join(name))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Puts a manifest into a list, which is made if it is missing; one of the same name is replaced.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, list: &Reference, entry: &Listed) -> Result<()> {
        let (directory, style) = match self.existing(list)? {
            Some(directory) => {
                let is_second = directory.ends_with(&file_names(list)[1]);
                (directory, usize::from(is_second))
            }
            None => (self.directory.join(&file_names(list)[0]), 0),
        };
        file::create_dir_all(&directory)?;
        let [first, second] = file_names(&entry.reference);
        let name = if style == 0 { first } else { second };
        let bytes = serde_json::to_vec(&encode(entry)).map_err(|error| {
            Error::new(Kind::Internal, "encode a manifest's record").caused_by(error)
        })?;
        file::write_atomic(&directory.join(name), &bytes, Durability::Synced)
    }

    /// Removes a list; one that is not there is fine.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, list: &Reference) -> Result<()> {
        match self.existing(list)? {
            Some(directory) => file::remove_tree(&directory),
            None => Ok(()),
        }
    }

    fn existing(&self, list: &Reference) -> Result<Option<PathBuf>> {
        let known = file::list_dir(&self.directory)?;
        let found = file_names(list)
            .into_iter()
            .find(|name| known.contains(name));
        Ok(found.map(|name| self.directory.join(name)))
    }
}

/// The names that Docker gives the files of a reference: the usual, and the newer that can be read back. The parts of a
/// reference hold neither `..` alone nor a slash after this.
fn file_names(reference: &Reference) -> [String; 2] {
    let text = reference.to_string();
    [
        text.replace(':', "-").replace('/', "_"),
        text.replace(':', "%").replace('/', "#"),
    ]
}

fn encode(entry: &Listed) -> Value {
    let mut descriptor = json!({
        "mediaType": entry.media_type,
        "digest": entry.digest.to_string(),
        "size": entry.size,
    });
    if let Some(platform) = &entry.platform {
        descriptor["platform"] = platform_json(platform);
    }
    let mut record = json!({
        "Ref": entry.reference.to_string(),
        "Descriptor": descriptor,
        "Raw": STANDARD.encode(&entry.document),
    });
    if let Ok(document) = serde_json::from_slice::<Value>(&entry.document) {
        record[member(&entry.media_type)] = document;
    }
    record
}

/// What `manifest inspect --verbose` shows of a manifest: its record without the bytes that it shows anyway.
#[must_use]
pub fn verbose(entry: &Listed) -> Value {
    let mut record = encode(entry);
    if let Some(members) = record.as_object_mut() {
        members.shift_remove("Raw");
    }
    record
}

fn member(media_type: &str) -> &'static str {
    if media_type.starts_with(OCI) {
        "OCIManifest"
    } else {
        "SchemaV2Manifest"
    }
}

fn read(path: &Path) -> Result<Option<Listed>> {
    let Some(bytes) = file::read_optional(path)? else {
        return Ok(None);
    };
    let record = serde_json::from_slice::<Value>(&bytes).ok();
    let decoded = record.as_ref().and_then(decode);
    decoded.map(Some).ok_or_else(|| {
        Error::invalid(format!("{} is no manifest of a list", path.display()))
            .with_hint("remove the list with 'wharf manifest rm' and create it again")
    })
}

fn decode(record: &Value) -> Option<Listed> {
    let descriptor = record.get("Descriptor")?;
    let text = |name: &str| descriptor.get(name)?.as_str();
    let media_type = text("mediaType")?;
    let document = match record.get("Raw").and_then(Value::as_str) {
        Some(raw) => STANDARD.decode(raw).ok()?,
        // Docker before 23 kept no more than what the document says.
        None => serde_json::to_vec(record.get(member(media_type))?).ok()?,
    };
    let platform = match descriptor.get("platform") {
        None | Some(Value::Null) => None,
        Some(platform) => Some(serde_json::from_value::<Platform>(platform.clone()).ok()?),
    };
    Some(Listed {
        reference: record.get("Ref")?.as_str()?.parse().ok()?,
        media_type: media_type.to_owned(),
        digest: text("digest")?.parse::<Digest>().ok()?,
        size: descriptor.get("size")?.as_u64()?,
        platform,
        document,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Listed {
        Listed {
            reference: name.parse().unwrap(),
            media_type: "application/vnd.docker.distribution.manifest.v2+json".to_owned(),
            digest: Digest::from_sha256(&[7; 32]),
            size: 19,
            platform: "linux/arm/v7".parse().ok(),
            document: br#"{"schemaVersion":2}"#.to_vec(),
        }
    }

    #[test]
    fn a_list_is_kept_in_dockers_files() {
        let dir = tempfile::tempdir().unwrap();
        let lists = Lists::new(dir.path());
        let list: Reference = "h:1/list:1".parse().unwrap();
        assert_eq!(lists.get(&list).unwrap(), None);
        for name in ["h:1/b:x", "h:1/a:x"] {
            lists.save(&list, &entry(name)).unwrap();
        }
        let all = lists.get(&list).unwrap().unwrap();
        assert_eq!(all, [entry("h:1/a:x"), entry("h:1/b:x")]);
        assert_eq!(
            lists.find(&list, &"h:1/b:x".parse().unwrap()).unwrap(),
            Some(entry("h:1/b:x"))
        );
        let path = dir.path().join("manifests/h-1_list-1/h-1_b-x");
        let digest = "07".repeat(32);
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            format!(
                r#"{{"Ref":"h:1/b:x","Descriptor":{{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"sha256:{digest}","size":19,"platform":{{"architecture":"arm","os":"linux","variant":"v7"}}}},"Raw":"eyJzY2hlbWFWZXJzaW9uIjoyfQ==","SchemaV2Manifest":{{"schemaVersion":2}}}}"#
            )
        );
        lists.remove(&list).unwrap();
        assert_eq!(lists.get(&list).unwrap(), None);
        lists.remove(&list).unwrap();
    }

    #[test]
    fn lists_of_older_and_newer_dockers_are_read_and_go_on_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let lists = Lists::new(dir.path());
        let list: Reference = "h.io/list:1".parse().unwrap();
        let newer = dir.path().join("manifests/h.io#list%1");
        std::fs::create_dir_all(&newer).unwrap();
        let digest = "07".repeat(32);
        std::fs::write(
            newer.join("h.io#a%x"),
            format!(r#"{{"Ref":"h.io/a:x","Descriptor":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":9}},"OCIManifest":{{"schemaVersion":2}}}}"#),
        )
        .unwrap();
        let found = lists
            .find(&list, &"h.io/a:x".parse().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(found.platform, None);
        assert_eq!(found.document, br#"{"schemaVersion":2}"#);
        lists.save(&list, &entry("h.io/b:x")).unwrap();
        assert!(newer.join("h.io#b%x").exists());
        std::fs::write(newer.join("h.io#a%x"), "{").unwrap();
        assert_eq!(lists.get(&list).unwrap_err().kind(), Kind::InvalidInput);
    }
}
