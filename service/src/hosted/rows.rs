//! Endpoints asked about rows: what flows, jobs and queries ask of hosted models.
//!
//! A row is a line of CSV or a JSON value. Many rows are one request while the model answers them; where it refuses, halves are
//! asked, until it is known which row is to blame.

use super::Hosted;
use super::questions::essence;
use crate::failure::Failure;
use crate::rest::analyze::Outcome;
use bytes::Bytes;
use escala_pipelines::Kind;
use escala_sagemaker::Caller;
use escala_sagemaker::invoke::{Invocation, InvokeError};
use escala_sagemaker::served::{Asked, Haste};
use serde_json::value::RawValue;

/// Most rows of a request.
const ROWS: usize = 1000;
/// Most bytes of a request, about.
const BYTES: usize = 4 << 20;

/// What an endpoint says of rows, in order, a JSON value each. It is named as [`Invocation::named`] reads it.
///
/// # Errors
/// Those of the moment: there is no such endpoint now, or it has too much to do. What is wrong with a row is in its place.
pub async fn of_rows(
    hosted: &Hosted,
    account: &str,
    endpoint: &str,
    haste: Haste,
    rows: Vec<String>,
) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::with_capacity(rows.len());
    // Pieces of rows that are asked about, the next one last.
    let mut pieces = cut(&rows);
    pieces.reverse();
    while let Some((kind, from, to)) = pieces.pop() {
        let Some(content_type) = kind else {
            let why = "a row is one line of CSV or a JSON value";
            outcomes.extend((from..to).map(|_| Err(Failure::invalid(why))));
            continue;
        };
        let asked = Asked {
            content_type: Some(content_type.to_owned()),
            accept: Some("application/jsonlines".to_owned()),
            body: lines(&rows[from..to]),
            haste,
            ..Asked::default()
        };
        match ask(hosted, account, endpoint, asked, to - from).await {
            Ok(Some(answers)) => outcomes.extend(answers.into_iter().map(Ok)),
            Err(error) if error.original.is_none() => return Err(failure(&error)),
            refused if to - from > 1 => {
                if let Err(error) = refused
                    && error.original.is_some_and(|said| said.status >= 500)
                {
                    // The model broke: which row it was does not matter to the others.
                    tracing::debug!(endpoint, "a hosted model broke; rows are asked about alone");
                }
                let middle = from + (to - from) / 2;
                pieces.extend([(kind, middle, to), (kind, from, middle)]);
            }
            Ok(None) => {
                let why = "the model answered another number of rows than it was asked about";
                outcomes.push(Err(Failure::of_kind(Kind::Internal, why)));
            }
            Err(error) => {
                let why = error.original.map_or(error.message, |said| said.message);
                outcomes.push(Err(Failure::invalid(why)));
            }
        }
    }
    Ok(outcomes)
}

type Piece = (Option<&'static str>, usize, usize);

/// Rows of one kind that lie one after the other, not too many: their content type and where they are.
fn cut(rows: &[String]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut bytes = 0;
    for (number, row) in rows.iter().enumerate() {
        let kind = kind(row);
        bytes += row.len();
        match pieces.last_mut() {
            Some((last, from, to)) if *last == kind && *to - *from < ROWS && bytes < BYTES => {
                *to = number + 1;
            }
            _ => {
                bytes = row.len();
                pieces.push((kind, number, number + 1));
            }
        }
    }
    pieces
}

fn kind(row: &str) -> Option<&'static str> {
    match row.trim_start().chars().next() {
        None => None,
        Some('{' | '[' | '"') if serde_json::from_str::<&RawValue>(row).is_ok() => {
            Some("application/jsonlines")
        }
        Some('{' | '[') => None,
        // Texts of CSV may stand in quotes.
        Some(_) => (!row.trim_end().contains(['\n', '\r'])).then_some("text/csv"),
    }
}

/// Rows as lines.
fn lines(rows: &[String]) -> Bytes {
    let mut body = String::new();
    for row in rows {
        // Line ends of JSON are only space between its parts.
        body.extend(row.trim().chars().map(|one| match one {
            '\n' | '\r' => ' ',
            one => one,
        }));
        body.push('\n');
    }
    body.into()
}

/// Asks once; none where the model answers another number of rows.
async fn ask(
    hosted: &Hosted,
    account: &str,
    endpoint: &str,
    asked: Asked,
    rows: usize,
) -> Result<Option<Vec<Box<RawValue>>>, InvokeError> {
    let Some(sagemaker) = hosted.get() else {
        return Err(InvokeError {
            code: "ServiceUnavailable",
            status: 503,
            message: "no model is hosted in this process; a running server has them (`escala sql --server`)"
                .to_owned(),
            original: None,
        });
    };
    let caller = Caller {
        account: account.to_owned(),
        region: String::new(),
    };
    let (endpoint, invocation) = Invocation::named(endpoint);
    let answered = sagemaker
        .hosting()
        .invoke(&caller, endpoint, asked, &invocation);
    let said = answered.await?.said;
    let text = String::from_utf8_lossy(&said.body);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let json = |line: &str| match essence(&said.content_type).as_str() {
        "text/csv" => {
            serde_json::value::to_raw_value(&line.split(',').map(number).collect::<Vec<_>>())
        }
        _ => RawValue::from_string(line.to_owned()),
    };
    let answers: Result<Vec<_>, _> = lines.map(json).collect();
    Ok(answers.ok().filter(|answers| answers.len() == rows))
}

fn number(text: &str) -> serde_json::Value {
    let number = text.trim().parse::<serde_json::Number>();
    number.map_or_else(|_| text.trim().into(), serde_json::Value::Number)
}

/// What an endpoint says instead of an answer, as all doors but AWS's say it.
pub fn failure(error: &InvokeError) -> Failure {
    let message = error.message.as_str();
    match (error.status, &error.original) {
        (_, Some(said)) if said.status < 500 => Failure::invalid(said.message.clone()),
        (_, Some(said)) => Failure::of_kind(Kind::Internal, said.message.clone()),
        (429, _) => Failure::of_kind(Kind::Overloaded, message),
        (400, _) if message.contains("not found") => Failure::of_kind(Kind::NotFound, message),
        (400..500, _) => Failure::invalid(message),
        (503, _) => Failure::of_kind(Kind::Unavailable, message),
        _ => Failure::of_kind(Kind::Internal, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_kind_are_asked_about_together() {
        let rows = [
            "1,2",
            "3",
            "[1]",
            "{\"a\": \n1}",
            "",
            "[",
            "1\n2",
            "\"x\"",
            "\"x\",1",
        ];
        let rows: Vec<String> = rows.map(str::to_owned).to_vec();
        let (csv, json) = (Some("text/csv"), Some("application/jsonlines"));
        assert_eq!(
            cut(&rows),
            [
                (csv, 0, 2),
                (json, 2, 4),
                (None, 4, 7),
                (json, 7, 8),
                (csv, 8, 9)
            ]
        );
        let many = vec!["1".to_owned(); ROWS + 1];
        assert_eq!(cut(&many), [(csv, 0, ROWS), (csv, ROWS, ROWS + 1)]);
    }

    #[test]
    fn who_is_to_blame_is_told() {
        let error = |status, original: Option<u16>| InvokeError {
            code: "x",
            status,
            message: "not found".to_owned(),
            original: original.map(|status| escala_sagemaker::invoke::Original {
                status,
                message: "said".to_owned(),
                log: String::new(),
            }),
        };
        for (status, original, code) in [
            (424, Some(400), "invalid_input"),
            (424, Some(500), "internal"),
            (400, None, "not_found"),
            (429, None, "overloaded"),
            (503, None, "unavailable"),
            (500, None, "internal"),
        ] {
            assert_eq!(
                failure(&error(status, original)).code,
                code,
                "{status} {original:?}"
            );
        }
    }
}
