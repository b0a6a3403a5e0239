//! How often models are asked, by a model that counts.

mod common;

use common::{Endpoints, Fake, Table, engine, rows, session};
use escala_sql::Error;
use escala_sql::arrow::util::pretty::pretty_format_batches;

/// Rows of the table `t` of these tests.
const ROWS: usize = 5000;

async fn shown(sql: &str, fake: &Fake) -> String {
    let batches = rows(&engine(fake), sql).await.expect(sql);
    pretty_format_batches(&batches).expect("shown").to_string()
}

/// Runs a query over `t` (5,000 rows of distinct texts) and tells how many inputs were asked about, and how many of them
/// twice.
async fn asked(sql: &str) -> (usize, usize) {
    let fake = Fake::default();
    let table = Table::parquet(ROWS);
    let sql = sql.replace("$t", &table.name());
    rows(&engine(&fake), &sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    (fake.asked(), fake.repeated())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_input_is_asked_about_once_wherever_the_call_stands() {
    for sql in [
        "SELECT id, f(text) FROM $t",
        "SELECT f(text)['label'], f(text)['score'] FROM $t",
        "SELECT s['label'], s['score'] FROM (SELECT f(text) AS s FROM $t)",
        "SELECT f(text)['score'] FROM $t WHERE f(text)['label'] = 'EVEN'",
        "SELECT s['score'] FROM (SELECT f(text) AS s FROM $t) WHERE s['label'] = 'EVEN'",
        "WITH p AS (SELECT id, f(text) AS s FROM $t) SELECT s['score'] FROM p WHERE s['label'] = 'EVEN' AND id >= 0",
        "SELECT f(text)['label'], count(*) FROM $t GROUP BY f(text)['label']",
        "SELECT f(text)['label'] AS l, avg(f(text)['score']) FROM $t GROUP BY l HAVING count(*) > 1",
        "SELECT count(*) FILTER (WHERE f(text)['label'] = 'EVEN') FROM $t",
        "SELECT id FROM $t ORDER BY f(text)['score'] DESC, id LIMIT 5",
        "SELECT id, f(text)['label'] FROM $t ORDER BY f(text)['score'] DESC, id LIMIT 5",
        "SELECT id, avg(f(text)['score']) OVER () FROM $t",
        "SELECT id, row_number() OVER (PARTITION BY f(text)['label'] ORDER BY f(text)['score']) FROM $t",
        "SELECT DISTINCT f(text)['label'] FROM $t",
        "SELECT DISTINCT ON (f(text)['label']) id FROM $t ORDER BY f(text)['label'], id",
        "SELECT id FROM $t WHERE f(text)['label'] = 'EVEN' UNION SELECT id FROM $t WHERE f(text)['label'] = 'ODD'",
        "SELECT f(text)['label'] FROM $t UNION ALL SELECT f(text)['label'] FROM $t",
        "SELECT id FROM (SELECT DISTINCT id, text FROM $t) WHERE f(text)['label'] = 'EVEN'",
        "SELECT a.id FROM $t a JOIN $t b ON a.id = b.id WHERE f(a.text)['label'] = 'EVEN'",
        "SELECT a.id FROM $t a JOIN $t b ON a.id = b.id AND f(a.text)['score'] = f(b.text)['score']",
        "SELECT a.id, f(b.text)['label'] FROM $t a LEFT JOIN $t b ON a.id = b.id AND f(b.text)['label'] = 'EVEN'",
        "SELECT a.id FROM $t a JOIN $t b ON f(a.text)['score'] = f(b.text)['score'] AND a.id = b.id",
        "SELECT id FROM $t WHERE id IN (SELECT id FROM $t WHERE f(text)['label'] = 'EVEN')",
        "SELECT id FROM $t WHERE f(text)['score'] > (SELECT avg(f(text)['score']) FROM $t)",
        "SELECT id FROM $t o WHERE EXISTS (SELECT 1 FROM $t i WHERE i.id = o.id AND f(i.text)['label'] = 'EVEN')",
        "SELECT CASE WHEN f(text)['label'] = 'EVEN' THEN f(text)['score'] ELSE 0 END FROM $t",
        "SELECT f(text)['label'] || '!' FROM $t WHERE f(text) IS NOT NULL",
        "SELECT try_f(text)['error'], f(text)['label'] FROM $t",
        "SELECT word FROM (SELECT unnest(make_array(f(text)['label'], 'x')) AS word FROM $t)",
        "SELECT f(upper(text)) FROM $t",
        "EXPLAIN ANALYZE SELECT f(text) FROM $t",
    ] {
        assert_eq!(asked(sql).await, (ROWS, 0), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_calls_are_asked_from_the_inside() {
    // All texts, and then the two labels.
    for sql in [
        "SELECT id, f(f(text)['label'])['score'] FROM $t",
        "SELECT id FROM $t WHERE f(f(text)['label'])['score'] > 0 AND f(text)['score'] >= 0",
        "SELECT f(f(text)['label'])['label'], count(*) FROM $t GROUP BY f(f(text)['label'])['label']",
    ] {
        assert_eq!(asked(sql).await, (ROWS + 2, 0), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_no_model_goes_first() {
    for (sql, inputs) in [
        (
            "SELECT f(text)['score'] FROM $t WHERE id < 1000 AND f(text)['label'] = 'EVEN'",
            1000,
        ),
        (
            "SELECT * FROM (SELECT id, f(text) AS s FROM $t) WHERE id < 1000",
            1000,
        ),
        (
            "SELECT s['score'] FROM (SELECT id, f(text) AS s FROM $t) WHERE s['label'] = 'EVEN' AND id < 1000",
            1000,
        ),
        (
            "SELECT a.id, f(a.text) FROM $t a JOIN (SELECT id FROM $t WHERE id < 70) b ON a.id = b.id",
            70,
        ),
        ("SELECT f(text) FROM $t LIMIT 10", 10),
        ("SELECT f(text) FROM $t LIMIT 10 OFFSET 100", 10),
        ("SELECT id, f(text) FROM $t ORDER BY id DESC LIMIT 20", 20),
        (
            "SELECT id AS n, f(text)['label'] AS l FROM $t ORDER BY n DESC LIMIT 20 OFFSET 5",
            20,
        ),
        // Nobody needs the answers.
        ("SELECT count(*) FROM (SELECT id, f(text) AS s FROM $t)", 0),
        ("SELECT id FROM (SELECT id, f(text) AS s FROM $t)", 0),
        (
            "SELECT s['label'] FROM (SELECT f(text) AS s, try_f(upper(text)) AS u FROM $t)",
            ROWS,
        ),
        ("SELECT f(text) FROM $t WHERE false", 0),
        ("EXPLAIN SELECT f(text) FROM $t", 0),
    ] {
        let (asked, repeated) = asked(sql).await;
        assert_eq!((asked, repeated), (inputs, 0), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cheaper_models_go_before_dearer_ones() {
    let (fake, cheap) = (Fake::default(), Fake::named("g"));
    let engine = common::engine_of(vec![fake.model(), cheap.model()]);
    let table = Table::parquet(ROWS);
    let sql = format!(
        "SELECT id FROM {} WHERE f(text)['label'] = 'EVEN' AND g(text)['score'] < 0.5",
        table.name()
    );
    let batches = rows(&engine, &sql).await.expect("rows");
    let found: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert!(found > 0);
    assert_eq!(cheap.asked(), ROWS);
    // As many as the first filter let through, counted without a model.
    let below = (0..ROWS)
        .filter(|id| common::score_of(&common::text_of(*id)) < 0.5)
        .count();
    assert_eq!(fake.asked(), below);
    assert!(below < ROWS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_text_is_asked_about_once() {
    let fake = Fake::default();
    let table = Table::repeated(20_000, 300);
    let sql = format!("SELECT f(text)['label'], f('always') FROM {}", table.name());
    let batches = rows(&engine(&fake), &sql).await.expect("rows");
    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        20_000
    );
    assert_eq!((fake.asked(), fake.repeated()), (301, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_answers_is_bounded() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let session = engine.session().expect("session");
    session.set("escala.memory", "100000").expect("set");
    let table = Table::parquet(ROWS);
    let table = table.name();
    let sql = format!(
        "SELECT f(text), f('always') FROM {table} UNION ALL SELECT f(text), f('always') FROM {table}"
    );
    let query = session.query(&sql).await.expect("plan");
    query.collect().await.expect("rows");
    // Texts were forgotten in between; what every piece needs was not.
    assert!(
        fake.asked() > ROWS + 1 && fake.asked() <= 2 * ROWS + 2,
        "{}",
        fake.asked()
    );
    assert_eq!(fake.times("always"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_content_stops_asking() {
    let fake = Fake::default();
    let table = Table::parquet(50_000);
    let sql = format!(
        "SELECT id FROM {} WHERE f(text)['label'] = 'EVEN' LIMIT 10",
        table.name()
    );
    let batches = rows(&engine(&fake), &sql).await.expect("rows");
    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        10
    );
    assert!(
        fake.asked() >= 10 && fake.asked() < 2000,
        "{}",
        fake.asked()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_dropped_stops_asking() {
    use futures_util::StreamExt;
    let fake = Fake::slow();
    let table = Table::parquet(50_000);
    let session = session(&engine(&fake));
    let sql = format!("SELECT f(text) FROM {}", table.name());
    let query = session.query(&sql).await.expect("plan");
    let mut stream = query.rows().expect("stream");
    assert!(
        stream
            .next()
            .await
            .expect("a batch")
            .expect("rows")
            .num_rows()
            > 0
    );
    drop(stream);
    // Those that were under way end with it: nobody asks any more.
    fake.quiet().await;
    let asked = fake.asked();
    assert!(asked < 5000, "{asked}");
    assert_eq!(fake.at_work(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_waits_is_waited_for() {
    use futures_util::StreamExt;
    let fake = Fake::default();
    let table = Table::parquet(50_000);
    let session = session(&engine(&fake));
    let sql = format!("SELECT f(text) FROM {}", table.name());
    let query = session.query(&sql).await.expect("plan");
    let mut stream = query.rows().expect("stream");
    stream.next().await.expect("a batch").expect("rows");
    fake.quiet().await;
    assert!(fake.asked() < 10_000, "{}", fake.asked());
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.expect("rows").num_rows();
    }
    assert!(rows > 40_000 && fake.asked() == 50_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nulls_are_not_asked_about() {
    let fake = Fake::default();
    let sql = "SELECT f(t)['label'] AS l, try_f(t) IS NULL AS n FROM (SELECT NULL AS t UNION ALL SELECT 'ab') ORDER BY l";
    let table = shown(sql, &fake).await;
    assert_eq!(fake.asked(), 1);
    assert!(
        table.contains("| EVEN | false |") && table.contains("|      | true  |"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_fail_are_null_or_end_the_query() {
    // Texts with `7` in them fail alone.
    let fake = Fake::failing(|text| text.contains('7').then(|| "a seven".to_owned()));
    let engine = engine(&fake);
    let table = Table::parquet(1000);
    let bad = (0..1000)
        .filter(|id| common::text_of(*id).contains('7'))
        .count();
    let session = session(&engine);
    let sql = format!(
        "SELECT f(text)['label'] IS NULL AS n, try_f(text)['error'] AS e, try_f(text)['value']['label'] IS NULL AS v, count(*) FROM {} GROUP BY 1, 2, 3 ORDER BY 1",
        table.name()
    );
    let query = session.query(&sql).await.expect("plan");
    assert_eq!(query.passed(), 0);
    let table_shown = pretty_format_batches(&query.collect().await.expect("rows"))
        .expect("shown")
        .to_string();
    assert!(
        table_shown.contains(&format!("| true  | a seven | true  | {bad}")),
        "{table_shown}"
    );
    assert!(
        table_shown.contains(&format!("| false |         | false | {}", 1000 - bad)),
        "{table_shown}"
    );
    let counts = query.counts();
    // Both forms lack each answer.
    assert_eq!((counts.asked, counts.failed), (1000, 2 * bad));
    assert_eq!(query.passed(), 2000, "rows that were read, and asked about");
    assert_eq!(query.seen(), (3000, 1000), "both forms ask once");
    assert_eq!(counts.examples[0], "f(): a seven");
    let answered = query.answered()["f"];
    assert_eq!(answered.rows, 2 * (1000 - bad) as u64);
    assert_eq!(answered.units, 3 * answered.rows, "the texts are short");
    session.set("escala.on_error", "error").expect("set");
    let query = session.query(&sql).await.expect("plan");
    let error = query.collect().await.expect_err("a row fails").to_string();
    assert!(
        error.contains("a seven") && error.contains("escala.on_error"),
        "{error}"
    );
    // The other form never ends a query.
    let sql = format!(
        "SELECT count(try_f(text)['error']) AS c FROM {}",
        table.name()
    );
    let batches = session
        .query(&sql)
        .await
        .expect("plan")
        .collect()
        .await
        .expect("rows");
    assert!(
        pretty_format_batches(&batches)
            .expect("shown")
            .to_string()
            .contains(&bad.to_string())
    );
    let error = session
        .set("escala.on_error", "maybe")
        .expect_err("no such value");
    assert!(error.to_string().contains("maybe"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_that_spoils_a_batch_is_found() {
    let fake = Fake::spoiled(|text| text.contains("333"));
    let table = Table::parquet(1000);
    let sql = format!(
        "SELECT id, try_f(text)['error'] AS e, f(text)['label'] AS l FROM {}",
        table.name()
    );
    let sql = format!("SELECT id, e, l IS NULL AS n FROM ({sql}) WHERE e IS NOT NULL OR l IS NULL");
    let table = shown(&sql, &fake).await;
    assert!(table.contains("| 333 | spoiled | true |"), "{table}");
    assert_eq!(table.matches("spoiled").count(), 1, "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_not_there_ends_the_query() {
    let fake = Fake::broken(|| Error::Unavailable("no weights".to_owned()));
    let table = Table::parquet(1000);
    let sql = format!("SELECT try_f(text) FROM {}", table.name());
    let error = rows(&engine(&fake), &sql)
        .await
        .expect_err("nothing can be asked");
    assert!(error.to_string().contains("f(): no weights"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_model_can_be_asked_is_said() {
    let fake = Fake::default();
    let engine = engine(&fake);
    let table = Table::parquet(10);
    let t = table.name();
    for (sql, why) in [
        (
            format!("SELECT (SELECT f(o.text)['label'] FROM {t} i LIMIT 1) FROM {t} o"),
            "outer query",
        ),
        (
            format!(
                "SELECT a.id FROM {t} a LEFT JOIN {t} b ON f(concat(a.text, b.text))['score'] > 0"
            ),
            "both sides",
        ),
        (format!("SELECT f(id, text) FROM {t}"), "f"),
    ] {
        let error = rows(&engine, &sql).await.expect_err(&sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
    // In an inner join it can.
    let sql = format!(
        "SELECT count(*) FROM {t} a JOIN {t} b ON f(concat(a.text, b.text))['score'] >= 0 WHERE a.id < 3"
    );
    rows(&engine, &sql).await.expect("rows");
    assert_eq!((fake.asked(), fake.repeated()), (30, 0));
    // And in rows that are written out.
    let fake = Fake::default();
    let table = shown("SELECT * FROM (VALUES (1, f('ab')['label']), (2, f('abc')['label'])) AS v(a, b) ORDER BY a", &fake).await;
    assert!(
        table.contains("| 1 | EVEN |") && table.contains("| 2 | ODD  |"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_stand_beside_their_rows() {
    let fake = Fake::default();
    let table = Table::parquet(ROWS);
    let sql = format!(
        "SELECT text, f(text)['score'] AS s, id FROM {}",
        table.name()
    );
    let batches = rows(&engine(&fake), &sql).await.expect("rows");
    let mut next = 0;
    for batch in batches {
        for (text, score, id) in common::triples(&batch) {
            assert_eq!(text, common::text_of(id));
            assert_eq!(score, common::score_of(&text));
            next += 1;
        }
    }
    assert_eq!(next, ROWS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn similarity_asks_about_each_text_once() {
    let fake = common::Vectors::default();
    let engine = common::engine_of(vec![fake.model()]);
    let table = Table::repeated(1000, 50);
    let sql = format!(
        "SELECT similarity(text, 'text 3') AS s FROM {} WHERE similarity(text, 'text 3') > 0.999 ORDER BY similarity(text, 'text 4')",
        table.name()
    );
    let batches = rows(&engine, &sql).await.expect("rows");
    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        20
    );
    assert_eq!(fake.asked(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_asked_once_about_rows_of_any_columns() {
    let endpoints = Endpoints::default();
    let table = Table::repeated(1000, 10);
    let engine = common::engine_of(vec![endpoints.model()]);
    let ask = async |sql: &str| {
        let sql = sql.replace("$t", &table.name());
        rows(&engine, &sql)
            .await
            .map(|batches| pretty_format_batches(&batches).expect("shown").to_string())
    };
    let shown = ask(
        "SELECT json_value(predict('e', id, text, 0.5), '$.row') AS row, json_value(predict('e', id, text, 0.5), 'by') AS by
         FROM $t WHERE id = 3",
    )
    .await
    .expect("asked");
    assert!(shown.contains("| 3,text 3,0.5 | e  |"), "{shown}");
    assert_eq!(endpoints.asked(), 1);
    // One text is JSON; ten distinct ones.
    let shown = ask("SELECT DISTINCT json_value(predict('e', text), '$.row') AS row FROM $t ORDER BY row LIMIT 1")
        .await
        .expect("asked");
    assert!(shown.contains("| \"text 0\" |"), "{shown}");
    assert_eq!(endpoints.asked(), 11);
    // Two endpoints, and a row that one refuses.
    let shown = ask(
        "SELECT try_predict(name, word)['error'] AS error, predict(name, word) IS NULL AS none
         FROM (VALUES ('a', 'x'), ('b', 'refuse')) AS v (name, word) ORDER BY none",
    )
    .await
    .expect("asked");
    assert!(
        shown.contains("|           | false |") && shown.contains("| b refuses | true  |"),
        "{shown}"
    );
    for (sql, why) in [
        (
            "SELECT predict('e') FROM $t",
            "takes the name of an endpoint",
        ),
        (
            "SELECT predict(id, text) FROM $t",
            "takes the name of an endpoint",
        ),
        ("SELECT predict('e', now()) FROM $t", "column 1 is"),
        ("SELECT json_value(text, '$[') FROM $t", "is no path"),
    ] {
        let refused = ask(sql).await.expect_err(sql).to_string();
        assert!(refused.contains(why), "{sql}: {refused}");
    }
    let refused = rows(&common::engine_of(Vec::new()), "SELECT predict('e', 1)").await;
    let refused = refused.expect_err("there is nobody").to_string();
    assert!(refused.contains("needs hosted models"), "{refused}");
}
