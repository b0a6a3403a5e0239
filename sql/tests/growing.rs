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
    ];
    for (call, want) in cases {
        let got = value(&format!("SELECT {call} AS value")).await;
        assert_eq!(got.as_deref(), Ok(want), "{call}");
    }
    // Where much is looked for and little found, it is the little that counts.
    let call = "SELECT length(replace(repeat('a', 100000), 'b', repeat('c', 100000)))";
    assert_eq!(value(call).await.as_deref(), Ok("100000"));
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
    ];
    for call in calls {
        let got = value(&format!("SELECT {call} FROM (VALUES ('xy')) AS t(text)")).await;
        let error = got.expect_err(call);
        assert!(error.contains("would make"), "{call}: {error}");
        assert!(error.contains("at most 64 MiB"), "{call}: {error}");
    }
}
