//! Canada: Social Insurance and provincial health numbers.

use super::page::{Page, pattern, proven, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE, UNPROVEN, checksum};

pattern!(insurance = r"(?-u:\b)[0-9]{3}(?:-[0-9]{3}-|[ ][0-9]{3}[ ]|[0-9]{3})[0-9]{3}(?-u:\b)");
pattern!(insurance_words = words r"sin|social insurance(?: number)?|numéro d'assurance sociale|nas");
pattern!(
    health = r"(?-u:\b)[0-9]{4}(?:[ -][0-9]{3}[ -]|[0-9]{3})[0-9]{3}(?:[ -]?[A-Z]{2})?(?-u:\b)"
);
pattern!(health_words = words r"health (?:card|number|insurance)(?: (?:number|no\.?))?|ohip|phn|personal health(?: number)?|msp|care card");

/// Finds identity numbers of Canada.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(insurance()) {
        // Employment and Social Development Canada: Luhn's formula; numbers with 8 are not given.
        let digits = page.compact(&bytes);
        let given = !digits.starts_with('8') && !digits.trim_matches('0').is_empty();
        let kind = PiiKind::CaSocialInsuranceNumber;
        if given && checksum::luhn(&digits) {
            let named = page.beside(&bytes, insurance_words());
            let grouped = page.at(&bytes).len() > 9;
            match (named, grouped) {
                (true, _) => found.push(proven(kind, bytes, SURE)),
                (false, true) => found.push(shaped(kind, bytes, PLAUSIBLE)),
                (false, false) => {}
            }
        } else if page.led(&bytes, insurance_words()) {
            found.push(shaped(kind, bytes, UNPROVEN));
        }
    }
    for bytes in page.matches(health()) {
        if page.announced(&bytes, health_words()) {
            // Ontario's numbers keep Luhn's formula; other provinces have rules of their own.
            let digits: String = page.compact(&bytes).chars().take(10).collect();
            let kind = PiiKind::CaHealthNumber;
            match checksum::luhn(&digits) {
                true => found.push(proven(kind, bytes, SURE)),
                false => found.push(shaped(kind, bytes, LIKELY)),
            }
        }
    }
}
