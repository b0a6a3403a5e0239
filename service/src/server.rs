//! The listener: accepts connections, gives each to hyper, and drains them when it is told to stop.
//!
//! Promises: no delay on any socket (`TCP_NODELAY`; without it small requests wait for acknowledgements);
//! at most so many connections, one more is answered 503 and closed; a connection's buffers stay small
//! ([`CONNECTION_BUFFER`]); a caller that does not take its answer is given up; after the signal to stop, nothing new is accepted, idle connections are
//! closed, and requests that have started get the grace period to finish.

pub mod body;
pub mod observe;
mod pages;
pub mod stall;

use crate::config::Config;
use crate::files::within_files;
use crate::metrics::Metrics;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use stall::Impatient;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most bytes of a connection's read buffer, and so of a request's head.
pub const CONNECTION_BUFFER: usize = 64 << 10;

/// Connections that are being told at one time that there are too many.
const REFUSALS: usize = 64;
/// How long telling may take.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\
Connection: close\r\nContent-Length: 70\r\n\r\n{\"error\":{\"code\":\"overloaded\",\"message\":\"too many open connections\"}}\n";

/// How long to wait after the system refused to accept (no file handles left) before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long the log hears nothing more of connections that cannot be accepted.
const ACCEPT_TOLD: Duration = Duration::from_secs(10);

/// Accepts and answers until `stop` completes, then drains.
///
/// Returns whether every connection ended within the grace period.
pub async fn run(
    listener: TcpListener,
    router: Router,
    config: &Config,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) -> bool {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.limits.idle.get())
        .max_buf_size(CONNECTION_BUFFER)
        .keep_alive(true);
    let connections = within_files(config.limits.connections, "limits.connections");
    let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let graceful = GracefulShutdown::new();
    let mut troubles = Troubles::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A caller that hung up already is its own business; anything else is ours.
                if !is_callers(&error) {
                    if let Some(times) = troubles.one_more(Instant::now()) {
                        tracing::warn!(%error, times, "cannot accept connections");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection lost before it began");
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics.connection_refused();
            // With too many to tell, the connection is closed without a word.
            if let Ok(permit) = refusals.clone().try_acquire_owned() {
                tokio::spawn(refuse(stream, permit));
            }
            continue;
        };
        let open = metrics.connection_opens();
        let connection = builder.serve_connection(
            TokioIo::new(Impatient::new(stream, config.limits.idle.get())),
            TowerToHyperService::new(router.clone()),
        );
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _held = (place, open);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    tokio::time::timeout(config.shutdown.grace.get(), graceful.shutdown())
        .await
        .is_ok()
}

/// Failures that come in crowds, of which the log is told once in a while.
#[derive(Default)]
struct Troubles {
    told: Option<Instant>,
    since: u64,
}

impl Troubles {
    /// Counts one; how many there were since the log was told, where it is time to tell it again.
    fn one_more(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.told.is_some_and(|told| now < told + ACCEPT_TOLD) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

fn is_callers(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Says that there are too many connections, and lets the caller read it before closing.
async fn refuse(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let tell = async {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        let mut sink = [0; 1024];
        while stream.read(&mut sink).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whatever goes wrong, the connection is closed.
    let _ = tokio::time::timeout(REFUSAL_TIME, tell).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::Span;
    use axum::routing::get;
    use tokio::sync::{Notify, oneshot};

    struct Running {
        address: std::net::SocketAddr,
        stop: oneshot::Sender<()>,
        done: tokio::task::JoinHandle<bool>,
        metrics: Arc<Metrics>,
    }

    async fn start(router: Router, config: Config) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let metrics = Arc::new(Metrics::default());
        let counted = metrics.clone();
        let done = tokio::spawn(async move {
            run(listener, router, &config, counted, async {
                stopped.await.expect("stop is sent");
            })
            .await
        });
        Running {
            address,
            stop,
            done,
            metrics,
        }
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .expect("written");
    }

    async fn until_closed(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("read");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_crowd_of_troubles_is_told_once_in_a_while() {
        let (mut troubles, start) = (Troubles::default(), Instant::now());
        assert_eq!(troubles.one_more(start), Some(1));
        for millis in [50, 100, 9_999] {
            assert_eq!(
                troubles.one_more(start + Duration::from_millis(millis)),
                None
            );
        }
        assert_eq!(troubles.one_more(start + ACCEPT_TOLD), Some(4));
        assert_eq!(troubles.one_more(start + ACCEPT_TOLD), None);
    }

    #[test]
    fn the_refusal_states_its_length() {
        let text = std::str::from_utf8(REFUSAL).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    }

    #[tokio::test]
    async fn a_request_that_started_finishes_and_idle_connections_close() {
        let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (entered_in, go_in) = (entered.clone(), go.clone());
        let handler = move || {
            let (entered, go) = (entered_in.clone(), go_in.clone());
            async move {
                entered.notify_one();
                go.notified().await;
                "finished"
            }
        };
        let running = start(
            Router::new().route("/slow", get(handler)),
            Config::default(),
        )
        .await;
        let mut idle = TcpStream::connect(running.address).await.expect("connects");
        let mut busy = TcpStream::connect(running.address).await.expect("connects");
        ask(&mut busy, "/slow").await;
        entered.notified().await;
        running.stop.send(()).expect("running");
        assert_eq!(until_closed(&mut idle).await, "");
        assert!(
            TcpStream::connect(running.address).await.is_err(),
            "nothing new is accepted"
        );
        go.notify_one();
        let answer = until_closed(&mut busy).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("finished"),
            "{answer}"
        );
        assert!(running.done.await.expect("no panic"), "drained");
    }

    #[tokio::test]
    async fn the_grace_period_ends() {
        let entered = Arc::new(Notify::new());
        let entered_in = entered.clone();
        let handler = move || {
            let entered = entered_in.clone();
            async move {
                entered.notify_one();
                std::future::pending::<&str>().await
            }
        };
        let mut config = Config::default();
        config.shutdown.grace = "50ms".parse::<Span>().expect("span");
        let running = start(Router::new().route("/never", get(handler)), config).await;
        let mut stream = TcpStream::connect(running.address).await.expect("connects");
        ask(&mut stream, "/never").await;
        entered.notified().await;
        running.stop.send(()).expect("running");
        assert!(!running.done.await.expect("no panic"), "not drained");
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so() {
        let mut config = Config::default();
        config.limits.connections = 1;
        let running = start(Router::new().route("/", get(|| async { "hello" })), config).await;
        let mut first = TcpStream::connect(running.address).await.expect("connects");
        ask(&mut first, "/").await;
        let mut buffer = [0; 12];
        first.read_exact(&mut buffer).await.expect("answer");
        assert_eq!(&buffer, b"HTTP/1.1 200");
        let mut second = TcpStream::connect(running.address).await.expect("connects");
        let told = until_closed(&mut second).await;
        assert!(
            told.starts_with("HTTP/1.1 503") && told.contains("Retry-After"),
            "{told}"
        );
        assert!(
            running
                .metrics
                .text()
                .contains("escala_connections_refused_total 1\n")
        );
        assert!(
            running
                .metrics
                .text()
                .contains("escala_connections_open 1\n")
        );
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_does_not_keep_the_connection() {
        let mut config = Config::default();
        config.limits.idle = "100ms".parse::<Span>().expect("span");
        let large = || async { vec![b'x'; 64 << 20] };
        let running = start(Router::new().route("/", get(large)), config).await;
        let mut stream = TcpStream::connect(running.address).await.expect("connects");
        ask(&mut stream, "/").await;
        let gone = async {
            while !running
                .metrics
                .text()
                .contains("escala_connections_open 0\n")
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // The first line comes, so the request was answered; the rest is never read.
        let mut buffer = [0; 12];
        stream.read_exact(&mut buffer).await.expect("answer");
        assert_eq!(&buffer, b"HTTP/1.1 200");
        let gone = tokio::time::timeout(Duration::from_secs(5), gone).await;
        assert!(gone.is_ok(), "the connection is given up");
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_cut_off() {
        let mut config = Config::default();
        config.limits.idle = "100ms".parse::<Span>().expect("span");
        let running = start(Router::new(), config).await;
        let mut stream = TcpStream::connect(running.address).await.expect("connects");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
            .await
            .expect("written");
        let closed = tokio::time::timeout(Duration::from_secs(5), until_closed(&mut stream)).await;
        assert!(closed.is_ok(), "the connection is closed");
    }
}
