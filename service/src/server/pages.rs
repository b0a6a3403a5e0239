//! Pages that a browser shows: which of them may ask.
//!
//! Nobody proves who they are at these doors, so a browser must not lend its place on this machine to the pages of others.
//! A browser says in `Origin` whose page makes it ask; that page has to be ours or one that the configuration names
//! (`server.origins`), which is then also told that it may read the answer (CORS, <https://fetch.spec.whatwg.org/>). And
//! where only this machine can connect, the name that was asked for has to be one that nobody else can let point here:
//! otherwise a page comes from a name that first means its server and then us (DNS rebinding). Programs that are not
//! browsers send no `Origin`, and their `Host` is where they were told to connect.

use crate::config::Config;
use crate::failure::Failure;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderName, HeaderValue, ORIGIN, VARY,
};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// Names under these belong to a machine or a network, or to those whom its owner trusts with names: no page of a stranger
/// comes from there.
const OURS: [&str; 5] = [
    "localhost",
    "local",
    "internal",
    "amazonaws.com",
    "localstack.cloud",
];
/// What a browser says of how a page relates to whom it asks, <https://w3c.github.io/webappsec-fetch-metadata/>.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A page that may read the answer: the value of `Origin`.
pub(super) struct Reader(HeaderValue);

/// Whether a request may be answered; the page of another origin that makes it and may read the answer, if one does.
///
/// # Errors
/// What to answer instead.
pub(super) fn admit(
    config: &Config,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Reader>, Failure> {
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| headers.get(HOST)?.to_str().ok());
    if let Some(host) = host.filter(|_| config.listen.ip().is_loopback()) {
        let name = name_of(host);
        if !is_ours(name)
            && !config
                .server
                .hosts
                .iter()
                .any(|one| one.eq_ignore_ascii_case(name))
        {
            return Err(refused(format!(
                "this server is asked for as {name}, which is no name of this machine; `server.hosts` can name it"
            )));
        }
    }
    let Some(origin) = headers.get(ORIGIN) else {
        let elsewhere = headers.get(SITE).is_some_and(|site| site == "cross-site");
        return match elsewhere && !matches!(*method, Method::GET | Method::HEAD) {
            true => Err(refused("pages of other sites may not ask".to_owned())),
            false => Ok(None),
        };
    };
    let text = origin.to_str().unwrap_or_default();
    let same = text.split_once("://").map(|(_, authority)| authority);
    if same.is_some() && same.map(str::to_ascii_lowercase) == host.map(str::to_ascii_lowercase) {
        return Ok(None);
    }
    let named = |one: &String| one == "*" || one.trim_end_matches('/').eq_ignore_ascii_case(text);
    match config.server.origins.iter().any(named) {
        true => Ok(Some(Reader(origin.clone()))),
        false => Err(refused(format!(
            "pages of {} may not ask; `server.origins` can name them",
            if text.is_empty() { "this origin" } else { text }
        ))),
    }
}

fn refused(message: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "forbidden", message)
}

/// A host without its port and without the brackets around an address.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

/// An address, the name of a machine without a domain, or a name that strangers have no say over.
fn is_ours(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || OURS.iter().any(|ours| {
            name.strip_suffix(ours)
                .is_some_and(|rest| rest.ends_with('.'))
        })
}

impl Reader {
    /// The answer to a browser that asks whether the page may ask (a preflight); `None` when this is no such question.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if *method != Method::OPTIONS {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        let said = response.headers_mut();
        said.insert(ACCESS_CONTROL_ALLOW_METHODS, asked.clone());
        if let Some(names) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            said.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        said.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(response)
    }

    /// Tells the browser that the page may read an answer.
    pub(super) fn may_read(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    /// `None` where it is refused, else whether the page is one of another origin.
    fn asked(
        config: &Config,
        method: Method,
        pairs: &[(&'static str, &'static str)],
    ) -> Option<bool> {
        let uri = Uri::from_static("/v1/sql");
        let admitted = admit(config, &method, &uri, &headers(pairs));
        match admitted {
            Ok(reader) => Some(reader.is_some()),
            Err(failure) => {
                assert_eq!(failure.status, StatusCode::FORBIDDEN);
                None
            }
        }
    }

    #[test]
    fn pages_of_others_may_not_ask() {
        let config = Config::default();
        let post = |pairs: &[_]| asked(&config, Method::POST, pairs);
        let here = ("host", "localhost:4566");
        assert_eq!(post(&[here]), Some(false));
        assert_eq!(
            post(&[here, ("origin", "http://localhost:4566")]),
            Some(false),
            "our own page"
        );
        assert_eq!(post(&[here, ("origin", "http://localhost:3000")]), None);
        assert_eq!(post(&[here, ("origin", "http://evil.example")]), None);
        assert_eq!(post(&[here, ("origin", "null")]), None);
        assert_eq!(post(&[here, ("origin", "")]), None);
        assert_eq!(post(&[here, ("sec-fetch-site", "cross-site")]), None);
        assert_eq!(post(&[here, ("sec-fetch-site", "none")]), Some(false));
        let image = [here, ("sec-fetch-site", "cross-site")];
        assert_eq!(
            asked(&config, Method::GET, &image),
            Some(false),
            "shown and not read"
        );

        let mut config = Config::default();
        config.server.origins = vec!["http://localhost:3000/".to_owned()];
        let page = [here, ("origin", "http://localhost:3000")];
        assert_eq!(asked(&config, Method::POST, &page), Some(true));
        let page = [here, ("origin", "http://localhost:3001")];
        assert_eq!(asked(&config, Method::POST, &page), None);
    }

    #[test]
    fn only_names_of_this_machine_are_answered_on_this_machine() {
        let config = Config::default();
        let by = |config: &Config, host| asked(config, Method::GET, &[("host", host)]);
        for host in [
            "127.0.0.1:4566",
            "[::1]:4566",
            "localhost",
            "escala:4566",
            "photos.s3.localhost:4566",
            "s3.localhost.localstack.cloud:4566",
            "photos.s3.eu-west-1.amazonaws.com",
            "host.docker.internal:4566",
            "laptop.local.",
        ] {
            assert_eq!(by(&config, host), Some(false), "{host}");
        }
        for host in [
            "evil.example:4566",
            "s3.evil.example",
            "notlocalhost.com",
            "evil-amazonaws.com",
            "1.2.3.4.example",
        ] {
            assert_eq!(by(&config, host), None, "{host}");
        }
        let mut named = Config::default();
        named.server.hosts = vec!["Escala.example.com".to_owned()];
        assert_eq!(by(&named, "escala.example.com:4566"), Some(false));
        // Who listens for others is asked for by any name.
        let open = Config {
            listen: "0.0.0.0:4566".parse().expect("an address"),
            ..Config::default()
        };
        assert_eq!(by(&open, "escala.example.com"), Some(false));
    }

    #[test]
    fn a_named_page_is_told_that_it_may() {
        let reader = Reader(HeaderValue::from_static("http://localhost:3000"));
        let question = headers(&[
            ("access-control-request-method", "PUT"),
            (
                "access-control-request-headers",
                "content-type,x-amz-target",
            ),
        ]);
        let answer = reader
            .preflight(&Method::OPTIONS, &question)
            .expect("a preflight");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_METHODS], "PUT");
        assert_eq!(
            answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS],
            "content-type,x-amz-target"
        );
        assert!(reader.preflight(&Method::PUT, &question).is_none());
        assert!(
            reader
                .preflight(&Method::OPTIONS, &HeaderMap::new())
                .is_none()
        );
        let mut said = HeaderMap::new();
        reader.may_read(&mut said);
        assert_eq!(said[ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:3000");
        assert_eq!(said[VARY], "origin");
    }
}
