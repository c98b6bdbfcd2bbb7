//! The registries that other tests use are real and are what they say: skopeo gets in where it should.

use std::fmt::Write;

use serde_json::json;

use crate::registry::http::{Request, exchange};
use crate::registry::image::{Form, Made, Packing, index, layer, skopeo};
use crate::registry::proxy::{Fault, Proxy};
use crate::registry::random::Random;
use crate::registry::token::{REFRESH_TOKEN, Rules, TokenServer};
use crate::registry::{Door, PASSWORD, Registry, USER, Wire};
use crate::support::{Host, PATIENCE, has_peer, privileged, wait_until};

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
    wait_until("the token's end", PATIENCE, || list() == 401);
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

#[test]
fn the_proxy_does_the_harm_that_is_planned_and_counts() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let content = Random(3).bytes(20_000);
    let digest = registry.put_blob("a", &content);
    let other = registry.put_blob("a", b"another");
    let proxy = Proxy::start(registry.address);
    let address = proxy.reference("").trim_end_matches('/').parse().unwrap();
    let target = format!("/v2/a/blobs/{digest}");
    let get = || exchange(address, &Request::new("GET", &target));
    let with = |fault: Fault| {
        proxy.plan(move |_| fault);
        get()
    };
    assert_eq!(with(Fault::None).unwrap().body, content);
    assert!(with(Fault::Cut(10_000)).is_err());
    assert!(with(Fault::Cut(10)).is_err());
    assert!(with(Fault::Swallow).is_err());
    assert!(with(Fault::Garbage).is_err());
    let later = std::time::Duration::from_millis(1);
    assert_eq!(with(Fault::Delay(later)).unwrap().body, content);
    let body = with(Fault::Corrupt(20_007)).unwrap().body;
    assert_eq!(body[7], content[7] ^ 0x20);
    assert_eq!(body[8..], content[8..]);
    assert_eq!(with(Fault::Truncate(3)).unwrap().body, content[..19_997]);
    let body = with(Fault::Repeat(100)).unwrap().body;
    assert_eq!((&body[100..], body.len()), (&content[..], 20_100));
    let body = with(Fault::Shift(100)).unwrap().body;
    assert_eq!((&body[100..], body.len()), (&content[..19_900], 20_000));
    let busy = with(Fault::Status(429, Some(7))).unwrap();
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("7")));
    let ranged = Request::new("GET", &target).with("Range", "bytes=5-9");
    proxy.plan(|_| Fault::None);
    let part = exchange(address, &ranged).unwrap();
    assert_eq!((part.status, &*part.body), (206, &content[5..10]));
    proxy.plan(|_| Fault::ForgetRange);
    assert_eq!(exchange(address, &ranged).unwrap().status, 200);
    let there = with(Fault::Redirect).unwrap();
    let location = there.header("location").unwrap().to_owned();
    let elsewhere = location.trim_start_matches("http://").replace(&target, "");
    let answer = exchange(elsewhere.parse().unwrap(), &Request::new("GET", &target));
    assert_eq!(answer.unwrap().body, content);
    proxy.plan(|_| Fault::None);
    let small = Request::new("GET", &format!("/v2/a/blobs/{other}"));
    exchange(address, &small).unwrap();
    assert_eq!(with(Fault::Stale(5)).unwrap().body, b"another");
    let put = Request::new("PUT", "/v2/a/manifests/1").body(&[b'x'; 1000]);
    proxy.plan(|_| Fault::CutRequest(500));
    assert!(exchange(address, &put).is_err());
    let _ = proxy.take_seen();
    proxy.plan(|_| Fault::None);
    proxy.hold_after(Some(4000));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(get);
        proxy.wait_until_held(|| false);
        assert!(!waiting.is_finished());
        proxy.hold_after(None);
        assert_eq!(waiting.join().unwrap().unwrap().body, content);
    });
    // What was sent is noted after it was sent.
    let mut seen = Vec::new();
    wait_until("the exchange is noted", PATIENCE, || {
        seen = proxy.take_seen();
        !seen.is_empty()
    });
    assert_eq!((seen.len(), seen[0].sent), (1, 20_000));
    assert!(!seen[0].redirected && !seen[0].authorized && seen[0].range.is_none());
    assert_eq!((seen[0].method.as_str(), seen[0].status), ("GET", 200));
    assert_eq!((seen[0].fault, &seen[0].target), (Fault::None, &target));
}
