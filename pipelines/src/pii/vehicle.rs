//! Vehicles: identification numbers and licence plates.

use super::page::{Page, pattern, proven, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE, checksum};

pattern!(vin = r"(?-u:\b)[A-HJ-NPR-Z0-9]{17}(?-u:\b)");
pattern!(vin_words = words r"vin|vehicle identification(?: number)?|chassis(?: number)?|bastidor");
pattern!(
    plate = r"(?-u:\b)(?:[A-Z]{1,3}-[A-ZÄÖÜ]{1,2}[ -]?[0-9]{1,4}[EH]?|[A-Z]{2}[ -]?[0-9]{1,2}[ -]?[A-Z]{1,3}[ -]?[0-9]{4}|[A-Z]{1,3}[- ]?[0-9]{1,4}[- ]?[A-Z]{0,3}|[0-9]{1,4}[- ]?[A-Z]{1,3}(?:[- ]?[0-9]{1,4})?)(?-u:\b)"
);
pattern!(plate_words = words r"plates?|licen[cs]e plates?|number plates?|plate (?:number|no\.?)|tag number|(?:vehicle|car|van|bike|motorcycle) reg(?:istration)?(?: (?:number|no\.?|plate))?|reg(?:istration)? (?:plate|mark)|matrícula|kennzeichen");
// Driver and Vehicle Licensing Agency, marks since 2001: a region, half a year, three letters.
pattern!(british = r"(?-u:\b)[A-HJ-PR-Y]{2}[0-9]{2} ?[A-HJ-PR-Z]{3}(?-u:\b)");
pattern!(registration = words r"reg|registration(?: (?:number|no\.?))?|registered");

/// Finds the data of vehicles.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(vin()) {
        let (number, kind) = (page.at(&bytes), PiiKind::VehicleIdentificationNumber);
        let mixed = number.bytes().any(|byte| byte.is_ascii_digit())
            && number.bytes().any(|byte| byte.is_ascii_alphabetic());
        let named = page.announced(&bytes, vin_words());
        // North America's check digit; other regions do not use it.
        match (checksum::vin(number), named) {
            (true, true) => found.push(proven(kind, bytes, SURE)),
            (true, false) if mixed => found.push(proven(kind, bytes, 0.95)),
            (false, true) if mixed => found.push(shaped(kind, bytes, PLAUSIBLE)),
            _ => {}
        }
    }
    for bytes in page.matches(plate()) {
        let length = page.compact(&bytes).len();
        if (4..=10).contains(&length) && page.announced(&bytes, plate_words()) {
            found.push(shaped(PiiKind::LicensePlate, bytes, LIKELY));
        }
    }
    for bytes in page.matches(british()) {
        if page.led(&bytes, registration()) {
            found.push(shaped(PiiKind::LicensePlate, bytes, LIKELY));
        }
    }
}
