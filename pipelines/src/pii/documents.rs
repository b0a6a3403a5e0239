//! Passports and driving licences, whose numbers have no common shape: a word beside them says what they are.

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PiiKind};

pattern!(passport = r"(?-u:\b)[A-Z]{0,3}[0-9]{6,9}[A-Z]?(?-u:\b)");
pattern!(passport_words = words r"passports?|passport (?:number|no\.?|#)|pasaporte");
pattern!(licence = r"(?-u:\b)(?:[A-Z]{1,3}-?)?[0-9](?:[ -]?[A-Z0-9]){4,14}(?-u:\b)");
pattern!(licence_words = words r"driver'?s?'?’?s? licen[cs]e|driving licen[cs]e|driver'?s? id|dl|dl#|dln|permiso de conducir|licencia de conducir");
// Driver and Vehicle Licensing Agency: five letters of the surname padded with 9, the date of birth, initials.
pattern!(
    british = r"(?-u:\b)[A-Z][A-Z9]{4}[0-9](?:[05][1-9]|[16][0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9][A-Z9]{2}[A-Z0-9][A-Z]{2}(?-u:\b)"
);

/// Finds numbers of passports and driving licences.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(passport()) {
        if page.announced(&bytes, passport_words()) {
            found.push(shaped(PiiKind::PassportNumber, bytes, LIKELY));
        }
    }
    for bytes in page.matches(licence()) {
        let digits = page.at(&bytes).bytes().filter(u8::is_ascii_digit).count();
        if digits >= 4 && page.announced(&bytes, licence_words()) {
            found.push(shaped(PiiKind::DriverId, bytes, LIKELY));
        }
    }
    for bytes in page.matches(british()) {
        found.push(shaped(PiiKind::DriverId, bytes, 0.95));
    }
}
