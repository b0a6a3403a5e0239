//! A running server, asked through its REST door, for commands about what only it has.
//!
//! Nothing here knows what is asked. Answers are JSON or a stream of events; a failure of the door is told by its own
//! message, and a server that is not there by how to start one.

use super::Stop;
use crate::config::Config;
use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use ureq::http::request::Builder;
use ureq::http::{Request, Response, StatusCode, Uri};
use ureq::{Agent, AsSendBody, Body};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for a whole answer; servers give up sooner unless they are told otherwise.
const ANSWER: Duration = Duration::from_secs(600);
/// Longest silence in a stream; servers say something far more often.
const SILENCE: Duration = Duration::from_secs(90);
/// Most bytes of an answer that is no stream.
const LONGEST_ANSWER: u64 = 1 << 30;
/// Most bytes of an answer that says what went wrong.
const LONGEST_FAILURE: u64 = 1 << 20;
/// Most bytes of one event of a stream.
const LONGEST_EVENT: u64 = 1 << 30;

/// Which server a command asks.
#[derive(Debug, Clone, Args)]
pub struct Server {
    /// The running server to ask; without it, the one that the setting `listen` names.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

impl Server {
    /// Whether one was named.
    #[cfg(feature = "sql")]
    pub fn is_named(&self) -> bool {
        self.server.is_some()
    }
}

/// A server and the way to it.
pub struct Remote {
    /// Scheme and authority, without a slash at the end.
    base: String,
    agent: Agent,
}

/// What a request brings.
#[derive(Clone, Copy)]
pub enum Sent<'a> {
    /// Nothing.
    Nothing,
    /// Bytes of this content type.
    Bytes(&'a str, &'a [u8]),
}

/// What is waited for.
#[derive(Clone, Copy)]
enum Patience {
    /// The whole answer.
    Answer,
    /// The next part of a stream.
    Silence,
    /// Whatever comes; Ctrl-C ends it.
    #[cfg(feature = "sql")]
    Forever,
}

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What kind it is; empty for an ordinary one.
    pub name: String,
    /// What to ask with to go on behind it.
    pub id: String,
    /// What it says.
    pub data: String,
}

impl Server {
    /// The way to the server.
    ///
    /// # Errors
    /// [`Stop::Usage`] when what is named is not the address of one.
    pub fn remote(&self, config: &Config) -> Result<Remote, Stop> {
        let base = match &self.server {
            Some(url) => based(url).map_err(Stop::Usage)?,
            None => listened(config)?,
        };
        // The server is meant, and no proxy that the environment names.
        let agent = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("escala/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .build()
            .new_agent();
        Ok(Remote { base, agent })
    }
}

/// Where a server with this configuration is reached from the machine that it runs on.
fn listened(config: &Config) -> Result<String, Stop> {
    let mut address = config.listen;
    if address.port() == 0 {
        let why =
            "the setting `listen` leaves the port open; say with --server which server is meant";
        return Err(Stop::Usage(why.to_owned()));
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}"))
}

/// Scheme and authority of what somebody typed: `http://host:port`, or `host:port` alone.
fn based(url: &str) -> Result<String, String> {
    let whole = match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    };
    let uri: Option<Uri> = whole.parse().ok();
    let base = uri.as_ref().and_then(|uri| {
        let scheme = uri
            .scheme_str()
            .filter(|scheme| matches!(*scheme, "http" | "https"))?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        plain.then_some(format!("{scheme}://{}", uri.authority()?))
    });
    base.ok_or_else(|| format!("--server wants a URL such as http://127.0.0.1:4566, not `{url}`"))
}

/// A part of a path, such as a name that somebody typed.
pub fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte.into()),
            // `.` and `..` mean something else in a path.
            b'.' if !matches!(text, "." | "..") => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A path with a query string made of those parameters that have a value.
pub fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut out = path.to_owned();
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    for (at, (name, value)) in given.enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        out.push_str(&format!("{name}={}", part(value)));
    }
    out
}

impl Remote {
    /// The server, as it is named to people.
    pub fn name(&self) -> &str {
        &self.base
    }

    /// Asks for what is at a path.
    ///
    /// # Errors
    /// [`Stop::Failed`] with the door's message, or with why there is none.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Stop> {
        self.ask("GET", path, Sent::Nothing)
    }

    /// Sends JSON to a path.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Stop> {
        let body = serde_json::to_vec(body).map_err(|error| Stop::failed(&error))?;
        self.ask(method, path, Sent::Bytes("application/json", &body))
    }

    /// Deletes what is at a path.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub fn delete(&self, path: &str) -> Result<(), Stop> {
        let request = self.request("DELETE", path).body(());
        self.call(request, Patience::Answer)?;
        Ok(())
    }

    /// Any request that is answered in JSON.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        sent: Sent<'_>,
    ) -> Result<T, Stop> {
        let request = self.request(method, path);
        let answer = match sent {
            Sent::Nothing => self.call(request.body(()), Patience::Answer)?,
            Sent::Bytes(kind, bytes) => {
                let request = request.header("content-type", kind).body(bytes);
                self.call(request, Patience::Answer)?
            }
        };
        let body = answer.into_body().into_with_config().limit(LONGEST_ANSWER);
        serde_json::from_reader(BufReader::new(body.reader())).map_err(|error| {
            Stop::Failed(format!(
                "the answer of {} cannot be read: {error}",
                self.base
            ))
        })
    }

    /// Any request whose answer is read as it comes, which may take as long as it likes to begin.
    ///
    /// # Errors
    /// As [`Remote::get`].
    #[cfg(feature = "sql")]
    pub fn stream(
        &self,
        method: &str,
        path: &str,
        sent: Sent<'_>,
        accept: &str,
    ) -> Result<impl Read + use<>, Stop> {
        let request = self.request(method, path).header("accept", accept);
        let answer = match sent {
            Sent::Nothing => self.call(request.body(()), Patience::Forever)?,
            Sent::Bytes(kind, bytes) => {
                let request = request.header("content-type", kind).body(bytes);
                self.call(request, Patience::Forever)?
            }
        };
        let body = answer.into_body().into_with_config().limit(u64::MAX);
        Ok(body.reader())
    }

    /// A stream of events that goes on until the server ends it or the caller drops it. `after` is the id of the last
    /// event that came before.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub fn events(
        &self,
        path: &str,
        after: Option<&str>,
    ) -> Result<Events<impl BufRead + use<>>, Stop> {
        let mut request = self
            .request("GET", path)
            .header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = self.call(request.body(()), Patience::Silence)?;
        let body = answer.into_body().into_with_config().limit(u64::MAX);
        Ok(Events::of(BufReader::new(body.reader())))
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        let url = format!("{}{path}", self.base);
        Request::builder().method(method).uri(url)
    }

    fn call<S: AsSendBody>(
        &self,
        request: Result<Request<S>, ureq::http::Error>,
        patience: Patience,
    ) -> Result<Response<Body>, Stop> {
        let request = request.map_err(|error| Stop::failed(&error))?;
        let request = self.agent.configure_request(request);
        let request = match patience {
            Patience::Answer => request.timeout_global(Some(ANSWER)),
            Patience::Silence => request.timeout_per_read(Some(SILENCE)),
            #[cfg(feature = "sql")]
            Patience::Forever => request,
        };
        let answer = self.agent.run(request.build());
        let answer = answer.map_err(|error| self.unanswered(&error))?;
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(self.refused(answer)),
        }
    }

    /// Nobody answered.
    fn unanswered(&self, error: &ureq::Error) -> Stop {
        use std::io::ErrorKind as E;
        let absent = match error {
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
            ureq::Error::Timeout(ureq::Timeout::Connect) => true,
            ureq::Error::Io(error) => matches!(
                error.kind(),
                E::ConnectionRefused
                    | E::AddrNotAvailable
                    | E::HostUnreachable
                    | E::NetworkUnreachable
            ),
            _ => false,
        };
        Stop::Failed(match absent {
            true => format!(
                "no server answers at {}; start one with `escala serve`, or name another with --server",
                self.base
            ),
            false => format!("{} gave no answer: {error}", self.base),
        })
    }

    /// What the door says went wrong.
    fn refused(&self, answer: Response<Body>) -> Stop {
        let status = answer.status();
        let body = answer.into_body().into_with_config().limit(LONGEST_FAILURE);
        let text = body.read_to_vec().unwrap_or_default();
        Stop::Failed(refusal(&self.base, status, &text))
    }
}

/// The shape of the REST door's failures, as far as people need it.
#[derive(Deserialize)]
struct Failed {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

fn refusal(base: &str, status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<Failed>(body) {
        Ok(failed) => failed.error.message,
        Err(_) => format!("what answers at {base} is not a server of Escala's: it said {status}"),
    }
}

/// The events of a stream, as <https://html.spec.whatwg.org/multipage/server-sent-events.html> has them; comments are
/// left out.
pub struct Events<R> {
    from: R,
    id: String,
}

impl<R: BufRead> Events<R> {
    fn of(from: R) -> Self {
        Self {
            from,
            id: String::new(),
        }
    }

    fn line(&mut self, room: u64) -> std::io::Result<Option<String>> {
        let mut line = Vec::new();
        let read = Read::take(&mut self.from, room).read_until(b'\n', &mut line)?;
        match line.pop() {
            Some(b'\n') => {}
            // What is not ended was cut off.
            _ if (read as u64) < room => return Ok(None),
            _ => return Err(std::io::Error::other("an event of the stream is too long")),
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }

    fn event(&mut self) -> std::io::Result<Option<Event>> {
        let mut event = Event::default();
        let (mut said, mut room) = (false, LONGEST_EVENT);
        while let Some(line) = self.line(room)? {
            room = room.saturating_sub(line.len() as u64 + 1);
            if line.is_empty() {
                if said {
                    // A line end belongs to each line, and the last one goes.
                    event.data.pop();
                    event.id.clone_from(&self.id);
                    return Ok(Some(event));
                }
                event = Event::default();
                room = LONGEST_EVENT;
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    said = true;
                    event.data.push_str(value);
                    event.data.push('\n');
                }
                "event" => value.clone_into(&mut event.name),
                "id" if !value.contains('\0') => value.clone_into(&mut self.id),
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = std::io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.event().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stop: Stop) -> String {
        match stop {
            Stop::Failed(message) | Stop::Usage(message) => message,
            Stop::Silent => panic!("nothing was said"),
        }
    }

    #[test]
    fn servers_are_named_as_people_do() {
        for (typed, base) in [
            ("localhost:4566", "http://localhost:4566"),
            ("http://10.0.0.1:80/", "http://10.0.0.1:80"),
            ("https://models.example", "https://models.example"),
            ("http://[::1]:4566", "http://[::1]:4566"),
        ] {
            assert_eq!(based(typed).as_deref(), Ok(base), "{typed}");
        }
        for typed in [
            "",
            "ftp://a",
            "http://",
            "http://a/v1/topics",
            "http://a/?b",
            "a b",
        ] {
            assert!(based(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn without_a_name_the_configured_address_is_asked_from_this_machine() {
        let mut config = Config::default();
        for (listen, base) in [
            ("127.0.0.1:4566", "http://127.0.0.1:4566"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
        ] {
            config.listen = listen.parse().expect("an address");
            let remote = Server { server: None }.remote(&config);
            assert_eq!(remote.map_err(said).expect("a server").name(), base);
        }
        config.listen.set_port(0);
        let remote = Server { server: None }.remote(&config);
        assert!(said(remote.err().expect("no port")).contains("--server"));
    }

    #[test]
    fn a_server_that_is_not_there_is_said_to_be_missing() {
        // Bound and let go: nobody listens there now.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let server = Server {
            server: Some(format!("127.0.0.1:{port}")),
        };
        let remote = server
            .remote(&Config::default())
            .map_err(said)
            .expect("an address");
        let stop = remote
            .get::<serde_json::Value>("/v1/topics")
            .expect_err("nobody there");
        let message = said(stop);
        assert!(
            message.starts_with("no server answers at http://127.0.0.1:")
                && message.contains("escala serve"),
            "{message}"
        );
    }

    #[test]
    fn failures_of_the_door_are_told_in_its_words() {
        let body = br#"{"error": {"code": "not_found", "message": "there is no topic a", "request_id": "1"}}"#;
        assert_eq!(
            refusal("http://a", StatusCode::NOT_FOUND, body),
            "there is no topic a"
        );
        let other = refusal("http://a", StatusCode::NOT_FOUND, b"<html>");
        assert!(
            other.contains("http://a") && other.contains("404"),
            "{other}"
        );
    }

    #[test]
    fn names_are_escaped_in_paths_and_queries() {
        assert_eq!(part("a-b_c.d"), "a-b_c.d");
        assert_eq!(part("a/b ü?"), "a%2Fb%20%C3%BC%3F");
        assert_eq!(part(".."), "%2E%2E");
        let parameters = [
            ("a", Some("1 2".to_owned())),
            ("b", None),
            ("c", Some("0:1,1:2".to_owned())),
        ];
        assert_eq!(with_query("/x", &parameters), "/x?a=1%202&c=0%3A1%2C1%3A2");
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let stream = b": comment\n\nid: 0:1\ndata: one\ndata:  two\n\nevent: error\r\ndata:x\r\n\r\ndata\n\nid: 7\n\ndata: cut";
        let events = Events::of(&stream[..]).collect::<std::io::Result<Vec<_>>>();
        let event = |name: &str, id: &str, data: &str| Event {
            name: name.to_owned(),
            id: id.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(
            events.expect("readable"),
            [
                event("", "0:1", "one\n two"),
                event("error", "0:1", "x"),
                event("", "0:1", ""),
            ]
        );
    }
}
