//! Printing answers: tables for people, lines of JSON for programs.

use super::Stop;
use serde::Serialize;
use std::io::{BufRead, Write};
use std::path::Path;

/// Prints text. A reader that has read enough (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Stop> {
    print_bytes(text.as_bytes())
}

/// [`print`] of what may be no text.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Stop::Silent),
        Err(error) => Err(Stop::failed(&error)),
    }
}

/// Prints a value as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), Stop> {
    let line = serde_json::to_string(value).map_err(|error| Stop::failed(&error))?;
    print(&format!("{line}\n"))
}

/// Rows with their columns aligned; the last column is left as it is.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A text on one line, cut to `most` characters, without control characters.
pub fn short(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= most {
        return text.chars().map(clean).collect();
    }
    text.chars()
        .take(most.saturating_sub(1))
        .map(clean)
        .chain(['…'])
        .collect()
}

/// A number of bytes for people.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Texts in groups: those of the command line, or, for a single `-`, the lines of standard input, read
/// as they are needed so that any number of them takes little memory.
pub fn for_each_group(
    texts: Vec<String>,
    most_bytes: u64,
    mut work: impl FnMut(Vec<String>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    const GROUP: usize = 256;
    if texts != ["-"] {
        for text in texts.iter().filter(|text| Path::new(text).is_file()) {
            note!(
                "warning: '{text}' is taken as a text, though there is a file of that name; its lines are read by: - < '{text}'"
            );
        }
        return work(texts);
    }
    for_each_lines(&mut std::io::stdin().lock(), most_bytes, GROUP, work)
}

/// The lines of `input` in groups. Those before a line that cannot be read are worked on first.
fn for_each_lines(
    input: &mut impl BufRead,
    most_bytes: u64,
    most_lines: usize,
    mut work: impl FnMut(Vec<String>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut number = 0_u64;
    let mut end = None;
    while end.is_none() {
        let mut group = Vec::new();
        while group.len() < most_lines && end.is_none() {
            number += 1;
            match read_line(input, most_bytes) {
                Ok(Some(line)) => group.push(line),
                Ok(None) => end = Some(Ok(())),
                Err(what) => {
                    end = Some(Err(Stop::Failed(format!(
                        "line {number} of standard input {what}"
                    ))));
                }
            }
        }
        if !group.is_empty() {
            work(group)?;
        }
    }
    end.unwrap_or(Ok(()))
}

/// One line without its end; `None` at the end of the input. The error goes on from "the line …".
fn read_line(input: &mut impl BufRead, most_bytes: u64) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    // One more than allowed, so that a line that is too long is noticed without being read whole.
    let read = std::io::Read::take(&mut *input, most_bytes + 2)
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() as u64 > most_bytes {
        return Err(format!(
            "is longer than the {most_bytes} bytes that one text may have"
        ));
    }
    String::from_utf8(line)
        .map(Some)
        .map_err(|_| "is not valid UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_within_their_limit() {
        let mut input = &b"one\ntwo\r\n\nlast"[..];
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input, 4).expect("fits") {
            lines.push(line);
        }
        assert_eq!(lines, ["one", "two", "", "last"]);
        assert!(read_line(&mut &b"12345\n"[..], 4).is_err());
        assert!(read_line(&mut &b"123456789"[..], 4).is_err());
        assert_eq!(
            read_line(&mut &b"1234\n"[..], 4),
            Ok(Some("1234".to_owned()))
        );
        assert!(read_line(&mut &b"\xff\n"[..], 4).is_err());
    }

    #[test]
    fn lines_before_a_bad_one_are_worked_on_and_it_is_named() {
        let mut seen = Vec::new();
        let ended = for_each_lines(&mut &b"a\nb\nc\n\xff\nd\n"[..], 10, 2, |group| {
            seen.push(group);
            Ok(())
        });
        assert_eq!(seen, [vec!["a", "b"], vec!["c"]]);
        match ended {
            Err(Stop::Failed(message)) => assert!(message.starts_with("line 4 "), "{message}"),
            _ => panic!("the bad line is an error"),
        }
        let mut groups = 0;
        let ended = for_each_lines(&mut &b"a\nb\n"[..], 10, 2, |_| {
            groups += 1;
            Ok(())
        });
        assert!(ended.is_ok() && groups == 1);
    }

    #[test]
    fn tables_are_aligned_and_texts_cut() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["éé".to_owned(), "22".to_owned()],
        ];
        assert_eq!(table(&rows), "a   1\néé  22\n");
        assert_eq!(short("a\tlong\ntext", 6), "a lon…");
        assert_eq!(short("short", 6), "short");
    }
}
