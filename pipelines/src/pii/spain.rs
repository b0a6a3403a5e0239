//! Spain, beyond what Comprehend knows: DNI, NIE and CIF. Searched only where extensions are asked for.
//!
//! A check letter or digit proves each of them, so none needs a word beside it. One number in 23 (CIF: one in
//! ten) passes by chance.

use super::page::{Page, pattern, proven, shaped};
use super::{Found, LIKELY, PiiKind, SURE, checksum};

pattern!(dni = r"(?-u:\b)(?:[0-9]{8}|[0-9]{1,2}\.[0-9]{3}\.[0-9]{3})[ -]?[A-HJ-NP-TV-Z](?-u:\b)");
pattern!(nie = r"(?-u:\b)[XYZ][ -]?[0-9]{7}[ -]?[A-HJ-NP-TV-Z](?-u:\b)");
pattern!(cif = r"(?-u:\b)[ABCDEFGHJNPQRSUVW][ -]?[0-9]{7}[ -]?[0-9A-J](?-u:\b)");
pattern!(dni_words = words r"dni|nif|documento nacional de identidad|national id(?:entity)?(?: card)?(?: number)?");
pattern!(nie_words = words r"nie|nif|identidad de extranjero|foreigner'?s? id(?:entity)?(?: number)?");
pattern!(cif_words = words r"cif|nif|identificación fiscal|tax id(?:entification)?(?: number)?|vat(?: number)?");

/// Finds identity numbers of Spain.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for (kind, pattern, holds, words) in [
        (
            PiiKind::EsDni,
            dni(),
            checksum::dni as fn(&str) -> bool,
            dni_words(),
        ),
        (PiiKind::EsNie, nie(), checksum::nie, nie_words()),
        (PiiKind::EsCif, cif(), checksum::cif, cif_words()),
    ] {
        for bytes in page.matches(pattern) {
            if !holds(&page.compact(&bytes)) {
                continue;
            }
            match page.beside(&bytes, words) {
                true => found.push(proven(kind, bytes, SURE)),
                // Other numbers begin and end with letters too: what proves them goes first.
                false => found.push(shaped(kind, bytes, LIKELY)),
            }
        }
    }
}
