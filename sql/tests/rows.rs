//! Rows of files stay what they were, and what is written replaces nothing by halves.

mod common;

use common::{Fake, engine, rows, session};
use escala_sql::Engine;
use escala_sql::arrow::datatypes::DataType;
use escala_sql::arrow::util::pretty::pretty_format_batches;
use escala_sql::files::Format;
use escala_sql::output::{Buffer, Writer, write};
use escala_sql::score::cut::{Size, cut};
use escala_sql::score::{Part, Scoring, Split, query};
use futures_util::TryStreamExt;
use std::fs;
use std::path::Path;

async fn shown(engine: &Engine, sql: &str) -> String {
    let batches = rows(engine, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    pretty_format_batches(&batches).expect("shown").to_string()
}

fn scoring(format: Format) -> Scoring {
    Scoring {
        function: "f".to_owned(),
        columns: vec!["text".to_owned()],
        endpoint: None,
        language: None,
        answers: "f".to_owned(),
        format,
    }
}

/// What is written of a file, piece by piece of at most so many rows.
async fn scored(engine: &Engine, file: &Path, format: Format, rows: u64) -> String {
    let session = session(engine);
    let name = file.display().to_string();
    let read: Format = name.parse().expect("a format");
    let size = Size {
        bytes: 1 << 20,
        rows,
    };
    let mut out = Vec::new();
    for piece in cut(&session, &name, read, size).await.expect("cut") {
        let split = Split {
            file: name.clone(),
            part: piece.part(read),
        };
        let query = query(&session, &split, &scoring(format))
            .await
            .expect("plan");
        let written = Buffer::default();
        let first = piece.rows.start == 0;
        let writer = Writer::with_header(format, query.schema(), written.clone(), first);
        let mut writer = writer.expect("writer");
        let batches: Vec<_> = query
            .rows()
            .expect("rows")
            .try_collect()
            .await
            .expect("rows");
        for batch in batches {
            writer.write(&batch).expect("written");
        }
        out.extend(writer.end().expect("end").take());
    }
    String::from_utf8(out).expect("a text")
}

/// Lines keep their members, these their order and their digits, whatever other lines have; those that are none, or have a
/// member that is called like the answer, say so.
#[tokio::test]
async fn lines_of_json_are_kept_as_they_were_written() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.jsonl");
    let answer = |label: &str, score: &str| {
        format!(r#""f":{{"label":"{label}","score":{score}}},"f_error":null}}"#)
    };
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut kept = |line: &str, want: String| lines.push((line.to_owned(), want));
    let even = answer("EVEN", "0.25");
    for line in [
        r#"{"id":1,"text":"hi","#,
        r#"{"id":2.50, "text":"hi","#,
        r#"{"id":null,"text":"hi","#,
        r#"{"text":"hi","id":true,"#,
        r#"{"id":12345678901234567890,"x":{"y":[1, 2]},"text":"hi","#,
    ] {
        let whole = format!("{}}}", line.trim_end_matches(','));
        kept(&whole, format!("{line}{even}"));
    }
    // What cannot be asked about is what it is.
    kept(
        r#"{"id":6}"#,
        r#"{"id":6,"f":null,"f_error":null}"#.to_owned(),
    );
    kept("{}", r#"{"f":null,"f_error":null}"#.to_owned());
    // Far behind what is looked at to guess types.
    for _ in 0..1000 {
        kept(
            r#"{"id":0,"text":"hi"}"#,
            format!(r#"{{"id":0,"text":"hi",{even}"#),
        );
    }
    kept(
        r#"{"id":"late","new":1e2,"text":"hi"}"#,
        format!(r#"{{"id":"late","new":1e2,"text":"hi",{even}"#),
    );
    kept(
        r#"{"id":7,"text":5}"#,
        format!(r#"{{"id":7,"text":5,{}"#, answer("ODD", "0.0")),
    );
    kept(
        r#"{"f":"mine","text":"hi"}"#,
        r#"{"f":"mine","text":"hi","f_error":"the line has a member `f` already"}"#.to_owned(),
    );
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    fs::write(&path, format!("\u{feff}{text}[3]\n{{\"id\":\n")).expect("file");
    let whole = scored(&engine, &path, Format::JsonLines, 1 << 20).await;
    let got: Vec<&str> = whole.lines().collect();
    assert_eq!(got.len(), lines.len() + 2);
    // The score is the model's, which has a test of its own.
    let stripped = |line: &str| match line.split_once(r#""score":"#) {
        Some((before, after)) => {
            let end = after.find('}').expect("an end");
            format!("{before}{}", &after[end..])
        }
        None => line.to_owned(),
    };
    for (got, (_, want)) in got.iter().zip(&lines) {
        assert_eq!(stripped(got), stripped(want));
    }
    for none in &got[lines.len()..] {
        assert!(
            none.starts_with(r#"{"f":null,"f_error":"the line is no row: "#),
            "{none}"
        );
    }
    // The same in pieces, wherever they begin.
    for rows in [3, 7, 1001] {
        assert_eq!(
            scored(&engine, &path, Format::JsonLines, rows).await,
            whole,
            "by {rows}"
        );
    }
}

/// With types, a value that is none of its column spoils neither the other values of its row nor other rows.
#[tokio::test]
async fn of_mixed_values_a_text_takes_all() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("m.jsonl");
    let mixed = concat!(
        "{\"id\":1,\"text\":\"hello\"}\n{\"id\":2.5,\"text\":\"there\"}\n{\"id\":null,\"text\":\"there\"}\n",
        "{\"id\":\"x\",\"text\":\"there\"}\n{\"id\":[1, 2],\"text\":\"there\"}\n{\"id\":{\"a\":1},\"text\":\"there\"}\n",
    );
    fs::write(&path, mixed).expect("file");
    let csv = scored(&engine, &path, Format::Csv, 1000).await;
    let ids: Vec<&str> = csv
        .lines()
        .map(|line| line.split(",hello").next().unwrap_or_default())
        .collect();
    assert!(csv.starts_with("id,text,f,f_error\n1,hello,"), "{csv}");
    assert_eq!(ids.len(), 7);
    for some in [
        "\n2.5,there",
        "\n,there",
        "\nx,there",
        "\n\"[1, 2]\",there",
        "\n\"{\"\"a\"\":1}\",there",
    ] {
        assert!(csv.contains(some), "{some}: {csv}");
    }
    assert!(
        csv.lines()
            .skip(1)
            .all(|line| line.contains("label") && line.ends_with(',')),
        "{csv}"
    );
    let sql = format!(
        "SELECT id, text FROM '{}' WHERE id IN ('2.5', '[1, 2]')",
        path.display()
    );
    let read = shown(&engine, &sql).await;
    assert!(
        read.contains("| 2.5    | there |") && read.contains("| [1, 2] | there |"),
        "{read}"
    );
    // A text after those that types are guessed from.
    fs::write(
        &path,
        format!(
            "{}{}",
            "{\"id\":1,\"text\":\"hello\"}\n".repeat(1200),
            "{\"id\":\"late\",\"text\":\"kept\"}\n"
        ),
    )
    .expect("file");
    let split = Split {
        file: path.display().to_string(),
        part: Part::All,
    };
    let session = session(&engine);
    let typed = query(&session, &split, &scoring(Format::Parquet))
        .await
        .expect("plan");
    let out = folder.path().join("typed.parquet");
    assert_eq!(write(&typed, &out, |_| {}).await.expect("written"), 1201);
    let read = format!(
        "SELECT text, f_error FROM '{}' WHERE id IS NULL",
        out.display()
    );
    let read = shown(&engine, &read).await;
    assert!(
        read.contains("| kept | `id` is \"late\", which is no Int64 |"),
        "{read}"
    );
    let error = rows(
        &engine,
        &format!("SELECT sum(id) FROM '{}'", path.display()),
    )
    .await;
    let error = error.expect_err("a text among numbers");
    assert!(
        error.contains("m.jsonl cannot be read: line 1201: `id` is \"late\""),
        "{error}"
    );
    // Columns that nobody asks for are not read.
    let sql = format!(
        "SELECT count(*) AS n, max(text) AS t FROM '{}'",
        path.display()
    );
    assert!(shown(&engine, &sql).await.contains("| 1201 | kept |"));
    let sql = format!("SELECT count(*) AS n FROM '{}'", path.display());
    assert!(shown(&engine, &sql).await.contains("| 1201 |"));
}

/// A large file is read by several at the same time, and each line once.
#[tokio::test]
async fn a_large_file_of_lines_is_read_once() {
    let engine = engine(&Fake::default());
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.jsonl");
    let lines: String = (0..60_000)
        .map(|id| format!("{{\"id\":{id},\"pad\":\"{}\"}}\n", "x".repeat(id % 90)))
        .collect();
    assert!(lines.len() > 3 << 20);
    fs::write(&path, lines).expect("file");
    let sql = format!(
        "SELECT count(*) AS n, sum(id) AS s, count(DISTINCT id) AS d FROM '{}'",
        path.display()
    );
    let read = shown(&engine, &sql).await;
    assert!(read.contains("| 60000 | 1799970000 | 60000 |"), "{read}");
}

#[tokio::test]
async fn folders_in_folders_are_read_and_their_names_are_columns() {
    let engine = engine(&Fake::default());
    let session = session(&engine);
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let put = async |name: &str, sql: &str| {
        let path = at.join(name);
        fs::create_dir_all(path.parent().expect("folder")).expect("folders");
        let query = session.query(sql).await.expect("plan");
        write(&query, &path, |_| {}).await.expect("written");
    };
    for ending in ["parquet", "csv", "jsonl"] {
        put(
            &format!("{ending}/nest/2024/01/1.{ending}"),
            "SELECT 1 AS id",
        )
        .await;
        put(
            &format!("{ending}/nest/2024/02/1.{ending}"),
            "SELECT 2 AS id",
        )
        .await;
        put(&format!("{ending}/nest/top.{ending}"), "SELECT 4 AS id").await;
        put(&format!("{ending}/nest/_log/8.{ending}"), "SELECT 8 AS id").await;
        for (year, kind) in [(2024, "a b"), (2025, "c")] {
            put(
                &format!("{ending}/hv/year={year}/kind={kind}/1.{ending}"),
                &format!("SELECT {year} + 1 AS id"),
            )
            .await;
        }
        for (name, sum) in [
            ("nest", 7),
            ("nest/", 7),
            ("nest/**/*.E", 15),
            ("nest/*/*/*.E", 3),
            ("nest/*.E", 4),
            ("nest/2024", 3),
            ("nest/2024/0[12]/?.E", 3),
        ] {
            let name = name.replace('E', ending);
            let sql = format!(
                "SELECT sum(id) AS s FROM '{}/{ending}/{name}'",
                at.display()
            );
            let read = shown(&engine, &sql).await;
            assert!(
                read.contains(&format!("| {sum} ")),
                "{ending} {name}: {read}"
            );
        }
        for name in ["hv", "hv/*/*/*.E", "hv/year=*/**/*.E"] {
            let name = name.replace('E', ending);
            let table = format!("'{}/{ending}/{name}'", at.display());
            let read = shown(&engine, &format!("SELECT * FROM {table} ORDER BY year")).await;
            assert!(
                read.contains("| id   | year | kind |"),
                "{ending} {name}: {read}"
            );
            assert!(
                read.contains("| 2025 | 2024 | a b  |"),
                "{ending} {name}: {read}"
            );
            let sql = format!(
                "SELECT kind, id, year + 1 AS y FROM {table} WHERE year > 2024 AND id > 0 LIMIT 1"
            );
            let read = shown(&engine, &sql).await;
            assert!(
                read.contains("| c    | 2026 | 2026 |"),
                "{ending} {name}: {read}"
            );
            let none = shown(
                &engine,
                &format!("SELECT count(*) AS n FROM {table} WHERE kind = 'z'"),
            )
            .await;
            assert!(none.contains("| 0 |"), "{ending} {name}: {none}");
        }
    }
    // What the file says itself is nearer than its folder.
    put("own/id=1/1.parquet", "SELECT 5 AS id").await;
    let read = shown(&engine, &format!("SELECT * FROM '{}/own'", at.display())).await;
    assert!(read.contains("| 5  |"), "{read}");
    fs::create_dir_all(at.join("pictures")).expect("folder");
    fs::write(at.join("pictures/a.png"), "").expect("file");
    let error = rows(
        &engine,
        &format!("SELECT * FROM '{}/pictures'", at.display()),
    )
    .await;
    let error = error.expect_err("no table");
    assert!(
        error.contains("images('") && error.contains("jobs score"),
        "{error}"
    );
}

/// Of a copy that fails nothing is there, and what was there is what it was.
#[tokio::test]
async fn a_copy_that_fails_leaves_what_was_there() {
    let engine = engine(&Fake::default());
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let source = at.join("numbers.csv");
    let numbers: String = (0..20_000).map(|id| format!("{id}\n")).collect();
    fs::write(&source, format!("id\n{numbers}")).expect("file");
    let files = |folder: &Path| -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut left = vec![folder.to_owned()];
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                match path.is_dir() {
                    true => left.push(path),
                    false => {
                        found.push((path.display().to_string(), fs::read(&path).expect("bytes")))
                    }
                }
            }
        }
        found.sort();
        found
    };
    let good = format!("SELECT id, id % 2 AS odd FROM '{}'", source.display());
    let bad = format!(
        "SELECT 1 / (id - 15000) AS id, id % 2 AS odd FROM '{}'",
        source.display()
    );
    let targets = [
        ("good.parquet", ""),
        ("good.csv", ""),
        ("good.tsv", ""),
        ("good.jsonl", ""),
        ("good.ndjson", ""),
        ("new/good.json", ""),
        ("many", "STORED AS PARQUET"),
        ("folder/", "STORED AS CSV"),
        ("parts", "STORED AS PARQUET PARTITIONED BY (odd)"),
    ];
    for (name, how) in targets {
        let copy = |query: &str| format!("COPY ({query}) TO '{}/{name}' {how}", at.display());
        let before = files(at);
        rows(&engine, &copy(&bad)).await.expect_err(name);
        assert_eq!(files(at), before, "{name}");
        assert!(
            shown(&engine, &copy(&good)).await.contains("| 20000 |"),
            "{name}"
        );
        let after = files(at);
        assert!(after.len() > before.len(), "{name}");
        assert!(
            after.iter().all(|(path, _)| !path.contains(".escala")),
            "{name}"
        );
        rows(&engine, &copy(&bad)).await.expect_err(name);
        assert!(files(at) == after, "{name} is what it was");
        let read = format!(
            "SELECT count(*) AS n, sum(id) AS s, sum(odd) AS o FROM '{}/{name}'",
            at.display()
        );
        let read = shown(&engine, &read).await;
        assert!(
            read.contains("| 20000 | 199990000 | 10000 |"),
            "{name}: {read}"
        );
    }
    // A file is replaced by its successor, also by one that is made of it.
    let file = at.join("good.parquet");
    let again = format!(
        "COPY (SELECT id FROM '{0}' WHERE id < 3) TO '{0}'",
        file.display()
    );
    shown(&engine, &again).await;
    let read = format!("SELECT count(*) AS n FROM '{}'", file.display());
    assert!(shown(&engine, &read).await.contains("| 3 |"));
    // Plans are not carried out.
    let before = files(at);
    shown(
        &engine,
        &format!("EXPLAIN COPY (SELECT 1) TO '{}/plan.csv'", at.display()),
    )
    .await;
    assert_eq!(files(at), before);
    shown(
        &engine,
        &format!(
            "COPY (SELECT 1 AS one, 2 AS two WHERE false) TO '{}/none.csv'",
            at.display()
        ),
    )
    .await;
    assert!(at.join("none.csv").is_file());
}

#[tokio::test]
async fn a_table_without_rows_has_the_names_of_its_columns() {
    let engine = engine(&Fake::default());
    let session = session(&engine);
    let folder = tempfile::tempdir().expect("folder");
    for (name, want) in [("t.csv", "a,b\n"), ("t.tsv", "a\tb\n"), ("t.jsonl", "")] {
        let path = folder.path().join(name);
        let query = session
            .query("SELECT 1 AS a, [1] AS b WHERE false")
            .await
            .expect("plan");
        assert_eq!(write(&query, &path, |_| {}).await.expect("written"), 0);
        assert_eq!(fs::read_to_string(&path).expect("a file"), want, "{name}");
    }
    let path = folder.path().join("names.csv");
    fs::write(&path, "id,text\n").expect("file");
    assert_eq!(
        scored(&engine, &path, Format::Csv, 10).await,
        "id,text,f,f_error\n"
    );
}

/// Columns of Parquet are of the same types when they are written again.
#[tokio::test]
async fn types_of_parquet_stay() {
    let engine = engine(&Fake::default());
    let session = session(&engine);
    let folder = tempfile::tempdir().expect("folder");
    let (one, other) = (
        folder.path().join("a.parquet"),
        folder.path().join("b.parquet"),
    );
    let sql = "SELECT arrow_cast('t', 'Utf8') AS text, arrow_cast('l', 'LargeUtf8') AS large, arrow_cast('b', 'Binary') AS bytes";
    let source = session.query(sql).await.expect("plan");
    write(&source, &one, |_| {}).await.expect("written");
    let split = Split {
        file: one.display().to_string(),
        part: Part::All,
    };
    let copied = query(&session, &split, &scoring(Format::Parquet))
        .await
        .expect("plan");
    write(&copied, &other, |_| {}).await.expect("written");
    for path in [one, other] {
        let sql = format!("SELECT text, large, bytes FROM '{}'", path.display());
        let read = session.query(&sql).await.expect("plan").schema();
        let kinds: Vec<&DataType> = read
            .fields()
            .iter()
            .map(|field| field.data_type())
            .collect();
        assert_eq!(
            kinds,
            [&DataType::Utf8, &DataType::LargeUtf8, &DataType::Binary]
        );
        let sql = format!(
            "SELECT arrow_typeof(text) AS t, arrow_typeof(large) AS l, arrow_typeof(bytes) AS b FROM '{}'",
            path.display()
        );
        let read = shown(&engine, &sql).await;
        assert!(read.contains("| Utf8 | LargeUtf8 | Binary |"), "{read}");
    }
}

#[tokio::test]
async fn settings_are_shown() {
    let engine = engine(&Fake::default());
    let session = session(&engine);
    session
        .query("SET escala.on_error = 'error'")
        .await
        .expect("set");
    let shown = session.query("SHOW escala.on_error").await.expect("shown");
    let shown = shown.collect().await.expect("rows");
    let shown = pretty_format_batches(&shown).expect("shown").to_string();
    assert!(shown.contains("| escala.on_error | error |"), "{shown}");
}
