//! Names and addresses, and what else the model reads as dates: its reading and the words around.
//!
//! A name stands behind a title, a greeting, a closing of a letter or what introduces somebody ([`super::letters`]), or
//! the model reads it. An address is a street with its number ([`super::places`]), widened by the places that follow; a
//! place alone is one only where the text says that somebody is there ("lives in", "address:"). The forms of
//! English-speaking countries are known, and in Spanish texts those of Spain; the Spanish model reads no dates.
//! Without a reading the shapes alone answer.

use super::letters::{self, Frames, nobody};
use super::page::{Page, pattern, shaped};
use super::places::{self, Part, parted, together, widened};
use super::{Evidence, Found, LIKELY, PLAUSIBLE, PiiKind};
use crate::syntax::{PartOfSpeech, Syntax};
use regex::Regex;
use std::collections::BTreeSet;
use std::ops::Range;

pattern!(there = words r"live|lives|lived|living|reside|resides|resided|residing|resident of|address|addresses|home|born in|born on [^.!?]{1,30} in|married in|grew up in|(?:i|we|he|she|they) left|moved to|located|mail(?:ed)? to|ship(?:ped)? to|deliver(?:ed)? to|based in|from");
pattern!(alli = words r"viv(?:o|e|es|en|imos|ía|íamos|ían|í|ió|ieron|ido|iendo)|resid(?:o|e|en|imos|ía|ían|ió|ieron|iendo|entes? en)|reside en|domicilio|domiciliad[oa]s? en|dirección|casa|hogar|naci(?:ó|eron|dos?|das?)|nací|cri(?:é|ó|aron) en|casad[oa]s? en|mud(?:é|ó|aron|amos) a|traslad(?:é|ó|aron|amos) a|enví[aoeé]n?(?:los?|las?)? a|enviar(?:los?|las?)? a|entregar(?:los?|las?)? en|ubicad[oa]s? en|sit[oa]s? en|desde|vecin[oa]s? de|natural de");
pattern!(age_after = r"^, (?:de )?([1-9][0-9]?|1[01][0-9])(?:,|\.|;| and| años,)");

/// What a language says of people and places.
pub(super) struct Tongue {
    /// The model's label of a person.
    person: &'static str,
    /// What stands around names.
    frames: &'static Frames,
    /// Parts of addresses.
    addresses: fn(&Page<'_>) -> Vec<Part>,
    /// Somebody is there.
    there: fn() -> &'static Regex,
}

/// English.
pub(super) static ENGLISH: Tongue = Tongue {
    person: "PERSON",
    frames: &letters::ENGLISH,
    addresses: places::english,
    there,
};

/// Spanish.
pub(super) static SPANISH: Tongue = Tongue {
    person: "PER",
    frames: &letters::SPANISH,
    addresses: places::spanish,
    there: alli,
};

/// Finds names, addresses and dates in a text of a language, with the model's reading of it where there is one.
pub(super) fn find(
    page: &Page<'_>,
    tongue: &Tongue,
    syntax: Option<&Syntax>,
    found: &mut Vec<Found>,
) {
    let shapes = Covered::by(found.iter().map(|found| found.bytes.clone()));
    letters::find(page, tongue.frames, syntax, found);
    let parts = (tongue.addresses)(page);
    let unsure: BTreeSet<(usize, usize)> = (parts.iter().filter(|part| !part.sure))
        .map(|part| (part.bytes.start, part.bytes.end))
        .collect();
    let mut addresses: Vec<Range<usize>> = parts.into_iter().map(|part| part.bytes).collect();
    let mut places: Vec<Range<usize>> = Vec::new();
    let mut names: Vec<Range<usize>> = Vec::new();
    for entity in syntax.iter().flat_map(|syntax| &syntax.entities) {
        let Some(syntax) = syntax else { break };
        let bytes = entity.extent.begin_byte..entity.extent.end_byte;
        // A rule that knows the shape knows better.
        if shapes.meets(&bytes) {
            continue;
        }
        let read = |kind, bytes, score: f32| Found {
            kind,
            bytes,
            score,
            evidence: Evidence::Model,
        };
        match entity.label.as_str() {
            label if label == tongue.person => {
                let end = bytes.end;
                if let Some(bytes) = name(tongue, page, syntax, bytes) {
                    // The day that the reading joined to the name.
                    let rest = &page.text[bytes.end..end];
                    let day = rest.trim_start();
                    if day.starts_with(char::is_alphabetic) && says_when(day) {
                        let day = end - day.len()..end;
                        found.push(read(PiiKind::DateTime, day, entity.score));
                    }
                    names.push(bytes.clone());
                    found.push(read(PiiKind::Name, bytes, entity.score));
                }
            }
            "GPE" | "LOC" | "FAC" => places.push(bytes),
            // "three days" and "annual" are no dates.
            "DATE" | "TIME" if says_when(page.at(&bytes)) && !counts(page, syntax, &bytes) => {
                found.push(read(PiiKind::DateTime, bytes, entity.score));
            }
            _ => {}
        }
    }
    for name in &names {
        // "Bartholomew Finch, 45, told": newspapers' way.
        if let Some(age) = age_after()
            .captures(&page.text[name.end..])
            .and_then(|c| c.get(1))
        {
            let bytes = name.end + age.start()..name.end + age.end();
            if !shapes.meets(&bytes) {
                found.push(shaped(PiiKind::Age, bytes, LIKELY));
            }
        }
    }
    let mut starts: BTreeSet<usize> = addresses.iter().map(|part| part.start).collect();
    let mut ends: BTreeSet<usize> = addresses.iter().map(|part| part.end).collect();
    for place in places {
        // A place that follows a part of an address, or stands before its code, belongs to it.
        let follows = ends
            .range(place.start.saturating_sub(2)..=place.start)
            .any(|&end| parted(&page.text[end..place.start]));
        let precedes = starts
            .range(place.end..=place.end + 2)
            .any(|&start| parted(&page.text[place.end..start]));
        if follows || precedes || page.announced(&place, (tongue.there)()) {
            starts.insert(place.start);
            ends.insert(place.end);
            addresses.push(place);
        }
    }
    for bytes in together(page.text, addresses) {
        // A state and five digits, and nothing beside them that says that somebody is there.
        if unsure.contains(&(bytes.start, bytes.end)) && !page.announced(&bytes, (tongue.there)()) {
            continue;
        }
        let bytes = widened(page.text, bytes);
        // The end of a sentence; "St." keeps its mark inside of an address only.
        let bytes = bytes.start..bytes.start + page.at(&bytes).trim_end_matches('.').len();
        let digits = page.at(&bytes).bytes().any(|byte| byte.is_ascii_digit());
        let score = if digits { LIKELY } else { PLAUSIBLE };
        let evidence = if digits {
            Evidence::Pattern
        } else {
            Evidence::Model
        };
        found.push(Found {
            kind: PiiKind::Address,
            bytes,
            score,
            evidence,
        });
    }
}

/// The bytes that some ranges cover together, so that one look tells whether another range meets them.
struct Covered(Vec<Range<usize>>);

impl Covered {
    fn by(ranges: impl Iterator<Item = Range<usize>>) -> Self {
        let mut ranges: Vec<Range<usize>> = ranges.collect();
        ranges.sort_by_key(|range| range.start);
        let mut covered: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match covered.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => covered.push(range),
            }
        }
        Self(covered)
    }

    fn meets(&self, bytes: &Range<usize>) -> bool {
        let first = self.0.partition_point(|range| range.end <= bytes.start);
        self.0
            .get(first)
            .is_some_and(|range| range.start < bytes.end)
    }
}

/// The name in what the model takes for a person, without titles and endings; `None` when it is none.
fn name(
    tongue: &Tongue,
    page: &Page<'_>,
    syntax: &Syntax,
    bytes: Range<usize>,
) -> Option<Range<usize>> {
    let whole = page.at(&bytes);
    let start = bytes.start + letters::forms_of_address(tongue.frames, whole);
    let kept = &page.text[start..bytes.end];
    let kept = kept
        .strip_suffix("'s")
        .or_else(|| kept.strip_suffix("’s"))
        .unwrap_or(kept);
    // The first line: a name does not run on, the model does.
    let kept = kept
        .split(['\n', '\t', ':'])
        .next()
        .unwrap_or_default()
        .trim_end();
    // "John yesterday": what begins with a small letter ends a name that does not, but for "van" and "de".
    let kept = letters::capitals(kept);
    let kept_end = start + kept.len();
    let start = whole_name(tongue, page, syntax, start);
    let kept = &page.text[start..kept_end];
    let bytes = start..kept_end;
    let tokens = &syntax.tokens;
    let first = tokens.partition_point(|token| token.extent.begin_byte < bytes.start);
    let mut own = tokens[first..]
        .iter()
        .take_while(|token| token.extent.begin_byte < bytes.end);
    let proper = own.any(|token| {
        token.extent.end_byte <= bytes.end && token.part_of_speech == PartOfSpeech::ProperNoun
    });
    let plain = kept
        .chars()
        .all(|c| c.is_alphabetic() || c.is_whitespace() || ".,'’-".contains(c));
    let letters = kept.chars().filter(|c| c.is_alphabetic()).count();
    let behind = &page.text[bytes.end..];
    // A part of an address or of a program's text.
    let tagged = page.text[..bytes.start].ends_with(['#', '@', '/', '_', '='])
        || behind.starts_with(['/', '=', '_', '('])
        || (behind.starts_with(':') && behind[1..].starts_with(char::is_alphanumeric));
    (proper && plain && letters >= 2 && !tagged && !dotted(kept) && !nobody(page, &bytes))
        .then_some(bytes)
}

/// Where a name begins whose first word the model left out: "Emeka" of "Emeka Haddad".
fn whole_name(tongue: &Tongue, page: &Page<'_>, syntax: &Syntax, start: usize) -> usize {
    let own = syntax
        .tokens
        .partition_point(|token| token.extent.begin_byte < start);
    let mut start = start;
    for token in syntax.tokens[..own].iter().rev().take(2) {
        let word = token.extent.of(page.text);
        let joined = page.text.get(token.extent.end_byte..start) == Some(" ");
        let capital = word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphabetic);
        let proper = token.part_of_speech == PartOfSpeech::ProperNoun;
        let titled =
            letters::forms_of_address(tongue.frames, &page.text[token.extent.begin_byte..start])
                > 0;
        let next = syntax
            .entities
            .partition_point(|entity| entity.extent.end_byte <= token.extent.begin_byte);
        let named = (syntax.entities.get(next))
            .is_some_and(|entity| entity.extent.begin_byte < token.extent.end_byte);
        if !(joined && capital && proper)
            || titled
            || named
            || letters::field(word)
            || word.chars().count() < 2
        {
            break;
        }
        start = token.extent.begin_byte;
    }
    start
}

/// A bare number of four digits before a noun counts things: "1502 leaflets".
fn counts(page: &Page<'_>, syntax: &Syntax, bytes: &Range<usize>) -> bool {
    let bare = page.at(bytes).bytes().all(|byte| byte.is_ascii_digit());
    let next = syntax
        .tokens
        .partition_point(|token| token.extent.begin_byte < bytes.end);
    let noun = |token: &crate::syntax::Token| {
        token.part_of_speech == PartOfSpeech::Noun
            && page.text.get(bytes.end..token.extent.begin_byte) == Some(" ")
    };
    bare && syntax.tokens.get(next).is_some_and(noun)
}

/// A full stop within a word of several letters: "ASP.NET", no initials.
fn dotted(words: &str) -> bool {
    let mut before = 0;
    let mut letters = words.chars().peekable();
    while let Some(c) = letters.next() {
        if c == '.' && before > 1 && letters.peek().is_some_and(|next| next.is_alphabetic()) {
            return true;
        }
        before = if c.is_alphabetic() { before + 1 } else { 0 };
    }
    false
}

/// What the model calls a date points at a time: it has a number that is no count of days, or names a month, a
/// day or a time near today.
fn says_when(text: &str) -> bool {
    pattern!(when = words r"jan(?:uary)?|feb(?:ruary)?|march|april|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|mon(?:day)?|tue(?:s|sday)?|wed(?:nesday)?|thu(?:rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?|today|tonight|tomorrow|yesterday|noon|midnight|morning|afternoon|evening|(?:last|next|this) (?:week|month|year|night|spring|summer|fall|autumn|winter)|christmas|easter|(?:1[5-9]|20)[0-9]{2}s?|[0-9]{1,2}(?::[0-9]{2})? ?(?:am|pm|a\.m|p\.m)");
    // The model also takes long numbers of cards and accounts for dates; two years have eight digits.
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    when().is_match(text) && digits <= 8
}
