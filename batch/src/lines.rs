//! Lines of files: ended by LF, CR or CRLF, and the last one by the end of the file.
//!
//! Other characters that Unicode calls line breaks are text here, as they are for AWS.

use std::io::{BufRead, Error, Result};

/// A line that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its first bytes, without its end: at most as many as are kept.
    pub text: Vec<u8>,
    /// Its bytes without its end, counted.
    pub length: u64,
    /// Its bytes and its end, counted.
    pub whole: u64,
}

/// Reads a line and keeps at most `most` bytes of it; `None` at the end.
///
/// # Errors
/// Those of the reader.
pub fn read_line(from: &mut impl BufRead, most: u64) -> Result<Option<Line>> {
    let mut line = Line::default();
    loop {
        let buffer = filled(from)?;
        if buffer.is_empty() {
            return Ok((line.whole > 0).then_some(line));
        }
        let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let text = &buffer[..end.unwrap_or(buffer.len())];
        let room = most.saturating_sub(line.text.len() as u64);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        line.text.extend_from_slice(&text[..text.len().min(room)]);
        let taken = text.len();
        line.length += taken as u64;
        line.whole += taken as u64;
        let Some(end) = end.map(|end| buffer[end]) else {
            from.consume(taken);
            continue;
        };
        from.consume(taken + 1);
        line.whole += 1;
        if end == b'\r' && filled(from)?.first() == Some(&b'\n') {
            from.consume(1);
            line.whole += 1;
        }
        return Ok(Some(line));
    }
}

fn filled(from: &mut impl BufRead) -> Result<&[u8]> {
    // Asked again where it was interrupted; the borrow checker wants the buffer asked for anew.
    loop {
        match from.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::new(error.kind(), error)),
        }
    }
    from.fill_buf()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(text: &[u8], buffer: usize, most: u64) -> Vec<Line> {
        let mut from = BufReader::with_capacity(buffer, text);
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut from, most).expect("readable") {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn lines_end_as_they_do_anywhere() {
        for buffer in 1..6 {
            for (text, expected) in [
                (&b""[..], &[][..]),
                (b"\n", &[""]),
                (b"a", &["a"]),
                (b"a\n", &["a"]),
                (b"a\nb", &["a", "b"]),
                (b"a\r\nb\r\n", &["a", "b"]),
                (b"a\rb\r", &["a", "b"]),
                (b"a\n\nb", &["a", "", "b"]),
                (b"a\r\rb", &["a", "", "b"]),
                (b"a\n\rb", &["a", "", "b"]),
                (b"a\r\n\r\nb", &["a", "", "b"]),
                ("a\u{2028}b\u{85}c\n".as_bytes(), &["a\u{2028}b\u{85}c"]),
            ] {
                let lines = lines(text, buffer, 100);
                let texts: Vec<&[u8]> = lines.iter().map(|line| &line.text[..]).collect();
                let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
                assert_eq!(texts, expected, "{text:?} by {buffer}");
                let whole: u64 = lines.iter().map(|line| line.whole).sum();
                assert_eq!(whole, text.len() as u64, "every byte is a line's");
            }
        }
    }

    #[test]
    fn of_a_long_line_the_first_bytes_are_kept_and_all_are_counted() {
        for buffer in [1, 3, 100] {
            let lines = lines(b"abcdef\r\ngh\n", buffer, 4);
            let of = |text: &[u8], length, whole| Line {
                text: text.to_vec(),
                length,
                whole,
            };
            assert_eq!(lines, [of(b"abcd", 6, 8), of(b"gh", 2, 3)]);
        }
    }
}
