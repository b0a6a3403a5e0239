//! `POST /v1/sql`: queries over registered folders, with models as functions.
//!
//! Rows are sent as they come, as lines of JSON, CSV or a stream of Arrow's, whatever `Accept` prefers. What is wrong with
//! the query, or goes wrong before its first rows, is an error as everywhere. Later there is a status already: lines of
//! JSON then end with a line `{"error": {…}}`, and the other formats break off, which clients of HTTP see as an answer
//! that is not whole.

use super::call::{Call, Media};
use super::error::ErrorBody;
use super::jobs::{self, JobView};
use crate::app::App;
use crate::failure::Failure;
use crate::scoring::written_to;
use crate::sql::{Choices, Piece, Queries, copying};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use escala_pipelines::Kind;
use escala_sql::arrow::array::{Array, AsArray, RecordBatch};
use escala_sql::arrow::datatypes::DataType;
use escala_sql::copy::Copying;
use escala_sql::files::Format;
use escala_sql::output::{Buffer, Writer};
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;
use utoipa::ToSchema;

/// Media types and the formats they ask for; the first is answered where nothing is said.
const FORMATS: [(&str, Format); 5] = [
    ("application/x-ndjson", Format::JsonLines),
    ("application/jsonl", Format::JsonLines),
    ("application/json", Format::JsonLines),
    ("text/csv", Format::Csv),
    ("application/vnd.apache.arrow.stream", Format::Arrow),
];
/// Bytes of a row's values at most.
const ROW: u64 = 64 << 20;
/// Bytes of values that are written at once, about.
const PIECE: u64 = 1 << 20;
/// Rows that are taken to be of about one size.
const MANY: usize = 1024;
/// Proxies are asked not to gather what they pass on.
const NO_BUFFERING: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One statement that reads: `SELECT`, `EXPLAIN`, `SHOW`, `DESCRIBE`; or `COPY (SELECT …) TO 's3://BUCKET/KEY'`.
    #[schema(
        example = "SELECT text, sentiment(text)['sentiment'] AS mood FROM 'reviews/*.parquet' LIMIT 10"
    )]
    query: String,
    /// What becomes of a row that a model cannot answer: `null` or `error`; `null` when left out. Functions `try_…` show
    /// the reason.
    #[schema(example = "null")]
    on_error: Option<String>,
    /// What becomes of a row of CSV or a line of JSON that is none, because it has too few or too many values or one that its column
    /// cannot have: `error`, which ends the query with the file and the line, or `skip`, which leaves it out; `error` when left out. A
    /// job counts those that it leaves out as errors.
    #[schema(example = "error")]
    bad_rows: Option<String>,
}

/// Ask about data in SQL, with models as functions.
///
/// A body of type `text/plain` or `application/sql` is the query. Tables are files of the folders that `sql.folders` of the
/// configuration names: `FROM 'NAME/part-*.parquet'` (Parquet, CSV, TSV, lines of JSON, Arrow), `images('NAME/folder')`.
/// Rows are sent as they come; one of more than 64 MiB is an error. An error after the first rows is the last line of JSON Lines, `{"error": {"code", "message"}}`,
/// and breaks the other formats off. `COPY` becomes a job, whose object is there when all rows are in it.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/sql",
    tag = "sql",
    request_body(content(
        (SqlRequest = "application/json"),
        (String = "application/sql"),
        (String = "text/plain"),
    )),
    responses(
        (status = 200, description = "Rows, as they come.", content(
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"),
        )),
        (status = 202, description = "The job that copies; `Location` is its address.", body = JobView),
        (status = 400, description = "The query cannot be planned, or is not allowed.", body = ErrorBody),
        (status = 406, description = "No format that is asked for is known.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 422, description = "The query failed before its first rows.", body = ErrorBody),
        (status = 429, description = "As many queries run as are allowed.", body = ErrorBody),
        (status = 503, description = "Queries are not answered here.", body = ErrorBody),
    )
)]
pub async fn sql(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    call: Call,
) -> Result<Response, Failure> {
    let request = match &call.media {
        Media::Json => call.json().await?,
        Media::Text => SqlRequest {
            query: call.text()?,
            on_error: None,
            bad_rows: None,
        },
        Media::Other(name) if name == "application/sql" => SqlRequest {
            query: call.text()?,
            on_error: None,
            bad_rows: None,
        },
        _ => return Err(call.unsupported("application/json, application/sql or text/plain")),
    };
    let Some(queries) = &app.sql else {
        return Err(Failure::of_kind(
            Kind::Unavailable,
            "queries are not answered here",
        ));
    };
    let choices = Choices {
        on_error: request.on_error,
        bad_rows: request.bad_rows,
    };
    if let Some(copying) = escala_sql::copy::copying(&request.query)
        .map_err(|error| Failure::invalid(error.strip_backtrace()).at("query"))?
    {
        return copied(&app, queries, copying, choices).await;
    }
    let (media, format) = preferred(&headers)?;
    let mut pieces = Queries::start(queries, request.query, choices)?;
    let failed = || Failure::of_kind(Kind::Internal, "the query ended without an answer");
    let schema = match pieces.recv().await.ok_or_else(failed)?? {
        Piece::Columns(schema) => schema,
        Piece::Rows(_) => return Err(failed()),
    };
    let written = Buffer::default();
    let writer = Writer::new(format, schema, written.clone()).map_err(|error| {
        Failure::invalid(format!("{media} has no place for these columns: {error}"))
    })?;
    // What goes wrong before the first rows has a status of its own.
    let left = match pieces.recv().await {
        Some(Ok(Piece::Rows(rows))) => cut(&rows)?,
        Some(Err(failure)) => return Err(failure),
        _ => VecDeque::new(),
    };
    let answer = Answer {
        pieces,
        left,
        writer: Some(writer),
        written,
        format,
    };
    let body = futures_util::stream::unfold(answer, |mut answer| async move {
        let piece = answer.next().await?;
        let piece = piece.map_err(|failure| std::io::Error::other(failure.message));
        Some((piece, answer))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media)),
        NO_BUFFERING,
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Keeps a job that copies.
async fn copied(
    app: &App,
    queries: &Arc<Queries>,
    mut copying: Copying,
    choices: Choices,
) -> Result<Response, Failure> {
    copying.target = written_to(copying.target, "query", &app.config.objects)?;
    Queries::check(queries, copying.query.clone(), choices.clone()).await?;
    let job = jobs::submit(app, copying::spec(copying, choices)?, None).await?;
    let place = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id));
    let place = place.map_err(|error| Failure::of_kind(Kind::Internal, error.to_string()))?;
    Ok((StatusCode::ACCEPTED, [(LOCATION, place)], job).into_response())
}

/// The format that `Accept` likes best; among equals the first that is named.
fn preferred(headers: &HeaderMap) -> Result<(&'static str, Format), Failure> {
    let mut best: Option<(f32, (&'static str, Format))> = None;
    let mut asked = false;
    for value in headers.get_all(ACCEPT) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        for range in value.split(',') {
            asked = true;
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let mut weights = parts.filter_map(|part| part.strip_prefix("q=")?.parse().ok());
            let weight: f32 = weights.next().unwrap_or(1.0);
            let family = name
                .strip_suffix('*')
                .filter(|family| family.is_empty() || family.ends_with('/'));
            let found = FORMATS.into_iter().find(|(media, _)| match (name, family) {
                ("*/*", _) => true,
                (_, Some(family)) => media.starts_with(family),
                _ => *media == name,
            });
            if let Some(found) = found
                && weight > best.map_or(0.0, |(best, _)| best)
            {
                best = Some((weight, found));
            }
        }
    }
    match best {
        Some((_, found)) => Ok(found),
        None if !asked => Ok(FORMATS[0]),
        None => {
            let known: Vec<&str> = FORMATS.iter().map(|(media, _)| *media).collect();
            let message = format!("rows are sent as {}", known.join(", "));
            Err(Failure::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                message,
            ))
        }
    }
}

/// The rows of a query on their way.
struct Answer {
    pieces: Receiver<Result<Piece, Failure>>,
    /// Rows that came and are not written yet.
    left: VecDeque<RecordBatch>,
    /// Gone when everything was said.
    writer: Option<Writer<Buffer>>,
    written: Buffer,
    format: Format,
}

impl Answer {
    /// The next bytes; an error breaks the answer off.
    async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        loop {
            self.writer.as_ref()?;
            if let Some(rows) = self.left.pop_front() {
                let mut writer = self.writer.take()?;
                // Whoever goes away waits for these rows at most, and no request at another door for any.
                let writing = tokio::task::spawn_blocking(move || {
                    let done = writer.write(&rows);
                    (writer, done)
                });
                match writing.await {
                    Ok((writer, Ok(()))) => self.writer = Some(writer),
                    Ok((_, Err(error))) => return Some(self.end_with(unwritten(error))),
                    Err(error) => return Some(self.end_with(unwritten(error))),
                }
                let written = self.written.take();
                if !written.is_empty() {
                    return Some(Ok(written.into()));
                }
                continue;
            }
            match self.pieces.recv().await {
                Some(Ok(Piece::Rows(rows))) => match cut(&rows) {
                    Ok(some) => self.left = some,
                    Err(failure) => return Some(self.end_with(failure)),
                },
                Some(Ok(Piece::Columns(_))) => {}
                Some(Err(failure)) => return Some(self.end_with(failure)),
                None => {
                    let end = self.writer.take()?.end();
                    return Some(end.map(|end| end.take().into()).map_err(unwritten));
                }
            }
        }
    }

    fn end_with(&mut self, failure: Failure) -> Result<Bytes, Failure> {
        self.writer = None;
        match self.format {
            Format::JsonLines => {
                let error = serde_json::json!({
                    "error": { "code": failure.code, "message": failure.message },
                });
                Ok(format!("{error}\n").into())
            }
            _ => Err(failure),
        }
    }
}

/// Rows in pieces that are not large, unless one row is.
///
/// # Errors
/// 422 where a row is larger than [`ROW`].
fn cut(rows: &RecordBatch) -> Result<VecDeque<RecordBatch>, Failure> {
    let mut pieces = VecDeque::new();
    let (mut from, mut bytes) = (0, 0_u64);
    // Where none can be too large, many are not looked at one by one.
    let all = size(rows);
    if all <= PIECE || (all <= ROW && rows.num_rows() >= MANY) {
        let some = all.div_ceil(PIECE).max(1) as usize;
        let most = rows.num_rows().div_ceil(some).max(1);
        for from in (0..rows.num_rows().max(1)).step_by(most) {
            pieces.push_back(rows.slice(from, most.min(rows.num_rows() - from)));
        }
        return Ok(pieces);
    }
    for row in 0..rows.num_rows() {
        let size = size(&rows.slice(row, 1));
        if size > ROW {
            let message = format!("a row has {size} bytes; at most {ROW} are sent");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Failure::new(status, "too_large", message));
        }
        if row > from && bytes + size > PIECE {
            pieces.push_back(rows.slice(from, row - from));
            (from, bytes) = (row, 0);
        }
        bytes += size;
    }
    pieces.push_back(rows.slice(from, rows.num_rows() - from));
    Ok(pieces)
}

/// Bytes of the values of a row, about.
fn size(row: &RecordBatch) -> u64 {
    let sizes = row.columns().iter().map(|column| match column.data_type() {
        // Views share what they show with other rows.
        DataType::Utf8View => column.as_string_view().lengths().map(u64::from).sum(),
        DataType::BinaryView => column.as_binary_view().lengths().map(u64::from).sum(),
        // What cannot be told is found when it is written.
        _ => column
            .to_data()
            .get_slice_memory_size()
            .map_or(0, |size| size as u64),
    });
    sizes.sum()
}

fn unwritten(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "query_failed",
        format!("the rows cannot be written: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_liked_best() {
        let asks = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            preferred(&headers)
                .map(|(_, format)| format)
                .map_err(|failure| failure.status.as_u16())
        };
        for (accept, format) in [
            ("*/*", Ok(Format::JsonLines)),
            ("text/csv", Ok(Format::Csv)),
            ("text/*", Ok(Format::Csv)),
            (
                "text/csv;q=0.5, application/vnd.apache.arrow.stream",
                Ok(Format::Arrow),
            ),
            ("image/png, application/json", Ok(Format::JsonLines)),
            ("text/html", Err(406)),
            ("text/csv;q=0", Err(406)),
        ] {
            assert_eq!(asks(accept), format, "{accept}");
        }
        let nothing = preferred(&HeaderMap::new()).map(|(media, _)| media);
        assert_eq!(nothing, Ok("application/x-ndjson"));
    }

    #[test]
    fn rows_are_cut_by_their_bytes_and_none_is_too_large() {
        use escala_sql::arrow::array::{ArrayRef, StringArray, StringViewArray};
        let of = |lengths: &[usize], view: bool| {
            let texts = lengths.iter().map(|length| "x".repeat(*length));
            let column: ArrayRef = match view {
                true => Arc::new(StringViewArray::from_iter_values(texts)),
                false => Arc::new(StringArray::from_iter_values(texts)),
            };
            let rows = RecordBatch::try_from_iter([("text", column)]).expect("rows");
            let cut = cut(&rows).map_err(|failure| failure.message)?;
            Ok(cut.iter().map(RecordBatch::num_rows).collect::<Vec<_>>())
        };
        let large = 600 << 10;
        for view in [true, false] {
            assert_eq!(of(&[], view), Ok(vec![0]));
            assert_eq!(of(&[10; 256], view), Ok(vec![256]));
            assert_eq!(of(&[1500; 2000], view), Ok(vec![667, 667, 666]));
            assert_eq!(
                of(&[large, 10, large, 2 << 20, 10], view),
                Ok(vec![2, 1, 1, 1])
            );
            let refused: Result<Vec<usize>, String> = of(&[10, 65 << 20], view);
            assert!(refused.is_err_and(|why| why.contains("at most 67108864")));
        }
    }
}
