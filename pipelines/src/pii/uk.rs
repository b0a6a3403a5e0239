//! United Kingdom: National Insurance, taxpayer and health service numbers.

use super::page::{Page, pattern, proven, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE, UNPROVEN, checksum};

// HM Revenue and Customs, NIM39110: letters that are not used, and prefixes that are not given.
pattern!(
    insurance =
        r"(?-u:\b)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?-u:\b)"
);
pattern!(like_insurance = r"(?-u:\b)[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Z](?-u:\b)");
pattern!(insurance_words = words r"national insurance(?: (?:number|no\.?))?|nino|ni|ni number");
pattern!(health = r"(?-u:\b)[0-9]{3}(?:[ -][0-9]{3}[ -]|[0-9]{3})[0-9]{4}(?-u:\b)");
pattern!(health_words = words r"nhs|national health(?: service)?(?: number)?|health service");
pattern!(taxpayer = r"(?-u:\b)[0-9]{5} ?[0-9]{5}(?-u:\b)");
pattern!(taxpayer_words = words r"utr|unique taxpayer(?: reference)?(?: number)?|taxpayer reference(?: number)?|tax reference");

/// Finds identity numbers of the United Kingdom.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    const NOT_GIVEN: [&str; 7] = ["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"];
    for bytes in page.matches(insurance()) {
        if !NOT_GIVEN.contains(&&page.at(&bytes)[..2]) {
            let kind = PiiKind::UkNationalInsuranceNumber;
            found.push(shaped(kind, bytes, 0.97));
        }
    }
    for bytes in page.matches(like_insurance()) {
        if page.led(&bytes, insurance_words()) {
            found.push(shaped(PiiKind::UkNationalInsuranceNumber, bytes, UNPROVEN));
        }
    }
    for bytes in page.matches(health()) {
        let kind = PiiKind::UkNationalHealthServiceNumber;
        if checksum::nhs(&page.compact(&bytes)) {
            // One number in eleven passes; the usual groups make it plausible without a word.
            let named = page.beside(&bytes, health_words());
            let grouped = page.at(&bytes).contains(' ');
            match (named, grouped) {
                (true, _) => found.push(proven(kind, bytes, SURE)),
                (false, true) => found.push(shaped(kind, bytes, PLAUSIBLE)),
                (false, false) => {}
            }
        } else if page.led(&bytes, health_words()) {
            found.push(shaped(kind, bytes, UNPROVEN));
        }
    }
    for bytes in page.matches(taxpayer()) {
        let kind = PiiKind::UkUniqueTaxpayerReferenceNumber;
        if page.beside(&bytes, taxpayer_words()) {
            match checksum::utr(&page.compact(&bytes)) {
                true => found.push(proven(kind, bytes, SURE)),
                false => found.push(shaped(kind, bytes, LIKELY)),
            }
        }
    }
}
