//! Files as tables, and as what queries and scoring write.

mod common;

use common::{Fake, Table, engine, engine_of, room, rows, session};
use escala_objects::folder::Folder;
use escala_objects::memory::Memory;
use escala_sql::arrow::array::{AsArray, RecordBatch};
use escala_sql::arrow::datatypes::{Int32Type, Int64Type};
use escala_sql::arrow::util::display::{ArrayFormatter, FormatOptions};
use escala_sql::arrow::util::pretty::pretty_format_batches;
use escala_sql::buckets::Buckets;
use escala_sql::engine::{DataFusionError, Rights, Room, Session};
use escala_sql::files::Format;
use escala_sql::output::write;
use escala_sql::places::Places;
use escala_sql::score::cut::{Size, cut, group_of};
use escala_sql::score::{Part, Scoring, Split, is_undecodable, query};
use escala_sql::{Engine, Query};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

async fn shown(engine: &Engine, sql: &str) -> String {
    let batches = rows(engine, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    pretty_format_batches(&batches).expect("shown").to_string()
}

async fn refused(engine: &Engine, sql: &str) -> String {
    rows(engine, sql).await.expect_err(sql)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name());
    let mut names: Vec<String> = entries
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_and_folders_of_every_format_are_tables() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let fake = Fake::default();
    let engine = engine(&fake);
    // What was written is read again, and says the same.
    let source = Table::parquet(700);
    let session = session(&engine);
    for ending in ["parquet", "csv", "tsv", "jsonl", "arrow"] {
        let path = at.join(format!("t.{ending}"));
        let sql = format!(
            "SELECT id, text, f(text)['label'] AS label FROM {} ORDER BY id",
            source.name()
        );
        let copied: Query = session.query(&sql).await.expect("plan");
        assert_eq!(write(&copied, &path, |_| {}).await.expect(ending), 700);
        let read = format!(
            "SELECT count(*), sum(id), min(text), max(label) FROM '{}'",
            path.display()
        );
        let read = shown(&engine, &read).await;
        assert!(read.contains("| 700      | 244650 "), "{ending}: {read}");
    }
    // Nested answers in CSV are JSON.
    let path = at.join("nested.csv");
    let nested = session
        .query("SELECT f('ab') AS s, f(NULL) AS n")
        .await
        .expect("plan");
    write(&nested, &path, |_| {}).await.expect("written");
    let text = fs::read_to_string(&path).expect("text");
    assert!(
        text.starts_with("s,n\n\"{\"\"label\"\":\"\"EVEN\"\",\"\"score\"\":"),
        "{text}"
    );
    assert!(text.ends_with("}\",\n"), "{text}");
    // A folder and a pattern are all files of the first one's format.
    fs::create_dir(at.join("parts")).expect("folder");
    for part in 0..3 {
        fs::write(
            at.join(format!("parts/p{part}.csv")),
            format!("id,text\n{part},\"a\nb\"\n"),
        )
        .expect("part");
    }
    fs::write(at.join("parts/notes.txt"), "no table").expect("notes");
    for name in ["parts", "parts/", "parts/*.csv", "parts/p?.csv"] {
        let sql = format!("SELECT count(*), sum(id) FROM '{}/{name}'", at.display());
        let read = shown(&engine, &sql).await;
        assert!(read.contains("| 3        | 3 "), "{name}: {read}");
    }
}

#[tokio::test]
async fn images_of_a_folder_are_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    fs::create_dir(at.join("more")).expect("folder");
    for (name, width) in [("a.png", 3), ("more/b.PNG", 5)] {
        let picture = image::RgbImage::from_pixel(width, 2, image::Rgb([9, 9, 9]));
        picture
            .save_with_format(at.join(name), image::ImageFormat::Png)
            .expect("saved");
    }
    fs::write(at.join("c.jpg"), "no picture").expect("file");
    fs::write(at.join("d.txt"), "no name of one").expect("file");
    let engine = engine(&Fake::default());
    let sql = format!(
        "SELECT path, width, height, bytes FROM images('{}')",
        at.display()
    );
    let batches = rows(&engine, &sql).await.expect("rows");
    let batch = &batches[0];
    let paths: Vec<_> = batch
        .column(0)
        .as_string::<i32>()
        .iter()
        .flatten()
        .collect();
    assert_eq!(paths, ["a.png", "c.jpg", "more/b.PNG"]);
    let widths: Vec<_> = batch.column(1).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(widths, [Some(3), None, Some(5)]);
    assert_eq!(batch.column(2).as_primitive::<Int32Type>().value(2), 2);
    let one = format!("SELECT count(*) FROM images('{}/*.png')", at.display());
    assert!(shown(&engine, &one).await.contains("| 1 "));
    let none = refused(
        &engine,
        &format!("SELECT * FROM images('{}/nothing')", at.display()),
    )
    .await;
    assert!(none.contains("there is no such file"), "{none}");
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_nothing_half_written() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let fake = Fake::default();
    let engine = engine(&fake);
    let session = session(&engine);
    let good = Table::parquet(20_000);
    let good = good.name().trim_matches('\'').to_owned();
    // A Parquet file whose pages are damaged, and one that is none.
    let mut bytes = fs::read(&good).expect("bytes");
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle - 2000..middle + 2000] {
        *byte ^= 0x55;
    }
    fs::write(at.join("damaged.parquet"), bytes).expect("file");
    fs::write(at.join("none.parquet"), "PAR1 and nothing else").expect("file");
    // A CSV file with a line that is too long.
    fs::write(at.join("ragged.csv"), "id,text\n1,a\n2,b,c\n3,d\n").expect("file");
    fs::write(at.join("broken.jsonl"), "{\"text\": \"a\"}\n{\"text\": \n").expect("file");
    fs::write(at.join("table.xyz"), "what is this").expect("file");
    let before = names(at);
    let out = at.join("out.parquet");
    for (name, why) in [
        ("damaged.parquet", ""),
        ("none.parquet", "none.parquet cannot be read"),
        (
            "ragged.csv",
            "ragged.csv cannot be read: line 3: the row has 3 values, the table 2 columns; `bad_rows` = `skip`",
        ),
        ("broken.jsonl", "broken.jsonl cannot be read"),
        ("missing.csv", "there is no such file"),
        ("table.xyz", "the name must end in"),
    ] {
        let sql = format!(
            "SELECT f(text)['label'] AS l FROM '{}'",
            at.join(name).display()
        );
        let ended = async {
            let query = session
                .query(&sql)
                .await
                .map_err(|error| error.to_string())?;
            write(&query, &out, |_| {})
                .await
                .map_err(|error| error.to_string())
        };
        let error = ended.await.expect_err(name);
        assert!(error.contains(why) && !error.is_empty(), "{name}: {error}");
        assert_eq!(names(at), before, "{name}");
    }
    // A file that goes away between plan and rows.
    let path = at.join("gone.parquet");
    fs::copy(&good, &path).expect("copied");
    let query = session
        .query(&format!("SELECT f(text) FROM '{}'", path.display()))
        .await
        .expect("plan");
    fs::remove_file(&path).expect("removed");
    let error = write(&query, &out, |_| {})
        .await
        .expect_err("gone")
        .to_string();
    assert!(error.contains("gone.parquet"), "{error}");
    assert_eq!(names(at), before);
    // A destination that is none.
    let query = session.query("SELECT 1 AS one").await.expect("plan");
    for (to, why) in [
        (at.join("nowhere/out.csv"), "cannot be written"),
        (at.join("out.xyz"), "the name must end in"),
        (at.to_owned(), "must end in"),
    ] {
        let error = write(&query, &to, |_| {})
            .await
            .expect_err("no place")
            .to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(names(at), before);
    // What was there stays when its successor fails.
    fs::write(&out, "the old one").expect("file");
    let sql = format!("SELECT 1 / (id - 15000) AS q FROM '{good}'");
    let query = session.query(&sql).await.expect("plan");
    write(&query, &out, |_| {}).await.expect_err("a division");
    assert_eq!(fs::read_to_string(&out).expect("file"), "the old one");
}

#[tokio::test]
async fn callers_from_elsewhere_read_registered_folders_and_nothing_else() {
    let open = tempfile::tempdir().expect("folder");
    let closed = tempfile::tempdir().expect("folder");
    fs::write(open.path().join("a.csv"), "id\n1\n").expect("file");
    fs::write(closed.path().join("b.csv"), "id\n1\n").expect("file");
    let places = Places::folders([("data", open.path())]).expect("places");
    let fake = Fake::default();
    let engine =
        Engine::new(vec![fake.model()], places, Rights::Read, room(64 << 20)).expect("engine");
    for sql in [
        "SELECT * FROM 'data/a.csv'",
        "SELECT * FROM 'data'",
        "SELECT * FROM 'DATA/*.csv'",
    ] {
        assert!(shown(&engine, sql).await.contains("| 1  |"), "{sql}");
    }
    let closed = closed.path().display();
    for sql in [
        format!("SELECT * FROM '{closed}/b.csv'"),
        format!("SELECT * FROM 'file://{closed}/b.csv'"),
        format!("SELECT * FROM 'data/../{closed}/b.csv'"),
        format!("SELECT * FROM images('{closed}')"),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{closed}/b.csv'"),
        format!("COPY (SELECT 1) TO '{closed}/c.csv'"),
        "COPY (SELECT 1) TO 'data/c.csv'".to_owned(),
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        "INSERT INTO 'data/a.csv' VALUES (2)".to_owned(),
        "SET escala.memory = 1".to_owned(),
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'data/c.csv'".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "".to_owned(),
    ] {
        let error = refused(&engine, &sql).await;
        assert!(!error.is_empty(), "{sql}");
    }
    assert_eq!(names(open.path()), ["a.csv"]);
}

fn scoring() -> Scoring {
    Scoring {
        function: "f".to_owned(),
        columns: vec!["text".to_owned()],
        endpoint: None,
        language: None,
        answers: "f".to_owned(),
        format: Format::Parquet,
    }
}

#[tokio::test]
async fn scoring_keeps_rows_and_adds_answers_and_errors() {
    let fake = Fake::failing(|text| text.ends_with("77").then(|| "no seventy-seven".to_owned()));
    let engine = engine(&fake);
    let table = Table::parquet(1000);
    let session = session(&engine);
    let split = Split {
        file: table.name().trim_matches('\'').to_owned(),
        part: Part::All,
    };
    let out = tempfile::tempdir().expect("folder");
    let path = out.path().join("scored.parquet");
    let scored = query(&session, &split, &scoring()).await.expect("plan");
    assert_eq!(write(&scored, &path, |_| {}).await.expect("written"), 1000);
    assert_eq!(names(out.path()), ["scored.parquet"]);
    assert_eq!((fake.asked(), scored.counts().failed), (1000, 10));
    let read = format!(
        "SELECT id, text, f['label'] AS l, f_error FROM '{}' WHERE id IN (76, 77) ORDER BY id",
        path.display()
    );
    let read = shown(&engine, &read).await;
    assert!(
        read.contains("| 77 | text xx77 |      | no seventy-seven |"),
        "{read}"
    );
    assert!(
        read.contains("| 76 | text x76  | EVEN |                  |"),
        "{read}"
    );
    for (changed, why) in [
        (
            Scoring {
                columns: vec!["review".to_owned()],
                ..scoring()
            },
            "there are id, text",
        ),
        (
            Scoring {
                function: "g".to_owned(),
                ..scoring()
            },
            "there is no function g()",
        ),
        (
            Scoring {
                answers: "id".to_owned(),
                ..scoring()
            },
            "there is a column `id` already",
        ),
    ] {
        let error = query(&session, &split, &changed)
            .await
            .err()
            .expect(why)
            .to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn splits_of_a_file_are_all_of_it_once() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let session = session(&engine);
    let folder = tempfile::tempdir().expect("folder");
    // Parquet in groups of rows, and lines of JSON.
    let source = Table::parquet(300_000);
    let lines = folder.path().join("t.jsonl");
    let copied = session
        .query(&format!(
            "SELECT id, text FROM {} ORDER BY id LIMIT 5000",
            source.name()
        ))
        .await
        .expect("plan");
    write(&copied, &lines, |_| {}).await.expect("written");
    for (file, rows) in [
        (source.name().trim_matches('\'').to_owned(), 300_000),
        (lines.display().to_string(), 5000),
    ] {
        let bytes = fs::metadata(&file).expect("file").len();
        let of = async |part| {
            let split = Split {
                file: file.clone(),
                part,
            };
            let part = query(&session, &split, &scoring()).await.expect("plan");
            let mut ids: Vec<i64> = Vec::new();
            for batch in part.collect().await.expect("rows") {
                assert_eq!(batch.num_columns(), 4);
                ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
            }
            ids
        };
        let mut ids = Vec::new();
        for third in 0..3 {
            let range = bytes * third / 3..bytes * (third + 1) / 3;
            let some = of(Part::Bytes(range)).await;
            assert!(some.len() < rows, "{file}");
            ids.extend(some);
        }
        ids.sort_unstable();
        let all: Vec<i64> = (0..rows as i64).collect();
        assert!(ids == all, "{file}");
        // Also of a file that several could read at the same time.
        assert!(of(Part::All).await == all, "{file}: not in their order");
    }
}

/// Cut at any size, the parts of a file have the rows that the file has, in their order, whatever its values look like.
#[tokio::test]
async fn parts_are_the_rows_of_the_whole() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let session = session(&engine);
    let folder = tempfile::tempdir().expect("folder");
    let mut csv = "id,zip,text\n".to_owned();
    let mut json = String::new();
    for id in 0..100 {
        let text = match id % 4 {
            0 => format!("line\nbreaks, and \"quotes\" {id}"),
            1 => format!("plain {id}"),
            2 => String::new(),
            _ => format!("\r\n{id}\n"),
        };
        let end = if id % 3 == 0 { "\r\n" } else { "\n" };
        csv.push_str(&format!(
            "{id},007{id},\"{}\"{end}",
            text.replace('"', "\"\"")
        ));
        json.push_str(&serde_json::json!({"id": id, "zip": "007", "text": text}).to_string());
        json.push_str(if id % 5 == 0 { "\n\n" } else { "\n" });
    }
    let tables = [
        ("t.csv", csv.clone()),
        ("t.tsv", csv.replace(',', "\t")),
        ("t.jsonl", json),
    ];
    for (name, content) in &tables {
        fs::write(folder.path().join(name), content).expect("file");
    }
    let all = format!("SELECT * FROM '{}/t.jsonl'", folder.path().display());
    for name in ["t.parquet", "t.arrow"] {
        let source = session.query(&all).await.expect("plan");
        let written = write(&source, &folder.path().join(name), |_| {}).await;
        assert_eq!(written.expect("written"), 100);
    }
    for (name, format) in [
        ("t.csv", Format::Csv),
        ("t.tsv", Format::Tsv),
        ("t.jsonl", Format::JsonLines),
        ("t.parquet", Format::Parquet),
        ("t.arrow", Format::Arrow),
    ] {
        let file = folder.path().join(name).display().to_string();
        let scoring = Scoring {
            format,
            ..scoring()
        };
        let whole = Split {
            file: file.clone(),
            part: Part::All,
        };
        let whole = query(&session, &whole, &scoring).await.expect(name);
        let whole = texts(&whole.collect().await.expect(name));
        assert_eq!(whole.len(), 100, "{name}");
        for rows in [1, 2, 7, 1000] {
            let size = Size {
                bytes: 1 << 20,
                rows,
            };
            let pieces = cut(&session, &file, format, size).await.expect(name);
            assert_eq!(
                pieces.last().map(|piece| piece.rows.end),
                Some(100),
                "{name}"
            );
            let mut parts = Vec::new();
            for piece in &pieces {
                let split = Split {
                    file: file.clone(),
                    part: piece.part(format),
                };
                let part = query(&session, &split, &scoring).await.expect(name);
                let part = texts(&part.collect().await.expect(name));
                assert_eq!(
                    part.len() as u64,
                    piece.rows.end - piece.rows.start,
                    "{name} {piece:?}"
                );
                parts.extend(part);
            }
            assert_eq!(parts, whole, "{name} by {rows}");
            let single = matches!(format, Format::Arrow) || rows == 1000;
            assert_eq!(pieces.len() == 1, single, "{name} by {rows}");
        }
        if matches!(format, Format::Csv | Format::Tsv) {
            assert!(
                whole[1].contains("0071"),
                "what looks like a number stays what it is: {}",
                whole[1]
            );
        }
    }
}

/// Types are guessed of whole records, however many line ends their values have and wherever a sample would end.
#[tokio::test]
async fn the_columns_of_csv_are_guessed_of_whole_records() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let folder = tempfile::tempdir().expect("folder");
    let text = |id: usize| format!("line {id}\nof \"\"some\"\",\r\nlines").repeat(1 + id % 7);
    let mut csv = "id,price,text,none\n".to_owned();
    for id in 0..20_000 {
        csv.push_str(&format!("{id},{}.5,\"{}\",\n", id % 9, text(id)));
    }
    assert!(csv.len() > 1 << 20, "more than a sample");
    let path = folder.path().join("lines.csv");
    fs::write(&path, &csv).expect("file");
    let sql = format!(
        "SELECT count(*) AS n, sum(id) AS s, sum(price) AS p, max(character_length(text)) AS l, count(none) AS o FROM '{}'",
        path.display()
    );
    let batches = rows(&engine, &sql).await.expect("rows");
    let expected: f64 = (0..20_000).map(|id| (id % 9) as f64 + 0.5).sum();
    let longest = (0..20_000).map(|id| text(id).replace("\"\"", "\"").len());
    let longest = longest.max().expect("rows");
    assert_eq!(
        texts(&batches),
        [format!(
            "20000|{}|{expected:?}|{longest}|0",
            (0..20_000).sum::<usize>()
        )]
    );
    // Of several files: whole numbers and others are numbers, and what fits nothing is a text.
    let several = folder.path().join("several");
    fs::create_dir(&several).expect("folder");
    for (name, content) in [("a.csv", "a,b,c\n1,1,\n"), ("b.csv", "a,b,c\n2.5,x,7\n")] {
        fs::write(several.join(name), content).expect("file");
    }
    let sql = format!(
        "SELECT sum(a) AS a, max(b) AS b, sum(c) AS c FROM '{}'",
        several.display()
    );
    let batches = rows(&engine, &sql).await.expect("rows");
    assert_eq!(texts(&batches), ["3.5|x|7"]);
    let ragged = folder.path().join("ragged.csv");
    fs::write(&ragged, "a,b\n1,2\n1,2,3\n").expect("file");
    let error = refused(&engine, &format!("SELECT * FROM '{}'", ragged.display())).await;
    assert!(error.contains("ragged.csv"), "{error}");
}

/// Rows that are none end a query with their file and line, or are left out and counted, as `ignore_errors` does elsewhere.
#[tokio::test]
async fn bad_rows_end_a_query_or_are_left_out() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path().join("y=1");
    fs::create_dir(&at).expect("folder");
    let many: String = (0..3000).map(|row| format!("{row},\"a\nb\"\r\n")).collect();
    // One with a number that is none and one that is short, behind what is looked at to guess what columns are.
    let later = format!("n,text\r\n{many}\r\nx,c\r\n7\r\n9,end");
    fs::write(at.join("a.csv"), "n,text\n1,good\n").expect("file");
    fs::write(at.join("b.csv"), later).expect("file");
    let table = format!("'{}/*/*.csv'", folder.path().display());
    let engine = engine_of(Vec::new());
    let session = engine.session().expect("a session");
    let sql =
        format!("SELECT y, count(*) AS c, sum(n) AS s, min(text) AS t FROM {table} GROUP BY y");
    let ended = async |session: &Session| {
        let query = session.query(&sql).await.expect("plan");
        let rows: Vec<RecordBatch> = query.collect().await?;
        Ok::<_, DataFusionError>((texts(&rows), query.counts()))
    };
    let error = ended(&session)
        .await
        .expect_err("a row is none")
        .to_string();
    // Each of the many has two lines, and a blank one is behind them.
    let why =
        "b.csv cannot be read: line 6003: `n` is \"x\", which is no Int64; `bad_rows` = `skip`";
    assert!(error.contains(why), "{error}");
    session.set("escala.bad_rows", "skip").expect("set");
    let sum: usize = (0..3000).sum::<usize>() + 1 + 9;
    // Counted for each statement by itself.
    for _ in 0..2 {
        let (rows, counts) = ended(&session).await.expect("rows");
        assert_eq!(rows, [format!("1|3002|{sum}|a\nb")]);
        assert_eq!((counts.failed, counts.left_out, counts.asked), (2, 2, 0));
        let says = |why: &str| counts.examples.iter().any(|said| said.ends_with(why));
        assert!(
            says("b.csv, line 6003: `n` is \"x\", which is no Int64")
                && says("b.csv, line 6004: the row has 1 value, the table 2 columns"),
            "{counts:?}"
        );
    }
    let error = session
        .set("escala.bad_rows", "perhaps")
        .expect_err("no choice");
    assert!(error.to_string().contains("`error` or `skip`"), "{error}");
    // Those that are looked at first, too; a limit is one of rows that are left.
    let first = folder.path().join("first.tsv");
    fs::write(&first, "a\tb\n1\t2\t3\n4\n5\t6\n7\t8\n").expect("file");
    let query = format!("SELECT * FROM '{}' LIMIT 1", first.display());
    let query = session.query(&query).await.expect("plan");
    assert_eq!(texts(&query.collect().await.expect("rows")), ["5|6"]);
    assert_eq!(query.counts().failed, 2);
    let lines = folder.path().join("lines.jsonl");
    fs::write(&lines, "{\"n\": 1}\n{\"n\": \n\n{\"n\": 3}\n").expect("file");
    let sql = format!("SELECT n, n + 1 AS m FROM '{}' ORDER BY n", lines.display());
    let query = session.query(&sql).await.expect("plan");
    assert_eq!(texts(&query.collect().await.expect("rows")), ["1|2", "3|4"]);
    let counts = query.counts();
    assert_eq!(counts.failed, 1);
    assert!(
        counts.examples[0].contains("lines.jsonl, line 2: "),
        "{counts:?}"
    );
    session.set("escala.bad_rows", "error").expect("set");
    let query = session.query(&sql).await.expect("plan");
    let error = query
        .collect()
        .await
        .expect_err("a line is none")
        .to_string();
    assert!(
        error.contains("lines.jsonl cannot be read: line 2: "),
        "{error}"
    );
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let options = FormatOptions::default().with_null("NULL");
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("shown"))
            .collect();
        for row in 0..batch.num_rows() {
            let values = columns.iter().map(|column| column.value(row).to_string());
            rows.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

#[tokio::test]
async fn columns_without_models_need_none() {
    let engine = engine_of(Vec::new());
    assert!(
        shown(&engine, "SELECT 1 + 1 AS two")
            .await
            .contains("| 2   |")
    );
    let error = refused(&engine, "SELECT similarity('a', 'b')").await;
    assert!(error.contains("needs embed()"), "{error}");
}

/// A row that is not as the others is kept, with what is wrong with it, and nothing is asked about it; the others are scored.
#[tokio::test]
async fn a_row_that_is_no_row_spoils_nobody() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let session = session(&engine);
    let folder = tempfile::tempdir().expect("folder");
    let csv = b"\xef\xbb\xbfid,text,n\n1,x1,10\n2,too,many,values\n3\n4,\"x\n4\",nine\n5,\xff,50\n\n6,x6,60\r\n";
    let json = "{\"id\":1,\"text\":\"x1\",\"n\":10}\n{\"id\":2,\n[3]\n{\"id\":4,\"text\":\"x4\",\"n\":\"nine\"} \n{\"id\":5}{}\n\n{\"id\":6,\"text\":\"x6\",\"n\":60}";
    let (csv_path, json_path) = (folder.path().join("t.csv"), folder.path().join("t.jsonl"));
    fs::write(&csv_path, csv).expect("file");
    // The types are guessed of what can be read; these say that `n` is a number.
    let first = format!("{}\n", "{\"id\":0,\"text\":\"x0\",\"n\":1}");
    fs::write(&json_path, format!("{}{json}", first.repeat(1000))).expect("file");
    let scored = async |path: &Path, format, part| {
        let split = Split {
            file: path.display().to_string(),
            part,
        };
        let scoring = Scoring {
            format,
            ..scoring()
        };
        let query = query(&session, &split, &scoring).await.expect("plan");
        let batches = query.collect().await.expect("rows");
        let asked = query.counts().asked;
        let rows: Vec<String> = texts(&batches);
        (rows, asked)
    };
    // Texts into texts: nothing has a type that could be wrong.
    let (rows, asked) = scored(&csv_path, Format::Csv, Part::All).await;
    let wrong = |row: &str| {
        ["values", "value,", "UTF-8", "no row", "which is no"]
            .iter()
            .any(|said| row.contains(said))
    };
    assert_eq!((rows.len(), asked), (6, 3), "{rows:#?}");
    let spoiled: Vec<usize> = (0..rows.len()).filter(|row| wrong(&rows[*row])).collect();
    assert_eq!(spoiled, [1, 2, 4], "{rows:#?}");
    for (row, said) in [
        (1, "the row has 4 values, the table 3 columns"),
        (1, "too"),
        (2, "the row has 1 value, the table 3 columns"),
        (4, "`text` is no UTF-8"),
        (3, "x\n4"),
    ] {
        assert!(rows[row].contains(said), "{}", rows[row]);
    }
    let split = Split {
        file: csv_path.display().to_string(),
        part: Part::All,
    };
    let other = Scoring {
        columns: vec!["review".to_owned()],
        ..scoring()
    };
    let error = query(&session, &split, &other).await.err();
    let error = error.expect("no such column").to_string();
    assert!(error.ends_with("there are id, text, n"), "{error}");
    // The same in parts.
    let name = csv_path.display().to_string();
    let size = Size {
        bytes: 1 << 20,
        rows: 1,
    };
    let pieces = cut(&session, &name, Format::Csv, size).await.expect("cut");
    assert_eq!(pieces.len(), 6);
    let mut parts = Vec::new();
    for piece in &pieces {
        let (some, _) = scored(&csv_path, Format::Csv, piece.part(Format::Csv)).await;
        assert_eq!(some.len(), 1, "{piece:?}");
        parts.extend(some);
    }
    assert_eq!(parts, rows);
    // With types, a value may be none of its column.
    fs::write(
        &csv_path,
        [
            b"id,text,n\n".as_slice(),
            &b"0,x0,1\n".repeat(1000),
            b"4,x4,nine\n6,x6,60\n",
        ]
        .concat(),
    )
    .expect("file");
    let (rows, _) = scored(&csv_path, Format::Parquet, Part::All).await;
    assert_eq!(rows.len(), 1002);
    let last = &rows[1000..];
    assert!(
        last[0].contains("`n` is \"nine\", which is no Int64"),
        "{last:#?}"
    );
    assert!(!wrong(&last[1]) && last[1].contains("60"), "{last:#?}");
    let (rows, _) = scored(&json_path, Format::Parquet, Part::All).await;
    assert_eq!(rows.len(), 1006, "{:#?}", &rows[1000..]);
    let spoiled: Vec<usize> = (0..rows.len()).filter(|row| wrong(&rows[*row])).collect();
    assert_eq!(spoiled, [1001, 1002, 1003, 1004], "{:#?}", &rows[1000..]);
    let whole = fs::read(&json_path).expect("bytes").len() as u64;
    let mut parts = Vec::new();
    let mut from = 0;
    while from < whole {
        let to = whole.min(from + 1777);
        parts.extend(
            scored(&json_path, Format::Parquet, Part::Bytes(from..to))
                .await
                .0,
        );
        from = to;
    }
    assert_eq!(parts, rows, "lines are those of the part they begin in");
    // Files of one table have the same columns.
    let second = folder.path().join("u.csv");
    fs::write(&second, "id,n,text\n1,2,x\n").expect("file");
    let split = Split {
        file: folder.path().join("*.csv").display().to_string(),
        part: Part::All,
    };
    let error = match query(&session, &split, &scoring()).await {
        Ok(query) => query.collect().await.err(),
        Err(error) => Some(error),
    };
    let error = error.expect("other columns").to_string();
    assert!(
        error.contains("u.csv") && error.contains("not those of the files before"),
        "{error}"
    );
}

#[tokio::test]
async fn files_that_are_read_whole_have_to_fit() {
    let objects = Memory::default();
    objects.bucket("lake");
    objects.put("lake", "large.arrow", &vec![0; 2 << 20]);
    let objects = Arc::new(objects);
    for (memory, is_larger) in [(1 << 20, true), (4 << 20, false)] {
        let places = Places::default().and_buckets(Buckets::new(objects.clone()));
        let engine = Engine::new(Vec::new(), places, Rights::Read, room(memory)).expect("engine");
        let read = rows(&engine, "SELECT count(*) FROM 's3://lake/large.arrow'").await;
        // What fits is read, and is no file of Arrow.
        let error = read.expect_err("no table");
        assert_eq!(error.contains("`sql.memory`"), is_larger, "{error}");
    }
}

#[tokio::test]
async fn what_does_not_fit_goes_on_on_the_disk_within_bounds() {
    let sql = "SELECT max(place) FROM (SELECT row_number() OVER (ORDER BY text) AS place
        FROM (SELECT repeat(value::varchar, 200) AS text FROM generate_series(1, 100000)))";
    let sort = async |spill| {
        let room = Room {
            memory: 48 << 20,
            spill,
        };
        let engine = Engine::new(Vec::new(), Places::default(), Rights::Read, room);
        rows(&engine.expect("engine"), sql).await
    };
    let sorted = sort(1 << 30).await.expect("there is room");
    assert_eq!(sorted[0].num_rows(), 1);
    let error = sort(1 << 20).await.expect_err("there is none");
    assert!(error.contains("disk"), "{error}");
}

#[tokio::test]
async fn files_of_folders_that_may_be_read_have_addresses() {
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("reviews");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a.csv"), "n\n1\n2\n").expect("written");
    fs::write(outside.path().join("secret.csv"), "n\n7\n").expect("written");
    std::os::unix::fs::symlink("../secret.csv", folder.join("link.csv")).expect("linked");
    let named = BTreeMap::from([("reviews".to_owned(), folder.clone())]);
    let objects = Folder::new(Err("there are no others".to_owned())).with_named(named.clone());
    let places = Places::default()
        .and_buckets(Buckets::new(Arc::new(objects)))
        .and_files(named);
    let engine = Engine::new(Vec::new(), places, Rights::Read, room(64 << 20)).expect("engine");
    let sum = async |file: String| rows(&engine, &format!("SELECT sum(n) FROM '{file}'")).await;
    let folder = folder.display();
    for file in [
        format!("file://{folder}/a.csv"),
        format!("file://{folder}/a*.csv"),
        "s3://reviews/a.csv".to_owned(),
    ] {
        let batches = sum(file.clone()).await.expect(&file);
        let total = batches[0].column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(total, 3, "{file}");
    }
    for (file, why) in [
        (format!("file://{folder}/link.csv"), "no such file"),
        (format!("file://{folder}/../secret.csv"), "no folder"),
        (
            format!("file://{}/secret.csv", outside.path().display()),
            "no folder",
        ),
        ("file:///etc/passwd".to_owned(), "no folder"),
        ("file://etc/passwd".to_owned(), "three slashes"),
    ] {
        let error = sum(file.clone()).await.expect_err(&file);
        assert!(error.to_lowercase().contains(why), "{file}: {error}");
    }
    // Who may name any path may name it so, too.
    let engine = engine_of(Vec::new());
    let all = rows(
        &engine,
        &format!("SELECT sum(n) FROM 'file://{folder}/*.csv'"),
    )
    .await;
    assert!(all.is_ok(), "{all:?}");
}

/// A page that was written over spoils its group of rows; the rows before it, and those of other groups, are read.
#[tokio::test]
async fn a_broken_page_is_told_from_a_file_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    let engine = engine_of(vec![Fake::default().model()]);
    let session = session(&engine);
    session
        .set("datafusion.execution.parquet.max_row_group_size", "1000")
        .expect("set");
    let copy = format!(
        "COPY (SELECT value AS id, (value * 7919 % 100003)::varchar AS text FROM generate_series(1, 3000)) TO '{}'",
        path.display()
    );
    let copied = session.query(&copy).await.expect("plan");
    copied.collect().await.expect("copied");
    let name = path.display().to_string();
    let bytes = fs::read(&path).expect("read");
    let second = group_of(&session, &name, 1000).await.expect("a group");
    assert_eq!((second.number, second.rows.clone()), (1, 1000..2000));
    assert!(group_of(&session, &name, 3000).await.is_err());
    let mut spoilt = bytes.clone();
    let middle = bytes.len() / 2;
    spoilt[middle - 200..middle + 200].fill(0xff);
    fs::write(&path, &spoilt).expect("written");
    let read = async |rows: std::ops::Range<u64>| {
        let split = Split {
            file: name.clone(),
            part: Part::Rows(rows),
        };
        let query = query(&session, &split, &scoring()).await.expect("plan");
        query
            .collect()
            .await
            .map(|batches| batches.iter().map(RecordBatch::num_rows).sum::<usize>())
    };
    assert_eq!(read(0..1000).await.expect("whole"), 1000);
    assert_eq!(read(2000..3000).await.expect("whole"), 1000);
    let error = read(1000..2000).await.expect_err("spoilt");
    assert!(is_undecodable(&error), "{error}");
    // Not there is not broken.
    let split = Split {
        file: name.clone(),
        part: Part::Rows(0..1000),
    };
    let gone = query(&session, &split, &scoring()).await.expect("plan");
    fs::remove_file(&path).expect("removed");
    let error = gone.collect().await.expect_err("gone");
    assert!(!is_undecodable(&error), "{error}");
}

/// Large values are read a few rows at a time.
#[tokio::test]
async fn batches_of_large_values_have_few_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    let engine = engine_of(Vec::new());
    let writing = session(&engine);
    writing
        .set("datafusion.execution.batch_size", "16")
        .expect("set");
    let copy = format!(
        "COPY (SELECT value AS id, repeat((value + 100)::varchar, 200000) AS text FROM generate_series(1, 200)) TO '{}'",
        path.display()
    );
    let copied = writing.query(&copy).await.expect("plan");
    copied.collect().await.expect("copied");
    let sizes = async |columns: &str| {
        let sql = format!("SELECT {columns} FROM '{}'", path.display());
        let batches = rows(&engine, &sql).await.expect("rows");
        let sizes: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 200);
        sizes
    };
    let few = sizes("id, text").await;
    assert!(
        few.iter().all(|rows| *rows * 600_000 <= 64 << 20),
        "{few:?}"
    );
    assert_eq!(
        sizes("id").await.iter().max(),
        Some(&200),
        "numbers are small"
    );
}
