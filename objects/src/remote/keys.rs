//! Keys that `object_store` has a path for. It reads every key of a list as one, fails at those that are none and takes the slash
//! off those that end with one, so that these are taken out of answers to lists before it sees them.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::path::Path;
use std::io;

/// Most bytes of an answer to a list: what 5000 names of 1024 bytes take, each byte written as six.
const LONGEST_LIST: usize = 32 << 20;

/// The path that is this key and no other.
pub fn path(key: &str) -> Option<Path> {
    let path = Path::parse(key).ok()?;
    (path.as_ref() == key && key.len() <= crate::LONGEST_KEY && !key.is_empty()).then_some(path)
}

/// Makes clients that take out what has no path.
#[derive(Debug, Default)]
pub struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Client(HttpClient);

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let is_list = query
            .split('&')
            .any(|pair| matches!(pair, "list-type=2" | "comp=list"));
        let answer = self.0.execute(request).await?;
        if !is_list || !answer.status().is_success() {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let (mut text, mut pieces) = (Vec::new(), body.bytes_stream());
        while let Some(piece) = pieces.try_next().await? {
            if text.len() + piece.len() > LONGEST_LIST {
                let long = io::Error::other("the answer to a list is too long");
                return Err(HttpError::new(HttpErrorKind::Decode, long));
            }
            text.extend_from_slice(&piece);
        }
        let text = match std::str::from_utf8(&text) {
            Ok(whole) => Bytes::from(with_paths(whole)),
            Err(_) => Bytes::from(text),
        };
        Ok(HttpResponse::from_parts(parts, text.into()))
    }
}

/// An answer to a list without the entries whose keys have no path.
fn with_paths(answer: &str) -> String {
    let entry = match answer.contains("<Blobs") {
        true => ("<Blob>", "</Blob>", "<Name", "</Name>"),
        false => ("<Contents>", "</Contents>", "<Key", "</Key>"),
    };
    let (open, close, key_open, key_close) = entry;
    let mut kept = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(start) = rest.find(open) {
        let Some(length) = rest[start..].find(close) else {
            break;
        };
        let end = start + length + close.len();
        let inside = &rest[start..end];
        let key = inside.find(key_open).and_then(|at| {
            let key = &inside[at + key_open.len()..];
            // A key that has attributes is encoded in a way of the service's own.
            let key = key.strip_prefix('>')?;
            unescaped(&key[..key.find(key_close)?])
        });
        kept.push_str(&rest[..start]);
        if key.is_some_and(|key| path_of_any_length(&key)) {
            kept.push_str(inside);
        }
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

fn path_of_any_length(key: &str) -> bool {
    Path::parse(key).is_ok_and(|path| path.as_ref() == key) && !key.is_empty()
}

/// XML's text; none where it is not known what it means.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut pieces = text.split('&');
    plain.push_str(pieces.next()?);
    for piece in pieces {
        let (name, rest) = piece.split_once(';')?;
        let number = |digits: &str, base| u32::from_str_radix(digits, base).ok();
        let letter = match (name, name.strip_prefix("#x"), name.strip_prefix('#')) {
            ("amp", ..) => '&',
            ("lt", ..) => '<',
            ("gt", ..) => '>',
            ("quot", ..) => '"',
            ("apos", ..) => '\'',
            (_, Some(digits), _) => char::from_u32(number(digits, 16)?)?,
            (_, None, Some(digits)) => char::from_u32(number(digits, 10)?)?,
            _ => return None,
        };
        plain.push(letter);
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_their_keys() {
        for key in [
            "a",
            "a/b.png",
            "größe/照片 🙂.jpg",
            "a+b c%20d",
            "...",
            ".hidden",
            "a\\b",
            "%2e%2e/a",
        ] {
            assert_eq!(path(key).as_ref().map(Path::as_ref), Some(key));
        }
        let long = "x".repeat(1025);
        for key in [
            "", "/", "a/", "/a", "a//b", "..", "./a", "a/../b", "a\0", "a\nb", &long,
        ] {
            assert_eq!(path(key), None, "{key:?}");
        }
    }

    #[test]
    fn lists_lose_what_has_no_path_and_nothing_else() {
        let entry = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let list = |keys: &[&str]| {
            let entries: String = keys.iter().map(|key| entry(key)).collect();
            format!("<R><Name>b</Name><Prefix>a/</Prefix>{entries}<NextToken>x</NextToken></R>")
        };
        let all = [
            "a",
            "a/",
            "a//b",
            "&lt;/Contents&gt;",
            "..",
            "x&#13;y",
            "x&#xd;y",
            "/",
            "&amp;amp;/b",
            "&what;",
            "z",
        ];
        let kept = ["a", "&lt;/Contents&gt;", "&amp;amp;/b", "z"];
        // `</Contents>` has an empty part behind its slash no more than `a/b` has.
        assert_eq!(with_paths(&list(&all)), list(&kept));
        assert_eq!(with_paths(&list(&[])), list(&[]));
        let blobs = "<E><Blobs><Blob><Name>a</Name></Blob><Blob><Name>b/</Name></Blob><Blob><Name Encoded=\"true\">c</Name></Blob></Blobs></E>";
        assert_eq!(
            with_paths(blobs),
            "<E><Blobs><Blob><Name>a</Name></Blob></Blobs></E>"
        );
        assert_eq!(with_paths("<Contents><Key>a"), "<Contents><Key>a");
    }
}
