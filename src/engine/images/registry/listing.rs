//! Lists: the tags of a repository, what refers to a manifest, what search finds.

use std::collections::HashSet;

use reqwest::header::{ACCEPT, HeaderValue, LINK};
use reqwest::{Method, StatusCode, Url};

use super::answer::{self, About};
use super::auth::Visit;
use super::endpoint::Endpoint;
use super::scope::Scopes;
use super::transport::{Answer, Call, may_have_credentials};
use super::{Client, Repository, Which};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::images::document::{Descriptor, LIMIT, OCI_INDEX};
use crate::engine::model::registry::Hit;
use crate::engine::model::{Digest, request};

/// Largest page of a list.
const PAGE: usize = 16 << 20;
/// Most pages of a list.
const PAGES: usize = 10_000;
/// Docker Hub's search.
const HUB_SEARCH: &str = "index.docker.io";
/// Hits, if nobody says how many.
const USUAL_HITS: u32 = 25;

impl Repository {
    /// All tags, over all pages.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn tags(&self) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let visit = self.origin()?;
        let first = visit.endpoint.v2(&self.path("tags/list"));
        let mut tags = Vec::new();
        let about = About::Repository(self.name(), "list tags");
        let mut pages = Pages::new(first);
        while let Some(page) = pages
            .next::<Page>(self, &visit, "application/json", &about)
            .await?
        {
            tags.extend(page.tags.unwrap_or_default());
        }
        Ok(tags)
    }

    /// What refers to a manifest; by the tag schema where the registry does not know referrers.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let visit = self.origin()?;
        let first = visit
            .endpoint
            .v2(&self.path(&format!("referrers/{digest}")));
        let about = About::Repository(self.name(), "list referrers");
        let mut pages = Pages::new(first);
        let mut found = Vec::new();
        loop {
            match pages.next::<Listed>(self, &visit, OCI_INDEX, &about).await {
                Ok(Some(page)) => found.extend(page.manifests.unwrap_or_default()),
                Ok(None) => return Ok(found),
                Err(error) if pages.first_status == Some(StatusCode::NOT_FOUND) => {
                    drop(error);
                    return self.referrers_by_tag(digest).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// An index with the tag `sha256-<hex>` (distribution-spec 1.1, "Referrers Tag Schema").
    async fn referrers_by_tag(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let tag = Which::Tag(digest.as_str().replace(':', "-"));
        let fetched = match self.manifest_at(&self.origin()?, &tag).await {
            Ok(fetched) => fetched,
            Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let listed: Listed = parse(&fetched.bytes, "the index of referrers")?;
        Ok(listed.manifests.unwrap_or_default())
    }
}

#[derive(serde::Deserialize)]
struct Listed {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

/// A list that comes in pages.
struct Pages {
    next: Option<Url>,
    seen: HashSet<Url>,
    /// How the first page was answered.
    first_status: Option<StatusCode>,
}

impl Pages {
    fn new(first: Url) -> Self {
        Self {
            next: Some(first),
            seen: HashSet::new(),
            first_status: None,
        }
    }

    async fn next<T: serde::de::DeserializeOwned>(
        &mut self,
        repository: &Repository,
        visit: &Visit<'_>,
        accept: &'static str,
        about: &About<'_>,
    ) -> Result<Option<T>> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        let call =
            Call::new(Method::GET, url.clone()).with(ACCEPT, HeaderValue::from_static(accept));
        let mut answer = repository.ask(visit, &call).await?;
        self.first_status.get_or_insert(answer.status());
        if answer.status() != StatusCode::OK {
            return Err(answer::refused(answer, about).await);
        }
        self.next = following(&answer);
        self.seen.insert(url);
        // A list that leads back into itself has no end.
        let turns = self
            .next
            .as_ref()
            .is_some_and(|next| self.seen.contains(next));
        if turns || self.seen.len() > PAGES {
            return Err(Error::new(
                Kind::Unavailable,
                "the registry's list has no end",
            ));
        }
        let body = answer.body(PAGE.max(LIMIT)).await?;
        parse(&body, "the registry's list").map(Some)
    }
}

/// The next page: on the same host, or it is none.
fn following(answer: &Answer) -> Option<Url> {
    let links = answer.headers().get_all(LINK).iter();
    let next = links
        .filter_map(|value| value.to_str().ok())
        .find_map(next_link)?;
    let url = answer.url().join(next).ok()?;
    may_have_credentials(answer.url(), &url).then_some(url)
}

/// `</v2/a/tags/list?last=x>; rel="next"` (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        // Up to the next link. A quoted value with a `<` in it is nothing that registries send.
        let parameters = after.split('<').next().unwrap_or(after);
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = after;
    }
    None
}

impl Client {
    /// Docker Hub's v1 search, or that of the registry that the term names (`host:port/x`).
    ///
    /// # Errors
    /// `Unavailable`, `InvalidInput` for an answer that is none.
    pub async fn search(&self, request: &request::Search) -> Result<Vec<Hit>> {
        #[derive(serde::Deserialize)]
        struct Found {
            #[serde(default)]
            results: Option<Vec<Hit>>,
        }
        let limit = request.limit.unwrap_or(USUAL_HITS);
        if !(1..=100).contains(&limit) {
            return Err(Error::invalid(format!(
                "limit {limit} is outside the range of [1, 100]"
            )));
        }
        let (host, term) = search_place(&request.term);
        let endpoint = Endpoint::host(host)?;
        let mut url = endpoint.base.clone();
        url.set_path("/v1/search");
        url.query_pairs_mut()
            .append_pair("q", term)
            .append_pair("n", &limit.to_string());
        let visit = Visit {
            endpoint: &endpoint,
            auth: &request.auth,
            scopes: Scopes::default(),
        };
        let mut answer = self
            .inner
            .http
            .ask(&self.inner.keyring, &visit, &Call::new(Method::GET, url))
            .await?;
        if answer.status() != StatusCode::OK {
            let what = format!("search {host} for {term:?}");
            return Err(answer::refused(answer, &About::Other(&what)).await);
        }
        let body = answer.body(PAGE).await?;
        let found: Found = parse(&body, &format!("what search found at {host}"))?;
        let mut hits = found.results.unwrap_or_default();
        hits.truncate(limit as usize);
        Ok(hits)
    }
}

/// The host to ask, and what for: `host:port/x` names its host.
fn search_place(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => (HUB_SEARCH, rest),
            _ => (host, rest),
        },
        _ => (HUB_SEARCH, term),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        Error::invalid(format!("{what} is not what it should be")).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_page_is_found_among_other_links() {
        for (header, next) in [
            (
                r#"</v2/a/tags/list?last=b&n=2>; rel="next""#,
                Some("/v2/a/tags/list?last=b&n=2"),
            ),
            ("<https://x/y>;rel=next", Some("https://x/y")),
            (
                r#"</p>; rel="prev", </n>; title="x"; rel="last NEXT""#,
                Some("/n"),
            ),
            (r#"</p>; rel="prev""#, None),
            ("</p", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), next, "{header}");
        }
    }

    #[test]
    fn a_term_may_name_its_registry() {
        assert_eq!(search_place("busybox"), (HUB_SEARCH, "busybox"));
        assert_eq!(search_place("user/app"), (HUB_SEARCH, "user/app"));
        assert_eq!(search_place("docker.io/app"), (HUB_SEARCH, "app"));
        assert_eq!(
            search_place("localhost:5000/app"),
            ("localhost:5000", "app")
        );
    }

    proptest! {
        #[test]
        fn no_link_breaks_the_reader(header in "\\PC{0,100}") {
            let _ = next_link(&header);
        }

        #[test]
        fn a_next_link_is_read_as_it_is_written(target in "[!-;=?-~]{1,60}") {
            let header = format!(r#"</before>; rel="prev", <{target}>; rel="next""#);
            prop_assert_eq!(next_link(&header), Some(target.as_str()));
        }
    }
}
