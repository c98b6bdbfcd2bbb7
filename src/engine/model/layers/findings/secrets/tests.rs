//! What is taken for a secret, and what is not.
//!
//! The tokens are put together from pieces: nobody's scanner should take this file for a leak.

use super::*;

/// Letters and digits without an order.
const RANDOM: &str =
    "q7Zt2LkXw9RbV4mYc8HsJ3nPd6GfT1aUeW5iQoBxD0yKvMrNzSjCuElAhFgIpO2b7Xk4Wq9Lt3Vz8Rm1";

fn what(path: &str, content: &str) -> Vec<(What, u64, String)> {
    let hits = in_content(path.as_bytes(), content.as_bytes());
    hits.into_iter()
        .map(|hit| (hit.what, hit.line, hit.shown))
        .collect()
}

#[track_caller]
fn check(path: &str, content: &str, expected: What, line: u64) {
    let hits = what(path, content);
    assert_eq!(hits.len(), 1, "{path}: {hits:?}");
    assert_eq!((hits[0].0, hits[0].1), (expected, line), "{hits:?}");
    // Nothing that was random is shown.
    for start in 0..RANDOM.len() - 6 {
        assert!(
            !hits[0].2.contains(RANDOM.get(start..start + 6).unwrap()),
            "{hits:?}"
        );
    }
    let size = content.len() as u64;
    assert!(wanted(path.as_bytes(), size), "{path}");
}

#[track_caller]
fn nothing(path: &str, content: &str) {
    assert_eq!(what(path, content), [], "{path}");
}

fn key(label: &str, letters: &str) -> String {
    format!(
        "-----{} {label}-----\n{letters}\n-----END {label}-----\n",
        "BEGIN"
    )
}

#[test]
fn a_private_key_is_found_and_a_text_about_keys_is_not() {
    let letters = RANDOM;
    check(
        "root/.ssh/id_rsa",
        &key("RSA PRIVATE KEY", letters),
        What::PrivateKey,
        1,
    );
    check(
        "etc/app/server.pem",
        &format!("# of the server\n{}", key("PRIVATE KEY", letters)),
        What::PrivateKey,
        2,
    );
    let json = format!(
        "{{\"private_key\": \"{}\"}}",
        key("PRIVATE KEY", letters).replace('\n', "\\n")
    );
    check("app/service-account.json", &json, What::PrivateKey, 1);
    check(
        "root/.ssh/id_rsa",
        &key("ENCRYPTED PRIVATE KEY", letters),
        What::EncryptedKey,
        1,
    );
    check(
        "root/.ssh/id_rsa",
        &key(
            "RSA PRIVATE KEY",
            &format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n{letters}"),
        ),
        What::EncryptedKey,
        1,
    );
    let open = format!("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU{letters}");
    check(
        "root/.ssh/id_ed25519",
        &key("OPENSSH PRIVATE KEY", &open),
        What::PrivateKey,
        1,
    );
    check(
        "root/.ssh/id_ed25519",
        &key("OPENSSH PRIVATE KEY", letters),
        What::EncryptedKey,
        1,
    );
    nothing("etc/app/server.pem", &key("CERTIFICATE", letters));
    nothing("etc/app/server.pem", &key("PUBLIC KEY", letters));
    nothing(
        "app/main.py",
        &format!(
            "if text.startswith('-----{} PRIVATE KEY-----'):\n    pass\n",
            "BEGIN"
        ),
    );
    nothing("app/key.txt", &key("PRIVATE KEY", "..."));
    nothing("app/tests/server.pem", &key("PRIVATE KEY", letters));
    nothing("usr/share/doc/x/key.pem", &key("PRIVATE KEY", letters));
}

#[test]
fn tokens_are_known_by_their_form() {
    let tail = |length: usize| RANDOM.get(..length).unwrap();
    for (start, length) in [
        ("ghp_", 36),
        ("npm_", 36),
        ("sk_live_", 24),
        ("AIza", 35),
        ("dckr_pat_", 27),
        ("hf_", 34),
        ("glpat-", 20),
    ] {
        let token = format!("{start}{}", tail(length));
        check(
            "app/settings.py",
            &format!("x = 1\ny = '{token}'\n"),
            What::Token,
            2,
        );
        // One too short, one that is a part of something longer, one that somebody made up.
        nothing("app/settings.py", &format!("y = '{start}{}'", tail(10)));
        nothing("app/settings.py", &format!("y = 'x{token}'"));
        nothing(
            "app/settings.py",
            &format!("y = '{start}{}'", "x".repeat(length)),
        );
    }
    let aws = format!("AK{}{}", "IA", "Q3ZT7LKXW9RBV4MY");
    check(
        "root/.aws/credentials",
        &format!("[default]\naws_access_key_id = {aws}\n"),
        What::Token,
        2,
    );
    nothing(
        "root/.aws/credentials",
        &format!("aws_access_key_id = AK{}\n", "IAIOSFODNN7EXAMPLE"),
    );
}

#[test]
fn an_aws_secret_key_is_known_by_its_name_wherever_it_is() {
    let tail = |length: usize| RANDOM.get(..length).unwrap();
    for (path, line) in [
        ("root/.aws/credentials", "aws_secret_access_key = %"),
        ("opt/env.sh", "export AWS_SECRET_ACCESS_KEY=\"%\""),
        ("app/.env", "AWS_SECRET_ACCESS_KEY=%"),
        ("app/settings.py", "AWS_SECRET_KEY = '%'"),
        ("app/cred.json", "{\"SecretAccessKey\": \"%\"}"),
    ] {
        check(path, &line.replace('%', tail(40)), What::Token, 1);
    }
    for line in [
        "the AWS_SECRET_ACCESS_KEY % of nobody".replace('%', tail(40)),
        format!("AWS_SECRET_ACCESS_KEY={}", tail(41)),
        format!("AWS_SECRET_ACCESS_KEY={}", "ab".repeat(20)),
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
    ] {
        nothing("opt/notes.txt", &line);
    }
}

#[test]
fn files_of_credentials_are_read_in_their_own_way() {
    let secret = RANDOM.get(..20).unwrap();
    for (path, line) in [
        (
            "root/.npmrc",
            format!("//registry.npmjs.org/:_authToken={secret}"),
        ),
        (
            "root/.netrc",
            format!("machine x login y password {secret}"),
        ),
        ("root/.pypirc", format!("password = {secret}")),
        ("root/.pgpass", format!("host:5432:db:user:{secret}")),
        (
            "root/.docker/config.json",
            format!("{{\"auths\": {{\"r.io\": {{\"auth\": \"{secret}\"}}}}}}"),
        ),
        ("root/.kube/config", format!("    token: {secret}")),
        (
            "root/.git-credentials",
            format!("https://user:{secret}@git.io"),
        ),
        (
            "app/.git/config",
            format!("  url = https://user:{secret}@git.io/x"),
        ),
        (
            "etc/pip.conf",
            format!("index-url = https://user:{secret}@pypi.io/simple"),
        ),
    ] {
        check(path, &line, What::Credentials, 1);
        nothing(path, &line.replace(secret, "${SECRET}"));
        nothing(path, &format!("# {line}"));
    }
    nothing("app/config.json", "{\"auth\": \"basic-and-more\"}");
    nothing(
        "root/.docker/config.json",
        "{\"auths\": {\"r.io\": {}}, \"credsStore\": \"desktop\"}",
    );
}

#[test]
fn a_variable_is_secret_by_its_name_and_value() {
    for line in [
        "DB_PASSWORD=hunter22",
        "export API_KEY='abc123def'",
        "JWT_SECRET=\"s3cr3t-s3cr3t\"",
        "github-token=abcd1234",
    ] {
        check("app/.env", &format!("A=1\n{line}\n"), What::Password, 2);
    }
    for line in [
        "PASSWORD=",
        "PASSWORD=changeme",
        "PASSWORD=${DB_PASSWORD}",
        "PASSWORD=<secret>",
        "PASSWORD_FILE=run/secrets/x",
        "TOKEN_TTL=3600s",
        "SECRET=/run/secrets/x",
        "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
        "PWD=somewhere",
        "KEYBOARD=german",
        "PASSWORD=xxxxxxxx",
        "MAX_TOKENS=12345",
        "ACCESS_KEY_ID=abcdefgh",
        "PASSWORD=your-password",
    ] {
        nothing("app/.env", line);
    }
    nothing("app/.env.example", "DB_PASSWORD=hunter22");
    nothing("app/settings.ini", "DB_PASSWORD=hunter22");
}

#[test]
fn instructions_and_variables_tell_their_secrets() {
    let told =
        |text: &str| -> Vec<String> { in_words(text).into_iter().map(|hit| hit.shown).collect() };
    for (text, shown) in [
        ("ENV DB_PASSWORD=hunter22", "DB_PASSWORD=… (8 characters)"),
        (
            "|1 NPM_TOKEN=abc123 /bin/sh -c npm ci",
            "NPM_TOKEN=… (6 characters)",
        ),
        ("RUN curl -u bob:hunter22 https://x", "bob:… (8 characters)"),
        (
            "RUN login --password hunter22",
            "--password … (8 characters)",
        ),
        (
            "RUN git clone https://bob:hunter22@git.io/x",
            "https://bob:… (8 characters)@git.io",
        ),
    ] {
        assert_eq!(told(text), [shown], "{text}");
    }
    for text in [
        "ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
        "ENV PATH=/usr/bin",
        "ARG NPM_TOKEN",
        "RUN --mount=type=secret,id=token cat /run/secrets/token",
        "RUN docker login --password-stdin",
        "RUN install -u 1000:1000 x",
        "RUN echo \"$DB_PASSWORD\"",
        "POSTGRES_PASSWORD_FILE=/run/secrets/x",
    ] {
        assert_eq!(told(text), [""; 0], "{text}");
    }
}

#[test]
fn only_files_that_may_have_some_are_read() {
    for path in [
        "root/.ssh/id_rsa",
        "app/.env",
        "app/settings.py",
        "etc/app.conf",
        "usr/share/x/server.key",
        "run/secrets/db",
    ] {
        assert!(wanted(path.as_bytes(), 100), "{path}");
        assert!(!wanted(path.as_bytes(), 0), "{path}");
        assert!(!wanted(path.as_bytes(), MAX_SIZE + 1), "{path}");
    }
    for path in [
        "usr/share/x/a.py",
        "app/node_modules/x/index.js",
        "app/logo.png",
        "app/tests/.env",
        "usr/bin/python3",
        "root/.ssh/id_rsa.pub",
    ] {
        assert!(!wanted(path.as_bytes(), 100), "{path}");
    }
    // Long texts are no settings.
    assert!(!wanted(b"app/data.json", MAX_TEXT + 1));
    nothing(
        "app/settings.py",
        &format!("\0 ghp_{}", RANDOM.get(..36).unwrap()),
    );
}
