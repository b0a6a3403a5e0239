//! Parts of postal addresses: streets with their numbers, units and floors, states and provinces, postcodes.
//!
//! The forms of the United States, Canada, the United Kingdom, Ireland, Australia and India, and those of Spain. A
//! state's abbreviation is also a word or a field (`OK`, `IN`, `ID`), so a ZIP code has to belong to the state, and
//! a town, a street or a word of living somewhere has to stand beside both (`Part::sure`).

use super::page::{Page, pattern};
use regex::Regex;
use std::ops::Range;

const STREET: &str = r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way|Highway|Hwy|Parkway|Pkwy|Circle|Cir|Alley|Trail|Trl|Crescent|Close|Row|Mews|Gardens|Broadway|Quay|Grove|Esplanade)";
const STATE: &str = r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])";
const REGION: &str = r"(?:Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New (?:Hampshire|Jersey|Mexico|York)|North (?:Carolina|Dakota)|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South (?:Carolina|Dakota)|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming|D\.C\.|AB|BC|MB|N[BLSTU]|ON|PE|QC|SK|YT|Ontario|Quebec|Québec|British Columbia|Alberta|Manitoba|Saskatchewan|Nova Scotia|New Brunswick|NSW|VIC|QLD|SA|TAS|ACT)";
const TOWN: &str =
    r"[A-Z][A-Za-z.'’-]{1,24}(?: (?:upon |on |of |de |la |under )?[A-Z][A-Za-z.'’-]{1,24}){0,3}";
const ZIP: &str = r"[0-9]{5}(?:-[0-9]{4})?";
// Royal Mail's postcodes and Canada Post's.
const BRITISH: &str = r"(?:[A-Z]{1,2}[0-9][A-Z0-9]?|GIR) [0-9][ABD-HJLNP-UW-Z]{2}";
const CANADIAN: &str = r"[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] [0-9][ABCEGHJ-NPRSTV-Z][0-9]";

pattern!(
    street = &format!(
        r"(?-u:\b)(?:(?:Flat|Unit|Apartment|Apt|Suite|Ste|Room|Shop|Level)\.? ?#?[A-Za-z]?[0-9]{{1,4}}[A-Za-z]?,? )?[0-9]{{1,6}}[A-Za-z]?(?:[-/][0-9]{{1,5}}[A-Za-z]?)?(?: (?:[NSEW]\.?|North|South|East|West))?(?: (?:[A-Z][A-Za-z'.-]{{0,30}}|[0-9]{{1,3}}(?:st|nd|rd|th))){{0,4}} {STREET}(?-u:\b)\.?(?: (?:[NS]\.?[EW]|[NSEW]|(?:North|South)(?:east|west)?|East|West)(?-u:\b)\.?)?(?:,? (?:(?:Apt|Apartment|Suite|Ste|Unit|Floor|Flat|Room|#)\.? ?#?[A-Za-z0-9-]{{1,6}}(?-u:\b)|(?:[0-9]{{1,3}}(?:st|nd|rd|th)|[Gg]round|[Ff]irst|[Ss]econd|[Tt]hird|[Ff]ourth|[Ff]ifth|[Ss]ixth|[Tt]op) [Ff]l(?:oor|r)?(?-u:\b)\.?)){{0,2}}(?:(?:,? {TOWN})?(?:,? (?:{STATE}|{REGION})(?-u:\b))?,? {{1,2}}(?:{ZIP}|{BRITISH}|{CANADIAN})(?-u:\b)|,? {TOWN},? (?:{STATE}|{REGION})(?-u:\b)(?: [0-9]{{4}}(?-u:\b))?|,? {TOWN},? ?[-–]? ?[1-9][0-9]{{2}} ?[0-9]{{3}}(?-u:\b))?"
    )
);
pattern!(box_number = r"(?i)(?-u:\b)P\.? ?O\.? Box [0-9]{1,7}(?-u:\b)");
pattern!(code = &format!(r"(?-u:\b)(?:{STATE} {ZIP}|{BRITISH}|{CANADIAN})(?-u:\b)"));
pattern!(state_code = &format!(r"^(?:{STATE}|{REGION}),? {ZIP}$"));
pattern!(town_before = &format!(r"(?:^|[^\p{{L}}\p{{N}}])(?P<town>{TOWN}),\s?$"));
// What may follow a place that belongs to an address.
pattern!(
    rest = &format!(r"^(?:,? (?:{STATE}|{REGION}))?,? (?:{ZIP}|{BRITISH}|{CANADIAN})(?-u:\b)")
);
// A town that the model does not know, between a street and its code.
pattern!(town = r"^,? ?\p{Lu}[\p{L}'’.-]{1,30}(?: \p{Lu}[\p{L}'’.-]{1,30}){0,2},? ?$");

// Spanish: streets with a number, as they are written on letters; the number of a house may be missing (s/n).
pattern!(
    calle = r"(?-u:\b)(?:(?i:calle|avenida|avda|av|plaza|pza|paseo|carretera|ctra|camino|ronda|travesía|glorieta|callejón|rambla)\.?|(?i:c)/) ?(?:(?:de|del|la|las|los|el|y) )*\p{Lu}[\p{L}'’.-]*(?: (?:(?:de|del|la|las|los|el|y) )*\p{Lu}[\p{L}'’.-]*){0,4},? (?:(?:n\.?[ºo°]|núm\.?|número) ?)?(?:[0-9]{1,4}[A-Za-z]?|s/n)(?:,? [0-9]{1,2} ?[ºª°.]+(?: ?(?:[A-Z]|izda\.?|izq\.?|dcha\.?|izquierda|derecha))?)?(?:,? (?:0[1-9]|[1-4][0-9]|5[0-2])[0-9]{3} \p{Lu}[\p{L}'’.-]+)?"
);
pattern!(apartado = r"(?i)(?-u:\b)apartado (?:de correos|postal) [0-9]{1,6}(?-u:\b)");
// Spain's postcodes begin with the number of one of 52 provinces; the town follows.
pattern!(codigo = r"(?-u:\b)(?:0[1-9]|[1-4][0-9]|5[0-2])[0-9]{3} \p{Lu}[\p{L}'’.-]+");

/// First three digits of the ZIP codes of a state: United States Postal Service, Labeling List L002.
const PREFIXES: &[(&str, &[(u16, u16)])] = &[
    ("AK", &[(995, 999)]),
    ("AL", &[(350, 369)]),
    ("AR", &[(716, 729)]),
    ("AZ", &[(850, 865)]),
    ("CA", &[(900, 961)]),
    ("CO", &[(800, 816)]),
    ("CT", &[(60, 69)]),
    ("DC", &[(200, 205), (569, 569)]),
    ("DE", &[(197, 199)]),
    ("FL", &[(320, 349)]),
    ("GA", &[(300, 319), (398, 399)]),
    ("HI", &[(967, 968)]),
    ("IA", &[(500, 528)]),
    ("ID", &[(832, 838)]),
    ("IL", &[(600, 629)]),
    ("IN", &[(460, 479)]),
    ("KS", &[(660, 679)]),
    ("KY", &[(400, 427)]),
    ("LA", &[(700, 714)]),
    ("MA", &[(10, 27), (55, 55)]),
    ("MD", &[(206, 219)]),
    ("ME", &[(39, 49)]),
    ("MI", &[(480, 499)]),
    ("MN", &[(550, 567)]),
    ("MO", &[(630, 658)]),
    ("MS", &[(386, 397)]),
    ("MT", &[(590, 599)]),
    ("NC", &[(270, 289)]),
    ("ND", &[(580, 588)]),
    ("NE", &[(680, 693)]),
    ("NH", &[(30, 38)]),
    ("NJ", &[(70, 89)]),
    ("NM", &[(870, 884)]),
    ("NV", &[(889, 898)]),
    ("NY", &[(5, 5), (63, 63), (100, 149)]),
    ("OH", &[(430, 459)]),
    ("OK", &[(730, 749)]),
    ("OR", &[(970, 979)]),
    ("PA", &[(150, 196)]),
    ("RI", &[(28, 29)]),
    ("SC", &[(290, 299)]),
    ("SD", &[(570, 577)]),
    ("TN", &[(370, 385)]),
    ("TX", &[(733, 733), (750, 799), (885, 885)]),
    ("UT", &[(840, 847)]),
    ("VA", &[(201, 201), (220, 246)]),
    ("VT", &[(50, 59)]),
    ("WA", &[(980, 994)]),
    ("WI", &[(530, 549)]),
    ("WV", &[(247, 268)]),
    ("WY", &[(820, 831)]),
];

/// Whether the ZIP codes of a state begin so.
fn belongs(state: &str, zip: &str) -> bool {
    let prefix = zip.get(..3).and_then(|prefix| prefix.parse::<u16>().ok());
    let ranges = PREFIXES.iter().find(|(known, _)| *known == state);
    prefix.zip(ranges).is_some_and(|(prefix, (_, ranges))| {
        ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&prefix))
    })
}

/// Things that have numbers, in small letters: "Order ID 83284" is no place in Idaho.
const NUMBERED: &[&str] = &[
    "user",
    "order",
    "ticket",
    "account",
    "customer",
    "case",
    "product",
    "employee",
    "member",
    "patient",
    "student",
    "device",
    "session",
    "client",
    "transaction",
    "invoice",
    "request",
    "booking",
    "tracking",
    "vehicle",
    "item",
    "part",
    "room",
    "event",
    "job",
    "task",
    "issue",
    "message",
    "record",
    "file",
    "process",
    "group",
    "team",
    "tax",
    "voter",
    "license",
    "licence",
    "merchant",
    "vendor",
    "store",
    "payment",
    "reference",
    "ref",
    "confirmation",
    "call",
    "code",
    "id",
    "your",
    "my",
    "the",
    "our",
];

/// A part of an address that is found by its shape.
pub(super) struct Part {
    pub(super) bytes: Range<usize>,
    /// It is one without anything beside it.
    pub(super) sure: bool,
}

/// Streets, boxes and codes of English-speaking countries.
pub(super) fn english(page: &Page<'_>) -> Vec<Part> {
    let sure = |bytes| Part { bytes, sure: true };
    let mut parts: Vec<Part> = page.matches(street()).map(sure).collect();
    parts.extend(page.matches(box_number()).map(sure));
    parts.extend(page.matches(code()).filter_map(|bytes| coded(page, bytes)));
    parts
}

/// Streets, boxes and codes of Spain.
pub(super) fn spanish(page: &Page<'_>) -> Vec<Part> {
    [calle as fn() -> &'static Regex, apartado, codigo]
        .into_iter()
        .flat_map(|pattern| page.matches(pattern()))
        .map(|bytes| Part { bytes, sure: true })
        .collect()
}

/// A code, and the town before it; `None` where a state has no such ZIP code.
fn coded(page: &Page<'_>, bytes: Range<usize>) -> Option<Part> {
    let at = page.at(&bytes);
    let (state, zip) = at.split_once(' ')?;
    if !zip
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
        || zip.len() < 5
    {
        return Some(Part { bytes, sure: true });
    }
    if !belongs(state, zip) {
        return None;
    }
    let before = page.before(&bytes);
    let numbered = |words: &str| {
        let mut words = words.split(|c: char| !c.is_alphanumeric());
        words.any(|word| NUMBERED.contains(&&*word.to_lowercase()))
    };
    let town = town_before()
        .captures(before)
        .and_then(|captures| captures.name("town"))
        .filter(|town| !numbered(town.as_str()));
    let start = town.map_or(bytes.start, |town| {
        bytes.start - before.len() + town.start()
    });
    let last = before.trim_end().rsplit(' ').next().unwrap_or_default();
    if town.is_none() && numbered(last) {
        return None;
    }
    Some(Part {
        bytes: start..bytes.end,
        sure: town.is_some() || zip.len() > 5,
    })
}

/// The end of an address whose state or code follows it.
pub(super) fn widened(text: &str, address: Range<usize>) -> Range<usize> {
    let mut limit = (address.end + 40).min(text.len());
    while !text.is_char_boundary(limit) {
        limit -= 1;
    }
    let Some(rest) = rest().find(&text[address.end..limit]) else {
        return address;
    };
    let end = address.end + rest.end();
    let numbered = text[address.clone()]
        .bytes()
        .any(|byte| byte.is_ascii_digit());
    let stated = state_code().is_match(rest.as_str().trim_start_matches([',', ' ']));
    // Five digits behind a town may count something; what ends a clause does not.
    let ends = !text[end..].starts_with(|c: char| c == ' ' || c.is_alphanumeric());
    match numbered || stated || ends {
        true => address.start..end,
        false => address,
    }
}

/// Nothing but a comma or white space.
pub(super) fn parted(between: &str) -> bool {
    matches!(between, "" | " " | "," | ", " | "\n" | ",\n")
}

/// Joins parts that overlap or that only a comma, white space or the name of a town parts.
pub(super) fn together(text: &str, mut parts: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let coded = |part: &Range<usize>| {
        code()
            .find(&text[part.clone()])
            .is_some_and(|code| code.start() == 0)
    };
    parts.sort_by_key(|part| (part.start, part.end));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last)
                if part.start <= last.end
                    || parted(&text[last.end..part.start])
                    || (coded(&part) && town().is_match(&text[last.end..part.start])) =>
            {
                last.end = last.end.max(part.end);
            }
            _ => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zip_codes_belong_to_their_states() {
        for (state, zip) in [
            ("ID", "83702"),
            ("OK", "73102"),
            ("NY", "10118"),
            ("CT", "06510"),
            ("MA", "02139"),
        ] {
            assert!(belongs(state, zip), "{state} {zip}");
        }
        for (state, zip) in [
            ("ID", "84721"),
            ("OK", "12345"),
            ("DE", "10117"),
            ("ME", "10001"),
            ("XX", "10001"),
            ("WA", "9"),
        ] {
            assert!(!belongs(state, zip), "{state} {zip}");
        }
    }
}
