//! Queries that a running server answers: its folders, topics, flows, jobs and endpoints are tables and functions there.

use super::super::remote::{Remote, Sent};
use super::{Desk, Stop, failed, output};
use escala_sql::arrow::array::RecordBatch;
use escala_sql::arrow::ipc::reader::StreamReader;
use escala_sql::copy::copying;
use escala_sql::engine::{Statement, statements};
use escala_sql::output::{Buffer, Writer, shown};
use serde::Deserialize;
use serde_json::json;
use std::io::BufReader;

/// Where queries are answered.
const PATH: &str = "/v1/sql";
const ARROW: &str = "application/vnd.apache.arrow.stream";

/// A job, as far as it is told here.
#[derive(Deserialize)]
struct Job {
    id: String,
}

/// How rows are shown.
pub(super) struct Shown {
    pub shape: super::Shape,
    pub rows: usize,
    pub explain: bool,
    pub on_error: String,
    pub bad_rows: String,
}

/// A statement as text. The parser's own form leaves out the quotes of where a `COPY` goes.
fn written(statement: Statement) -> String {
    match statement {
        Statement::CopyTo(mut copy) => {
            copy.target = format!("'{}'", copy.target.replace('\'', "''"));
            copy.to_string()
        }
        other => other.to_string(),
    }
}

/// Has statements answered, one after the other.
pub(super) fn answer(server: &Remote, text: &str, how: &Shown) -> Result<(), Stop> {
    for statement in statements(text).map_err(failed)? {
        let mut query = written(statement);
        if how.explain {
            query = format!("EXPLAIN {query}");
        }
        let body = json!({"query": query, "on_error": how.on_error, "bad_rows": how.bad_rows});
        if copying(&query).map_err(failed)?.is_some() {
            let job: Job = server.send("POST", PATH, &body)?;
            note!(
                "job {0}; `escala jobs watch {0}` shows how far it is",
                job.id
            );
            continue;
        }
        let body = serde_json::to_vec(&body).map_err(|error| Stop::failed(&error))?;
        let sent = Sent::Bytes("application/json", &body);
        let rows = server.stream("POST", PATH, sent, ARROW)?;
        print(StreamReader::try_new(BufReader::new(rows), None), how)?;
    }
    Ok(())
}

type Reading<R> = Result<StreamReader<R>, escala_sql::arrow::error::ArrowError>;

fn print<R: std::io::Read>(rows: Reading<BufReader<R>>, how: &Shown) -> Result<(), Stop> {
    let broken = |error| {
        Stop::Failed(format!(
            "the server broke the answer off; its log says why ({error})"
        ))
    };
    let rows = rows.map_err(broken)?;
    let schema = rows.schema();
    let Some(format) = how.shape.format() else {
        let mut table: Vec<RecordBatch> = Vec::new();
        let mut left = how.rows;
        for batch in rows {
            let batch = batch.map_err(broken)?;
            table.push(batch.slice(0, batch.num_rows().min(left)));
            if batch.num_rows() > left {
                Desk::say_more(how.rows);
                break;
            }
            left -= batch.num_rows();
        }
        if schema.fields().is_empty() {
            return Ok(());
        }
        if table.is_empty() {
            table.push(RecordBatch::new_empty(schema));
        }
        return output::print(&format!("{}\n", shown(&table).map_err(failed)?));
    };
    let written = Buffer::default();
    let mut writer = Writer::new(format, schema, written.clone()).map_err(failed)?;
    for batch in rows {
        writer.write(&batch.map_err(broken)?).map_err(failed)?;
        output::print_bytes(&written.take())?;
    }
    output::print_bytes(&writer.end().map_err(failed)?.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was_said() {
        for text in [
            "COPY (SELECT 1 AS a) TO 's3://out/x.parquet'",
            "COPY (SELECT 'it''s') TO 's3://out/it''s.csv' STORED AS CSV",
        ] {
            let said = statements(text).expect(text).pop_front().expect("one");
            let written = written(said.clone());
            let again = statements(&written).expect(&written).pop_front();
            assert_eq!(again, Some(said), "{written}");
            assert!(copying(&written).expect(&written).is_some());
        }
    }
}
