//! The registries that other tests use are real and are what they say: skopeo gets in where it should.

use std::fmt::Write;

use serde_json::json;

use crate::registry::http::{Request, exchange};
use crate::registry::image::{Form, Made, Packing, index, layer, skopeo};
use crate::registry::random::Random;
use crate::registry::token::{REFRESH_TOKEN, Rules, TokenServer};
use crate::registry::{Door, PASSWORD, Registry, USER, Wire};
use crate::support::{Host, has_peer, privileged};

fn host() -> Option<Host> {
    let host = privileged()?;
    has_peer("skopeo").then_some(host)
}

#[test]
fn each_registry_lets_in_whom_it_should() {
    let Some(host) = host() else { return };
    let made = Made::random(1, 2, 5000);
    made.write_layout(&host.dir().join("layout"), "x");
    let token = Door::Token(Rules::default());
    for (door, wire) in [
        (Door::Open, Wire::Plain),
        (Door::Password, Wire::Plain),
        (token, Wire::Plain),
        (Door::Open, Wire::Tls),
        (token, Wire::Tls),
        (Door::Password, Wire::Mutual),
    ] {
        let Some(registry) = Registry::start(&host, door, wire) else {
            return;
        };
        let certs = host.dir().join("certs");
        let flags = |side: &str| {
            let mut flags = match &registry.certificates {
                Some(certificates) => {
                    certificates.install(&certs, "own", wire == Wire::Mutual);
                    format!("--{side}cert-dir={}", certs.join("own").display())
                }
                None => format!("--{side}tls-verify=false"),
            };
            if !matches!(door, Door::Open) {
                let _ = write!(flags, " --{side}creds={USER}:PASSWORD");
            }
            flags
        };
        let run = |arguments: &str| {
            let words: Vec<String> = arguments
                .split_whitespace()
                .map(|word| word.replace("PASSWORD", PASSWORD))
                .collect();
            let mut command = std::process::Command::new("skopeo");
            command
                .arg("--insecure-policy")
                .args(&words)
                .current_dir(host.dir());
            let output = crate::support::collect(&mut command, &[]);
            assert_eq!(output.code, 0, "{door:?} {wire:?} {arguments}: {output:#?}");
            output.stdout
        };
        let name = registry.reference("team/app:1");
        run(&format!(
            "copy -q {} oci:layout:x docker://{name}",
            flags("dest-")
        ));
        let raw = run(&format!("inspect --raw {} docker://{name}", flags("")));
        assert_eq!(raw.trim().as_bytes(), made.manifest);
        if let Some(tokens) = &registry.tokens {
            let asked = tokens.asked();
            let push = "repository:team/app:pull,push".to_owned();
            assert!(
                asked
                    .iter()
                    .any(|asked| asked.scopes.contains(&push) && asked.status == 200),
                "{asked:?}"
            );
        }
        assert!(registry.access_log().contains("/v2/team/app/manifests/1"));
    }
}

#[test]
fn a_token_of_the_token_server_is_good_for_what_it_says() {
    let Some(host) = host() else { return };
    let rules = Rules {
        lifetime: 1,
        ..Rules::default()
    };
    let Some(registry) = Registry::start(&host, Door::Token(rules), Wire::Plain) else {
        return;
    };
    let tokens = registry.tokens.as_ref().unwrap();
    let challenge = registry.send(&Request::new("GET", "/v2/"));
    assert_eq!(challenge.status, 401);
    let says = challenge.header("www-authenticate").unwrap();
    assert!(says.contains(&tokens.realm()), "{says}");
    let realm = tokens.address();
    let form = |body: &str| {
        let post = Request::new("POST", "/token")
            .with("Content-Type", "application/x-www-form-urlencoded")
            .body(body.as_bytes());
        exchange(realm, &post).unwrap()
    };
    let scope = "scope=repository%3Aa%2Fb%3Apull";
    let answer = form(&format!(
        "grant_type=refresh_token&service=x&refresh_token={REFRESH_TOKEN}&{scope}"
    ));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let list = || {
        let list = Request::new("GET", "/v2/a/b/tags/list").with("Authorization", &bearer);
        registry.send(&list).status
    };
    assert_eq!(list(), 404, "allowed, and nothing is there");
    crate::support::wait_until("the token's end", crate::support::PATIENCE, || {
        list() == 401
    });
    assert_eq!(
        form("grant_type=refresh_token&refresh_token=wrong").status,
        401
    );
    let seen = tokens.asked();
    assert_eq!(seen[0].scopes, ["repository:a/b:pull"]);
    assert_eq!(seen[0].user.as_deref(), Some("refresh"));
    let strict = TokenServer::start(
        &host.dir().join("strict"),
        Rules {
            anonymous_pull: false,
            oauth2: false,
            ..Rules::default()
        },
    );
    let realm = strict.address();
    let ask = |request: Request| exchange(realm, &request).unwrap().status;
    assert_eq!(ask(Request::new("POST", "/token")), 405);
    assert_eq!(ask(Request::new("GET", "/token")), 401);
}

#[test]
fn images_made_for_tests_are_read_by_skopeo() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let tar = layer(&mut Random(7), 100_000);
    for (form, packing) in [
        (Form::Docker, Packing::Plain),
        (Form::Docker, Packing::Gzip),
        (Form::Oci, Packing::GzipMembers(30_000)),
        (Form::Oci, Packing::Zstd),
        (Form::Oci, Packing::ZstdFrames(30_000)),
    ] {
        let made = Made::new(form, &[(tar.clone(), packing)]);
        made.put(&registry, "made", "1");
        let list = index(
            form,
            &[made.descriptor(json!({"os": "linux", "architecture": "amd64"}))],
        );
        registry.put_manifest("made", "list", form.index(), &list);
        assert_eq!(registry.manifest("made", "list").body, list);
        let name = registry.reference("made:1");
        // Into a docker-archive it unpacks the layers, and checks each diff id; it cannot do that with zstd.
        let to = match packing {
            Packing::Zstd | Packing::ZstdFrames(_) => "oci:copy:x",
            _ => "docker-archive:copy.tar",
        };
        let _ = std::fs::remove_file(host.dir().join("copy.tar"));
        skopeo(
            host.dir(),
            &format!("copy -q --src-tls-verify=false docker://{name} {to}"),
        );
        assert_eq!(
            made.size(),
            (made.config.bytes.len() + made.layers[0].bytes.len()) as u64
        );
        assert!(registry.blob_file(&made.id()).is_file());
    }
}
