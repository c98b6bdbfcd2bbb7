//! What is shown to registries: passwords, and tokens that are got for them.
//!
//! Tokens live in memory alone. Distribution's token authentication ("token", "oauth"), with containerd's fallbacks
//! where registries differ.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::answer::{self, About};
use super::challenge::{self, Challenge};
use super::endpoint::{self, Endpoint};
use super::scope::Scopes;
use super::transport::{Answer, Call, Transport};
use super::wire::shown;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::{Auth, Secret};

/// Who we are to token servers.
const CLIENT: &str = "wharf";
/// A token without `expires_in` lives for so long.
const USUAL_LIFE: Duration = Duration::from_mins(1);
/// Largest answer of a token server.
const LIMIT: usize = 1 << 20;

/// Who asks whom for what.
#[derive(Debug, Clone)]
pub(super) struct Visit<'a> {
    pub endpoint: &'a Endpoint,
    pub auth: &'a Auth,
    pub scopes: Scopes,
}

/// What the registries of one client want to be shown, and the tokens that they take.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    wanted: Mutex<HashMap<String, Wanted>>,
    tokens: Mutex<Vec<Token>>,
    /// One token at a time is got for a registry: others wait for it rather than get their own.
    getting: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a registry's challenge asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Password,
    Token { realm: Url, service: Option<String> },
}

#[derive(Debug, Clone)]
struct Token {
    registry: String,
    auth: Auth,
    /// What we wanted.
    scopes: Scopes,
    /// What the registry wanted us to want besides.
    besides: Scopes,
    /// `None` once the registry refused it.
    text: Option<Secret>,
    stale: Instant,
}

/// What a token server answers.
#[derive(serde::Deserialize)]
struct Granted {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl Keyring {
    /// The `Authorization` header for a request, as far as it is known what is wanted.
    pub(super) async fn header(
        &self,
        http: &Transport,
        visit: &Visit<'_>,
    ) -> Result<Option<HeaderValue>> {
        if let Auth::Registry(token) = visit.auth {
            return bearer(token).map(Some);
        }
        let wanted = lock(&self.wanted).get(&visit.endpoint.authority).cloned();
        match (wanted, visit.auth) {
            (Some(Wanted::Password), Auth::Basic { user, password }) => {
                basic(user, password).map(Some)
            }
            (Some(Wanted::Token { realm, service }), _) => {
                let token = self.token(http, visit, &realm, service.as_deref()).await?;
                bearer(&token).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Learns from a 401 what is wanted. `true`: asking again with [`Self::header`] may be answered better.
    ///
    /// # Errors
    /// `Unauthorized` if a password is wanted and there is none.
    pub(super) fn learn(
        &self,
        visit: &Visit<'_>,
        refused: &Answer,
        sent: Option<&HeaderValue>,
    ) -> Result<bool> {
        if matches!(visit.auth, Auth::Registry(_)) {
            return Ok(false);
        }
        let challenges = challenge::of(refused.headers());
        let of_scheme = |scheme: &str| challenges.iter().find(|one| one.scheme == scheme);
        if let Some(wanted) = of_scheme("bearer").and_then(wanted_token) {
            self.note(visit, wanted);
            let besides = of_scheme("bearer").and_then(|one| one.get("scope"));
            self.refuse(visit, &Scopes::parse(besides.unwrap_or_default()), sent);
            return Ok(true);
        }
        if of_scheme("basic").is_none() {
            return Ok(false);
        }
        match visit.auth {
            Auth::Basic { .. } => {
                self.note(visit, Wanted::Password);
                Ok(sent.is_none())
            }
            _ => Err(Error::new(
                Kind::Unauthorized,
                format!(
                    "Get \"{}\": no basic auth credentials",
                    shown(refused.url())
                ),
            )
            .with_hint(format!(
                "log in first: wharf login {}",
                visit.endpoint.authority
            ))),
        }
    }

    /// Exchanges credentials for a refresh token, as `login` does: `None` if the server gives none.
    pub(super) async fn refresh_token(
        &self,
        http: &Transport,
        visit: &Visit<'_>,
    ) -> Result<Option<Secret>> {
        let wanted = lock(&self.wanted).get(&visit.endpoint.authority).cloned();
        let Some(Wanted::Token { realm, service }) = wanted else {
            return Ok(None);
        };
        let request = Asking {
            realm: &realm,
            service: service.as_deref(),
            scopes: &Scopes::default(),
            auth: visit.auth,
            keep: true,
        };
        let granted = get(http, &visit.endpoint.authority, &request).await?;
        self.keep(visit, Scopes::default(), &granted)?;
        let given = granted.refresh_token.filter(|token| !token.is_empty());
        Ok(given.map(Secret::new))
    }

    fn note(&self, visit: &Visit<'_>, wanted: Wanted) {
        lock(&self.wanted).insert(visit.endpoint.authority.clone(), wanted);
    }

    /// What was sent is not good enough for a visit: a token is needed, with what the registry wants besides.
    fn refuse(&self, visit: &Visit<'_>, besides: &Scopes, sent: Option<&HeaderValue>) {
        let mut tokens = lock(&self.tokens);
        let Some(token) = tokens.iter_mut().find(|token| token.is_for(visit)) else {
            tokens.push(Token {
                registry: visit.endpoint.authority.clone(),
                auth: visit.auth.clone(),
                scopes: visit.scopes.clone(),
                besides: besides.clone(),
                text: None,
                stale: Instant::now(),
            });
            return;
        };
        let all = token.besides.clone().and(besides);
        // Another request may have got a better one by now.
        let known = token.text.as_ref().and_then(|text| bearer(text).ok());
        if known.as_ref() == sent || all != token.besides {
            token.text = None;
        }
        token.besides = all;
    }

    /// As if every token had run out.
    #[cfg(test)]
    pub(super) fn age(&self) {
        for token in lock(&self.tokens).iter_mut() {
            token.stale = Instant::now();
        }
    }

    fn known(&self, visit: &Visit<'_>) -> (Option<Secret>, Scopes) {
        let tokens = lock(&self.tokens);
        match tokens.iter().find(|token| token.is_for(visit)) {
            Some(token) if token.stale > Instant::now() => {
                (token.text.clone(), token.besides.clone())
            }
            Some(token) => (None, token.besides.clone()),
            None => (None, Scopes::default()),
        }
    }

    async fn token(
        &self,
        http: &Transport,
        visit: &Visit<'_>,
        realm: &Url,
        service: Option<&str>,
    ) -> Result<Secret> {
        if let (Some(token), _) = self.known(visit) {
            return Ok(token);
        }
        let turn = lock(&self.getting)
            .entry(visit.endpoint.authority.clone())
            .or_default()
            .clone();
        let _turn = turn.lock().await;
        let (token, besides) = self.known(visit);
        if let Some(token) = token {
            return Ok(token);
        }
        let scopes = visit.scopes.clone().and(&besides);
        let request = Asking {
            realm,
            service,
            scopes: &scopes,
            auth: visit.auth,
            keep: false,
        };
        let granted = get(http, &visit.endpoint.authority, &request).await?;
        self.keep(visit, besides, &granted)
    }

    fn keep(&self, visit: &Visit<'_>, besides: Scopes, granted: &Granted) -> Result<Secret> {
        let given = [&granted.token, &granted.access_token];
        let text = given
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())
            .map(Secret::new)
            .ok_or_else(|| {
                Error::new(
                    Kind::Unauthorized,
                    "authorization server did not include a token in the response",
                )
            })?;
        let life = granted.expires_in.filter(|life| *life >= 1.0);
        // Some of its life is left to the request that carries it.
        let used = life.and_then(|life| Duration::try_from_secs_f64(life * 0.9).ok());
        let used = used.unwrap_or(USUAL_LIFE * 9 / 10);
        let now = Instant::now();
        let mut tokens = lock(&self.tokens);
        tokens.retain(|token| !token.is_for(visit));
        tokens.push(Token {
            registry: visit.endpoint.authority.clone(),
            auth: visit.auth.clone(),
            scopes: visit.scopes.clone(),
            besides,
            text: Some(text.clone()),
            stale: now.checked_add(used).unwrap_or(now),
        });
        Ok(text)
    }
}

impl Token {
    fn is_for(&self, visit: &Visit<'_>) -> bool {
        self.registry == visit.endpoint.authority
            && self.scopes == visit.scopes
            && self.auth == *visit.auth
    }
}

fn wanted_token(challenge: &Challenge) -> Option<Wanted> {
    Some(Wanted::Token {
        realm: challenge.get("realm")?.parse().ok()?,
        service: challenge.get("service").map(str::to_owned),
    })
}

/// One wish to a token server.
struct Asking<'a> {
    realm: &'a Url,
    service: Option<&'a str>,
    scopes: &'a Scopes,
    auth: &'a Auth,
    /// A refresh token is wanted too.
    keep: bool,
}

async fn get(http: &Transport, registry: &str, asking: &Asking<'_>) -> Result<Granted> {
    let refused = |answer: &Answer, codes: &[StatusCode]| codes.contains(&answer.status());
    let mut answer = match asking.auth {
        Auth::Identity(token) => {
            let form = [
                ("grant_type", "refresh_token"),
                ("refresh_token", token.reveal()),
            ];
            let posted = post_form(http, asking, &form).await?;
            // Registries without the OAuth2 way answer any of these: containerd's list.
            let no_way = [
                StatusCode::NOT_FOUND,
                StatusCode::METHOD_NOT_ALLOWED,
                StatusCode::UNAUTHORIZED,
            ];
            if refused(&posted, &no_way) {
                drop(posted);
                get_with(http, asking, Some(basic("", token)?)).await?
            } else {
                posted
            }
        }
        Auth::Basic { user, password } => {
            let got = get_with(http, asking, Some(basic(user, password)?)).await?;
            if refused(&got, &[StatusCode::METHOD_NOT_ALLOWED]) {
                drop(got);
                let form = [
                    ("grant_type", "password"),
                    ("username", user),
                    ("password", password.reveal()),
                ];
                post_form(http, asking, &form).await?
            } else {
                got
            }
        }
        Auth::Anonymous | Auth::Registry(_) => get_with(http, asking, None).await?,
    };
    if !answer.status().is_success() {
        return Err(answer::refused(answer, &About::Token(registry)).await);
    }
    let body = answer.body(LIMIT).await?;
    serde_json::from_slice(&body)
        // The cause could quote a token: it stays out.
        .map_err(|_cause| Error::new(Kind::Unavailable, "its answer is not the JSON of a token"))
        .attempt(|| format!("get a token from {}", shown(asking.realm)))
}

async fn get_with(
    http: &Transport,
    asking: &Asking<'_>,
    authorization: Option<HeaderValue>,
) -> Result<Answer> {
    let mut url = asking.realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = asking.service {
            query.append_pair("service", service);
        }
        for scope in asking.scopes.texts() {
            query.append_pair("scope", &scope);
        }
        if let Auth::Basic { user, .. } = asking.auth {
            query.append_pair("account", user);
        }
        if asking.keep {
            query.append_pair("offline_token", "true");
        }
        query.append_pair("client_id", CLIENT);
    }
    let call = Call::new(Method::GET, url);
    let lane = endpoint::authority_of(asking.realm);
    let attempts = http.settings.patience.attempts;
    http.persist(&lane, &call, authorization.as_ref(), attempts)
        .await
}

async fn post_form(
    http: &Transport,
    asking: &Asking<'_>,
    credentials: &[(&str, &str)],
) -> Result<Answer> {
    // A URL's query is a form: the same escapes.
    let mut form = asking.realm.clone();
    form.set_query(None);
    {
        let mut pairs = form.query_pairs_mut();
        pairs.extend_pairs(credentials);
        pairs.append_pair("client_id", CLIENT);
        if let Some(service) = asking.service {
            pairs.append_pair("service", service);
        }
        let scopes = asking.scopes.to_string();
        if !scopes.is_empty() {
            pairs.append_pair("scope", &scopes);
        }
        if asking.keep {
            pairs.append_pair("access_type", "offline");
        }
    }
    let body = form.query().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    let kind = "application/x-www-form-urlencoded";
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let call = Call {
        headers,
        body: body.into(),
        ..Call::new(Method::POST, asking.realm.clone())
    };
    let lane = endpoint::authority_of(asking.realm);
    http.persist(&lane, &call, None, http.settings.patience.attempts)
        .await
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    sensitive(format!("Bearer {}", token.reveal()))
}

fn basic(user: &str, password: &Secret) -> Result<HeaderValue> {
    let pair = format!("{user}:{}", password.reveal());
    sensitive(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

fn sensitive(text: String) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&text).map_err(|_cause| {
        Error::invalid("the credentials have characters that no HTTP header can have")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
