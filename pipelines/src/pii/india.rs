//! India: Aadhaar, Permanent Account, voter's and job card numbers.

use super::page::{Page, pattern, proven, shaped};
use super::{Found, LIKELY, PiiKind, SURE, UNPROVEN, checksum};

// Unique Identification Authority of India: twelve digits, the first from 2, the last after Verhoeff.
pattern!(aadhaar = r"(?-u:\b)[2-9][0-9]{3}(?:[ -][0-9]{4}[ -]|[0-9]{4})[0-9]{4}(?-u:\b)");
pattern!(twelve = r"(?-u:\b)[0-9]{4}(?:[ -][0-9]{4}[ -]|[0-9]{4})[0-9]{4}(?-u:\b)");
pattern!(aadhaar_words = words r"aadhaar(?: card)?|aadhar(?: card)?|uid|uidai");
// Income Tax Department: the fourth letter says what the holder is.
pattern!(account = r"(?-u:\b)[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z](?-u:\b)");
pattern!(like_account = r"(?-u:\b)[A-Z]{5}[0-9]{4}[A-Z](?-u:\b)");
pattern!(account_words = words r"pan|pan card|permanent account(?: number)?|income tax");
pattern!(voter = r"(?-u:\b)[A-Z]{3}[0-9]{7}(?-u:\b)");
pattern!(voter_words = words r"voter(?: card| id(?: card)?)?|voters|voter's|epic|electors?|election|electoral");
// Ministry of Rural Development: state, district, block, panchayat and village, then the family's number.
pattern!(
    job_card =
        r"(?-u:\b)[A-Z]{2}-[0-9]{2}-[0-9]{3}-[0-9]{3}-[0-9]{3}/[0-9]{1,7}(?:-[A-Z])?(?-u:\b)"
);

/// Finds identity numbers of India.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(aadhaar()) {
        let named = page.beside(&bytes, aadhaar_words());
        let grouped = page.at(&bytes).len() > 12;
        // Three of the groups of a card's number.
        if grouped && page.goes_on(&bytes) {
            continue;
        }
        if (named || grouped) && checksum::verhoeff(&page.compact(&bytes)) {
            let score = if named { SURE } else { LIKELY };
            found.push(proven(PiiKind::InAadhaar, bytes, score));
        }
    }
    for bytes in page.matches(twelve()) {
        if page.led(&bytes, aadhaar_words()) && !page.goes_on(&bytes) {
            found.push(shaped(PiiKind::InAadhaar, bytes, UNPROVEN));
        }
    }
    for bytes in page.matches(account()) {
        let named = page.beside(&bytes, account_words());
        let score = if named { SURE } else { LIKELY };
        found.push(shaped(PiiKind::InPermanentAccountNumber, bytes, score));
    }
    for bytes in page.matches(like_account()) {
        if page.led(&bytes, account_words()) {
            found.push(shaped(PiiKind::InPermanentAccountNumber, bytes, UNPROVEN));
        }
    }
    for bytes in page.matches(voter()) {
        if page.beside(&bytes, voter_words()) {
            found.push(shaped(PiiKind::InVoterNumber, bytes, 0.97));
        }
    }
    for bytes in page.matches(job_card()) {
        found.push(shaped(PiiKind::InNrega, bytes, 0.97));
    }
}
