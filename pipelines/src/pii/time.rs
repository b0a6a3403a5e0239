//! Dates, times of day and ages by their shape. What else the model reads as a date comes from [`super::person`].

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE};

const MONTH: &str = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)";

// ISO 8601, and the orders in which people write days, months and years.
pattern!(
    numeric = r"(?-u:\b)(?:(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:3[01]|[12][0-9]|0?[1-9])(?:T[0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?(?:Z|[+-][0-2][0-9]:?[0-5][0-9])?)?|(?:3[01]|[12][0-9]|0?[1-9])[-/.](?:3[01]|[12][0-9]|0?[1-9])[-/.](?:(?:19|20)[0-9]{2}|[0-9]{2}))"
);
pattern!(
    named = &format!(
        r"(?i)(?-u:\b)(?:{MONTH}\.? (?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)?(?:,? (?:19|20)[0-9]{{2}})?|(?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)? (?:of |de )?{MONTH}\.?(?:,? (?:de )?(?:19|20)[0-9]{{2}})?|(?:3[01]|[12][0-9]|0?[1-9])(?:-{MONTH}-|/{MONTH}/|\.{MONTH}\.)(?:(?:19|20)[0-9]{{2}}|[0-9]{{2}}))(?-u:\b)"
    )
);
// A year of two digits, which could also count what follows.
pattern!(
    short = &format!(
        r"(?i)(?-u:\b)(?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)? {MONTH}\.?,? ['’]?[0-9]{{2}}(?-u:\b)"
    )
);
pattern!(birth = words r"born|birth|birthday|dob|d\.o\.b|nacid[oa]|nacimiento");
pattern!(goes_on = r"^(?:[:/-][0-9]|,[0-9]| [\p{L}0-9%$€£])");
pattern!(
    clock = r"(?i)(?-u:\b)(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?(?: ?[ap]\.?m(?-u:\b))?|(?:1[0-2]|[1-9]) ?[ap]m)(?-u:\b)"
);
// The API's guide marks "40 years" in "I am 40 years old".
pattern!(
    old = r"(?i)(?-u:\b)(?P<value>[0-9]{1,3}[ -](?:years?|yrs?|months?|mos?|weeks?|wks?)\.?(?:[ -]olds?)?|[0-9]{1,3} ?(?:y/o|y\.o|yo)|[0-9]{1,3} (?:años|meses))(?-u:\b)"
);
pattern!(
    person = r"(?i)(?-u:\b)(?:(?:fe)?male|man|woman|boy|girl)\s?[,/]\s?(?P<value>[1-9][0-9]?|1[01][0-9])(?-u:\b)"
);
// Newspapers' and letters' way, without a unit.
pattern!(
    being = r"(?i)(?-u:\b)(?:i['’]m|i am|(?:he|she|my (?:son|daughter|child|kid|baby|brother|sister|mother|father|mum|mom|dad|wife|husband|partner|boyfriend|girlfriend|friend|grandmother|grandfather))(?: is|['’]s)|turn(?:s|ed|ing)|tengo|tiene)(?: (?:only|just|already|now|nearly|almost))? (?P<value>[1-9][0-9]?|1[01][0-9])(?:[.,;!?](?:\s|$)|\s*$|\s*\n| and (?:i|my|he|she|a|live|have|single|married|divorced|retired)(?-u:\b)| now(?-u:\b)| today(?-u:\b))"
);
pattern!(
    thing = r"(?i)^[ -](?:(?-i:\p{Lu})\p{L}{1,12}[ -])?(?:wines?|whisk(?:y|ey)|rum|port|cheese|laptops?|computers?|pcs?|phones?|tvs?|televisions?|tablets?|printers?|servers?|routers?|cameras?|machines?|dishwashers?|fridges?|boilers?|engines?|batter(?:y|ies)|cars?|trucks?|vans?|bikes?|bicycles?|boats?|ships?|planes?|aircraft|trains?|bus(?:es)?|vehicles?|houses?|homes?|buildings?|towers?|bridges?|church(?:es)?|castles?|hotels?|schools?|apartments?|flats?|roofs?|walls?|roads?|towns?|cit(?:y|ies)|villages?|trees?|oaks?|company|companies|business(?:es)?|firms?|startups?|organi[sz]ations?|clubs?|brands?|code|codebases?|bugs?|software|systems?|apps?|versions?|accounts?|tickets?|laws?|rules?|tradition|custom|document|contracts?|records?|books?|films?|movies?|songs?|albums?|paintings?|coins?|stamps?|furniture|sofas?|mattress(?:es)?|shoes?|jackets?|recipes?|problems?|issues?|debts?|loans?|mortgages?|warrant(?:y|ies)|data|files?|backups?|hardware|equipment|models?|products?|game|games|console|consoles|carpets?|rugs?|watch(?:es)?)(?-u:\b)"
);
pattern!(bracket = r"^(?:[-–][0-9]|\.[0-9]| (?:to|or) [0-9])");
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
    for bytes in page.matches(short()) {
        let more = goes_on().is_match(&page.text[bytes.end..]);
        if !more || page.announced(&bytes, birth()) {
            found.push(shaped(PiiKind::DateTime, bytes, 0.95));
        }
    }
    for bytes in page.matches(old()) {
        let at = page.at(&bytes);
        let tail = at.to_ascii_lowercase();
        let says = tail.ends_with("old") || tail.ends_with("olds") || tail.ends_with('o');
        let told =
            says || old_words().is_match(page.after(&bytes)) || page.announced(&bytes, tengo());
        // What is old behind the word: wine, a house.
        let thing = |end: usize| thing().is_match(&page.text[end..]);
        let behind = [" old", "-old"]
            .iter()
            .any(|old| page.text[bytes.end..].starts_with(old));
        let aged = bytes.end + if behind { " old".len() } else { 0 };
        if told && human(at) && !thing(aged) {
            // The unit belongs to the age, the word "old" does not.
            let kept = at.len() - if says { "old".len() + 1 } else { 0 };
            let whole = tail.ends_with("olds") || tail.ends_with('o');
            let end = if whole { bytes.end } else { bytes.start + kept };
            found.push(shaped(PiiKind::Age, bytes.start..end, SURE));
        }
    }
    for bytes in page.matches(aged()).chain(page.matches(person())) {
        // A bracket of ages, and an edition.
        if human(page.at(&bytes)) && !bracket().is_match(&page.text[bytes.end..]) {
            found.push(shaped(PiiKind::Age, bytes, LIKELY));
        }
    }
    for bytes in page.matches(being()) {
        found.push(shaped(PiiKind::Age, bytes, PLAUSIBLE));
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
