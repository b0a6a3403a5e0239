//! Characters that nobody sees are not read: a text with a byte order mark, zero-width spaces or soft hyphens is
//! analysed without them, and what is found gets its places in the text as it came.
//!
//! spaCy takes `\u{feff}Bob` for one unknown word and loses Bob. A token's extent holds the unseen characters within
//! it, not those at its edges. Joiners (U+200C, U+200D) are kept: scripts and emoji are written with them.

use escala_models::spacy::{Document, Pipeline};

/// A character without width and meaning.
pub(super) fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

/// The model's analysis of a text, in bytes of the text.
pub(crate) fn analyse(model: &Pipeline, text: &str) -> Document {
    if !text.contains(is_unseen) {
        return model.analyse(text);
    }
    let (seen, gaps) = without(text);
    let mut document = model.analyse(&seen);
    for token in &mut document.tokens {
        token.start += before(&gaps, token.start + 1);
        token.end += before(&gaps, token.end);
    }
    document
}

/// A text without its unseen characters, and where they were: the byte of the new text, and how many bytes are gone up to
/// there.
fn without(text: &str) -> (String, Vec<(usize, usize)>) {
    let mut seen = String::with_capacity(text.len());
    let mut gaps = Vec::new();
    let mut gone = 0;
    for c in text.chars() {
        if is_unseen(c) {
            gone += c.len_utf8();
            gaps.push((seen.len(), gone));
        } else {
            seen.push(c);
        }
    }
    (seen, gaps)
}

/// How many bytes are gone at places before a byte of the new text.
fn before(gaps: &[(usize, usize)], byte: usize) -> usize {
    let count = gaps.partition_point(|(place, _)| *place < byte);
    match count.checked_sub(1) {
        Some(last) => gaps[last].1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_text() {
        let text = "\u{feff}\u{200b}Zoë so\u{ad}ft\u{200b} end\u{2060}";
        let (seen, gaps) = without(text);
        assert_eq!(seen, "Zoë soft end");
        for (word, wanted) in [("Zoë", "Zoë"), ("soft", "so\u{ad}ft"), ("end", "end")] {
            let start = seen.find(word).expect("a word");
            let end = start + word.len();
            let place = start + before(&gaps, start + 1)..end + before(&gaps, end);
            assert_eq!(&text[place], wanted);
        }
    }
}
