//! Cards: number, verification code, expiry date and PIN.

use super::page::{Page, pattern, proven, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE, UNPROVEN, checksum};

pattern!(number = r"(?-u:\b)[1-9][0-9]{3}(?:[ -]?[0-9]{2,6}){2,4}(?-u:\b)");
// Any digits that a word directly before calls a card's: examples and slips.
pattern!(any = r"(?-u:\b)[0-9]{4}(?:[ -]?[0-9]{2,6}){2,4}(?-u:\b)");
pattern!(named = words r"(?:(?:credit|debit|bank|visa|mastercard|amex|charge|gift) ?)?cards?(?: account)?(?: (?:number|no\.?|nr\.?|#))?|visa|mastercard|amex|american express|tarjetas?(?: de (?:crédito|débito))?|cc");
pattern!(account = r"(?:^|[^A-Za-z0-9])[A-Z]{2}[0-9]{2}[ -]$");
pattern!(masked = r"(?i)(?:[X*•#]{2,6}[ -]?){2,5}[0-9]{4}(?-u:\b)");
pattern!(
    last = r"(?i)(?-u:\b)(?:ending|ends|ended|terminad[ao]s?|acaba)\s(?:in|with|on|en)\s(?P<value>[0-9]{4})(?-u:\b)"
);
// What a date behind a word such as "on" is a date of.
pattern!(
    dated = r"(?i)(?:^|\s)(?:on|dated|from|of|since|by|at|until|till|in|for|before|after|chapter|page|score|scored|el|del|desde)\s+$"
);
pattern!(card = words r"cards?|visa|mastercard|amex|american express|credit|debit|discover|maestro|tarjetas?|crédito|débito|cc");
pattern!(
    code = r"(?i)(?-u:\b)(?:cvv2?|cvc2?|cid|csc|cvn|security code|verification (?:code|value|number)|código de (?:seguridad|verificación))(?:\s*(?:number|code))?(?:\s*(?:is|es|was|:|=|#|-))?\s*(?P<value>[0-9]{3,4})(?-u:\b)"
);
pattern!(expiry = r"(?-u:\b)(?:0?[1-9]|1[0-2])\s?[/-]\s?(?:20[2-9][0-9]|[2-9][0-9])(?-u:\b)");
pattern!(
    month = r"(?i)(?-u:\b)(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.? (?:20[2-9][0-9]|['’]?[2-9][0-9])(?-u:\b)"
);
pattern!(expires = words r"exp|expiry|expires?|expiration|expiring|valid (?:thru|through|until|to)|caduca|caducidad|vence|vencimiento|válida hasta");
pattern!(
    pin = r"(?i)(?-u:\b)pin(?:\s*(?:number|code|no\.?))?(?:\s(?:for|of|to|de|del)(?:\s[\p{L}']{1,12}){1,4}\s(?:is|es|was|era)|\s*(?:is|es|was|era|:|=|#|-))?\s*(?P<value>[0-9]{4})(?-u:\b)"
);

/// Finds the data of cards.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(number()) {
        let digits = page.compact(&bytes);
        // One in ten accounts behind a country's letters passes, too.
        let account = account().is_match(page.before(&bytes));
        if !account && network(&digits) && checksum::luhn(&digits) {
            let named = page.beside(&bytes, card());
            let score = if named { SURE } else { 0.95 };
            found.push(proven(PiiKind::CreditDebitNumber, bytes, score));
        }
    }
    for bytes in page.matches(any()) {
        let digits = page.compact(&bytes).len();
        if (13..=19).contains(&digits) && page.led(&bytes, named()) {
            found.push(shaped(PiiKind::CreditDebitNumber, bytes, UNPROVEN));
        }
    }
    // Comprehend also takes the last four digits alone for the number.
    for bytes in page.matches(masked()) {
        if page.announced(&bytes, card()) {
            found.push(shaped(PiiKind::CreditDebitNumber, bytes, LIKELY));
        }
    }
    for bytes in page.matches(last()) {
        if page.announced(&bytes, card()) {
            found.push(shaped(PiiKind::CreditDebitNumber, bytes, PLAUSIBLE));
        }
    }
    for bytes in page.matches(code()) {
        found.push(shaped(PiiKind::CreditDebitCvv, bytes, LIKELY));
    }
    for bytes in page.matches(expiry()) {
        if page.announced(&bytes, expires()) {
            found.push(shaped(PiiKind::CreditDebitExpiry, bytes, LIKELY));
        } else if page.announced(&bytes, card()) && !dated().is_match(page.before(&bytes)) {
            found.push(shaped(PiiKind::CreditDebitExpiry, bytes, PLAUSIBLE));
        }
    }
    // The guide's own example is a month and a year; much else expires, too.
    for bytes in page.matches(month()) {
        if page.led(&bytes, expires()) && card().is_match(page.before(&bytes)) {
            found.push(shaped(PiiKind::CreditDebitExpiry, bytes, LIKELY));
        }
    }
    for bytes in page.matches(pin()) {
        found.push(shaped(PiiKind::Pin, bytes, LIKELY));
    }
}

/// A network issues numbers that begin so and are so long (ISO/IEC 7812; the networks' published ranges).
fn network(digits: &str) -> bool {
    let first = |count: usize| {
        digits
            .get(..count)
            .and_then(|head| head.parse::<u32>().ok())
    };
    let (Some(two), Some(three), Some(four)) = (first(2), first(3), first(4)) else {
        return false;
    };
    match digits.len() {
        13 | 19 if two / 10 == 4 => true,
        // Visa, Mastercard, Discover, JCB, UnionPay, Maestro, RuPay.
        16..=19 => {
            (digits.len() == 16 && (two / 10 == 4 || (51..=55).contains(&two)))
                || (digits.len() == 16 && (2221..=2720).contains(&four))
                || (four == 6011 || two == 65 || (644..=649).contains(&three))
                || (3528..=3589).contains(&four)
                || two == 62
                || [50, 56, 57, 58, 60, 63, 67, 81, 82].contains(&two)
        }
        // American Express.
        15 => two == 34 || two == 37,
        // Diners Club.
        14 => two == 36 || two == 38 || two == 39 || (300..=305).contains(&three),
        _ => false,
    }
}
