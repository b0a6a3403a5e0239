//! Telephone numbers.

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind};

// ITU-T E.164: a country code and at most fifteen digits in all.
pattern!(international = r"\+[0-9]{1,3}(?:[ .-]?\(?[0-9]{1,5}\)?){2,6}(?-u:\b)");
// North American Numbering Plan: area code and exchange begin with 2 to 9.
pattern!(
    american = r"(?:(?-u:\b)1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|(?-u:\b)[2-9][0-9]{2}[ .-]?)[2-9][0-9]{2}[ .-]?[0-9]{4}(?-u:\b)(?: ?(?:x|ext\.?|extension) ?[0-9]{1,6}(?-u:\b))?"
);
// United Kingdom (Ofcom): a trunk 0, then nine or ten digits. Spain: nine digits from 6 to 9.
pattern!(
    national = r"(?-u:\b)(?:\(?0[1-9][0-9]{1,4}\)?[ -]?[0-9]{3,4}[ -]?[0-9]{3,4}|[6-9][0-9]{2}[ .-]?(?:[0-9]{3}[ .-]?[0-9]{3}|[0-9]{2}[ .-]?[0-9]{2}[ .-]?[0-9]{2}))(?-u:\b)"
);
pattern!(called = words r"phone|phones|telephone|tel|cell|cellphone|mobile|fax|call|called|calling|text|dial|ring|reach|whatsapp|hotline|teléfono|móvil|celular|llámame|llamar|llame|contact");

pattern!(other = words r"nhs|utr|sin|ohip|phn|health|account|routing|card|order|invoice|reference|isbn");

/// Finds telephone numbers.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(international()) {
        let digits = page.compact(&bytes).len();
        if (8..=15).contains(&digits) {
            found.push(shaped(PiiKind::Phone, bytes, 0.97));
        }
    }
    for bytes in page.matches(american()) {
        let number = page.at(&bytes);
        let digits = page.compact(&bytes);
        let digits = digits.strip_prefix('1').unwrap_or(&digits);
        // N11 is for services such as 911, in the area code and in the exchange.
        let service = digits.get(1..3) == Some("11") || digits.get(4..6) == Some("11");
        // Groups between spaces are common to many numbers: a word can say that it is one of those.
        let parted = number.contains(['-', '.', '('])
            || (number.contains(' ') && !page.announced(&bytes, other()));
        let within = page.text[..bytes.start].ends_with(['-', '.', '/', '+']);
        let named = page.announced(&bytes, called());
        match (parted, named) {
            _ if service || within => {}
            (_, true) => found.push(shaped(PiiKind::Phone, bytes, 0.97)),
            (true, false) => found.push(shaped(PiiKind::Phone, bytes, LIKELY)),
            (false, false) => {}
        }
    }
    for bytes in page.matches(national()) {
        let digits = page.compact(&bytes);
        let length = if digits.starts_with('0') {
            10..=11
        } else {
            9..=9
        };
        if length.contains(&digits.len()) && page.announced(&bytes, called()) {
            found.push(shaped(PiiKind::Phone, bytes, PLAUSIBLE));
        }
    }
}
