//! A token server as Docker's registry wants it (distribution's "Token Authentication Specification" and the OAuth2
//! flavour of it): it signs JSON web tokens with a key that the registry trusts, and remembers what it was asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::http::{Request, Response, Server, from_base64, to_base64_url};
use super::{PASSWORD, USER};
use crate::support::{collect, sha256};

/// What the registry calls itself in tokens.
pub const SERVICE: &str = "registry.test";

/// What the token server calls itself.
pub const ISSUER: &str = "issuer.test";

/// The refresh token that an OAuth2 login is given.
pub const REFRESH_TOKEN: &str = "an-identity-token";

/// The registry accepts a token this much longer than it says (distribution 2.8, `token.Leeway`).
const LEEWAY: u64 = 60;

/// How it behaves.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Who says nothing of himself may pull.
    pub anonymous_pull: bool,
    /// Answers `POST` (OAuth2) too; otherwise 405, as simple servers do.
    pub oauth2: bool,
    /// Seconds for which a token is good.
    pub lifetime: u64,
    /// The answer says for how long the token is good.
    pub says_lifetime: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            anonymous_pull: true,
            oauth2: true,
            lifetime: 300,
            says_lifetime: true,
        }
    }
}

/// One request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET` or `POST`.
    pub method: String,
    /// `repository:a/b:pull,push` …, as they came.
    pub scopes: Vec<String>,
    /// Who asked: a user name, `refresh` for a refresh token, nobody.
    pub user: Option<String>,
    /// `offline_token=true` or `access_type=offline`.
    pub offline: bool,
    /// Status of the answer.
    pub status: u16,
}

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct TokenServer {
    server: Server,
    asked: Arc<Mutex<Vec<Asked>>>,
    dir: PathBuf,
}

impl TokenServer {
    /// Makes a key in `dir` and starts.
    pub fn start(dir: &Path, rules: Rules) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let arguments = "req -x509 -newkey rsa:2048 -nodes -keyout token.key -out token.pem -days 2 -subj /CN=issuer";
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(dir);
        let output = collect(&mut command, &[]);
        assert_eq!(output.code, 0, "openssl {arguments}: {output:#?}");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (list, files) = (Arc::clone(&asked), dir.to_owned());
        let server = Server::start(move |request| {
            let (response, asked) = answer(request, rules, &files);
            list.lock().unwrap().push(asked);
            response
        });
        Self {
            server,
            asked,
            dir: dir.to_owned(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Where clients are sent to.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// The certificate that the registry must trust.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("token.pem")
    }

    /// All requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(request: &Request, rules: Rules, files: &Path) -> (Response, Asked) {
    let one = |name: &str| request.parameters(name).into_iter().next();
    let is_post = request.method == "POST";
    let (user, allowed) = match (is_post, one("grant_type").as_deref()) {
        (true, Some("refresh_token")) => (
            Some("refresh".to_owned()),
            one("refresh_token").as_deref() == Some(REFRESH_TOKEN),
        ),
        (true, _) => {
            let user = one("username");
            let right =
                user.as_deref() == Some(USER) && one("password").as_deref() == Some(PASSWORD);
            (user, right)
        }
        (false, _) => match request.basic() {
            Some((user, password)) => {
                let right = user == USER && password == PASSWORD;
                (Some(user), right)
            }
            None => (None, rules.anonymous_pull),
        },
    };
    // OAuth2 wants all scopes in one parameter, the older form one parameter each.
    let scopes: Vec<String> = request
        .parameters("scope")
        .iter()
        .flat_map(|scope| scope.split(' '))
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect();
    let offline = one("offline_token").as_deref() == Some("true")
        || one("access_type").as_deref() == Some("offline");
    let response = if request.path() != "/token" {
        Response::new(404, "text/plain", "not found\n")
    } else if is_post && !rules.oauth2 {
        Response::new(405, "text/plain", "method not allowed\n")
    } else if !allowed {
        let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]});
        Response::new(401, "application/json", body.to_string())
    } else {
        let may_write = user.is_some();
        let token = token(&scopes, may_write, rules.lifetime, files);
        let mut body = json!({"token": token, "access_token": token});
        if rules.says_lifetime {
            body["expires_in"] = json!(rules.lifetime);
        }
        if offline && may_write {
            body["refresh_token"] = json!(REFRESH_TOKEN);
        }
        Response::new(200, "application/json", body.to_string())
    };
    let asked = Asked {
        method: request.method.clone(),
        scopes,
        user,
        offline,
        status: response.status,
    };
    (response, asked)
}

fn token(scopes: &[String], may_write: bool, lifetime: u64, files: &Path) -> String {
    let access: Vec<Value> = scopes
        .iter()
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            let granted = actions.split(',').filter(|a| may_write || *a == "pull");
            let actions: Vec<&str> = granted.collect();
            Some(json!({"type": kind, "name": name, "actions": actions}))
        })
        .collect();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let certificate = std::fs::read_to_string(files.join("token.pem")).unwrap();
    let lines = certificate
        .lines()
        .filter(|line| !line.starts_with("-----"));
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [lines.collect::<String>()]});
    let claims = json!({
        "iss": ISSUER,
        "sub": "",
        "aud": SERVICE,
        "exp": now - LEEWAY + lifetime,
        "nbf": now - 2 * LEEWAY,
        "iat": now - 2 * LEEWAY,
        "jti": sha256(scopes.join(" ").as_bytes()),
        "access": access,
    });
    let text = format!(
        "{}.{}",
        to_base64_url(header.to_string().as_bytes()),
        to_base64_url(claims.to_string().as_bytes())
    );
    // Base64 between, as a signature is no text.
    let script = "openssl dgst -sha256 -sign token.key | openssl base64 -A";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(files);
    let output = collect(command.stdin(std::process::Stdio::piped()), text.as_bytes());
    let signature = from_base64(output.stdout.trim()).unwrap();
    assert!(!signature.is_empty(), "{script}: {output:#?}");
    format!("{text}.{}", to_base64_url(&signature))
}
