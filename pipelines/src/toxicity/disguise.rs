//! Words that are spelled so that a filter overlooks them, as they are meant: `fuuuuck`, `b1tch`, `$tupid`,
//! `i d i o t`, `s.t.u.p.i.d`.
//!
//! A copy of the text has them as they are meant, and the model scores both. A word is replaced only by one that the model
//! knows, and never if it knows the word as it stands: `coool`, `mp3` and `U.S.A.` stay, and most texts have no copy.

/// Least letters of a word that was disguised.
const LETTERS: usize = 4;
/// Longest word that is looked at, in bytes.
const WORD: usize = 40;

/// The text with disguised words as they are meant; nothing when there are none. `known` says whether the model knows
/// a word in small letters.
pub(super) fn removed(text: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    let mut plain = String::new();
    // Up to where the text is copied.
    let mut copied = 0;
    let words: Vec<(usize, &str)> = text
        .split_whitespace()
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
        .collect();
    let mut at = 0;
    while at < words.len() {
        let (start, word) = words[at];
        let letters = words[at..]
            .iter()
            .take(WORD)
            .take_while(|(_, word)| single(word).is_some())
            .count();
        let spaced = (letters >= LETTERS).then(|| {
            let letters = words[at..at + letters].iter();
            letters
                .filter_map(|(_, word)| single(word))
                .collect::<String>()
        });
        let (found, taken) = match spaced {
            // "I d i o t": whatever letters stand alone are one word, or none is.
            Some(joined) => (
                meant(&joined, &known).or(known(&joined).then_some(joined)),
                letters,
            ),
            None => (of_word(word, &known), 1),
        };
        if let Some(found) = found {
            plain.push_str(&text[copied..start]);
            plain.push_str(&found);
            let (last, word) = words[at + taken - 1];
            copied = last + word.trim_end_matches(['.', ',', '!', '?']).len();
        }
        at += taken;
    }
    (copied > 0).then(|| plain + &text[copied..])
}

/// A letter that stands alone, marks at its end aside.
fn single(word: &str) -> Option<char> {
    let mut letters = word
        .trim_end_matches(['.', ',', '!', '?', '-', '*', '_'])
        .chars();
    let letter = letters
        .next()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '@' | '$'))?;
    letters
        .next()
        .is_none()
        .then(|| letter.to_ascii_lowercase())
}

/// What a word that stands without spaces is meant to be.
fn of_word(word: &str, known: &impl Fn(&str) -> bool) -> Option<String> {
    if word.len() > WORD {
        return None;
    }
    let bare = word.trim_matches(|c: char| c.is_ascii_punctuation() && !matches!(c, '@' | '$'));
    let lower = bare.to_ascii_lowercase();
    if lower.is_empty() || !lower.is_ascii() {
        return None;
    }
    // Letters with a mark between each two, which the model takes for so many words.
    let mark = lower
        .chars()
        .nth(1)
        .filter(|c| matches!(c, '.' | '-' | '_' | '*'));
    if let Some(mark) = mark {
        let letters: Vec<&str> = lower.split(mark).collect();
        if letters.len() >= LETTERS && letters.iter().all(|letter| letter.len() == 1) {
            let joined = letters.concat();
            return meant(&joined, known).or(known(&joined).then_some(joined));
        }
    }
    // The model parts words at other signs and would know the pieces.
    let whole = lower
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '\'');
    if whole && known(&lower) {
        return None;
    }
    meant(&lower, known)
}

/// What a word of letters and signs that look like letters is meant to be.
fn meant(word: &str, known: &impl Fn(&str) -> bool) -> Option<String> {
    let letters = word.chars().filter(char::is_ascii_alphabetic).count();
    let begins = word.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '@' | '$'));
    if letters < 2 || !begins {
        return None;
    }
    let read: Option<String> = word.chars().map(letter).collect();
    let read = read?;
    if read.len() >= LETTERS && read != word && known(&read) {
        return Some(read);
    }
    // Runs of three and more are two letters (`goood`), or one.
    [2, 1].into_iter().find_map(|most| {
        let short = shortened(&read, most)?;
        (short.len() >= LETTERS - 1 && known(&short)).then_some(short)
    })
}

/// The letter that a sign looks like.
fn letter(c: char) -> Option<char> {
    Some(match c {
        'a'..='z' => c,
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        _ => return None,
    })
}

/// With no more than so many of a letter where three or more follow each other; nothing where none do.
fn shortened(word: &str, most: usize) -> Option<String> {
    let mut short = String::with_capacity(word.len());
    let (mut run, mut last, mut changed) = (0, ' ', false);
    let letters: Vec<char> = word.chars().collect();
    for (at, &c) in letters.iter().enumerate() {
        run = if c == last { run + 1 } else { 1 };
        last = c;
        let length = run
            + letters[at + 1..]
                .iter()
                .take(3)
                .take_while(|next| **next == c)
                .count();
        if length >= 3 && run > most {
            changed = true;
        } else {
            short.push(c);
        }
    }
    changed.then_some(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(word: &str) -> bool {
        [
            "fool", "idiot", "stupid", "cool", "you", "darn", "abcd", "moron",
        ]
        .contains(&word)
    }

    #[test]
    fn disguises_are_seen_through() {
        for (text, wanted) in [
            ("you fooool!", Some("you fool!")),
            ("daaaarn you", Some("darn you")),
            ("1d10t", None),
            ("an id1ot.", Some("an idiot.")),
            ("$tup1d thing", Some("stupid thing")),
            ("you i d i o t, go", Some("you idiot, go")),
            ("s.t.u.p.i.d", Some("stupid")),
            ("S-T-U-P-I-D", Some("stupid")),
            ("m0r0n and moron", Some("moron and moron")),
            ("cool you", None),
            ("the U.S.A. and mp3 or h264", None),
            ("a b c", None),
            ("", None),
        ] {
            assert_eq!(removed(text, known).as_deref(), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(text in "\\PC{0,80}|([a-d] ){0,20}|[a@$!01.*]{0,60}") {
            prop_assert!(removed(&text, |_| false).is_none());
            drop(removed(&text, |_| true));
        }
    }
}
