//! What a short query would make of nothing is refused before it is made; what is usual is not.

mod common;

use common::{engine_of, rows};
use escala_sql::arrow::util::pretty::pretty_format_batches;

/// The value of the only row and column.
async fn value(sql: &str) -> Result<String, String> {
    let engine = engine_of(Vec::new());
    let batches = rows(&engine, sql).await?;
    let shown = pretty_format_batches(&batches).expect("shown").to_string();
    let line = shown.lines().nth(3).expect("a row");
    Ok(line.trim_matches(['|', ' ']).to_owned())
}

#[tokio::test]
async fn what_is_usual_is_made() {
    let cases = [
        ("repeat('ab', 3)", "ababab"),
        ("repeat('ab', -1)", ""),
        ("length(repeat('x', 1000000))", "1000000"),
        ("lpad('7', 3, '0')", "007"),
        ("rpad('7', 3)", "7"),
        ("replace('a.b.c', '.', '--')", "a--b--c"),
        ("array_repeat(1, 3)", "[1, 1, 1]"),
        ("list_repeat('x', 2)", "[x, x]"),
        ("array_resize([1], 3, 7)", "[1, 7, 7]"),
        ("range(3)", "[0, 1, 2]"),
        ("range(5, 1, -2)", "[5, 3]"),
        ("generate_series(1, 3)", "[1, 2, 3]"),
        (
            "cardinality(range(DATE '2026-01-01', DATE '2027-01-01', INTERVAL '1 day'))",
            "365",
        ),
        ("concat('a', 1, NULL, 'b')", "a1b"),
        ("concat_ws('-', 'a', NULL, 'b')", "a-b"),
        ("'a' || 'b' || 3", "ab3"),
        ("'a' || NULL", ""),
        ("arrow_cast('a', 'Utf8View') || 'b'", "ab"),
        ("[1, 2] || [3]", "[1, 2, 3]"),
        ("array_concat([1], [2, 3])", "[1, 2, 3]"),
        ("array_append([1], 2)", "[1, 2]"),
        (
            "array_to_string([[1, 2], [NULL]], ', ', 'none')",
            "1, 2, none",
        ),
        ("to_char(DATE '2026-11-30', '%d.%m.%Y')", "30.11.2026"),
        (
            "regexp_replace('a1b22', '[0-9]+', '<$0>', 'g')",
            "a<1>b<22>",
        ),
        ("regexp_replace('Aa', 'a', 'b', 'i')", "ba"),
        (
            "regexp_replace('John Smith', '(\\w+) (\\w+)', '\\2 \\1')",
            "Smith John",
        ),
    ];
    for (call, want) in cases {
        let got = value(&format!("SELECT {call} AS value")).await;
        assert_eq!(got.as_deref(), Ok(want), "{call}");
    }
    // Where much is looked for and little found, it is the little that counts.
    for call in [
        "replace(repeat('a', 100000), 'b', repeat('c', 100000))",
        "regexp_replace(repeat('a', 100000), 'b', repeat('c', 100000), 'g')",
        "regexp_replace(repeat('a', 100000), 'b', repeat('$0', 50000), 'gi')",
    ] {
        let got = value(&format!("SELECT length({call})")).await;
        assert_eq!(got.as_deref(), Ok("100000"), "{call}");
    }
}

/// What is the same for all rows is looked at once, not a copy of it for each: of these there would be a gigabyte.
#[tokio::test]
async fn constants_are_not_copied_to_be_looked_at() {
    let call = "replace(value::varchar, 'zz', repeat('y', 8000000))";
    let sql = format!("SELECT count({call}) FROM generate_series(1, 256)");
    assert_eq!(value(&sql).await.as_deref(), Ok("256"));
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    if let Some(peak) = peak {
        let kib: u64 = peak
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        assert!(kib < 600 << 10, "{kib} KiB at the peak");
    }
}

/// Lists count what is in them, not what is in those of other rows.
#[tokio::test]
async fn lists_of_many_rows_are_put_together() {
    let list = "range(value, value + 400)";
    let sql = format!(
        "SELECT sum(cardinality(array_concat({list}, {list}, [[1]][1]))) FROM generate_series(1, 1000)"
    );
    assert_eq!(value(&sql).await.as_deref(), Ok("801000"));
    let sql = format!(
        "SELECT max(length(array_to_string({list} || [7], ', '))) FROM generate_series(1, 1000)"
    );
    value(&sql).await.expect("is made");
    let sql = "SELECT sum(cardinality([{a: value, b: 'x'}, {a: 1, b: 'y'}])) FROM generate_series(1, 1000)";
    assert_eq!(value(sql).await.as_deref(), Ok("2000"));
}

/// A value that is the same for all rows has a copy in each.
#[tokio::test]
async fn constants_of_many_rows_are_small() {
    for call in [
        "repeat('x', 60000000)",
        "CASE WHEN value > 3 THEN repeat('x', 60000000) ELSE 'a' END",
    ] {
        let refused = value(&format!("SELECT {call} FROM generate_series(1, 300)")).await;
        let error = refused.expect_err(call);
        assert!(error.contains("a constant would make"), "{call}: {error}");
        let few = value(&format!("SELECT length({call}) FROM generate_series(1, 1)")).await;
        few.expect(call);
    }
    let three = "SELECT repeat('x', 3000000) AS x FROM generate_series(1, 3)";
    let three = value(&format!("SELECT sum(length(x)) FROM ({three})")).await;
    assert_eq!(three.as_deref(), Ok("9000000"), "few rows have room");
    let one = value("SELECT length(v) FROM (SELECT repeat('x', 60000000) AS v)").await;
    assert_eq!(one.as_deref(), Ok("60000000"));
    let kept = value("SELECT max(v) FROM (SELECT 'x' AS v FROM generate_series(1, 300))").await;
    assert_eq!(kept.as_deref(), Ok("x"));
}

#[tokio::test]
async fn gigabytes_are_not() {
    let calls = [
        "repeat('x', 1000000000)",
        "repeat(text, 100000000)",
        "lpad(text, 2000000000)",
        "rpad('x', 2000000000, 'yz')",
        "replace(repeat('a', 100000), 'a', repeat('b', 100000))",
        "replace(repeat(text, 100000), '', repeat('b', 100000))",
        "array_repeat(text, 1000000000)",
        "list_repeat([1, 2, 3], 100000000)",
        "array_resize([1], 1000000000, 7)",
        "list_resize([1], 1000000000)",
        "range(1000000000000)",
        "range(0, -1000000000, -1)",
        "generate_series(1, 100000000 * length(text))",
        "generate_series(TIMESTAMP '1970-01-01', TIMESTAMP '2026-01-01', INTERVAL '1 second')",
        "concat(repeat(text, 20000000), repeat('y', 40000000))",
        "concat_ws(repeat(text, 20000000), 'a', text, 'c')",
        "repeat(text, 20000000) || repeat(text, 20000000)",
        "array_concat(array_repeat(text, 1000000), array_repeat(text, 30000000))",
        "array_repeat(text, 10000000) || array_repeat(text, 10000000)",
        "[repeat(text, 20000000), repeat(text, 20000000)]",
        "array_to_string(array_repeat(text, 1000000), repeat('-', 100))",
        "to_char(DATE '2026-11-30' + length(text), repeat('%c', 10000000))",
        "regexp_replace(repeat(text, 100000), '.', repeat('b', 1000), 'g')",
        "regexp_replace(repeat(text, 1000000), '.*', repeat('$0', 100))",
    ];
    for call in calls {
        let got = value(&format!("SELECT {call} FROM (VALUES ('xy')) AS t(text)")).await;
        let error = got.expect_err(call);
        assert!(error.contains("would make"), "{call}: {error}");
        assert!(error.contains("at most 64 MiB"), "{call}: {error}");
    }
}
