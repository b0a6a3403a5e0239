//! United States: Social Security and individual taxpayer numbers.

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE, UNPROVEN};

pattern!(number = r"(?-u:\b)[0-9]{3}(?:-[0-9]{2}-|[ ][0-9]{2}[ ]|[0-9]{2})[0-9]{4}(?-u:\b)");
// Behind the word, whatever parts the groups and whoever issued it.
pattern!(any = r"(?-u:\b)[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4}(?-u:\b)");
pattern!(
    last = r"(?i)(?-u:\b)(?:ending in|ends in|last (?:four|4)(?: digits)?(?:\s(?:of|are|is|my|the|your|ssn|social|security|number|:)){1,6})\s(?P<value>[0-9]{4})(?-u:\b)"
);
pattern!(masked = r"(?i)(?:[X*•#]{3}[ -]?[X*•#]{2}[ -]?)[0-9]{4}(?-u:\b)");
pattern!(ssn_words = words r"ssn|ss#|social security(?: (?:number|no\.?))?|social|seguro social");
pattern!(itin_words = words r"itin|tax(?:payer)? id(?:entification)?(?: number)?|tax identification number|individual taxpayer");

/// Finds identity numbers of the United States.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(number()) {
        if page.text[..bytes.start].ends_with('-') || page.text[bytes.end..].starts_with('-') {
            continue;
        }
        let digits = page.compact(&bytes);
        let part = |from: usize, to: usize| digits[from..to].parse::<u32>().unwrap_or_default();
        let (area, group, serial) = (part(0, 3), part(3, 5), part(5, 9));
        let dashed = page.at(&bytes).contains('-');
        let (kind, words) = if issued(area, group, serial) {
            (PiiKind::Ssn, ssn_words())
        } else if taxpayer(area, group) {
            (PiiKind::UsIndividualTaxIdentificationNumber, itin_words())
        } else {
            continue;
        };
        let named = page.beside(&bytes, words);
        let spaced = page.at(&bytes).contains(' ');
        match (named, dashed) {
            (true, _) => found.push(shaped(kind, bytes, SURE)),
            (false, true) => found.push(shaped(kind, bytes, LIKELY)),
            (false, false) if spaced => found.push(shaped(kind, bytes, PLAUSIBLE)),
            _ => {}
        }
    }
    unproven(page, found);
}

/// Numbers that a word directly before names and that nobody issued, and last digits.
fn unproven(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(any()) {
        let digits = page.compact(&bytes);
        // A dot is as good as a dash; examples begin with 000, 666 or 9.
        let dotted = page.at(&bytes).contains('.') && !digits.starts_with(['9', '0']);
        let score = if dotted { LIKELY } else { UNPROVEN };
        if page.led(&bytes, ssn_words()) {
            found.push(shaped(PiiKind::Ssn, bytes, score));
        } else if page.led(&bytes, itin_words()) {
            let kind = PiiKind::UsIndividualTaxIdentificationNumber;
            found.push(shaped(kind, bytes, UNPROVEN));
        }
    }
    for bytes in page.matches(masked()) {
        found.push(shaped(PiiKind::Ssn, bytes, PLAUSIBLE));
    }
    for bytes in page.matches(last()) {
        if page.announced(&bytes, ssn_words()) {
            found.push(shaped(PiiKind::Ssn, bytes, PLAUSIBLE));
        }
    }
}

/// Social Security Administration, randomization of 2011: no area 000, 666 or 900 to 999, no group 00, no
/// serial 0000.
fn issued(area: u32, group: u32, serial: u32) -> bool {
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// Internal Revenue Service, IRM 3.21.263: begins with 9, and the fourth and fifth digits lie in its ranges.
fn taxpayer(area: u32, group: u32) -> bool {
    area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}
