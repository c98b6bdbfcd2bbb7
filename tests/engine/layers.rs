//! `layers`: what each layer of a real image weighs, and what of it nobody sees.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::JoinHandle;

use serde_json::Value;
use wharf::engine::model::layers::listing::{Extent, Facts, Order, entries_below};
use wharf::engine::model::layers::{Explored, Target};
use wharf::engine::model::request::Pull;
use wharf::engine::model::{Auth, Cancel};
use wharf::engine::store::Roots;
use wharf::engine::{Contents, Engine, Reading, Surroundings};

use crate::registry::Registry;
use crate::registry::http::{Request, Response};
use crate::support::{Archive, BUSYBOX, Host, image_archive, privileged};

/// Runs a command in a container of one image and makes another image of it.
fn step(host: &Host, from: &str, line: &str, to: &str) {
    host.ok([
        "run",
        "--name",
        "step",
        "--network",
        "none",
        from,
        "sh",
        "-c",
        line,
    ]);
    host.ok(["commit", "step", to]);
    host.ok(["rm", "step"]);
}

/// An image whose second layer has 300,000 bytes that the third one removes, and 100,000 whose mode that one changes.
fn image(host: &Host) {
    host.busybox_image();
    let fill = "mkdir /d && head -c 200000 /dev/zero >/d/a && head -c 100000 /dev/zero >/d/b && head -c 100000 /dev/zero >/kept";
    step(host, BUSYBOX, fill, "one:1");
    step(host, "one:1", "rm -rf /d && chmod 700 /kept", "two:1");
}

fn document(host: &Host, name: &str) -> Value {
    serde_json::from_str(&host.ok(["layers", "--json", name])).unwrap()
}

#[test]
fn what_a_later_layer_hides_is_told_to_the_byte() {
    let Some(host) = privileged() else { return };
    image(&host);
    let document = document(&host, "two:1");
    assert_eq!(document["schemaVersion"], 1);
    assert_eq!(document["image"]["wastedBytes"], 400_000, "{document:#}");
    let layers = document["layers"].as_array().unwrap();
    let [.., filled, emptied] = layers.as_slice() else {
        panic!("{document:#}")
    };
    assert_eq!(filled["bytes"], 400_000);
    assert_eq!(filled["wastedBytes"], 400_000);
    assert_eq!(emptied["hidesBytes"], 400_000);
    let hidden: Vec<_> = document["hidden"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["path"].as_str().unwrap(),
                one["bytes"].as_u64().unwrap(),
                one["cause"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        hidden,
        [
            ("/d", 300_000, "removed"),
            ("/kept", 100_000, "copied-again")
        ]
    );
    let table = host.ok(["layers", "two:1"]);
    assert!(
        table.contains("are hidden: without them it weighs"),
        "{table}"
    );
    let rows = host.ok([
        "layers",
        "--format",
        "{{.Layer}} {{.Wasted}} {{.Hides}}",
        "two:1",
    ]);
    assert!(rows.ends_with("1 400kB 0B\n2 0B 400kB"), "{rows}");
}

#[test]
fn a_pipeline_knows_a_failed_rule_from_an_image_that_is_not_there() {
    let Some(host) = privileged() else { return };
    image(&host);
    let code = |args: &[&str]| host.wharf([&["layers", "--ci"], args].concat()).code;
    assert_eq!(code(&["--max-waste", "400kB", "two:1"]), 0);
    assert_eq!(code(&["--max-waste", "399999", "two:1"]), 1);
    assert_eq!(code(&["--max-layers", "3", "--no-setuid", "two:1"]), 0);
    assert_eq!(code(&["--max-layers", "2", "two:1"]), 1);
    assert_eq!(code(&["--no-root", "two:1"]), 1);
    assert_eq!(code(&["nosuch"]), 2);
    assert_eq!(code(&["--max-waste", "much", "two:1"]), 2);
    let output = host.wharf([
        "layers",
        "--ci",
        "--dive",
        "--highestUserWastedPercent",
        "disabled",
        "two:1",
    ]);
    assert!(
        output
            .stdout
            .contains("  SKIP: highestUserWastedPercent: rule disabled\n"),
        "{output:?}"
    );
    assert!(output.stdout.contains("Result:"), "{output:?}");
}

/// In each form in which GNU tar writes holes: a file weighs what it reads as, and the archive what is in it.
#[test]
fn a_file_with_holes_weighs_what_it_reads_as() {
    let Some(host) = privileged() else { return };
    let root = host.dir().join("root");
    std::fs::create_dir(&root).unwrap();
    let file = std::fs::File::create(root.join("holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 3 << 20).unwrap();
    file.set_len(8 << 20).unwrap();
    for form in [
        "gnu",
        "posix --sparse-version=0.0",
        "posix --sparse-version=0.1",
        "posix --sparse-version=1.0",
    ] {
        let mut tar = std::process::Command::new("tar");
        let mut words = form.split(' ');
        tar.args(["--sparse", "-c", "-C"]).arg(&root);
        tar.arg(format!("--format={}", words.next().unwrap()));
        tar.args(words).arg("holes");
        let layer = tar.output().unwrap();
        assert!(layer.status.success(), "{form}: {layer:?}");
        assert!(layer.stdout.len() < 1 << 20, "{form}: it has no holes");
        let removed = image_archive("holes:1", &[layer.stdout, whiteout("holes")], &[]);
        let path = host.dir().join("holes.tar");
        std::fs::write(&path, removed).unwrap();
        let document = document(&host, path.to_str().unwrap());
        assert_eq!(
            document["image"]["wastedBytes"],
            8 << 20,
            "{form}: {document:#}"
        );
    }
}

fn whiteout(name: &str) -> Vec<u8> {
    let mut layer = Archive::new();
    layer.file(&format!(".wh.{name}"), 0o644, b"");
    layer.finish()
}

#[test]
fn a_file_that_was_named_without_its_dot_is_pointed_at() {
    let Some(host) = privileged() else { return };
    let archive = host.dir().join("a.tar");
    std::fs::write(&archive, b"no matter what").unwrap();
    let said = |name: &str| {
        let mut command = host.command(["layers", "--plain", name]);
        crate::support::collect(command.current_dir(host.dir()), &[]).stderr
    };
    let text = said("a.tar");
    assert!(text.contains("No such image: a.tar:latest"), "{text}");
    assert!(text.contains("the file of that name is ./a.tar"), "{text}");
    assert!(!said("b.tar").contains("file of that name"));
}

#[test]
fn what_must_not_be_in_an_image_and_what_it_weighed_before_are_rules() {
    let Some(host) = privileged() else { return };
    image(&host);
    let before = host.dir().join("before.json");
    std::fs::write(&before, host.ok(["layers", "--json", "one:1"])).unwrap();
    let before = before.to_str().unwrap();
    let check = |args: &[&str]| host.wharf([&["layers", "--ci"], args, &["two:1"]].concat());
    assert_eq!(
        check(&["--forbid", "*.pem", "--forbid", "/etc/shadow*"]).code,
        0
    );
    let output = check(&["--forbid", "/d/*"]);
    assert_eq!(output.code, 1);
    assert_eq!(output.stdout, "FAIL  forbid: /d/*: /d/a and 1 more\n");
    assert_eq!(check(&["--forbid", "["]).code, 2);
    // Its second layer has the kept file once more, and hides all that the first one brought.
    let output = check(&["--baseline", before, "--max-growth", "1000"]);
    assert!(
        output.stdout.contains("PASS  baseline-size: "),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .contains("FAIL  baseline-waste: 400000 bytes, 400000 bytes more than before"),
        "{output:?}"
    );
    assert_eq!(output.code, 1);
    assert_eq!(check(&["--baseline", "/nosuch"]).code, 2);
    let output = check(&["--report", "junit", "--max-layers", "1"]);
    assert_eq!(output.code, 1);
    assert!(
        output.stdout.contains("<failure message=\"3, at most 1\">"),
        "{output:?}"
    );
    let output = check(&["--report", "sarif", "--max-layers", "1"]);
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(document["runs"][0]["results"][0]["ruleId"], "max-layers");
}

#[test]
fn dives_lines_work_with_dives_file() {
    let Some(host) = privileged() else { return };
    image(&host);
    let dive = |args: &[&str], variable: &str| {
        let output = host
            .command([&["dive"], args, &["two:1"]].concat())
            .current_dir(host.dir())
            .env("CI", variable)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, text, _) = dive(&[], "false");
    assert!(code == 0 && !text.contains("Results:"), "{text}");
    // Nothing is wasted below the lowest layer, and all of the second one: more than a tenth.
    let (code, text, _) = dive(&[], "true");
    assert!(
        code == 1 && text.contains("  FAIL: highestUserWastedPercent: "),
        "{text}"
    );
    let rules =
        "rules:\n  highestUserWastedPercent: disabled\n  lowestEfficiency: 0.1\n  plugin/rule: 1\n";
    std::fs::write(host.dir().join(".dive-ci"), rules).unwrap();
    let (code, text, warning) = dive(&["--ci"], "");
    assert!(code == 0 && text.contains("Result:PASS"), "{text}");
    assert!(
        warning.contains("plugin/rule is no rule of dive's"),
        "{warning}"
    );
    // A flag stands before the file, and a file that is named must be there.
    let (code, text, _) = dive(&["--ci", "--highestUserWastedPercent", "0.1"], "");
    assert!(code == 1, "{text}");
    assert_eq!(dive(&["--ci", "--ci-config", "nosuch"], "").0, 2);
    // The document is written and nothing is checked.
    assert_eq!(dive(&["-j", "out.json", "--ci"], "true").0, 0);
    let document = std::fs::read(host.dir().join("out.json")).unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["layer"][1]["fileList"][0]["path"], "d/a");
    assert_eq!(document["layer"][1]["sizeBytes"], 400_000);
    assert_eq!(document["layer"][2]["fileList"][0]["path"], ".wh.d");
}

/// What is told of an image, but for where it is and how its blobs are compressed there.
fn told(host: &Host, name: &str) -> Value {
    let mut document = document(host, name);
    document["image"]["name"] = Value::Null;
    for layer in document["layers"].as_array_mut().unwrap() {
        layer["digest"] = Value::Null;
        layer["compressedBytes"] = Value::Null;
    }
    document
}

#[test]
fn every_kind_of_source_gives_the_same_answer() {
    let Some(host) = privileged() else { return };
    image(&host);
    let stored = told(&host, "two:1");
    let archive = host.dir().join("two.tar");
    let archive = archive.to_str().unwrap();
    host.ok(["save", "-o", archive, "two:1"]);
    assert_eq!(told(&host, archive), stored);
    assert_eq!(
        told(&host, &format!("docker-archive://{archive}:two:1")),
        stored
    );
    // As a directory, compressed as a whole, and from standard input.
    let layout = host.dir().join("layout");
    std::fs::create_dir(&layout).unwrap();
    let tar = |args: &[&str]| {
        let status = std::process::Command::new("tar")
            .args(args)
            .status()
            .unwrap();
        assert!(status.success());
    };
    tar(&["-xf", archive, "-C", layout.to_str().unwrap()]);
    assert_eq!(told(&host, layout.to_str().unwrap()), stored);
    let packed = std::process::Command::new("gzip")
        .arg("-k")
        .arg(archive)
        .status()
        .unwrap();
    assert!(packed.success());
    assert_eq!(told(&host, &format!("{archive}.gz")), stored);
    let output = host
        .command(["layers", "--json", "-"])
        .stdin(std::fs::File::open(archive).unwrap())
        .output()
        .unwrap();
    let piped: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(piped["hidden"], stored["hidden"]);
    // Its file system alone: nothing is hidden, and what is seen is the same.
    host.ok(["create", "--name", "flat", "--network", "none", "two:1"]);
    let flat = host.dir().join("flat.tar");
    host.ok(["export", "-o", flat.to_str().unwrap(), "flat"]);
    let whole = document(&host, &format!("rootfs:{}", flat.display()));
    assert_eq!(whole["layers"].as_array().unwrap().len(), 1);
    let seen = stored["image"]["bytes"].as_u64().unwrap() - 400_000;
    assert!(
        whole["image"]["bytes"].as_u64().unwrap() >= seen,
        "{whole:#}"
    );
    assert_eq!(whole["image"]["wastedBytes"], 0);
    // docker-archive without an index, as older tools write it.
    std::fs::remove_file(layout.join("index.json")).unwrap();
    let older = host.dir().join("older.tar");
    tar(&[
        "-cf",
        older.to_str().unwrap(),
        "-C",
        layout.to_str().unwrap(),
        ".",
    ]);
    assert_eq!(told(&host, older.to_str().unwrap()), stored);
}

#[test]
fn an_image_of_a_registry_is_looked_into_and_nothing_of_it_is_kept() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    image(&host);
    let stored = told(&host, "two:1");
    let name = registry.reference("two:1");
    host.ok(["tag", "two:1", &name]);
    host.ok(["push", &name]);
    host.ok(["rmi", &name, "two:1"]);
    let far = format!("registry://{name}");
    assert_eq!(told(&host, &far), stored);
    assert_eq!(host.wharf(["image", "inspect", &name]).code, 1);
    let missing = host.wharf([
        "layers",
        &format!("registry://{}", registry.reference("no:1")),
    ]);
    assert_eq!(
        (missing.code, missing.stderr.lines().count()),
        (1, 1),
        "{missing:?}"
    );
    let other = host.wharf(["layers", "--platform", "linux/s390x", &far]);
    assert_eq!(other.code, 1, "{other:?}");
}

/// Answers one request at a socket as an engine does: the archive for `two:1`, or that there is no such image.
fn serve(socket: &Path, archive: &Path) -> JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    let archive = std::fs::read(archive).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let request = Request::read(&mut reader).unwrap().unwrap();
        let answer = if request.path() == "/images/two:1/get" {
            Response::new(200, "application/x-tar", archive)
        } else {
            let said = r#"{"message":"No such image: no:1"}"#;
            Response::new(404, "application/json", said)
        };
        let _ = (&stream).write_all(&answer.bytes(false));
    })
}

#[test]
fn an_image_of_another_engine_is_looked_into_over_its_socket() {
    let Some(host) = privileged() else { return };
    image(&host);
    let stored = told(&host, "two:1");
    let archive = host.dir().join("two.tar");
    host.ok(["save", "-o", archive.to_str().unwrap(), "two:1"]);
    let socket = host.dir().join("engine.sock");
    let at = format!("unix://{}", socket.display());
    let look = |variable: &str, name: &str| {
        let mut command = host.command(["layers", "--json", name]);
        command.env(variable, &at).output().unwrap()
    };
    for (variable, start) in [("DOCKER_HOST", "docker"), ("CONTAINER_HOST", "podman")] {
        let serving = serve(&socket, &archive);
        let output = look(variable, &format!("{start}://two:1"));
        serving.join().unwrap();
        std::fs::remove_file(&socket).unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["hidden"], stored["hidden"], "{output:?}");
        assert_eq!(document["image"]["id"], stored["image"]["id"]);
    }
    let serving = serve(&socket, &archive);
    let output = look("DOCKER_HOST", "docker://no:1");
    serving.join().unwrap();
    std::fs::remove_file(&socket).unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("No such image: no:1"), "{told}");
    let nobody = look("DOCKER_HOST", "docker://two:1");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&nobody.stderr).contains("engine.sock"),
        "{nobody:?}"
    );
}

#[test]
fn an_archive_that_lies_is_refused_by_what_it_lies_about() {
    let Some(host) = privileged() else { return };
    image(&host);
    let archive = host.dir().join("two.tar");
    host.ok(["save", "-o", archive.to_str().unwrap(), "two:1"]);
    let mut bytes = std::fs::read(&archive).unwrap();
    // A byte of busybox: in a layer's file.
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&archive, &bytes).unwrap();
    let output = host.wharf(["layers", archive.to_str().unwrap()]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
    assert!(
        output.stderr.contains("is stated, its content is"),
        "{output:?}"
    );
    let none = host.wharf(["layers", "/dev/null"]);
    assert!(none.stderr.contains("not an image archive"), "{none:?}");
    bytes.truncate(at);
    std::fs::write(&archive, &bytes).unwrap();
    let cut = host.wharf(["layers", archive.to_str().unwrap()]);
    assert_eq!(cut.stderr.lines().count(), 1, "{cut:?}");
    assert!(cut.stderr.contains("cut short"), "{cut:?}");
}

#[test]
fn two_images_are_told_apart_by_layer_and_by_path() {
    let Some(host) = privileged() else { return };
    image(&host);
    let diff = |args: &[&str]| -> Value {
        serde_json::from_str(&host.ok([&["layers", "diff", "--json"], args].concat())).unwrap()
    };
    let document = diff(&["one:1", "two:1"]);
    assert_eq!(document["verdict"], "larger", "{document:#}");
    assert_eq!(
        document["after"]["bytes"],
        document["before"]["bytes"].as_u64().unwrap() + 100_000
    );
    assert_eq!(document["after"]["wastedBytes"], 400_000);
    let layers = document["layers"].as_array().unwrap();
    let fates: Vec<_> = layers
        .iter()
        .map(|layer| layer["change"].as_str().unwrap())
        .collect();
    assert_eq!(fates, ["shared", "shared", "added"]);
    let find = |path: &str| {
        let paths = document["paths"].as_array().unwrap();
        paths
            .iter()
            .find(|change| change["path"] == path)
            .unwrap_or_else(|| panic!("{document:#}"))
            .clone()
    };
    assert_eq!(find("/d/a")["change"], "removed");
    let kept = find("/kept");
    assert_eq!(
        (
            &kept["change"],
            &kept["before"]["mode"],
            &kept["after"]["mode"]
        ),
        (&"attributes".into(), &"0644".into(), &"0700".into())
    );
    assert_eq!(diff(&["two:1", "two:1"])["verdict"], "same");
    // An archive beside the store.
    let archive = host.dir().join("one.tar");
    let archive = archive.to_str().unwrap();
    host.ok(["save", "-o", archive, "one:1"]);
    assert_eq!(diff(&[archive, "one:1"])["verdict"], "same");
    let table = host.ok(["layers", "diff", "one:1", "two:1"]);
    for line in ["/d", "mode 644 -> 700", "two:1 is 100kB", "3 removed"] {
        assert!(table.contains(line), "{line}: {table}");
    }
}

/// Letters and digits without an order; nobody's secret.
const RANDOM: &str =
    "q7Zt2LkXw9RbV4mYc8HsJ3nPd6GfT1aUeW5iQoBxD0yKvMrNzSjCuElAhFgIpO2b7Xk4Wq9Lt3Vz8Rm1";

fn random(range: std::ops::Range<usize>) -> &'static str {
    RANDOM.get(range).unwrap()
}

/// An image with secrets that its second layer removes, and rights that are too wide.
fn careless_image(host: &Host) -> String {
    let mut lower = Archive::new();
    let key = format!(
        "-----{0} PRIVATE KEY-----\n{RANDOM}\n-----END PRIVATE KEY-----\n",
        "BEGIN"
    );
    lower.directory("app/", 0o755);
    lower.file("app/.env", 0o644, b"A=1\nDB_PASSWORD=hunter22\n");
    lower.file(
        "app/main.py",
        0o666,
        format!("x = 1\nt = \"gh{}{}\"\n", "p_", random(0..36)).as_bytes(),
    );
    lower.directory("app/tests/", 0o755);
    lower.file("app/tests/server.pem", 0o644, key.as_bytes());
    lower.directory("root/", 0o700);
    lower.directory("root/.ssh/", 0o700);
    lower.file("root/.ssh/id_rsa", 0o600, key.as_bytes());
    lower.file("su", 0o4755, b"su");
    let mut upper = Archive::new();
    upper.file("app/.wh..env", 0o644, b"");
    upper.file("root/.wh..ssh", 0o644, b"");
    let archive = host.dir().join("careless.tar");
    let bytes = image_archive("careless:1", &[lower.finish(), upper.finish()], &["sh"]);
    std::fs::write(&archive, bytes).unwrap();
    host.ok(["load", "-q", "-i", archive.to_str().unwrap()]);
    archive.to_str().unwrap().to_owned()
}

#[test]
fn secrets_are_found_in_every_layer_and_never_shown() {
    let Some(host) = privileged() else { return };
    let archive = careless_image(&host);
    let text = host.ok(["layers", "findings", "--json", "careless:1"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    let found: Vec<_> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "high")
        .map(|finding| {
            let word = |name: &str| finding[name].as_str().unwrap().to_owned();
            (
                word("rule"),
                word("path"),
                finding["line"].as_u64(),
                finding["hiddenBy"].as_u64(),
            )
        })
        .collect();
    let high = |rule: &str, path: &str, line, hidden| {
        (rule.to_owned(), path.to_owned(), Some(line), hidden)
    };
    assert_eq!(
        found,
        [
            high("private-key", "/root/.ssh/id_rsa", 1, Some(1)),
            high("token", "/app/main.py", 2, None),
            high("password", "/app/.env", 2, Some(1)),
        ]
    );
    let table = host.ok(["layers", "findings", "--no-trunc", "careless:1"]);
    for line in [
        "/app/.env:2",
        "0, hidden by 1",
        "setuid",
        "world-writable",
        "root-user",
        "3 high, 3 medium, 2 low",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    for secret in ["hunter22", random(0..12), random(4..16)] {
        assert!(
            !text.contains(secret) && !table.contains(secret),
            "{secret}"
        );
    }
    // Out of an archive, also one that can be read once only.
    let same = |text: &str| serde_json::from_str::<Value>(text).unwrap()["findings"].clone();
    assert_eq!(
        same(&host.ok(["layers", "findings", "--json", &archive])),
        document["findings"]
    );
    let output = host
        .command(["layers", "findings", "--json", "-"])
        .stdin(std::fs::File::open(&archive).unwrap())
        .output()
        .unwrap();
    assert_eq!(
        same(std::str::from_utf8(&output.stdout).unwrap()),
        document["findings"]
    );
}

#[test]
fn a_pipeline_is_stopped_by_a_secret_unless_it_is_allowed() {
    let Some(host) = privileged() else { return };
    careless_image(&host);
    host.busybox_image();
    let ci = |args: &[&str]| host.wharf([&["layers", "--ci"], args].concat());
    let output = ci(&["--no-secrets", "--no-world-writable", "careless:1"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output
            .stdout
            .contains("FAIL  no-secrets: /root/.ssh/id_rsa and 2 more"),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .contains("FAIL  no-world-writable: /app/main.py"),
        "{output:?}"
    );
    let allow = host.dir().join("allow");
    let allow = allow.to_str().unwrap();
    std::fs::write(
        allow,
        "# known\nprivate-key root/.ssh/*\ntoken app/main.py\npassword **\n",
    )
    .unwrap();
    assert_eq!(
        ci(&["--no-secrets", "--allow", allow, "careless:1"]).code,
        0
    );
    std::fs::write(allow, "nosuch x\n").unwrap();
    let wrong = ci(&["--no-secrets", "--allow", allow, "careless:1"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(
        wrong.stderr.contains("line 1: there is no rule \"nosuch\""),
        "{wrong:?}"
    );
    assert_eq!(ci(&["--allow", allow, "careless:1"]).code, 2);
    assert_eq!(ci(&["--base", "careless:1", "careless:1"]).code, 0);
    assert_eq!(ci(&["--base", BUSYBOX, "careless:1"]).code, 1);
    assert_eq!(ci(&["--base", "nosuch", "careless:1"]).code, 2);
}

/// Entries of a tar: name, and content of what is a file.
fn entries(tar: &[u8]) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let name = entry
            .path()
            .unwrap()
            .to_string_lossy()
            .trim_end_matches('/')
            .to_owned();
        let mode = entry.header().mode().unwrap();
        let content = entry.header().entry_type().is_file().then(|| {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            content
        });
        (name, (mode, content))
    };
    entries.map(read).collect()
}

fn looked_into(engine: Option<&Engine>, target: &Target) -> (Explored, Contents) {
    let (around, cancel) = (Surroundings::default(), Cancel::new());
    let lists = Reading::Lists;
    let (image, contents, _) =
        Engine::look_into(engine, &around, target, lists, &mut |_| (), &cancel).unwrap();
    (image, contents)
}

/// What a path of the image holds.
fn content(image: &Explored, contents: &Contents, path: &str) -> String {
    let tree = &image.stack.tree;
    let at = tree.current(tree.find(path.as_bytes()).unwrap()).unwrap();
    let starts = contents.starts(image, &[at], 100, &Cancel::new()).unwrap();
    String::from_utf8(starts[0].bytes.clone()).unwrap()
}

#[test]
fn files_are_read_wherever_an_image_is() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let (mut lower, mut upper) = (Archive::new(), Archive::new());
    lower.directory("d/", 0o755);
    lower.file("d/a", 0o644, b"of the lower layer");
    upper.file("d/c", 0o644, b"of the upper layer");
    // Another name of what only the layer below has.
    upper.hard_link("d/b", "d/a");
    let layers = [lower.finish(), upper.finish()];
    let path = host.dir().join("two.tar");
    std::fs::write(&path, image_archive("two:1", &layers, &["sh"])).unwrap();
    let name = registry.reference("two:1");
    host.ok(["load", "-q", "-i", path.to_str().unwrap()]);
    host.ok(["tag", "two:1", &name]);
    host.ok(["push", "-q", &name]);
    let archive = Target::Archive {
        path,
        name: None,
        platform: None,
        cache: None,
    };
    let far = Target::Registry {
        wanted: Box::new(Pull {
            reference: name.parse().unwrap(),
            all_tags: false,
            platform: None,
            auth: Auth::Anonymous,
        }),
        cache: None,
    };
    for target in [archive, far] {
        let (image, contents) = looked_into(None, &target);
        let read = |path| content(&image, &contents, path);
        assert_eq!(read("d/c"), "of the upper layer");
        assert_eq!(read("d/b"), "of the lower layer", "{target:?}");
        assert_eq!(read("d/a"), "of the lower layer");
    }
    // What was read once needs no network: each blob came when it was listed, and once for its files.
    let blobs = registry.access_log();
    let gets = blobs
        .lines()
        .filter(|line| line.contains("GET") && line.contains("/blobs/"));
    assert_eq!(gets.count(), 1 + 2 + 2, "{blobs}");
    // A root file system, out of a file and out of a pipe.
    let flat = host.dir().join("flat.tar");
    std::fs::write(&flat, &layers[0]).unwrap();
    let (image, contents) = looked_into(None, &Target::Rootfs(flat));
    assert_eq!(content(&image, &contents, "d/a"), "of the lower layer");
}

#[test]
fn what_removing_an_image_gives_back_is_told_to_the_byte() {
    let Some(host) = privileged() else { return };
    image(&host);
    let sharing =
        || -> Value { serde_json::from_str(&host.ok(["layers", "shared", "--json"])).unwrap() };
    let frees = |name: &str| {
        let document = sharing();
        let images = document["images"].as_array().unwrap();
        let found = images.iter().find(|image| image["tags"][0] == name);
        found.unwrap()["freesBytes"].as_u64().unwrap()
    };
    let on_disk = || {
        let engine = Engine::open(Roots {
            data: host.data(),
            run: host.run(),
        });
        let usage = engine.unwrap().disk_usage().unwrap().images;
        usage.layers + usage.blobs
    };
    let document = sharing();
    let shared: Vec<_> = document["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["images"].as_array().unwrap().len())
        .collect();
    // The base is everybody's, one layer is that of two images.
    let mut sorted = shared.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3], "{document:#}");
    // A container holds the layers of its image, and nothing else of it.
    host.ok(["create", "--name", "holds", "--network", "none", "two:1"]);
    let held = frees("two:1");
    host.ok(["rm", "holds"]);
    let told = frees("two:1");
    assert_eq!(told, held + 100_000);
    let before = on_disk();
    host.ok(["rmi", "two:1"]);
    assert_eq!(before - on_disk(), told);
    let told = frees("one:1");
    let before = on_disk();
    host.ok(["rmi", "one:1"]);
    assert_eq!(before - on_disk(), told);
    assert!(
        host.ok(["layers", "shared"])
            .contains("in 1 layer of 1 image")
    );
}

#[test]
fn findings_are_found_in_a_registry() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    careless_image(&host);
    let name = registry.reference("careless:1");
    host.ok(["tag", "careless:1", &name]);
    host.ok(["push", "-q", &name]);
    let found = |name: &str| -> Value {
        let text = host.ok(["layers", "findings", "--json", name]);
        serde_json::from_str::<Value>(&text).unwrap()["findings"].clone()
    };
    let stored = found("careless:1");
    assert!(stored.as_array().unwrap().len() > 5);
    assert_eq!(found(&format!("registry://{name}")), stored);
}

#[test]
fn what_is_taken_out_of_an_image_is_what_it_has() {
    let Some(host) = privileged() else { return };
    image(&host);
    step(
        &host,
        "two:1",
        "ln /kept /other && echo new >/kept.txt",
        "three:1",
    );
    let archive = host.dir().join("three.tar");
    host.ok(["save", "-o", archive.to_str().unwrap(), "three:1"]);
    let engine = Engine::open(Roots {
        data: host.data(),
        run: host.run(),
    })
    .unwrap();
    let (image, stored) = looked_into(Some(&engine), &Target::Stored("three:1".to_owned()));
    let order = Order::of(&image.stack.tree);
    let archive = Target::Archive {
        path: archive,
        name: None,
        platform: None,
        cache: None,
    };
    let (_, lying) = looked_into(None, &archive);
    let take = |contents: &Contents, layer, extent, path: &[u8]| {
        let facts = Facts::of(&image.stack, layer, extent);
        let node = image.stack.tree.find(path).unwrap();
        let wanted = entries_below(&order, &facts, node);
        let mut out = Vec::new();
        contents
            .write_archive(&image, &wanted, &mut out, &Cancel::new())
            .unwrap();
        entries(&out)
    };
    // A layer that is hidden by now, and the image as a whole: from the store and from the archive.
    let filled = take(&stored, 1, Extent::Change, b"");
    assert_eq!(filled, take(&lying, 1, Extent::Change, b""));
    let sizes: Vec<_> = filled
        .iter()
        .map(|(name, (_, content))| (name.as_str(), content.as_ref().map(Vec::len)))
        .collect();
    let expected = [
        ("d", None),
        ("d/a", Some(200_000)),
        ("d/b", Some(100_000)),
        ("kept", Some(100_000)),
    ];
    assert_eq!(sizes, expected);
    let whole = take(&stored, 3, Extent::Whole, b"");
    let kept = whole.get("kept").unwrap();
    assert_eq!(kept.0 & 0o777, 0o700);
    assert!(!whole.contains_key("d"));
    // Both names of the file are there, one of them with its content.
    let names = ["kept", "other"].map(|name| whole.get(name).unwrap().1.is_some());
    assert!(names.contains(&true), "{names:?}");
    assert_eq!(
        whole.get("kept.txt").unwrap().1.as_deref(),
        Some(&b"new\n"[..])
    );
    let busybox = take(&stored, 3, Extent::Whole, b"bin");
    assert!(busybox.len() > 1, "{:?}", busybox.keys());
    // One file, and its beginning.
    let node = image.stack.tree.find(b"kept.txt").unwrap();
    let at = image.stack.tree.at(node, 3).unwrap();
    for contents in [&stored, &lying] {
        let mut out = Vec::new();
        contents
            .write_file(&image, at, &mut out, &Cancel::new())
            .unwrap();
        assert_eq!(out, b"new\n");
        let starts = contents.starts(&image, &[at], 2, &Cancel::new()).unwrap();
        assert_eq!(
            (starts[0].bytes.as_slice(), starts[0].size),
            (&b"ne"[..], 4)
        );
    }
}
