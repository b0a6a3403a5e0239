//! Logs: events of the program as lines on standard error, for people or for machines.
//!
//! Promises: no line holds the content of a request, an answer or a secret; every line about a request
//! carries its id. Requests that succeed are logged at `debug`, those that fail at `info` (the caller's
//! fault) or `warn` (ours), so that the default level stays quiet under load.

use crate::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

// What `s3s` has to say are the faults of callers, which are in the answers, and what requests hold.
const LIBRARIES: &str = "hyper=warn,hyper_util=warn,mio=warn,ureq=warn,rustls=warn,s3s=off";

/// Reads a level or directives.
///
/// # Errors
/// When the text is neither.
pub fn directives(level: &str) -> Result<EnvFilter, String> {
    // Libraries below are only of interest when something is wrong with them. The engine tells of every
    // load, which `serve` tells already; at `debug` both are heard.
    let quiet = match level {
        "error" | "off" => level.to_owned(),
        // A word alone would be the name of a crate, of which everything is said, and of all others nothing.
        word if word.is_empty()
            || !word.contains(['=', ',']) && word.parse::<LevelFilter>().is_err() =>
        {
            return Err(format!(
                "`{word}` is none of error, warn, info, debug, trace, off"
            ));
        }
        "info" => format!("info,escala_pipelines=warn,{LIBRARIES}"),
        "warn" | "debug" | "trace" => format!("{level},{LIBRARIES}"),
        _ => level.to_owned(),
    };
    EnvFilter::try_new(quiet).map_err(|error| error.to_string())
}

/// Starts logging. Called once; a second call changes nothing.
///
/// # Errors
/// When the level cannot be read.
pub fn start(log: &Log) -> Result<(), String> {
    let registry = tracing_subscriber::registry().with(directives(&log.level)?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => registry
            .with(
                lines
                    .with_target(false)
                    .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_span_list(false))
            .try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was already started");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_read() {
        for text in [
            "error",
            "warn",
            "info",
            "debug",
            "trace",
            "off",
            "info,escala_pipelines=debug",
        ] {
            directives(text).expect(text);
        }
        for text in ["loud=very", "verbose", "warning", ""] {
            directives(text).expect_err(text);
        }
    }
}
