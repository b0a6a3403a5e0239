//! Jobs that copy: the rows of a query become an object, `COPY (SELECT …) TO 's3://…'`.
//!
//! The query runs from its beginning again after a kill; its object appears when all rows are
//! in it, which are the job's documents. It reads objects, folders that are registered, topics and flows, on threads of its own, after whoever waits for
//! an answer.

use super::{Choices, Threads};
use crate::app::App;
use crate::failure::Failure;
use crate::s3::places::Places as Objects;
use crate::scoring::tables::trouble;
use escala_batch::behind::behind;
use escala_batch::job::{Form, Source, Spec, Split, Target, Usage};
use escala_batch::prices::bill;
use escala_batch::runner::Trouble;
use escala_batch::work::{Bounds, Collected, Documents, Made, Telling, Whole, Work, Writing};
use escala_sql::Engine;
use escala_sql::answered::Answered;
use escala_sql::buckets::Buckets;
use escala_sql::copy::Copying;
use escala_sql::engine::{DataFusionError, Rights};
use escala_sql::files::Format;
use escala_sql::output::{Buffer, Writer};
use escala_sql::sources::Sources;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The kind of these jobs.
pub const KIND: &str = "sql.copy";
/// How often a query that has no rows yet looks whether it is wanted still.
const LOOK: Duration = Duration::from_millis(100);
/// How often it says how far it is: so soon after each other that one which ends the process does so not far from there.
const SAID: Duration = Duration::from_millis(10);

/// A query, as it is kept with the job.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    query: String,
    /// A name's ending that tells the format.
    format: String,
    #[serde(flatten)]
    choices: Choices,
}

fn ending(format: Format) -> &'static str {
    match format {
        Format::Parquet => "parquet",
        Format::Csv => "csv",
        Format::Tsv => "tsv",
        Format::JsonLines => "jsonl",
        Format::Arrow => "arrow",
    }
}

/// The job that a statement is.
///
/// # Errors
/// 400 where its rows would go elsewhere than into an object.
pub fn spec(copying: Copying, choices: Choices) -> Result<Spec, Failure> {
    let place = copying.target.strip_prefix("s3://");
    let place = place.and_then(|place| place.split_once('/'));
    let (bucket, key) = match place {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() && !key.ends_with('/') => {
            (bucket, key)
        }
        _ => {
            let why = "COPY writes an object here: TO 's3://BUCKET/KEY'";
            return Err(Failure::invalid(why).at("query"));
        }
    };
    let cut = key.rfind('/').map_or(0, |slash| slash + 1);
    let question = Question {
        query: copying.query,
        format: ending(copying.format).to_owned(),
        choices,
    };
    let Ok(question) = serde_json::to_value(question) else {
        return Err(Failure::invalid("the query cannot be kept").at("query"));
    };
    Ok(Spec {
        kind: KIND.to_owned(),
        name: None,
        priority: 0,
        input: Source {
            bucket: String::new(),
            prefix: String::new(),
            split: Split::Question,
        },
        output: Target {
            bucket: bucket.to_owned(),
            folder: key[..cut].to_owned(),
            form: Form::Joined {
                name: key[cut..].to_owned(),
            },
        },
        question,
        details: Value::Null,
    })
}

/// Runs the queries of jobs.
pub struct Copies {
    engine: Engine,
    threads: Threads,
}

impl Copies {
    /// Queries that ask an app, and may read all objects and what else there is.
    ///
    /// # Errors
    /// What is wrong with the configuration or the machine.
    pub fn open(
        asking: &Arc<App>,
        objects: Arc<Objects>,
        sources: Vec<Arc<dyn Sources>>,
    ) -> Result<Self, String> {
        let config = &asking.config;
        let engine = Engine::new(
            super::models(asking),
            super::places(config)?.and_buckets(Buckets::new(objects)),
            Rights::Read,
            super::room(config),
        );
        let engine = engine.map_err(|error| error.strip_backtrace())?;
        Ok(Self {
            engine: engine.with_sources(sources),
            threads: Threads::start("copy", behind)?,
        })
    }

    async fn copied(
        &self,
        question: &Question,
        documents: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        let failed = |error: DataFusionError| trouble("the query", &error);
        let format = question.format.parse::<Format>();
        let format = format.map_err(|error| Trouble::Fails(error.to_string()))?;
        let session = self.engine.session().map_err(failed)?;
        let chosen = question.choices.set(&session);
        chosen.map_err(|failure| Trouble::Fails(failure.message))?;
        let query = session.query(&question.query).await.map_err(failed)?;
        let written = Buffer::default();
        let writer = Writer::new(format, query.schema(), written.clone());
        let mut writer = writer.map_err(failed)?;
        let mut rows = query.rows().map_err(failed)?;
        let mut made = 0;
        let mut tell = |documents: &mut dyn Documents, more: usize| {
            made += more as u64;
            let counts = query.counts();
            documents.passed(query.passed() as u64);
            documents.made(Made {
                rows: made,
                errors: counts.failed as u64,
                examples: counts.examples,
            });
        };
        loop {
            let next = tokio::select! {
                biased;
                next = rows.try_next() => next.map_err(failed)?,
                () = tokio::time::sleep(SAID) => {
                    tell(documents, 0);
                    continue;
                }
            };
            let Some(batch) = next else { break };
            tell(documents, batch.num_rows());
            writer.write(&batch).map_err(failed)?;
            write(0, &written.take())?;
            if progress(0.0).is_break() {
                return Err(Trouble::Rest);
            }
        }
        let rest = writer.end().map_err(failed)?;
        write(0, &rest.take())?;
        tell(documents, 0);
        let (tokens, pixels) = query.seen();
        Ok(Collected {
            tokens,
            pixels,
            ..counted(&query.answered())
        })
    }
}

/// What answers of functions come to; units where AWS has a price for such answers, which is the same for all of them.
fn counted(answered: &BTreeMap<&'static str, Answered>) -> Collected {
    let mut counted = Collected::default();
    for (function, answered) in answered {
        counted.characters += answered.characters;
        if bill(&format!("score.{function}"), &Usage::default()).is_some() {
            counted.units += answered.units;
        }
    }
    counted
}

impl Whole for Copies {
    fn collect(
        &self,
        spec: &Spec,
        documents: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        let question = Question::deserialize(&spec.question);
        let question = question.map_err(|error| {
            Trouble::Fails(format!("the query of the job cannot be read: {error}"))
        })?;
        let Some(threads) = self.threads.get() else {
            return Err(Trouble::Rest);
        };
        threads.block_on(async {
            let wanted = async {
                loop {
                    tokio::time::sleep(LOOK).await;
                    if progress(0.0).is_break() {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                copied = self.copied(&question, documents, progress, write) => copied,
                () = wanted => Err(Trouble::Rest),
            }
        })
    }
}

impl Work for Copies {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: u64::MAX,
            documents: 0,
            bytes: u64::MAX,
        }
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str) -> Result<Spec, Failure> {
        let copying = Copying {
            query: "SELECT 1".to_owned(),
            target: target.to_owned(),
            format: Format::Csv,
        };
        spec(copying, Choices::default())
    }

    #[test]
    fn answers_with_a_price_are_units_of_one_price() {
        let answered = |characters, units| Answered {
            rows: 1,
            characters,
            units,
        };
        let all = [
            ("sentiment", answered(500, 5)),
            ("embed", answered(20, 3)),
            ("pii", answered(10, 3)),
            ("labels", answered(0, 1)),
        ];
        let counted = counted(&all.into());
        assert_eq!((counted.characters, counted.units), (530, 8));
        let usage = Usage {
            units: 1_000_000,
            ..Usage::default()
        };
        let copied = bill(KIND, &usage).expect("a price");
        for function in ["sentiment", "language", "entities", "key_phrases", "pii"] {
            let own = bill(&format!("score.{function}"), &usage);
            assert_eq!(own.as_ref(), Some(&copied), "{function}");
        }
    }

    #[test]
    fn rows_go_into_an_object_and_nowhere_else() {
        for (target, bucket, folder, file) in [
            ("s3://b/x.csv", "b", "", "x.csv"),
            ("s3://b/a/c/x.csv", "b", "a/c/", "x.csv"),
        ] {
            let spec = asked(target).map_err(|failure| failure.message);
            let spec = spec.expect(target);
            let name = file.to_owned();
            assert_eq!(spec.output.form, Form::Joined { name });
            assert_eq!(
                (&*spec.output.bucket, &*spec.output.folder),
                (bucket, folder)
            );
            assert_eq!(spec.question["query"], "SELECT 1");
        }
        for target in [
            "x.csv",
            "/tmp/x.csv",
            "s3://b",
            "s3://b/",
            "s3:///x.csv",
            "s3://b/a/",
        ] {
            let failure = asked(target).expect_err(target);
            assert!(failure.message.contains("s3://BUCKET/KEY"), "{target}");
        }
    }
}
