//! Dates, times of day and ages by their shape. What else the model reads as a date comes from [`super::person`].

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PiiKind, SURE};

const MONTH: &str = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)";

// ISO 8601, and the orders in which people write days, months and years.
pattern!(
    numeric = r"(?-u:\b)(?:(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:3[01]|[12][0-9]|0?[1-9])(?:T[0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?(?:Z|[+-][0-2][0-9]:?[0-5][0-9])?)?|(?:3[01]|[12][0-9]|0?[1-9])[-/.](?:3[01]|[12][0-9]|0?[1-9])[-/.](?:(?:19|20)[0-9]{2}|[0-9]{2}))"
);
pattern!(
    named = &format!(
        r"(?i)(?-u:\b)(?:{MONTH}\.? (?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)?(?:,? (?:19|20)[0-9]{{2}})?|(?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)? (?:of |de )?{MONTH}\.?(?:,? (?:de )?(?:19|20)[0-9]{{2}})?)(?-u:\b)"
    )
);
pattern!(
    clock = r"(?i)(?-u:\b)(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?(?: ?[ap]\.?m(?-u:\b))?|(?:1[0-2]|[1-9]) ?[ap]m)(?-u:\b)"
);
// The API's guide marks "40 years" in "I am 40 years old".
pattern!(
    old = r"(?i)(?-u:\b)(?P<value>[0-9]{1,3}[ -](?:years?|months?|weeks?)(?:[ -]olds?)?|[0-9]{1,3} ?(?:y/o|yo)|[0-9]{1,3} (?:años|meses))(?-u:\b)"
);
pattern!(old_words = words r"old|of age|de edad");
pattern!(
    aged = r"(?i)(?-u:\b)(?:aged?|edad)(?:\s*(?:is|of|es|de|:|=))?\s*(?P<value>[0-9]{1,3})(?-u:\b)"
);

/// Finds dates, times and ages.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for pattern in [numeric(), named(), clock()] {
        for bytes in page.matches(pattern) {
            let mut after = page.text[bytes.end..].chars();
            let within = page.text[..bytes.start].ends_with(['-', '/', '.', ':'])
                || (after.next().is_some_and(|c| "-/:".contains(c))
                    && after.next().is_some_and(char::is_alphanumeric));
            if !within && !counts_editions(page, &bytes) {
                found.push(shaped(PiiKind::DateTime, bytes, 0.95));
            }
        }
    }
    for bytes in page.matches(old()) {
        let at = page.at(&bytes);
        let tail = at.to_ascii_lowercase();
        let says = tail.ends_with("old") || tail.ends_with("olds") || tail.ends_with('o');
        let told =
            says || old_words().is_match(page.after(&bytes)) || page.announced(&bytes, tengo());
        if told && human(at) {
            // The unit belongs to the age, the word "old" does not.
            let kept = at.len() - if says { "old".len() + 1 } else { 0 };
            let whole = tail.ends_with("olds") || tail.ends_with('o');
            let end = if whole { bytes.end } else { bytes.start + kept };
            found.push(shaped(PiiKind::Age, bytes.start..end, SURE));
        }
    }
    for bytes in page.matches(aged()) {
        if human(page.at(&bytes)) {
            found.push(shaped(PiiKind::Age, bytes, LIKELY));
        }
    }
}

pattern!(version = words r"v|ver|version|versión|release|build|firmware|upgrade to|section|chapter|sección|§");

/// Numbers between dots count editions where a word says so, where there are more of them, and where neither a
/// year of four digits nor leading zeros say that they are a date.
fn counts_editions(page: &Page<'_>, bytes: &std::ops::Range<usize>) -> bool {
    let at = page.at(bytes);
    if at.matches('.').count() != 2 {
        return false;
    }
    let after = &page.text[bytes.end..];
    let longer = after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit());
    let dated =
        at.split('.').any(|part| part.len() == 4) || at.split('.').all(|part| part.len() == 2);
    longer || !dated || page.announced(bytes, version())
}

pattern!(tengo = words r"tengo|tiene|cumplió|cumple|años");

/// A person can be as old as the number at the start says.
fn human(text: &str) -> bool {
    let number: String = text.chars().take_while(char::is_ascii_digit).collect();
    number.parse::<u32>().is_ok_and(|age| age <= 120)
}
