//! How far jobs are.

use crate::cluster::Doing;
use crate::job::{Job, Usage};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The time that a rate is of.
const WINDOW: Duration = Duration::from_secs(60);
/// Two samples are at least so far apart.
const APART: Duration = Duration::from_millis(500);

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Documents that are done with, also of unfinished tasks.
    pub documents: u64,
    /// Those of them that have no answer.
    pub errors: u64,
    /// Bytes that were read of the inputs.
    pub bytes: u64,
    /// Bytes that were written, also of unfinished tasks.
    pub written: u64,
    /// Documents a second, over the last minute; of a job that has ended, over all its time.
    pub rate: f64,
    /// Seconds until the last document, at this rate; `None` where nothing is known of it.
    pub left: Option<f64>,
}

impl Progress {
    /// Of a job that took so much, does so much, and does so many documents a second.
    pub fn of(job: &Job, usage: &Usage, doing: Doing, rate: f64) -> Self {
        let all = job.planned.documents;
        // The rows that answer a question are not known before.
        let most = if all > 0 { all } else { u64::MAX };
        // A task that comes back in this moment may be in both.
        let documents = (usage.documents + doing.documents).min(most);
        let open = all.saturating_sub(documents);
        let rate = match (job.state.is_live(), job.begun, job.ended) {
            (true, ..) => rate,
            (false, Some(begun), Some(ended)) => {
                let seconds = ended.saturating_sub(begun).max(1) as f64 / 1000.0;
                documents as f64 / seconds
            }
            _ => 0.0,
        };
        Self {
            documents,
            errors: usage.errors + doing.errors,
            bytes: (usage.read + doing.bytes).min(job.planned.bytes),
            written: usage.written + doing.written,
            rate,
            left: (job.state.is_live() && rate > 0.0 && all > 0).then(|| open as f64 / rate),
        }
    }
}

/// Documents that were done by which time, of each job over the last minute.
#[derive(Debug, Default)]
pub struct Rates(BTreeMap<String, VecDeque<(Instant, u64)>>);

impl Rates {
    /// So many documents of a job are done by now.
    pub fn sample(&mut self, job: &str, done: u64, now: Instant) {
        let samples = self.0.entry(job.to_owned()).or_default();
        let recent = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) < APART;
        if samples.back().is_some_and(recent) {
            return;
        }
        samples.push_back((now, done));
        // The one before the window stays: the window begins in between.
        while samples
            .get(1)
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
        {
            samples.pop_front();
        }
    }

    /// Documents a second.
    pub fn rate(&self, job: &str, now: Instant) -> f64 {
        let Some(samples) = self.0.get(job) else {
            return 0.0;
        };
        let (Some((from, first)), Some((_, last))) = (samples.front(), samples.back()) else {
            return 0.0;
        };
        let time = now.saturating_duration_since(*from).as_secs_f64();
        match time > 0.0 {
            // Put down tasks take what they had done with them.
            true => last.saturating_sub(*first) as f64 / time,
            false => 0.0,
        }
    }

    /// A job has ended.
    pub fn forget(&mut self, job: &str) {
        self.0.remove(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Form, Planned, Planning, Source, Spec, Split, State, Target};
    use serde_json::Value;

    #[test]
    fn of_a_job_that_has_ended_the_rate_is_of_all_its_time() {
        let job = |state, begun, ended| Job {
            id: "a".to_owned(),
            spec: Spec {
                kind: "a".to_owned(),
                name: None,
                priority: 0,
                input: Source {
                    bucket: "in".to_owned(),
                    prefix: String::new(),
                    split: Split::Lines,
                },
                output: Target {
                    bucket: "out".to_owned(),
                    folder: String::new(),
                    form: Form::Joined {
                        name: "a".to_owned(),
                    },
                },
                question: Value::Null,
                details: Value::Null,
            },
            state,
            submitted: 0,
            begun,
            ended,
            why: None,
            planned: Planned {
                documents: 500,
                ..Planned::default()
            },
            samples: Vec::new(),
            assembled: false,
            planning: Planning::default(),
        };
        let usage = Usage {
            documents: 300,
            ..Usage::default()
        };
        for (state, begun, ended, rate) in [
            (State::Completed, Some(1000), Some(3000), 150.0),
            (State::Running, Some(1000), None, 7.0),
            // What never began did nothing.
            (State::Stopped, None, Some(3000), 0.0),
        ] {
            let progress = Progress::of(&job(state, begun, ended), &usage, Doing::default(), 7.0);
            assert!(
                (progress.rate - rate).abs() < 1e-9,
                "{state:?}: {progress:?}"
            );
        }
    }

    #[test]
    fn a_rate_is_of_the_last_minute() {
        let mut rates = Rates::default();
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        assert_eq!(rates.rate("a", begin), 0.0);
        for second in 0..=60 {
            rates.sample("a", second * 10, at(second));
        }
        assert!((rates.rate("a", at(60)) - 10.0).abs() < 1e-9);
        for second in 61..=180 {
            rates.sample("a", 600 + (second - 60) * 2, at(second));
        }
        assert!((rates.rate("a", at(180)) - 2.0).abs() < 1e-9);
        // Nothing more comes.
        assert!(rates.rate("a", at(300)) < 1.0);
        let kept = rates.0["a"].len();
        assert!(kept <= 62, "{kept}");
        rates.forget("a");
        assert_eq!(rates.rate("a", at(300)), 0.0);
    }
}
