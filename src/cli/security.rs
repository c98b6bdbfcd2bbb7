//! `--security-opt`: what is asked of the kernel's security modules, from Docker's texts.

use super::request::World;
use super::value;
use crate::engine::model::Security;
use crate::engine::model::container::Seccomp;
use crate::engine::model::selinux::LabelOption;

/// All options together; the last of one kind counts.
///
/// # Errors
/// Docker's text for an option that there is not and for a profile that cannot be read.
pub fn options(texts: &[String], world: &impl World) -> Result<Security, String> {
    let mut security = Security::default();
    for text in texts {
        set(&mut security, text, world)?;
    }
    Ok(security)
}

fn set(security: &mut Security, text: &str, world: &impl World) -> Result<(), String> {
    if text == "disable" {
        // What Docker took before there were others.
        security.labels.push(LabelOption::Disable);
        return Ok(());
    }
    let invalid = || format!("invalid --security-opt: {text:?}");
    // The colon is what Docker took in its first versions, and still takes.
    let (key, value) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .unwrap_or((text, ""));
    match (key, value) {
        ("apparmor", value) if value.trim().is_empty() || value.contains('\n') => {
            return Err(invalid());
        }
        ("apparmor", value) => security.apparmor = Some(value.to_owned()),
        ("label", value) => security.labels.push(LabelOption::parse(value)?),
        ("no-new-privileges", "") if text == key => security.no_new_privileges = Some(true),
        ("no-new-privileges", value) => {
            security.no_new_privileges = Some(value::boolean(value).map_err(|_e| invalid())?);
        }
        ("seccomp", "") => return Err(invalid()),
        ("seccomp", "unconfined") => security.seccomp = Some(Seccomp::Unconfined),
        ("seccomp", "builtin") => security.seccomp = Some(Seccomp::Builtin),
        ("seccomp", path) => security.seccomp = Some(profile(path, world)?),
        ("systempaths", "unconfined") => security.open_paths = true,
        ("writable-cgroups", value) => {
            security.writable_cgroups = Some(value::boolean(value).map_err(|_e| invalid())?);
        }
        _ => return Err(invalid()),
    }
    Ok(())
}

/// A profile travels as its content: the file may change or go.
fn profile(path: &str, world: &impl World) -> Result<Seccomp, String> {
    let content = world
        .file(path)
        .map_err(|why| format!("opening seccomp profile ({path}) failed: {why}"))?;
    let value: serde_json::Value = serde_json::from_slice(&content)
        .map_err(|why| format!("compacting json for seccomp profile ({path}) failed: {why}"))?;
    Ok(Seccomp::Profile(value.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    struct Desk;
    impl World for Desk {
        fn variable(&self, _name: &str) -> Option<String> {
            None
        }
        fn file(&self, path: &str) -> Result<Vec<u8>, String> {
            match path {
                "good.json" => Ok(b"{ \"defaultAction\" :\n \"SCMP_ACT_ALLOW\" }".to_vec()),
                "bad.json" => Ok(b"x".to_vec()),
                _ => Err(format!("open {path}: no such file or directory")),
            }
        }
        fn here(&self) -> &Path {
            Path::new("/")
        }
    }

    fn read(texts: &[&str]) -> Result<Security, String> {
        let owned: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        options(&owned, &Desk)
    }

    fn check(texts: &[&str], expect: Result<Option<&str>, &str>) {
        let got = read(texts).map(|security| security.apparmor);
        assert_eq!(
            got.as_ref().map(Option::as_deref).map_err(String::as_str),
            expect,
            "{texts:?}"
        );
    }

    #[test]
    fn a_profile_of_apparmor_is_named() {
        check(&[], Ok(None));
        check(&["apparmor=unconfined"], Ok(Some("unconfined")));
        check(&["apparmor:own"], Ok(Some("own")));
        check(
            &["apparmor=a", "apparmor=/usr/bin/b=c"],
            Ok(Some("/usr/bin/b=c")),
        );
    }

    #[test]
    fn labels_of_selinux_are_changed_one_by_one() {
        let labels = |texts: &[&str]| {
            let security = read(texts);
            security.map(|security| security.labels)
        };
        let kind = || LabelOption::Type("a_t".to_owned());
        let level = || LabelOption::Level("s0:c1,c2".to_owned());
        let given = ["label=type:a_t", "label=level:s0:c1,c2"];
        assert_eq!(labels(&given), Ok(vec![kind(), level()]));
        // As in Docker's first versions.
        let old = [
            "label:type:a_t",
            "label:level:s0:c1,c2",
            "label:disable",
            "disable",
        ];
        let disable = || LabelOption::Disable;
        assert_eq!(
            labels(&old),
            Ok(vec![kind(), level(), disable(), disable()])
        );
        for text in ["label", "label=", "label=x", "label=type", "label=user:"] {
            let error = labels(&[text]).unwrap_err();
            assert!(error.starts_with("bad label option \""), "{error}");
        }
    }

    #[test]
    fn what_is_no_option_is_refused_in_dockers_words() {
        for text in [
            "",
            "apparmor",
            "apparmor=",
            "apparmor= ",
            "apparmor=a\nb",
            "nonsense=1",
            "Apparmor=x",
            "no-new-privileges=",
            "no-new-privileges=x",
            "seccomp",
            "seccomp=",
            "systempaths",
            "systempaths=x",
        ] {
            check(&[text], Err(&format!("invalid --security-opt: {text:?}")));
        }
    }

    #[test]
    fn groups_are_writable_or_not() {
        let given = |text: &str| read(&[text]).map(|security| security.writable_cgroups);
        assert_eq!(given("writable-cgroups=true"), Ok(Some(true)));
        assert_eq!(given("writable-cgroups=false"), Ok(Some(false)));
        assert!(given("writable-cgroups").is_err() && given("writable-cgroups=x").is_err());
    }

    #[test]
    fn new_privileges_are_refused_or_not() {
        let check = |text: &str, expect: bool| {
            assert_eq!(
                read(&[text]).unwrap().no_new_privileges,
                Some(expect),
                "{text}"
            );
        };
        check("no-new-privileges", true);
        check("no-new-privileges=true", true);
        check("no-new-privileges:1", true);
        check("no-new-privileges=false", false);
    }

    #[test]
    fn a_seccomp_profile_is_read_when_it_is_named() {
        let filter = |text: &str| read(&[text]).map(|security| security.seccomp);
        assert_eq!(filter("seccomp=unconfined"), Ok(Some(Seccomp::Unconfined)));
        assert_eq!(filter("seccomp=builtin"), Ok(Some(Seccomp::Builtin)));
        let short = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}".to_owned();
        assert_eq!(
            filter("seccomp=good.json"),
            Ok(Some(Seccomp::Profile(short)))
        );
        assert_eq!(
            filter("seccomp=/nosuch").unwrap_err(),
            "opening seccomp profile (/nosuch) failed: open /nosuch: no such file or directory"
        );
        let error = filter("seccomp=bad.json").unwrap_err();
        let begin = "compacting json for seccomp profile (bad.json) failed: ";
        assert!(error.starts_with(begin), "{error}");
    }

    #[test]
    fn options_are_shown_as_they_were_given() {
        let given = [
            "label=type:spc_t",
            "label=disable",
            "apparmor=own",
            "no-new-privileges",
            "seccomp=unconfined",
        ];
        assert_eq!(read(&given).unwrap().options(), given);
        assert!(Security::default().options().is_empty());
    }
}
