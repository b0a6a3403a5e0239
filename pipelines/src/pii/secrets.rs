//! Accounts: user names, passwords, AWS keys.

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE};
use std::collections::BTreeMap;

// AWS IAM User Guide, "Unique identifiers": prefixes of access keys; twenty characters.
pattern!(
    access_key =
        r"(?-u:\b)(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?-u:\b)|(?-u:\b)AKIA[A-Z0-9]{16}(?-u:\b)"
);
pattern!(secret_key = r"[A-Za-z0-9/+=]+");
pattern!(secret_words = words r"secret|secret[_ ]?access[_ ]?key|aws[_ ]?secret[_ ]?access[_ ]?key|aws|access key|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}");
pattern!(
    username = r"(?i)(?-u:\b)(?:user ?name|user ?id|login(?: name)?|screen name|nick(?:name)?|nombre de usuario|usuario)(?:\s*(?:is|es)\s+|\s*[:=]\s*)[\x22'`]?(?P<value>@?[\p{L}\p{N}_][\p{L}\p{N}._+-]*)"
);
// A password in quotes needs no verb before it.
pattern!(
    quoted = r#"(?i)(?-u:\b)(?:password|passwd|passphrase|passcode|contraseña|clave)\s+(?:"(?P<a>[^"\s]{3,64})"|'(?P<b>[^'\s]{3,64})'|`(?P<c>[^`\s]{3,64})`|“(?P<d>[^”\s]{3,64})”|‘(?P<e>[^’\s]{3,64})’)"#
);
pattern!(handle = r"@[A-Za-z0-9_]{2,30}(?-u:\b)");
pattern!(
    password = r"(?i)(?-u:\b)(?:password|passwd|pwd|passphrase|passcode|contraseña|clave(?: de acceso)?)(?P<how>\s*[:=]\s*|\s+(?:is|es)\s*:?\s+)(?P<value>\S+)"
);

/// Finds the data of accounts.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(access_key()) {
        found.push(shaped(PiiKind::AwsAccessKey, bytes, SURE));
    }
    for bytes in page.matches(secret_key()) {
        let key = page.at(&bytes).trim_start_matches('=');
        let bytes = bytes.end - key.len()..bytes.end;
        if key.len() == 40 && random(key) && page.announced(&bytes, secret_words()) {
            found.push(shaped(PiiKind::AwsSecretKey, bytes, 0.97));
        }
    }
    for bytes in page.matches(username()) {
        let kept = page.at(&bytes).trim_end_matches(['.', '-', '+']);
        let kept_bytes = bytes.start..bytes.start + kept.len();
        // "The user name is required" names nobody.
        let plain = kept.chars().all(|c| c.is_lowercase())
            && !page.before(&bytes).trim_end().ends_with([':', '=']);
        if kept.chars().count() >= 2 {
            let score = if plain { PLAUSIBLE } else { LIKELY };
            if !(plain && COMMON.contains(&kept)) {
                found.push(shaped(PiiKind::Username, kept_bytes, score));
            }
        }
    }
    for bytes in page.matches(handle()) {
        let before = page.text[..bytes.start].chars().next_back();
        if !matches!(before, Some('.' | '-' | '_' | '/' | '@' | '+' | '%')) {
            found.push(shaped(PiiKind::Username, bytes, PLAUSIBLE));
        }
    }
    for captures in quoted().captures_iter(page.text) {
        let value = ["a", "b", "c", "d", "e"]
            .iter()
            .find_map(|name| captures.name(name));
        // A word in quotes may be any word.
        if let Some(value) = value
            && value.as_str().chars().any(|c| !c.is_alphabetic())
        {
            found.push(shaped(PiiKind::Password, value.range(), LIKELY));
        }
    }
    for captures in password().captures_iter(page.text) {
        let (Some(how), Some(value)) = (captures.name("how"), captures.name("value")) else {
            continue;
        };
        let opened = value
            .as_str()
            .trim_start_matches(['"', '\'', '`', '“', '‘']);
        let start = value.end() - opened.len();
        let kept = opened.trim_end_matches(['"', '\'', '`', '”', '’', '.', ',', ';', ')', '?']);
        // After a verb, plain words are a sentence about a password: "the password is wrong".
        let told = how.as_str().contains([':', '=']) || kept.chars().any(|c| !c.is_alphabetic());
        if told && kept.chars().count() >= 3 {
            let bytes = start..start + kept.len();
            found.push(shaped(PiiKind::Password, bytes, LIKELY));
        }
    }
}

/// Words that follow "user name is" in sentences about user names.
const COMMON: &[&str] = &[
    "required",
    "invalid",
    "unknown",
    "wrong",
    "missing",
    "not",
    "your",
    "the",
    "a",
    "an",
    "already",
    "taken",
    "correct",
    "incorrect",
    "case",
    "obligatorio",
    "incorrecto",
    "su",
    "el",
    "la",
    "un",
    "una",
    "no",
];

/// The text has capitals, small letters and digits, and no character is frequent: more than four bits of
/// Shannon's entropy each, which words and hexadecimal sums do not have.
fn random(text: &str) -> bool {
    let mut counts = BTreeMap::<u8, u32>::new();
    for byte in text.bytes() {
        *counts.entry(byte).or_default() += 1;
    }
    let all = text.len() as f64;
    let entropy: f64 = counts
        .values()
        .map(|count| f64::from(*count) / all)
        .map(|share| -share * share.log2())
        .sum();
    let has = |class: fn(&u8) -> bool| counts.keys().any(class);
    entropy > 4.0
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}
