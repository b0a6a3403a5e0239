//! Accounts: user names, passwords, AWS keys.
//!
//! What names a secret may be a word of a sentence, a key (`DB_PASSWORD=`, `"password":`, `password =>`), a tag, an
//! option of a command, or the place before the host in the address of a server (`credentials`).

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind, SURE};
use std::collections::BTreeMap;
use std::ops::Range;

// AWS IAM User Guide, "Unique identifiers": prefixes of access keys; twenty characters.
pattern!(
    access_key =
        r"(?-u:\b)(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?-u:\b)|(?-u:\b)AKIA[A-Z0-9]{16}(?-u:\b)"
);
pattern!(secret_key = r"[A-Za-z0-9/+]{40,}");
pattern!(secret_words = words r"secret|secret[_ ]?access[_ ]?key|aws[_ ]?secret[_ ]?access[_ ]?key|aws|access key|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}");
pattern!(
    username = r#"(?i)(?:user[ _-]?name|user[ _-]?id|login(?:[ _-]?(?:name|id))?|screen[ _-]?name|nick(?:name)?|nombre de usuario|usuario)(?:(?P<key>["'`]?\s*(?::=|=>|[:=])\s*)|(?P<verb>\s+(?:is|was|es|era)\s+|[ \t]+[-–—][ \t]+)|(?P<next>\s+))["'`]?(?P<value>@?[\p{L}\p{N}_][\p{L}\p{N}._+-]*(?:@[\p{L}\p{N}.-]+)?)"#
);
// "user" alone begins many lines of conversations: only as a key of programs, or before what is no word.
pattern!(
    user = r#"(?i)(?:^|[^\p{L}\p{N}])(?P<key>(?:[A-Z0-9]{1,20}_){0,3}users?|uid)(?P<how>["'`]?\s*(?::=|=>|[:=])\s*)(?P<quote>["'`]?)(?P<value>[\p{L}\p{N}_][\p{L}\p{N}._+-]*)"#
);
pattern!(
    user_tag = r"(?i)<(?:[a-z]{1,20}:)?(?:[a-z_-]{0,20}user[_-]?name|login|user(?:[_-]?id)?)>\s*(?P<value>[^\s<>]{2,})\s*</"
);
// "jdoe / S3cret!pass" and "jdoe:S3cret!pass" behind what says that both follow.
pattern!(
    pair = r"(?i)(?-u:\b)(?:log[ -]?ins?|credentials?|creds|user(?:name)?\s?/\s?pass(?:word)?)\s*(?::|=|are|is)\s*(?P<user>[\p{L}\p{N}_][\p{L}\p{N}._+@-]+)\s?[/:|]\s?(?P<password>\S{3,})"
);
// RFC 3986, 3.2.1: what stands before the @ of an authority.
pattern!(
    authority = r#"(?i)(?-u:\b)[a-z][a-z0-9+.-]{1,20}://(?P<user>[^\s:/@?\x23"'<>]*)(?::(?P<password>[^\s/?"'<>]+))?@"#
);
// A password in quotes needs no verb before it.
pattern!(
    quoted = r#"(?i)(?-u:\b)(?:password|passwd|passphrase|passcode|contraseña|clave)\s+(?:"(?P<a>[^"\s]{3,64})"|'(?P<b>[^'\s]{3,64})'|`(?P<c>[^`\s]{3,64})`|“(?P<d>[^”\s]{3,64})”|‘(?P<e>[^’\s]{3,64})’)"#
);
pattern!(handle = r"@[A-Za-z0-9_](?:\.?[A-Za-z0-9_]){1,29}(?-u:\b)");
// The name may end a longer key (`PGPASSWORD`, `db_password`); what follows the name says whether a value does.
pattern!(
    password = r#"(?i)(?:password|passwd|passphrase|passcode|contraseña|passwor[dt]e?|kennwort|mot de passe|senha|wachtwoord|пароль|密码|(?:^|[^\p{L}\p{N}])(?:pwd|clave(?: de acceso)?|(?P<short>passw|pass|pw)))(?:[ \t]*\([^()\n]{1,40}\))?(?:(?P<key>["'`]?\]?[ \t]*(?::=|=>|[:=：])[ \t]*(?:\r?\n[ \t]*)?)|(?P<verb>(?:\s+(?:for|to|of|on|de|del|para)(?:\s+[\p{L}'’-]+){1,4})?\s+(?:is|was|es|era)\s*:?\s+|[ \t]+[-–—][ \t]+))(?:"(?P<double>(?:[^"\\\n]|\\.)+)"|'(?P<single>(?:[^'\\\n]|\\.)+)'|`(?P<back>[^`\n]+)`|(?P<value>\S+))"#
);
pattern!(
    changed = r#"(?i)(?-u:\b)(?:chang|reset|set|updat)[a-z]{0,4}\s+(?:[\p{L}'’-]+\s+){0,4}(?:password|passphrase|passcode|pwd)\s+(?:back\s+)?to:?\s+["'`“‘]?(?P<value>\S+)"#
);
pattern!(
    password_tag = r"(?i)<(?:[a-z]{1,20}:)?[a-z_-]{0,20}(?:password|passwd|passphrase|pwd)(?:\s[^<>\n]*)?>\s*(?P<value>[^\s<>](?:[^<>\n]*[^\s<>])?)\s*</"
);
pattern!(
    option = r#"(?-u:\B)--?(?:[a-z0-9]{1,20}-){0,3}(?:password|passwd|passphrase|pass|pwd)[ =]["']?(?P<value>[^\s"'-][^\s"']{2,})"#
);
// Commands and statements that take a password without its name: `sshpass -p`, `mysql -p`, `CREATE USER`; and
// settings of images, `ENV DB_PASSWORD x`.
pattern!(
    given = r#"(?:(?-u:\b)sshpass\s+-p\s*|(?-u:\b)mysql[a-z]{0,10}\s(?:[^\s]+\s){0,6}?-p|(?i:identified\s(?:with\s\S+\s)?by)\s+(?:PASSWORD\s+)?["'])["']?(?P<value>[^\s"']{3,})"#
);
pattern!(setting = r#"(?-u:\b)(?:[A-Z0-9]+_)+(?:PASSWORD|PASSWD|PWD)[ \t]+["']?(?P<value>\S+)"#);
pattern!(
    login =
        r#"(?:^|\s)(?:-u|--user)[ =]?["']?(?P<user>[A-Za-z_][^\s:"']*):(?P<password>[^\s"']{3,})"#
);
// "Use 'x' as the password."
pattern!(
    named_after = r#"(?i)["'`“‘](?P<value>[^\s"'`“”‘’]{3,64})["'`”’]\s(?:as|is|for)\s(?:the|my|your|a|our|his|her)?\s?(?:[\p{L}-]+\s)?(?:password|passphrase|passcode)(?-u:\b)"#
);
pattern!(
    password_next = r"(?i)^[,;/|]?\s{0,2}(?:and )?(?:password|passwd|passw|pass|pwd|pw)\s?[:=]"
);
pattern!(
    counted = r"(?i)^[ -](?:character|char|letter|digit|symbol|day|week|month|year|hour|minute|time|attempt|tr(?:y|ies))"
);

/// The user's name and the password in the address of a server, with the bytes of both and the @ behind.
pub(super) struct Credentials {
    /// From the user's name to the @.
    pub(super) bytes: Range<usize>,
    user: Range<usize>,
    password: Option<Range<usize>>,
}

/// Finds `scheme://user:password@` in the order of the text.
pub(super) fn credentials(page: &Page<'_>) -> Vec<Credentials> {
    let found = |captures: regex::Captures<'_>| {
        let user = captures.name("user")?.range();
        let end = captures.get(0)?.end();
        Some(Credentials {
            bytes: user.start..end,
            user,
            password: captures.name("password").map(|part| part.range()),
        })
    };
    authority()
        .captures_iter(page.text)
        .filter_map(found)
        .collect()
}

/// Finds the data of accounts.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    for bytes in page.matches(access_key()) {
        found.push(shaped(PiiKind::AwsAccessKey, bytes, SURE));
    }
    for bytes in page.matches(secret_key()) {
        let key = page.at(&bytes);
        if key.len() == 40 && random(key) && page.announced(&bytes, secret_words()) {
            found.push(shaped(PiiKind::AwsSecretKey, bytes, 0.97));
        }
    }
    for Credentials { user, password, .. } in credentials(page) {
        // "git" is everybody's name on the servers of repositories.
        let anybody = password.is_none() && page.at(&user) == "git";
        if !user.is_empty() && !anybody {
            found.push(shaped(PiiKind::Username, user, LIKELY));
        }
        if let Some(password) = password {
            found.push(shaped(PiiKind::Password, password, 0.97));
        }
    }
    usernames(page, found);
    passwords(page, found);
}

fn usernames(page: &Page<'_>, found: &mut Vec<Found>) {
    for captures in username().captures_iter(page.text) {
        let (Some(whole), Some(value)) = (captures.get(0), captures.name("value")) else {
            continue;
        };
        let kept = value.as_str().trim_end_matches(['.', '-', '+']);
        let bytes = value.start()..value.start() + kept.len();
        let keyed = captures.name("key").is_some();
        let inner = page.text[..whole.start()]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '@');
        // `adminUsername: x` is a key, "blogin is" no words.
        if inner && !keyed || kept.chars().count() < 2 || code(page.text, &bytes) || absent(kept) {
            continue;
        }
        // "The user name is required" names nobody.
        let plain = kept.chars().all(|c| c.is_lowercase()) && !keyed;
        let common = among(kept, COMMON);
        let worded = captures.name("next").is_some();
        let mixed = kept.chars().any(|c| c.is_numeric() || c == '_')
            && kept.chars().any(char::is_alphabetic);
        match (plain, worded) {
            _ if common => {}
            // Without a mark or a verb only what is no word is a name.
            (_, true) if !mixed => {}
            (true, false) => found.push(shaped(PiiKind::Username, bytes, PLAUSIBLE)),
            _ => found.push(shaped(PiiKind::Username, bytes, LIKELY)),
        }
    }
    for captures in user().captures_iter(page.text) {
        let (Some(key), Some(how), Some(value)) = (
            captures.name("key"),
            captures.name("how"),
            captures.name("value"),
        ) else {
            continue;
        };
        let kept = value.as_str().trim_end_matches(['.', '-', '+']);
        let bytes = value.start()..value.start() + kept.len();
        let quotes = |text: &str| text.contains(['"', '\'', '`']);
        let quote = captures.name("quote").map_or("", |quote| quote.as_str());
        let closed = page.text[bytes.end..].starts_with(quote);
        let program = quotes(quote)
            || quotes(how.as_str())
            || key.as_str().contains('_')
            || how.as_str() == "=";
        let mixed = kept.chars().any(|c| c.is_numeric() || c == '_')
            || (kept.contains('.') && how.as_str().contains(':'));
        let common = among(kept, COMMON);
        let number = kept.chars().all(char::is_numeric);
        let with_password = password_next().is_match(&page.text[bytes.end..]);
        if (program || mixed || with_password)
            && !common
            && !number
            && kept.chars().count() >= 2
            && !code(page.text, &bytes)
            && !absent(kept)
            && closed
        {
            found.push(shaped(PiiKind::Username, bytes, PLAUSIBLE));
        }
    }
    for bytes in page.matches(user_tag()) {
        found.push(shaped(PiiKind::Username, bytes, LIKELY));
    }
    for bytes in page.matches(handle()) {
        let before = page.text[..bytes.start].chars().next_back();
        let name = page.at(&bytes)[1..].to_ascii_lowercase();
        // Programs write `@media`, `@Override`, `@angular/core` and `@cached(60)`; mails "anyone @example.com".
        let program = ANNOTATIONS.contains(&&*name)
            || page.text[bytes.end..].starts_with(['/', '(', '-'])
            || HOSTS.iter().any(|host| name.ends_with(host));
        if !program && !matches!(before, Some('.' | '-' | '_' | '/' | '@' | '+' | '%')) {
            found.push(shaped(PiiKind::Username, bytes, PLAUSIBLE));
        }
    }
}

fn passwords(page: &Page<'_>, found: &mut Vec<Found>) {
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
        let key = captures.name("key").map(|key| key.as_str());
        let short = captures.name("short");
        let letters = |value: &str| value.chars().any(char::is_alphabetic);
        let mixed = |value: &str| letters(value) && value.chars().any(|c| !c.is_alphabetic());
        // "pass" says so little that the value has to look like one, and other passes have numbers.
        let may = |value: &Range<usize>| {
            short.is_none_or(|word| {
                mixed(page.at(value)) && !passes().is_match(page.before(&word.range()))
            })
        };
        let quoted = ["double", "single", "back"]
            .iter()
            .find_map(|name| captures.name(name));
        if let Some(value) = quoted {
            // "Password: 'x'" and `password = "x"`; a key says more of a word than a verb does.
            let told = key.is_some() || value.as_str().chars().any(|c| !c.is_alphabetic());
            let short = value.len() <= LONGEST;
            if told && short && !absent(value.as_str()) && may(&value.range()) {
                found.push(shaped(PiiKind::Password, value.range(), LIKELY));
            }
        } else if let Some(value) = captures.name("value") {
            let bytes = bare(page, value.range(), key).filter(may);
            found.extend(bytes.map(|bytes| shaped(PiiKind::Password, bytes, LIKELY)));
        }
    }
    for bytes in changed().captures_iter(page.text).filter_map(value) {
        found.extend(bare(page, bytes, None).map(|bytes| shaped(PiiKind::Password, bytes, LIKELY)));
    }
    for bytes in password_tag().captures_iter(page.text).filter_map(value) {
        if !absent(page.at(&bytes)) {
            found.push(shaped(PiiKind::Password, bytes, LIKELY));
        }
    }
    let commands = option().captures_iter(page.text).filter_map(value);
    for bytes in commands.chain(given().captures_iter(page.text).filter_map(value)) {
        if !absent(page.at(&bytes)) {
            found.push(shaped(PiiKind::Password, bytes, LIKELY));
        }
    }
    let settings = setting().captures_iter(page.text).filter_map(value);
    for bytes in settings.chain(named_after().captures_iter(page.text).filter_map(value)) {
        found.extend(bare(page, bytes, None).map(|bytes| shaped(PiiKind::Password, bytes, LIKELY)));
    }
    for captures in login().captures_iter(page.text) {
        if let (Some(user), Some(password)) = (captures.name("user"), captures.name("password")) {
            found.push(shaped(PiiKind::Username, user.range(), LIKELY));
            if !absent(password.as_str()) {
                found.push(shaped(PiiKind::Password, password.range(), LIKELY));
            }
        }
    }
    for captures in pair().captures_iter(page.text) {
        let (Some(user), Some(password)) = (captures.name("user"), captures.name("password"))
        else {
            continue;
        };
        let Some(bytes) = bare(page, password.range(), None) else {
            continue;
        };
        // An address or a path.
        if page.at(&bytes).starts_with('/') {
            continue;
        }
        found.push(shaped(PiiKind::Username, user.range(), LIKELY));
        found.push(shaped(PiiKind::Password, bytes, LIKELY));
    }
}

/// The bytes of the group `value`.
fn value(captures: regex::Captures<'_>) -> Option<Range<usize>> {
    captures.name("value").map(|value| value.range())
}

/// A password without quotes behind a key, or behind a verb where there is none.
fn bare(page: &Page<'_>, value: Range<usize>, key: Option<&str>) -> Option<Range<usize>> {
    let opened = page
        .at(&value)
        .trim_start_matches(['"', '\'', '`', '“', '‘']);
    let start = value.end - opened.len();
    let mut kept = opened;
    if key.is_some_and(|key| key.ends_with('=')) {
        // The next pair of a query or of a connection's parameters.
        let next = kept
            .match_indices(['&', ';'])
            .find(|(at, _)| next_pair().is_match(&kept[at + 1..]));
        kept = next.map_or(kept, |(at, _)| &kept[..at]);
    }
    let kept = kept.trim_end_matches([
        '"', '\'', '`', '”', '’', '.', ',', ';', ')', '?', '}', ']', '>', '<',
    ]);
    let kept = kept.strip_suffix("</password").unwrap_or(kept);
    // A string of a program ends at its quote.
    let kept = kept.split('"').next().unwrap_or_default();
    let kept = kept.strip_suffix('\\').unwrap_or(kept);
    let bytes = start..start + kept.len();
    // After a verb, plain words are a sentence about a password: "the password is wrong".
    let told = key.is_some()
        || kept
            .chars()
            .any(|c| !c.is_alphabetic() && !"'’-".contains(c));
    let counts = key.is_none() && counted().is_match(&page.text[bytes.end..]);
    (told && !counts && kept.chars().count() >= 3 && !absent(kept) && !code(page.text, &bytes))
        .then_some(bytes)
}

pattern!(passes = r"(?i)(?:boarding|day|bus|rail|season|travel|hall|museum|ski)[ _-]$");
pattern!(next_pair = r"^\s?(?:[A-Za-z_][A-Za-z0-9_. -]{0,40}=|$)");
pattern!(
    call = r"^(?:new |await )?[A-Za-z_][A-Za-z0-9_]*(?:[.:]{1,2}[A-Za-z_][A-Za-z0-9_]*)*[(\[]"
);
// Names of values that programs fill in: `${X}`, `{{x}}`, `<x>`, `%s`, `$PASSWORD`, `process.env.X`.
pattern!(
    filled = r"^(?:\$(?:[({]|[A-Za-z_]+$)|&(?:mut )?[a-z]+$|\{\{?\s*[A-Za-z_.]+|\{\}?$|<[^<>]*>?$|%[a-z({]|%[A-Z_]+%$|\[[^\]]*\]?$|(?:process|os|self|this|config|settings|env|request|req|args|options|props|params|data|form)\.[A-Za-z_]|[*•xX.…_-]{3,}$)"
);

/// Bytes of the longest password between quotes: more is a text.
const LONGEST: usize = 128;

/// Types and values of programs, which are nobody's.
const TYPES: &[&str] = &[
    "null",
    "none",
    "nil",
    "undefined",
    "true",
    "false",
    "string",
    "str",
    "text",
    "varchar",
    "char",
    "bool",
    "boolean",
    "int",
    "integer",
];

/// A word is one of these or of [`TYPES`].
fn among(word: &str, words: &[&str]) -> bool {
    let word = &*word.to_lowercase();
    words.contains(&word) || TYPES.contains(&word)
}

/// No value stands here but the name of a type, nothing, a mask, or what a program fills in.
fn absent(value: &str) -> bool {
    const NOTHING: &[&str] = &[
        "required",
        "optional",
        "hidden",
        "redacted",
        "removed",
        "n/a",
        "empty",
        "unset",
        "yes",
        "no",
        "wrong",
        "incorrect",
        "invalid",
        "forgotten",
        "expired",
        "password",
        "reset",
        "obligatoria",
        "obligatorio",
        "requerida",
        "incorrecta",
        "olvidada",
        "please",
        "the",
        "must",
        "your",
        "option",
        "any",
        "min",
        "minimum",
        "max",
        "maximum",
        "should",
        "needs",
        "contains",
        "enter",
        "choose",
        "type",
        "forgot",
        "same",
        "see",
        "not",
        "can",
        "cannot",
        "with",
        "and",
        "for",
    ];
    let value = value.trim_matches(['*', '.', ',', '!']);
    value.is_empty()
        || among(value, NOTHING)
        || value.starts_with(['=', ':'])
        || value.ends_with(':')
        || value.contains(".password")
        || value.contains(".username")
        || filled().is_match(value)
}

/// A program calls or reads something here: `input(`, `request.form[`.
fn code(text: &str, bytes: &Range<usize>) -> bool {
    let mut end = (bytes.start + 80).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    call().is_match(&text[bytes.start..end])
}

/// What languages and tools write behind an @, in small letters.
const ANNOTATIONS: &[&str] = &[
    "media",
    "import",
    "charset",
    "supports",
    "keyframes",
    "include",
    "mixin",
    "extend",
    "use",
    "forward",
    "layer",
    "container",
    "apply",
    "tailwind",
    "property",
    "page",
    "namespace",
    "override",
    "deprecated",
    "test",
    "before",
    "after",
    "beforeeach",
    "aftereach",
    "autowired",
    "bean",
    "entity",
    "component",
    "service",
    "repository",
    "controller",
    "restcontroller",
    "configuration",
    "injectable",
    "input",
    "output",
    "nullable",
    "notnull",
    "nonnull",
    "inject",
    "suppresswarnings",
    "functionalinterface",
    "safevarargs",
    "param",
    "params",
    "return",
    "returns",
    "throws",
    "exception",
    "see",
    "since",
    "todo",
    "author",
    "version",
    "link",
    "code",
    "example",
    "type",
    "typedef",
    "interface",
    "end",
    "implementation",
    "protocol",
    "selector",
    "staticmethod",
    "classmethod",
    "dataclass",
    "abstractmethod",
    "cached_property",
    "wraps",
    "main",
    "mainactor",
    "escaping",
    "state",
    "binding",
    "published",
    "objc",
    "ibaction",
    "iboutlet",
    "else",
    "if",
    "foreach",
    "section",
    "yield",
    "extends",
    "latest",
    "next",
    "here",
    "everyone",
    "channel",
    "all",
    "id",
    "table",
    "column",
    "transactional",
    "data",
    "getter",
    "setter",
    "builder",
    "slf4j",
    "inheritdoc",
    "brief",
    "file",
    "note",
    "warning",
    "private",
    "public",
    "protected",
    "default",
    "jsonproperty",
    "json",
    "timestamp",
    "message",
];

/// Ends of the names of hosts.
const HOSTS: &[&str] = &[
    ".com", ".org", ".net", ".edu", ".gov", ".io", ".co", ".uk", ".es",
];

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
    "please",
    "must",
    "should",
    "cannot",
    "can",
    "only",
    "name",
    "here",
    "to",
    "and",
    "or",
    "that",
    "this",
    "unique",
    "optional",
    "self",
    "page",
    "form",
    "failed",
    "successful",
    "regex",
    "username",
    "password",
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
