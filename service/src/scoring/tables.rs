//! Pieces of tables as queries: their rows, with a column of answers and one of errors.

use super::{PREDICTION, Question};
use crate::app::App;
use crate::s3::places::Places;
use crate::sql::{models, room};
use escala_batch::job::{Form, Piece, Spec, table_name};
use escala_batch::runner::{Cut, Trouble};
use escala_batch::work::{Asked, Collected, Failed, Fault, Scored, Scoring, Tables};
use escala_sql::answered::units;
use escala_sql::arrow::array::{Array, AsArray, RecordBatch};
use escala_sql::arrow::datatypes::DataType;
use escala_sql::buckets::Buckets;
use escala_sql::endpoint::PREDICT;
use escala_sql::engine::{DataFusionError, Rights, Session};
use escala_sql::files::{Format, NoFormat};
use escala_sql::output::{Buffer, Writer};
use escala_sql::score::cut::{Group, Size, cut, group_of};
use escala_sql::score::{Scoring as Asking, Split, is_undecodable, query};
use escala_sql::{Engine, Error};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use std::sync::Arc;

/// What queries of jobs are made with: they name objects and nothing else.
pub fn engine(app: &Arc<App>, places: &Arc<Places>) -> Result<Arc<Engine>, String> {
    let buckets = escala_sql::places::Places::default().and_buckets(Buckets::new(places.clone()));
    let engine = Engine::new(models(app), buckets, Rights::Read, room(&app.config));
    engine
        .map(Arc::new)
        .map_err(|error| error.strip_backtrace())
}

/// Scores tables with a function.
pub struct Scorer {
    engine: Arc<Engine>,
    function: &'static str,
    /// The column of the answers.
    answers: &'static str,
}

impl Scorer {
    pub fn new(engine: Arc<Engine>, function: &'static str) -> Self {
        Self {
            engine,
            function,
            answers: function,
        }
    }

    /// Scores tables with hosted models.
    pub fn of_endpoints(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            function: PREDICT.name,
            answers: PREDICTION,
        }
    }

    fn session(&self) -> Result<Session, Trouble> {
        self.engine
            .session()
            .map_err(|error| Trouble::Fails(error.strip_backtrace()))
    }

    /// What a table is asked, and in which form it is.
    fn asking(&self, spec: &Spec, key: &str) -> Result<(Asking, Format), Trouble> {
        let question = Question::deserialize(&spec.question);
        let question = question.map_err(|error| {
            Trouble::Fails(format!("the question of the job cannot be read: {error}"))
        })?;
        let columns = question.columns();
        if columns.is_empty() {
            return Err(Trouble::Fails("the job names no column".to_owned()));
        }
        let Form::Tables { ending } = &spec.output.form else {
            return Err(Trouble::Fails("the job writes no tables".to_owned()));
        };
        let format = format_of(key)?;
        let (_, ending) = table_name(key, ending.as_deref());
        let asking = Asking {
            function: self.function.to_owned(),
            columns,
            endpoint: question.endpoint,
            language: question.language,
            answers: self.answers.to_owned(),
            format: format_of(&format!("x.{ending}"))?,
        };
        Ok((asking, format))
    }
}

fn format_of(name: &str) -> Result<Format, Trouble> {
    name.parse()
        .map_err(|error: NoFormat| Trouble::Fails(error.to_string()))
}

/// The name of an object in queries.
fn address(spec: &Spec, key: &str) -> Result<String, Trouble> {
    let refused = |why: &str| Err(Trouble::Fails(format!("`{key}` cannot be scored: {why}")));
    // Queries take them for patterns.
    if key.contains(['*', '?', '[']) {
        return refused("its key has a `*`, `?` or `[`");
    }
    // And leave these out, so that the key would be another object's.
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused("a part of its key between slashes is empty, `.` or `..`");
    }
    if key.contains(['\t', '\n', '\r']) {
        return refused("its key has a tab or a line end");
    }
    Ok(format!("s3://{}/{key}", spec.input.bucket))
}

/// An error of a query as one of a job, with what was read.
pub fn trouble(what: &str, error: &DataFusionError) -> Trouble {
    let why = format!("{what}: {}", error.strip_backtrace());
    match error.find_root() {
        DataFusionError::IoError(_) | DataFusionError::ResourcesExhausted(_) => Trouble::Now(why),
        DataFusionError::ObjectStore(error) => match **error {
            escala_sql::ObjectStoreError::NotFound { .. } => Trouble::Fails(why),
            _ => Trouble::Now(why),
        },
        DataFusionError::External(error)
            if matches!(error.downcast_ref(), Some(Error::Unavailable(_))) =>
        {
            Trouble::Now(why)
        }
        _ => Trouble::Fails(why),
    }
}

impl Tables for Scorer {
    /// Files that Hive, Spark and others leave beside tables begin with a dot or an underscore, as do their folders.
    fn passes_over(&self, key: &str) -> bool {
        let hidden = |part: &str| part.starts_with(['_', '.']) && !part.contains('=');
        key.split('/').any(hidden)
    }

    fn cut<'a>(
        &'a self,
        spec: &'a Spec,
        input: u64,
        key: &'a str,
        size: Cut,
    ) -> BoxFuture<'a, Result<Vec<Piece>, Trouble>> {
        Box::pin(async move {
            let (_, format) = self.asking(spec, key)?;
            let size = Size {
                bytes: size.bytes,
                rows: size.documents,
            };
            let pieces = cut(&self.session()?, &address(spec, key)?, format, size).await;
            let pieces = pieces
                .map_err(|error| trouble(&format!("`{key}`"), &error))?
                .into_iter();
            let piece = |piece: escala_sql::score::cut::Piece| Piece {
                input,
                from: piece.bytes.start,
                to: piece.bytes.end,
                first: piece.rows.start,
                documents: piece.rows.end - piece.rows.start,
            };
            Ok(pieces.map(piece).collect())
        })
    }

    fn score<'a>(
        &'a self,
        spec: &'a Spec,
        asked: Asked<'a>,
        write: &'a mut Scoring<'a>,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            let Asked { key, piece, .. } = asked;
            let (asking, format) = self.asking(spec, key)?;
            // Lines are counted from where it begins.
            let what = format!("`{key}`, from row {} on", piece.first);
            let told = |error: DataFusionError| trouble(&what, &error);
            let session = self.session()?;
            if asked.one_by_one {
                session.set("escala.pieces", "1").map_err(told)?;
            }
            let file = address(spec, key)?;
            let written = Buffer::default();
            let mut writer = None;
            let mut row = piece.first;
            let end = piece.first + piece.documents;
            loop {
                let part = escala_sql::score::cut::Piece {
                    bytes: piece.from..piece.to,
                    rows: row..end,
                };
                let split = Split {
                    file: file.clone(),
                    part: part.part(format),
                };
                let query = query(&session, &split, &asking).await.map_err(told)?;
                if writer.is_none() {
                    let (format, first) = (asking.format, piece.first == 0);
                    let begun = Writer::with_header(format, query.schema(), written.clone(), first);
                    writer = Some(begun.map_err(told)?);
                }
                let mut rows = query.rows().map_err(told)?;
                let broken = loop {
                    let batch = match rows.try_next().await {
                        Ok(Some(batch)) => batch,
                        Ok(None) => break None,
                        Err(error) if format == Format::Parquet && is_undecodable(&error) => {
                            break Some(error);
                        }
                        Err(error) => return Err(told(error)),
                    };
                    if let Some(writer) = &mut writer {
                        writer.write(&batch).map_err(told)?;
                    }
                    let (failed, counted) = looked_at(&batch, &asking, row);
                    let count = batch.num_rows() as u64;
                    row += count;
                    write(Scored {
                        bytes: written.take(),
                        rows: count,
                        failed,
                        counted,
                    })?;
                };
                let (tokens, pixels) = query.seen();
                write(Scored {
                    counted: Collected {
                        tokens,
                        pixels,
                        ..Collected::default()
                    },
                    ..Scored::default()
                })?;
                let Some(error) = broken else { break };
                // The rest of its group cannot be read; what is behind that can.
                let group = group_of(&session, &file, row).await.map_err(told)?;
                let lost = row..group.rows.end.min(end);
                let why = unread(&group, &error);
                row = lost.end;
                write(Scored {
                    rows: lost.end - lost.start,
                    failed: lost.map(|row| (row, why.clone())).collect(),
                    ..Scored::default()
                })?;
                if row == end {
                    break;
                }
            }
            let Some(writer) = writer else {
                return Ok(());
            };
            let rest = writer.end().map_err(told)?;
            write(Scored {
                bytes: rest.take(),
                ..Scored::default()
            })
        })
    }
}

/// Why rows of a group cannot be read.
fn unread(group: &Group, error: &DataFusionError) -> Failed {
    let number = group.number;
    Failed {
        fault: Fault::Document,
        code: "unread".to_owned(),
        message: format!(
            "row group {number} cannot be read: {}",
            error.strip_backtrace()
        ),
        subject: None,
    }
}

/// The rows without an answer, from this number on, and what is counted of the others.
fn looked_at(batch: &RecordBatch, asking: &Asking, first: u64) -> (Vec<(u64, Failed)>, Collected) {
    let mut failed = Vec::new();
    let mut counted = Collected::default();
    let errors = batch
        .column_by_name(&asking.errors())
        .and_then(|column| column.as_string_opt::<i32>());
    let about = asking.columns.first();
    let about = about.and_then(|column| batch.column_by_name(column));
    for row in 0..batch.num_rows() {
        if let Some(errors) = errors
            && !errors.is_null(row)
        {
            let why = Failed {
                fault: Fault::Document,
                code: "unanswered".to_owned(),
                message: errors.value(row).to_owned(),
                subject: None,
            };
            failed.push((first + row as u64, why));
            continue;
        }
        if asking.endpoint.is_some() {
            counted.units += 1;
            continue;
        }
        let Some(about) = about.filter(|about| !about.is_null(row)) else {
            continue;
        };
        let text = match about.data_type() {
            DataType::Utf8 => about.as_string::<i32>().value(row),
            DataType::LargeUtf8 => about.as_string::<i64>().value(row),
            DataType::Utf8View => about.as_string_view().value(row),
            // An image.
            _ => {
                counted.units += 1;
                continue;
            }
        };
        let characters = text.chars().count() as u64;
        counted.characters += characters;
        counted.units += units(characters);
    }
    (failed, counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_batch::job::{Source, Split, Target};
    use serde_json::Value;

    #[test]
    fn only_keys_that_queries_read_as_they_are_have_addresses() {
        let spec = Spec {
            kind: "score.sentiment".to_owned(),
            name: None,
            priority: 0,
            input: Source {
                bucket: "lake".to_owned(),
                prefix: String::new(),
                split: Split::Rows,
            },
            output: Target {
                bucket: "scored".to_owned(),
                folder: String::new(),
                form: Form::Tables { ending: None },
            },
            question: Value::Null,
            details: Value::Null,
        };
        for key in ["a.csv", "a b/..c/d.e/%20.csv", "2026/.a.csv"] {
            let address = address(&spec, key).ok();
            assert_eq!(address, Some(format!("s3://lake/{key}")));
        }
        for (key, why) in [
            ("a*.csv", "`*`"),
            ("a//b.csv", "empty"),
            ("/a.csv", "empty"),
            ("a.csv/", "empty"),
            ("a/./b.csv", "`.`"),
            ("../b.csv", "`..`"),
            ("a/..", "`..`"),
            ("a\tb.csv", "a tab"),
            ("a\n.csv", "a line end"),
        ] {
            match address(&spec, key) {
                Err(Trouble::Fails(said)) => {
                    assert!(said.contains(key) && said.contains(why), "{said}");
                }
                other => panic!("{key}: {other:?}"),
            }
        }
    }
}
