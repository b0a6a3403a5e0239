//! Telephone numbers.

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind};

// ITU-T E.164: a country code and at most fifteen digits in all.
pattern!(
    international = r"\+[0-9]{1,3}(?:[ .-]?\(?[0-9]{1,5}\)?){2,6}(?: ?(?:x|ext\.?|extension) ?[0-9]{1,6})?(?-u:\b)"
);
// The same behind 00, as most of Europe dials it: countries that are called often.
pattern!(
    dialled = r"(?-u:\b)00(?:1[ .-]?[2-9]|2[07]|3[0-469]|35[0-9]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|97[1-9])(?:[ .-]?\(?[0-9]{1,5}\)?){2,6}(?-u:\b)"
);
// North American Numbering Plan: area code and exchange begin with 2 to 9.
pattern!(
    american = r"(?:(?-u:\b)1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|(?-u:\b)[2-9][0-9]{2}[ ./-]?)[2-9][0-9]{2}[ .-]?[0-9]{4}(?: ?(?:x|ext\.?|extension) ?[0-9]{1,6})?(?-u:\b)"
);
// United Kingdom (Ofcom): a trunk 0, then nine or ten digits. Spain: nine digits from 6 to 9.
pattern!(
    national = r"(?-u:\b)(?:\(?0[1-9][0-9]{1,4}\)?[ -]?[0-9]{3,4}[ -]?[0-9]{3,4}|[6-9][0-9]{2}[ .-]?(?:[0-9]{3}[ .-]?[0-9]{3}|[0-9]{2}[ .-]?[0-9]{2}[ .-]?[0-9]{2}))(?-u:\b)"
);
// The same trunk and area with the groups parted, which few other numbers are: London, mobiles, other towns.
pattern!(
    british = r"(?-u:\b)(?:02[0-9] [0-9]{4} [0-9]{4}|07[1-9][0-9]{2} ?[0-9]{6}|07[1-9][0-9]{2} [0-9]{3} [0-9]{3}|01[0-9]{3} [0-9]{6}|01[0-9]{2} [0-9]{3} [0-9]{4}|0[38][0-9]{2} [0-9]{3} [0-9]{4})(?-u:\b)"
);
// Whatever is dialled, in whatever groups: behind a word that says so.
pattern!(
    any = r"(?:[+(]|(?-u:\b))[0-9]{1,15}\)?(?:[ ./-]{0,2}\(?[0-9]{1,14}\)?){0,7}(?: ?(?:x|ext\.?|extension) ?[0-9]{1,6})?(?-u:\b)"
);
pattern!(called = words r"phone|phones|phone (?:number|no\.?)|telephone|tel|cell|cellphone|mobile|fax|call|called|calling|text|dial|ring|reach|whatsapp|hotline|teléfono|móvil|celular|llámame|llamar|llame|contact");
pattern!(line = words r"(?:tele)?phones?|tel|tél|téléphone|telefon|telefono|telefone|teléfonos?|tlf|telf|handy|handynummer|mobil|mobiles?|mob|móvil(?:es)?|movil|celular|portable|cell|cellphone|cell phone|ph|fax|whatsapp|hotline|landline|helpline|call(?: us| me| him| her| them)?|dial|ring|text|sms|llámame|llámenos|llame|llamar|contact (?:number|no\.?)|direct line|my number|(?:phone|telephone|mobile|cell|fax) (?:number|no\.?)");
pattern!(
    timed = r"^(?:(?:19|20)[0-9]{2}[-/.][0-9]{1,2}(?:[-/.]|$)|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:19|20)?[0-9]{2}(?:[^0-9]|$)|[0-9]+\.[0-9]+$|[0-9]{1,2} [0-9]{1,2} [0-9]{2}$)"
);
pattern!(
    unit = r"(?i)^(?:[.,][0-9]| ?[%$€£¥]| (?:times|people|customers?|users?|items?|orders?|words?|characters?|bytes?|minutes?|hours?|seconds?|days?|units?|dollars?|euros?|pounds?|points?|years?|miles|messages?|bugs?|errors?)(?-u:\b))"
);

pattern!(other = words r"nhs|utr|sin|ohip|phn|health|account|routing|card|order|invoice|reference|isbn|ticket|tracking|serial|part|item|sku|case|booking|ref|id|code|model|aadhaar|passport");

/// Finds telephone numbers.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(international()) {
        // An extension is dialled behind it.
        let dialled = page.at(&bytes).split(['x', 'X', 'e', 'E']).next();
        let digits = dialled.map_or(0, digits);
        if (8..=15).contains(&digits) {
            found.push(shaped(PiiKind::Phone, bytes, 0.97));
        }
    }
    for bytes in page.matches(dialled()) {
        let named = page.announced(&bytes, called());
        let plain = !page.at(&bytes).contains([' ', '-', '.', '(']);
        let other = page.announced(&bytes, other())
            || page.text[..bytes.start].ends_with(['-', '.', '/', '#']);
        match page.compact(&bytes).len() {
            10..=16 if named => found.push(shaped(PiiKind::Phone, bytes, 0.97)),
            11..=15 if !other => {
                let score = if plain { PLAUSIBLE } else { LIKELY };
                found.push(shaped(PiiKind::Phone, bytes, score));
            }
            _ => {}
        }
    }
    for bytes in page.matches(british()) {
        let within = page.text[..bytes.start].ends_with(['-', '.', '/', '#', ':']);
        if !within && page.at(&bytes).contains(' ') && !page.led(&bytes, other()) {
            found.push(shaped(PiiKind::Phone, bytes, PLAUSIBLE));
        }
    }
    for bytes in page.matches(any()) {
        let number = page.at(&bytes);
        let dialled = number.split(['x', 'e']).next();
        let (digits, before) = (dialled.map_or(0, digits), &page.text[..bytes.start]);
        let within = before.ends_with(['-', '.', '/', '$', '€', '£', '¥']);
        // Many single digits between dots name an object or a section.
        let dotted = number.split('.').filter(|group| group.len() == 1).count() > 1;
        let counts = dotted || unit().is_match(&page.text[bytes.end..]) || timed().is_match(number);
        if (7..=15).contains(&digits) && !within && !counts && page.led(&bytes, line()) {
            found.push(shaped(PiiKind::Phone, bytes, LIKELY));
        }
    }
    for bytes in page.matches(american()) {
        let number = page.at(&bytes);
        let digits = page.compact(&bytes);
        let digits = digits.split(['X', 'E']).next().unwrap_or_default();
        let digits = digits.strip_prefix('1').unwrap_or(digits);
        // N11 is for services such as 911, in the area code and in the exchange.
        let service = digits.get(1..3) == Some("11") || digits.get(4..6) == Some("11");
        // Groups between spaces are common to many numbers: a word can say that it is one of those.
        let led = page.led(&bytes, other());
        let parted = (number.contains(['-', '.', '(', '/']) && !led)
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
        // A part of a longer number between dots.
        let within = page.text[..bytes.start].ends_with(['-', '.', '/'])
            || page.text[bytes.end..].starts_with('.')
                && page.text[bytes.end + 1..].starts_with(|c: char| c.is_ascii_digit());
        if !within && length.contains(&digits.len()) && page.announced(&bytes, called()) {
            found.push(shaped(PiiKind::Phone, bytes, PLAUSIBLE));
        }
    }
}

/// How many digits a text has.
fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}
