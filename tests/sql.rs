//! SQL through the real binary, with the real models: the command line, scoring, and `POST /v1/sql`, held to the answers of
//! the REST door.

mod common;

use common::{Server, Setup, escala, golden, golden_image};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Output;
use std::sync::LazyLock;
use tempfile::TempDir;

/// Texts of several kinds; the third one is null in the table.
const TEXTS: [&str; 6] = [
    "Ada Lovelace was born in London, and wrote to ada@example.com.",
    "The room was clean, but the breakfast was cold.",
    "",
    "Never again!",
    "Die Straße ist naß: 🙂, sagte sie.",
    "The room was clean, but the breakfast was cold.",
];

/// A folder with a table of the texts and an image, and a server that may read it.
struct Place {
    folder: TempDir,
    server: Server,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("texts.jsonl"), lines()).expect("table");
    fs::create_dir(folder.path().join("photos")).expect("folder");
    let photo = golden_image("astronaut.png");
    fs::write(folder.path().join("photos/astronaut.png"), photo).expect("image");
    let folders = format!("data={}", folder.path().display());
    let server = Server::start(&Setup::default().with("ESCALA_SQL_FOLDERS", &folders));
    Place { folder, server }
});

fn lines() -> String {
    let lines = TEXTS.iter().enumerate().map(|(id, text)| {
        let text = match id {
            2 => Value::Null,
            _ => json!(text),
        };
        format!("{}\n", json!({ "id": id, "text": text }))
    });
    lines.collect()
}

/// What the REST door says about every text.
fn door(path: &str) -> Vec<Value> {
    let answer = PLACE
        .server
        .post_json(path, &json!({ "texts": TEXTS }))
        .ok();
    answer["results"].as_array().expect("results").clone()
}

fn command(folder: &Path, arguments: &[&str]) -> Output {
    escala(folder)
        .args(arguments)
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The rows of a query on the command line.
fn rows(sql: &str) -> Vec<Value> {
    let said = command(PLACE.folder.path(), &["sql", sql, "--json"]);
    assert!(said.status.success(), "{sql}: {}", text(&said.stderr));
    parsed(text(&said.stdout))
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// Only the members that a query shows.
fn pick(value: &Value, members: &[&str]) -> Value {
    let members = members
        .iter()
        .map(|name| ((*name).to_owned(), value[name].clone()));
    Value::Object(members.collect())
}

fn picked(list: &Value, members: &[&str]) -> Value {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|item| pick(item, members))
        .collect()
}

#[test]
fn functions_answer_what_the_doors_answer() {
    let sql = "SELECT id, sentiment(text) AS s, entities(text) AS e, key_phrases(text) AS k, pii(text) AS p,
        redact(text) AS r, language(text) AS l, embed(text) AS v FROM 'texts.jsonl' ORDER BY id";
    let rows = rows(sql);
    assert_eq!(rows.len(), TEXTS.len());
    let sentiments = door("/v1/text/sentiment");
    let entities = door("/v1/text/entities");
    let phrases = door("/v1/text/key-phrases");
    let personal = door("/v1/text/pii");
    let redacted = door("/v1/text/redact");
    let languages = door("/v1/text/language");
    let embeddings = door("/v1/text/embeddings");
    for (id, row) in rows.iter().enumerate() {
        if id == 2 {
            for name in ["s", "e", "k", "p", "r", "l", "v"] {
                assert_eq!(row[name], Value::Null, "{name} of nothing");
            }
            continue;
        }
        assert_eq!(row["s"], sentiments[id], "{id}");
        let entity = ["type", "text", "score", "begin", "end"];
        assert_eq!(row["e"], picked(&entities[id]["entities"], &entity), "{id}");
        let phrase = ["text", "score", "begin", "end"];
        assert_eq!(
            row["k"],
            picked(&phrases[id]["key_phrases"], &phrase),
            "{id}"
        );
        let found = ["type", "text", "score", "evidence", "begin", "end"];
        assert_eq!(row["p"], picked(&personal[id]["entities"], &found), "{id}");
        assert_eq!(row["r"], redacted[id]["text"], "{id}");
        assert_eq!(row["l"], languages[id]["languages"][0], "{id}");
        assert_eq!(row["v"], embeddings[id]["embedding"], "{id}");
    }
    assert_eq!(
        rows[0]["r"]
            .as_str()
            .expect("text")
            .matches("ada@example.com")
            .count(),
        0
    );
}

#[test]
fn images_answer_what_the_doors_answer() {
    let rows =
        rows("SELECT path, width, labels(bytes) AS l, faces(bytes) AS f FROM images('photos')");
    let post = |path: &str| {
        PLACE
            .server
            .post(path, "image/png", &golden_image("astronaut.png"))
            .ok()
    };
    let (labels, faces) = (post("/v1/images/labels"), post("/v1/images/faces"));
    assert_eq!(
        (&rows[0]["path"], &rows[0]["width"]),
        (&json!("astronaut.png"), &faces["width"])
    );
    let label = ["name", "confidence", "parents", "categories"];
    assert_eq!(rows[0]["l"], picked(&labels["labels"], &label));
    let face = [
        "score",
        "box",
        "age",
        "age_low",
        "age_high",
        "gender",
        "gender_score",
        "emotions",
        "eyes_open",
        "mouth_open",
        "smile",
    ];
    assert_eq!(rows[0]["f"], picked(&faces["faces"], &face));
}

#[test]
fn languages_are_an_argument_and_similarity_is_a_cosine() {
    let rows = rows("SELECT sentiment('Nie wieder!', 'de')['sentiment'] AS s,
        try_entities('Hallo', 'de')['error'] AS e, similarity('a cat', 'a kitten') > similarity('a cat', 'tax law') AS near");
    let answer = PLACE.server.post_json(
        "/v1/text/sentiment",
        &json!({ "text": "Nie wieder!", "language": "de" }),
    );
    assert_eq!(rows[0]["s"], answer.ok()["sentiment"]);
    assert!(
        rows[0]["e"].as_str().expect("a reason").contains("de"),
        "{}",
        rows[0]
    );
    assert_eq!(rows[0]["near"], json!(true));
}

#[test]
fn the_door_streams_rows_in_three_formats() {
    let server = &PLACE.server;
    let sql = "SELECT id, sentiment(text)['sentiment'] AS s FROM 'data/texts.jsonl' ORDER BY id";
    let answer = server.post_json("/v1/sql", &json!({ "query": sql }));
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (200, "application/x-ndjson"),
        "{answer:?}"
    );
    let command = rows(&sql.replace("data/", ""));
    assert_eq!(parsed(&answer.text), command);
    let answer = server.post_accepting("/v1/sql", "application/sql", "text/csv", sql.as_bytes());
    let csv: Vec<&str> = answer.text.lines().collect();
    assert_eq!(
        (answer.status, csv[0], csv.len()),
        (200, "id,s", TEXTS.len() + 1),
        "{answer:?}"
    );
    assert_eq!(csv[3], "2,");
    let accept = "application/vnd.apache.arrow.stream";
    let answer = server.post_accepting("/v1/sql", "text/plain", accept, sql.as_bytes());
    assert_eq!((answer.status, answer.content_type.as_str()), (200, accept));
    // A stream of messages, ended by its mark.
    assert_eq!(
        (&answer.body[..4], &answer.body[answer.body.len() - 8..]),
        (&[0xff; 4][..], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..])
    );
    let empty = server.post_json(
        "/v1/sql",
        &json!({ "query": "SELECT id FROM 'data/texts.jsonl' WHERE false" }),
    );
    assert_eq!((empty.status, empty.text.as_str()), (200, ""));
    let document = server.get("/openapi.json").ok();
    assert!(document["paths"]["/v1/sql"]["post"]["responses"]["422"].is_object());
}

#[test]
fn the_door_refuses_what_is_not_allowed() {
    let server = &PLACE.server;
    let outside = golden("lid176.json");
    for sql in [
        format!("SELECT * FROM '{}'", outside.display()),
        "SELECT * FROM 'data/../texts.jsonl'".to_owned(),
        "SELECT * FROM 'texts.jsonl'".to_owned(),
        "COPY (SELECT 1) TO 'data/x.csv'".to_owned(),
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "SET escala.memory = 1".to_owned(),
        "SELEKT".to_owned(),
    ] {
        let answer = server.post_json("/v1/sql", &json!({ "query": sql }));
        assert_eq!(answer.status, 400, "{sql}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], "invalid_input", "{sql}");
    }
    let answer = server.post_accepting("/v1/sql", "application/sql", "image/png", b"SELECT 1");
    assert_eq!(answer.status, 406, "{answer:?}");
    assert_eq!(server.post("/v1/sql", "image/png", b"SELECT 1").status, 415);
    let answer = server.post_json(
        "/v1/sql",
        &json!({ "query": "SELECT 1", "on_error": "perhaps" }),
    );
    assert_eq!(answer.status, 400, "{answer:?}");
    // Before the first rows an error is a status; afterwards it is the last line.
    let failing = "SELECT 1 / (id - 3) AS q FROM 'data/texts.jsonl'";
    let answer = server.post_json("/v1/sql", &json!({ "query": failing }));
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (422, &json!("query_failed")),
        "{answer:?}"
    );
    let late = "SELECT 1 / (value - 5000) AS q FROM generate_series(0, 9000)";
    let answer = server.post_json("/v1/sql", &json!({ "query": late }));
    let last = answer.text.lines().last().expect("a line").to_owned();
    assert_eq!(answer.status, 200);
    assert!(
        last.contains("\"error\"") && last.contains("query_failed"),
        "{last}"
    );
    server.assert_sound("refused queries");
}

/// A row that is too large is an error that names the limit, before the first rows and behind some.
#[test]
fn the_door_sends_no_row_without_bounds() {
    let server = Server::start(&Setup::default());
    let ask = |sql: &str| server.post("/v1/sql", "application/sql", sql.as_bytes());
    let refused = ask("SELECT repeat('x', 50000000) AS x, repeat('y', 50000000) AS y");
    refused.assert_rest_error(422, "too_large", "a large row");
    assert!(
        refused.text.contains("at most 67108864 are sent"),
        "{refused:?}"
    );
    let some = ask(
        "SELECT x, x AS y FROM (SELECT repeat('x', CASE WHEN value = 3000 THEN 50000000 ELSE 3 END) AS x FROM generate_series(1, 3000))",
    );
    assert_eq!(some.status, 200);
    let last = some.text.lines().last().expect("a line");
    assert!(
        last.contains("too_large") && last.contains("67108864"),
        "{last}"
    );
    // What is large and within the bounds is whole.
    let large = ask("SELECT repeat('x', 3000000) AS x FROM generate_series(1, 3)");
    let lengths: Vec<usize> = large.text.lines().map(str::len).collect();
    assert_eq!(lengths, [3_000_008; 3]);
    server.assert_sound("large rows");
}

#[test]
fn a_query_ends_when_its_caller_goes_away_and_too_many_are_refused() {
    let setup = Setup::default().with("ESCALA_SQL_QUERIES", "1");
    let server = Server::start(&setup);
    let endless = "SELECT a.value FROM generate_series(0, 100000000) a";
    let ask = || {
        let mut caller = server.connect();
        let head = format!(
            "POST /v1/sql HTTP/1.1\r\nhost: x\r\ncontent-type: application/sql\r\ncontent-length: {}\r\n\r\n{endless}",
            endless.len()
        );
        caller.write_all(head.as_bytes()).expect("sent");
        let mut reader = BufReader::new(caller);
        let mut status = String::new();
        reader.read_line(&mut status).expect("a status");
        (reader, status)
    };
    let (mut first, status) = ask();
    assert!(status.contains("200"), "{status}");
    // It is under way and waits for its reader.
    first.read_exact(&mut [0; 1000]).expect("rows");
    let refused = server.post("/v1/sql", "application/sql", b"SELECT 1");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.retry_after.is_some());
    drop(first);
    common::wait_for(
        "the place of the query",
        std::time::Duration::from_secs(30),
        || {
            server
                .post("/v1/sql", "application/sql", b"SELECT 1")
                .status
                == 200
        },
    );
}

#[test]
fn a_table_is_scored_beside_its_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    fs::write(at.join("texts.jsonl"), lines()).expect("table");
    let score = |arguments: &[&str]| {
        command(
            at,
            &[
                &["score", "texts.jsonl", "--text-column", "text"],
                arguments,
            ]
            .concat(),
        )
    };
    let said = score(&["--task", "sentiment", "-o", "scored.parquet"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(
        text(&said.stderr).contains("6 rows")
            && text(&said.stderr).contains("4 inputs asked about"),
        "{}",
        text(&said.stderr)
    );
    let read = command(
        at,
        &[
            "sql",
            "SELECT id, text, sentiment AS s, sentiment_error AS e FROM 'scored.parquet'",
            "--format",
            "jsonl",
        ],
    );
    let rows = parsed(text(&read.stdout));
    let sentiments = door("/v1/text/sentiment");
    for (id, row) in rows.iter().enumerate() {
        assert_eq!((&row["id"], &row["e"]), (&json!(id), &Value::Null));
        let expected = if id == 2 {
            &Value::Null
        } else {
            &sentiments[id]
        };
        assert_eq!(&row["s"], expected, "{id}");
    }
    let said = score(&["--task", "entities", "--language", "de", "-o", "failed.csv"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(
        text(&said.stderr).contains("warning: 5 answers are missing"),
        "{}",
        text(&said.stderr)
    );
    let csv = fs::read_to_string(at.join("failed.csv")).expect("file");
    assert!(
        csv.starts_with("id,text,entities,entities_error\n"),
        "{csv}"
    );
    let said = score(&["--task", "sentiment", "-o", "nowhere/scored.parquet"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text(&said.stderr).contains("cannot be written"),
        "{}",
        text(&said.stderr)
    );
    let said = command(
        at,
        &[
            "score",
            "texts.jsonl",
            "--text-column",
            "body",
            "--task",
            "sentiment",
            "-o",
            "x.csv",
        ],
    );
    assert!(
        text(&said.stderr).contains("there is no column `body`"),
        "{}",
        text(&said.stderr)
    );
    let left: Vec<_> = fs::read_dir(at)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().starts_with(".escala")),
        "{left:?}"
    );
}

/// The line of a row stays as it was; folders of images are for others.
#[test]
fn lines_are_scored_as_they_were_written() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let lines = [
        r#"{"id":1,"text":"hello there, how are you?"}"#,
        r#"{"id":2.50, "text":"hello there, how are you?"}"#,
        r#"{"id":12345678901234567890,"text":"hello there, how are you?","x":{"y":null}}"#,
        r#"{"id":true,"text":"hello there, how are you?"}"#,
    ];
    fs::write(at.join("m.jsonl"), lines.join("\n")).expect("table");
    let score = |table: &str, to: &str| {
        let task = ["--task", "language", "--text-column", "text", "-o", to];
        command(at, &[&["score", table], &task[..]].concat())
    };
    let said = score("m.jsonl", "o.jsonl");
    assert!(said.status.success(), "{}", text(&said.stderr));
    let out = fs::read_to_string(at.join("o.jsonl")).expect("file");
    assert_eq!(out.lines().count(), lines.len());
    for (got, line) in out.lines().zip(lines) {
        let kept = line.trim_end_matches('}').trim_end();
        assert!(got.starts_with(kept), "{got}");
        let got: Value = serde_json::from_str(got).expect("JSON");
        assert_eq!(
            (&got["language"]["code"], &got["language_error"]),
            (&json!("en"), &Value::Null)
        );
    }
    fs::create_dir(at.join("photos")).expect("folder");
    fs::write(at.join("photos/a.png"), "").expect("file");
    let said = score("photos", "p.jsonl");
    assert!(!said.status.success());
    let why = text(&said.stderr);
    assert!(
        why.contains("images('photos')") && why.contains("escala jobs score"),
        "{why}"
    );
}

#[test]
fn the_command_line_prints_tables_plans_and_files() {
    let folder = PLACE.folder.path();
    let said = command(
        folder,
        &[
            "sql",
            "SELECT id FROM 'texts.jsonl' ORDER BY id LIMIT 2; SELECT 7 AS seven",
            "--format",
            "table",
        ],
    );
    assert_eq!(
        text(&said.stdout),
        "+----+\n| id |\n+----+\n| 0  |\n| 1  |\n+----+\n+-------+\n| seven |\n+-------+\n| 7     |\n+-------+\n"
    );
    let said = command(
        folder,
        &[
            "sql",
            "SELECT id FROM 'texts.jsonl' WHERE id > 1 AND sentiment(text)['sentiment'] = 'MIXED'",
            "--explain",
        ],
    );
    let plan = text(&said.stdout);
    let (predict, filter) = (
        plan.find("PredictExec: sentiment("),
        plan.find("FilterExec: id@"),
    );
    assert!(predict.is_some() && filter > predict, "{plan}");
    let said = command(folder, &["sql", "SELECT nonsense(text) FROM 'texts.jsonl'"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text(&said.stderr).contains("nonsense"),
        "{}",
        text(&said.stderr)
    );
    let out = tempfile::tempdir().expect("folder");
    let file = out.path().join("out.csv").display().to_string();
    let said = command(
        folder,
        &[
            "sql",
            "SELECT id FROM 'texts.jsonl' ORDER BY id",
            "-o",
            &file,
        ],
    );
    assert!(
        said.status.success() && said.stdout.is_empty(),
        "{}",
        text(&said.stderr)
    );
    assert_eq!(
        fs::read_to_string(&file).expect("file"),
        "id\n0\n1\n2\n3\n4\n5\n"
    );
    // Without a query, what standard input says.
    let mut asked = escala(folder);
    let mut child = asked
        .args(["sql", "--format", "csv"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = child.stdin.take().expect("input");
    input
        .write_all(b"SELECT count(*) AS n FROM 'texts.jsonl';")
        .expect("sent");
    drop(input);
    let said = child.wait_with_output().expect("it ends");
    assert_eq!(text(&said.stdout), "n\n6\n");
}
