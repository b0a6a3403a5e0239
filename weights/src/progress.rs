//! How a pull tells what it is doing.
//!
//! A pull calls [`Progress::update`] from the thread that pulls, often (each quarter megabyte or quarter
//! second); an implementation decides how often to show it. [`Silent`] shows nothing, [`Terminal`] draws a bar
//! per model, or prints a plain line per stage where standard error is not a terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a pull is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Another process (or thread) pulls the same model; waiting for it.
    Wait,
    /// Bytes come in.
    Fetch,
    /// Checksums are computed.
    Verify,
    /// Inputs are converted.
    Convert,
    /// The result is made durable and visible.
    Publish,
    /// The model can be used.
    Ready,
    /// A source failed; the next one is tried, if there is one.
    Failed,
    /// The pull failed.
    GivenUp,
}

impl Stage {
    /// The word for a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Convert => "convert",
            Self::Publish => "publish",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::GivenUp => "given up",
        }
    }
}

/// One piece of news.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The model.
    pub model: &'a str,
    /// What is being done.
    pub stage: Stage,
    /// The source or file it is done with.
    pub detail: &'a str,
    /// Bytes done.
    pub done: u64,
    /// Bytes to do, where that is known.
    pub total: Option<u64>,
}

/// Told what a pull does.
pub trait Progress: Sync {
    /// Takes a piece of news. Must be quick and must not fail.
    fn update(&self, update: &Update<'_>);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _: &Update<'_>) {}
}

/// A bar per model on a terminal; plain lines elsewhere.
pub struct Terminal {
    out: Out,
}

enum Out {
    Bars {
        all: MultiProgress,
        bars: Mutex<HashMap<String, ProgressBar>>,
    },
    Lines(Mutex<Lines<Box<dyn Write + Send>>>),
}

impl Terminal {
    /// Shows progress on standard error.
    pub fn new() -> Self {
        let out = if std::io::stderr().is_terminal() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            Out::Bars {
                all,
                bars: Mutex::default(),
            }
        } else {
            Out::Lines(Mutex::new(Lines::new(Box::new(std::io::stderr()))))
        };
        Self { out }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Terminal {
    fn update(&self, update: &Update<'_>) {
        // A thread that panicked while it drew leaves nothing that the next drawing could break on.
        match &self.out {
            Out::Lines(lines) => lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .show(update),
            Out::Bars { all, bars } => {
                let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
                let bar = bars.entry(update.model.to_owned()).or_insert_with(|| {
                    let bar = all.add(ProgressBar::no_length());
                    bar.enable_steady_tick(Duration::from_millis(200));
                    bar
                });
                draw(bar, update);
                if matches!(update.stage, Stage::Ready | Stage::GivenUp) {
                    bars.remove(update.model);
                }
            }
        }
    }
}

fn draw(bar: &ProgressBar, update: &Update<'_>) {
    let text = format!("{} {} {}", update.model, update.stage.name(), update.detail);
    match update.stage {
        Stage::Ready => return bar.finish_with_message(text),
        Stage::Failed => return bar.suspend(|| eprintln!("{text}")),
        Stage::GivenUp => return bar.abandon_with_message(text),
        _ => bar.set_message(text),
    }
    let template = match update.total {
        Some(total) => {
            bar.set_length(total);
            "{msg} [{bar:24}] {bytes}/{total_bytes} {elapsed}"
        }
        None => {
            bar.unset_length();
            "{msg} {spinner} {elapsed}"
        }
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(update.done);
}

/// A line when the stage or its detail changes, and one each few seconds while it lasts.
struct Lines<W> {
    to: W,
    shown: HashMap<String, (Stage, String, Instant)>,
}

impl<W: Write> Lines<W> {
    const EVERY: Duration = Duration::from_secs(5);

    fn new(to: W) -> Self {
        Self {
            to,
            shown: HashMap::new(),
        }
    }

    fn show(&mut self, update: &Update<'_>) {
        if let Some((stage, detail, at)) = self.shown.get(update.model)
            && *stage == update.stage
            && detail == update.detail
            && at.elapsed() < Self::EVERY
        {
            return;
        }
        let mut line = format!("{}: {}", update.model, update.stage.name());
        if !update.detail.is_empty() {
            line.push_str(&format!(" {}", update.detail));
        }
        match update.total {
            Some(total) => line.push_str(&format!(" ({} of {})", size(update.done), size(total))),
            None if update.done > 0 => line.push_str(&format!(" ({})", size(update.done))),
            None => (),
        }
        // Progress is a courtesy: a closed standard error must not stop a pull.
        let _ = writeln!(self.to, "{line}");
        self.shown.insert(
            update.model.to_owned(),
            (update.stage, update.detail.to_owned(), Instant::now()),
        );
    }
}

/// A size for a person.
fn size(bytes: u64) -> String {
    if bytes < 1_000_000 {
        format!("{:.1} kB", bytes as f64 / 1e3)
    } else {
        format!("{:.1} MB", bytes as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_each_stage_once() {
        let mut lines = Lines::new(Vec::new());
        let mut tell = |stage, detail, done, total| {
            lines.show(&Update {
                model: "m",
                stage,
                detail,
                done,
                total,
            });
        };
        tell(Stage::Fetch, "pip", 0, Some(2_000_000));
        tell(Stage::Fetch, "pip", 1_000_000, Some(2_000_000));
        tell(Stage::Verify, "a.bin", 0, None);
        tell(Stage::Ready, "", 0, None);
        let text = String::from_utf8(lines.to).unwrap();
        assert_eq!(
            text,
            "m: fetch pip (0.0 kB of 2.0 MB)\nm: verify a.bin\nm: ready\n"
        );
    }
}
