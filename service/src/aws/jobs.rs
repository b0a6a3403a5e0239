//! What the doors of jobs share: who answers for each kind, how the engine is asked, and pages of lists.

use super::comprehend::jobs::work::Asker;
use super::rekognition::media::work::Moderation;
use super::{Aws, rekognition};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use escala_batch::job::Job;
use escala_batch::runner::{self, Runner};
use escala_batch::store::{Filter, Place};
use escala_batch::work::Work;
use escala_pipelines::{Options, Priority};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a document may wait for its turn: others come first, and nobody is waiting for it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Who answers for the jobs of each kind, by its name.
pub fn works(aws: &Aws) -> impl Iterator<Item = (String, Arc<dyn Work>)> {
    let moderation: Arc<dyn Work> = Arc::new(Moderation::new(aws.clone()));
    let moderation = (rekognition::media::KIND.to_owned(), moderation);
    Asker::all(aws).chain([moderation])
}

/// How the engine is asked about a document of a job, now.
pub fn options() -> Options {
    Options {
        priority: Priority::Batch,
        deadline: Some(Instant::now() + PATIENCE),
    }
}

/// A request as it is shown again: members that are null were not given, wherever they stand.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

/// A time in AWS's answers.
pub fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// A page of at most `filter.most` jobs, and the token of the next one where there is one.
///
/// # Errors
/// The jobs cannot be read.
pub fn page(jobs: &Runner, filter: Filter) -> runner::Result<(Vec<Job>, Option<String>)> {
    let most = filter.most;
    // One more says whether there is another page.
    let mut found = jobs.jobs(&Filter {
        most: most + 1,
        ..filter
    })?;
    let more = found.len() > most;
    found.truncate(most);
    let next = found.last().filter(|_| more).map(token);
    Ok((found, next))
}

fn token(job: &Job) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", job.submitted, job.id))
}

/// Where the page of a token begins; `None` where it is none of this server's.
pub fn place(token: &str) -> Option<Place> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (submitted, id) = text.split_once(' ')?;
    Some(Place {
        submitted: submitted.parse().ok()?,
        id: id.to_owned(),
    })
}
