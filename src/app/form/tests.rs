//! Dialogs: what is wrong with what is typed, and what is sent off.

use super::*;

fn settings() -> Settings {
    Settings {
        here: Some(PathBuf::from("/work")),
        home: Some(PathBuf::from("/home/me")),
        ..Settings::default()
    }
}

fn typed(mut form: Form, text: &str) -> Form {
    form.set(text);
    form
}

fn listed(mut form: Form, directory: &str, names: &[&str]) -> Form {
    let entry = |name: &&str| DirectoryEntry {
        name: name.trim_end_matches('/').to_owned(),
        is_directory: name.ends_with('/'),
    };
    form.listing = Some(Listing {
        directory: PathBuf::from(directory),
        query: QueryId(1),
        entries: Some(Ok(names.iter().map(entry).collect())),
    });
    form
}

#[test]
fn a_wrong_name_is_told_in_the_words_of_the_parser() {
    for (text, problem) in [
        ("nginx", None),
        ("localhost:5000/a/b:1", None),
        (
            "Nginx",
            Some("invalid reference format: repository name (Nginx) must be lowercase"),
        ),
        (
            "nginx:a b",
            Some("invalid reference format: \"a b\" is not a tag"),
        ),
    ] {
        let form = typed(Form::pull(Vec::new()), text);
        let found = form.problem(&settings()).map(|p| p.text);
        assert_eq!(found.as_deref(), problem, "{text}");
    }
    assert!(Form::pull(Vec::new()).problem(&settings()).unwrap().missing);
}

#[test]
fn a_push_to_another_name_gives_it_first() {
    let form = |text| typed(Form::push("id".to_owned(), vec!["a:1".to_owned()]), text);
    for (text, tags) in [("a:1", false), ("localhost:5000/a", true)] {
        let (request, name) = form(text).request(&settings()).unwrap();
        let Request::Push { tag, .. } = request else {
            panic!("{request:?}");
        };
        assert_eq!(tag, tags, "{text} {name}");
    }
    let digest = format!("a@sha256:{}", "0".repeat(64));
    assert!(form(&digest).request(&settings()).is_err());
}

#[test]
fn paths_are_completed_as_far_as_they_are_clear() {
    let form = listed(
        Form::load(),
        "/work",
        &["images/", "image.tar", "notes", ".hidden"],
    );
    let mut form = typed(form, "im");
    assert_eq!(form.suggestions(), ["images/", "image.tar"]);
    assert!(form.complete());
    assert_eq!(form.text(0), "image");
    assert!(!form.complete());
    let mut form = typed(form, "n");
    assert!(form.complete());
    assert_eq!(form.text(0), "notes");
    assert_eq!(typed(form, ".").suggestions(), [".hidden"]);
}

#[test]
fn what_a_path_means_is_found_without_asking() {
    for (text, path, directory) in [
        ("a.tar", "/work/a.tar", "/work"),
        ("x/a.tar", "/work/x/a.tar", "/work/x"),
        ("~/a.tar", "/home/me/a.tar", "/home/me"),
        ("/a.tar", "/a.tar", "/"),
    ] {
        let found = absolute(text, &settings());
        assert_eq!(found, Some(PathBuf::from(path)));
        let form = typed(Form::load(), text);
        assert_eq!(form.directory(&settings()), Some(PathBuf::from(directory)));
    }
}

#[test]
fn what_is_there_is_not_overwritten_unasked_and_what_is_not_is_not_loaded() {
    let save = Form::save(vec!["id".to_owned()], vec!["team/app:1".to_owned()]);
    assert_eq!(save.text(0), "team_app_1.tar");
    let save = listed(save, "/work", &["team_app_1.tar", "x/"]);
    assert!(save.is_taken(&settings()));
    let save = typed(save, "x");
    let problem = save.problem(&settings()).map(|p| p.text);
    assert_eq!(problem.as_deref(), Some("/work/x is a directory"));
    let load = typed(listed(Form::load(), "/work", &["a.tar"]), "b.tar");
    let problem = load.problem(&settings()).map(|p| p.text);
    assert_eq!(problem.as_deref(), Some("/work/b.tar: no such file"));
}

#[test]
fn another_tag_of_the_same_repository_is_proposed() {
    for (source, proposal) in [
        ("nginx:1.27", "nginx:"),
        ("localhost:5000/a", ""),
        ("sha256:00", ""),
    ] {
        let form = Form::tag("id".to_owned(), source.to_owned(), Vec::new());
        assert_eq!(form.text(0), proposal, "{source}");
    }
}

#[test]
fn a_password_keeps_its_blanks_and_is_not_shown() {
    let mut form = typed(Form::log_in("localhost:5000".to_owned(), None), "me");
    assert!(form.next_empty());
    form.set(" secret ");
    let (request, _) = form.request(&settings()).unwrap();
    assert!(!format!("{request:?}").contains("secret"));
    let Request::LogIn {
        auth: Auth::Basic { password, .. },
        ..
    } = request
    else {
        panic!("{request:?}");
    };
    assert_eq!(password.reveal(), " secret ");
}
