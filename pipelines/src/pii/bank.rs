//! Banks: IBAN, business identifier codes, routing and account numbers.

use super::page::{Page, pattern, proven, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE, UNPROVEN, checksum};
use std::ops::Range;

pattern!(iban = r"(?-u:\b)[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{1,4}){3,8}(?-u:\b)");
pattern!(iban_words = words r"iban(?: (?:number|no\.?|code))?");
pattern!(swift = r"(?-u:\b)[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?-u:\b)");
// "swift" alone is an adjective.
pattern!(swift_words = words r"bic|swift ?[/-]? ?(?:bic|code|number|no\.?|id|address)|swift(?: (?:is|was|es))?[ :=#]*$");
pattern!(routing = r"(?-u:\b)[0-9]{9}(?-u:\b)");
// The guide's own sample letter hides all but the last four digits.
pattern!(masked = r"(?i)(?:[X*•#][ -]?){3,15}[0-9]{3,6}(?-u:\b)");
pattern!(
    last = r"(?i)(?-u:\b)(?:ending|ends|ended)\s(?:in|with|on)\s(?P<value>[0-9]{4})(?-u:\b)|(?-u:\b)last (?:four|4)(?: digits)?(?:\s(?:of|on|are|is|my|the|your|card|account|:)){0,5}\s(?P<four>[0-9]{4})(?-u:\b)"
);
pattern!(routing_words = words r"routing|aba|rtn|transit|wires?|wiring");
pattern!(routing_names = words r"routing|aba(?: routing)?|rtn|transit");
pattern!(
    sort_code = r"(?i)(?-u:\b)sort code(?:\s*(?:is|:|=))?\s*(?P<value>[0-9]{2}[- ]?[0-9]{2}[- ]?[0-9]{2})(?-u:\b)"
);
pattern!(account = r"(?-u:\b)[0-9]{1,6}(?:[ -]?[0-9]{2,6}){1,4}(?-u:\b)");
pattern!(account_words = words r"accounts?|acct|a/c|checking|savings|cuenta");
pattern!(card_account = words r"card account(?: (?:number|no\.?))?");
pattern!(
    amount = r"(?i)^ ?(?:[$€£¥₹%]|(?:usd|eur|euros?|gbp|jpy|yen|inr|rupees?|dollars?|bucks|pounds?|pesos?|francs?|chf|cents?|percent|points?|times|people|users?|items?|miles|kg|km)(?-u:\b))"
);
// Banco de España: bank, branch, check digits, account.
pattern!(spanish = r"(?-u:\b)[0-9]{4}(?:[ -][0-9]{4}[ -][0-9]{2}[ -]|[0-9]{6})[0-9]{10}(?-u:\b)");

/// Countries of the SWIFT IBAN registry with the length of their numbers.
const IBAN: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

/// Country codes of banks that are in no country of [`IBAN`], ISO 3166-1.
const MORE_COUNTRIES: &str = "AF AG AI AM AO AR AU AW BB BD BF BJ BM BN BO BS BT BW BZ CA CD CF CG CI CL CM CN CO CU \
    CV CW DM DZ EC ER ET FJ GA GD GH GM GN GQ GU GW GY HK HN HT ID IM IN IR JE GG JM JP KE KG KH KI KM KN KP KR KY LA \
    LK LR LS MA MG MH ML MM MO MS MV MW MX MY MZ NA NE NG NP NR NZ PA PE PG PH PR PW PY RW SB SG SL SN SR SS SY SZ TC \
    TD TG TH TJ TM TO TT TV TW TZ UG US UY UZ VC VE VI VN VU WS ZA ZM ZW";

/// Words of everyday with the shape and a country of a bank's code.
const WORDS: &[&str] = &[
    "REQUIRED", "THANKYOU", "CUSTOMER", "DOCUMENT", "DEADLINE", "BUSINESS", "EXCHANGE", "DELIVERY",
    "OVERSEAS", "PROVIDED", "CONTINUE", "FEBRUARY", "BANKNAME", "TRANSFER", "PAYMENTS", "RECEIVED",
    "REGISTER", "SECURITY", "NATIONAL", "OPTIONAL", "PASSWORD", "INVOICES", "RESPONSE",
];

/// Finds the data of bank accounts.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(iban()) {
        let kind = PiiKind::InternationalBankAccountNumber;
        match account_of(page, &bytes) {
            Some(bytes) => found.push(proven(kind, bytes, SURE)),
            None if page.led(&bytes, iban_words()) => found.push(shaped(kind, bytes, UNPROVEN)),
            None => {}
        }
    }
    for bytes in page.matches(swift()) {
        let code = page.at(&bytes);
        let country = &code[4..6];
        let known = IBAN.iter().any(|(known, _)| *known == country)
            || MORE_COUNTRIES
                .split_whitespace()
                .any(|known| known == country);
        // Words of eight capitals that hold the letters of a country.
        let word = WORDS.contains(&code);
        if known && !word && page.announced(&bytes, swift_words()) {
            found.push(shaped(PiiKind::SwiftCode, bytes, 0.97));
        } else if known && code.bytes().any(|byte| byte.is_ascii_digit()) {
            found.push(shaped(PiiKind::SwiftCode, bytes, PLAUSIBLE));
        }
    }
    for bytes in page.matches(routing()) {
        // The first two digits name a Federal Reserve district or a purpose.
        let head: u32 = page.at(&bytes)[..2].parse().unwrap_or(99);
        let issued = matches!(head, 0..=12 | 21..=32 | 61..=72 | 80);
        let named = page.announced(&bytes, routing_words());
        if issued && named && checksum::aba(page.at(&bytes)) {
            found.push(proven(PiiKind::BankRouting, bytes, SURE));
        } else if page.led(&bytes, routing_names()) {
            found.push(shaped(PiiKind::BankRouting, bytes, UNPROVEN));
        }
    }
    for bytes in page.matches(sort_code()) {
        found.push(shaped(PiiKind::BankRouting, bytes, LIKELY));
    }
    for bytes in page.matches(account()) {
        let at = page.at(&bytes);
        let digits = page.compact(&bytes).len();
        let groups = at.split([' ', '-']).count();
        // Pairs of digits are times, dates and sort codes.
        let shape = (6..=20).contains(&digits) && digits >= 3 * groups;
        let counted = amount().is_match(&page.text[bytes.end..])
            || page.text[..bytes.start].ends_with(['$', '€', '£', '¥', '₹', '.', ',']);
        if shape
            && !counted
            // Few digits are anything's number but behind the word itself.
            && (digits >= 8 || page.led(&bytes, account_words()))
            && page.announced(&bytes, account_words())
            && !page.led(&bytes, card_account())
        {
            found.push(shaped(PiiKind::BankAccountNumber, bytes, LIKELY));
        }
    }
    for bytes in page.matches(spanish()) {
        // The digits of a business account in an IBAN are a part of that.
        if page.announced(&bytes, account_words()) {
            found.push(match checksum::ccc(&page.compact(&bytes)) {
                true => proven(PiiKind::BankAccountNumber, bytes, SURE),
                false => shaped(PiiKind::BankAccountNumber, bytes, LIKELY),
            });
        }
    }
    for bytes in page.matches(masked()) {
        if page.led(&bytes, routing_names()) {
            found.push(shaped(PiiKind::BankRouting, bytes, LIKELY));
        } else if page.announced(&bytes, account_words()) && !page.led(&bytes, card_account()) {
            found.push(shaped(PiiKind::BankAccountNumber, bytes, LIKELY));
        }
    }
    for captures in last().captures_iter(page.text) {
        let Some(value) = captures.name("value").or_else(|| captures.name("four")) else {
            continue;
        };
        let whole = captures.get(0).map_or(value.range(), |whole| whole.range());
        // Of a card: `cards`.
        if page.announced(&whole, account_words()) && !page.led(&whole, card_account()) {
            found.push(shaped(PiiKind::BankAccountNumber, value.range(), PLAUSIBLE));
        }
    }
}

/// The number at the beginning of what looks like an IBAN, as long as its country says, if its check digits hold.
fn account_of(page: &Page<'_>, bytes: &Range<usize>) -> Option<Range<usize>> {
    let country = &page.at(bytes)[..2];
    let (_, length) = IBAN.iter().find(|(code, _)| *code == country)?;
    // Capitals after the number match too: the country says where it ends.
    let mut left = *length;
    let end = page.at(bytes).char_indices().find_map(|(place, c)| {
        left -= usize::from(c.is_ascii_alphanumeric());
        (left == 0).then_some(bytes.start + place + 1)
    })?;
    let whole = !page.text[end..].starts_with(|c: char| c.is_alphanumeric());
    let bytes = bytes.start..end;
    (whole && checksum::iban(&page.compact(&bytes))).then_some(bytes)
}
