//! `COPY (SELECT …) TO 's3://…'`, read without being carried out: where it is work for later, whoever keeps jobs keeps it.

use crate::engine::statements;
use crate::files::{Format, NoFormat};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::sql::parser::{CopyToSource, Statement};
use std::str::FromStr;

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copying {
    /// The query whose rows they are.
    pub query: String,
    /// Where they go, as the statement says it.
    pub target: String,
    /// What they are written as.
    pub format: Format,
}

/// What the only statement of a text copies; none where it does something else.
///
/// # Errors
/// It is no SQL, or copies in a way that is not done here.
pub fn copying(text: &str) -> Result<Option<Copying>> {
    let mut statements = statements(text)?;
    let Some(Statement::CopyTo(copy)) = statements.pop_front() else {
        return Ok(None);
    };
    if !statements.is_empty() {
        return plan_err!("there is more than one statement");
    }
    if !copy.options.is_empty() || !copy.partitioned_by.is_empty() {
        return plan_err!("COPY takes neither OPTIONS nor PARTITIONED BY here");
    }
    let query = match copy.source {
        CopyToSource::Query(query) => query.to_string(),
        CopyToSource::Relation(name) => format!("SELECT * FROM {name}"),
    };
    let unknown = |error: NoFormat| DataFusionError::Plan(error.to_string());
    let format = match copy.stored_as {
        Some(format) => match Format::from_str(&format) {
            Ok(format) => format,
            Err(_) => {
                return plan_err!(
                    "STORED AS {format}: there are PARQUET, CSV, TSV, JSON and ARROW"
                );
            }
        },
        None => copy.target.parse().map_err(unknown)?,
    };
    Ok(Some(Copying {
        query,
        target: copy.target,
        format,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_a_query_a_place_and_a_format() {
        let read = |text: &str| copying(text).map_err(|error| error.to_string());
        let of = |query: &str, target: &str, format| {
            Ok(Some(Copying {
                query: query.to_owned(),
                target: target.to_owned(),
                format,
            }))
        };
        for (text, want) in [
            (
                "COPY (SELECT a, 'it''s' AS b FROM 's3://in/t.csv' LIMIT 3) TO 's3://out/x.parquet'",
                of(
                    "SELECT a, 'it''s' AS b FROM 's3://in/t.csv' LIMIT 3",
                    "s3://out/x.parquet",
                    Format::Parquet,
                ),
            ),
            (
                "copy 's3://in/t.csv' to 's3://out/x' stored as json;",
                of(
                    "SELECT * FROM 's3://in/t.csv'",
                    "s3://out/x",
                    Format::JsonLines,
                ),
            ),
            ("SELECT 1", Ok(None)),
            ("", Ok(None)),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
        for (text, why) in [
            ("COPY (SELECT 1) TO 's3://out/x'", "the name must end in"),
            (
                "COPY (SELECT 1) TO 's3://out/x' STORED AS AVRO",
                "there are PARQUET",
            ),
            (
                "COPY (SELECT 1) TO 's3://out/x.csv' OPTIONS ('format.has_header' 'false')",
                "neither OPTIONS",
            ),
            (
                "COPY (SELECT 1) TO 's3://out/x.csv' PARTITIONED BY (a)",
                "neither OPTIONS",
            ),
            (
                "COPY (SELECT 1) TO 's3://out/x.csv'; SELECT 1",
                "more than one statement",
            ),
            ("COPY (SELECT", "SQL error"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
