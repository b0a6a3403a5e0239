//! What stands around names in letters and talk: titles, greetings, closings, introductions.
//!
//! Each `Frames` holds the forms of a language. A form that is used for little else (`Dear`, `My name is`) makes a
//! name of any capitalised words behind it that name no audience (`nobody`); `I'm` and `This is` need the reading
//! to see a name there, too; and names in small letters are those of the lists of given names.

use super::page::{Page, pattern, shaped};
use super::{Found, LIKELY, PLAUSIBLE, PiiKind};
use crate::syntax::{PartOfSpeech, Syntax};
use crate::targeted::TargetType;
use crate::targeted::types::{Gender, gender_of_name, of_known_name};
use regex::Regex;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// One to four capitalised words, with initials and particles between them.
const NAME: &str = r"\p{Lu}[\p{L}'’-]+(?: \p{Lu}\.)?(?: (?:(?:van|von|de|der|den|da|dos|di|del|la|las|los|le|y|al|bin|ibn|el) ){0,2}\p{Lu}[\p{L}'’-]+){0,3}";
/// The same on one line behind a closing, where small particles are rare.
const SIGNED: &str = r"\p{Lu}[\p{L}'’-]+(?: \p{Lu}\.)?(?: (?:(?:van|von|de|der|da|di|del|la) ){0,2}\p{Lu}[\p{L}'’-]+){0,3}";
/// One to three words behind a greeting.
const GREETED: &str = r"\p{Lu}[\p{L}'’-]+(?: \p{Lu}\.)?(?: \p{Lu}[\p{L}'’-]+){0,2}";

pattern!(
    titled = &format!(
        r"(?-u:\b)(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Madam)\.?\s(?:(?:Mr|Mrs|Ms|Dr|Prof)\.? )?(?P<value>{NAME})"
    )
);
pattern!(
    called = &format!(
        r"(?-u:\b)(?:Dear|(?i:my name(?: is|['’]s))|(?i:name'?s?:)|[Aa]ttn:?|ATTN:?)\s(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? )?(?P<value>{NAME})"
    )
);
pattern!(
    greeted = &format!(
        r"(?-u:\b)(?i:hi|hello|hey|hiya|howdy|good (?:morning|afternoon|evening|day)|greetings|thanks|thank you|thx|cheers|welcome|congratulations|happy birthday)(?: again| there| back)?,? (?:(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? )?(?P<value>{GREETED})\s*(?:[,!.:;?)\n–—-]|and |&|$)"
    )
);
pattern!(
    signed = &format!(
        r"(?-u:\b)(?i:(?:(?:kind|kindest|best|warm|warmest|many|with)\s){{0,2}}(?:regards|wishes|thanks)|sincerely(?: yours)?|yours(?: (?:truly|faithfully|sincerely))?|best|thanks(?: again| in advance| so much)?|thank you(?: very much| in advance)?|cheers|love|respectfully|cordially|all the best|take care|warmly|have a (?:nice|great|good) (?:day|weekend))[,.!]?[ \t]*\r?\n\s*(?:--?|[–—~])? ?(?P<value>{SIGNED})[ \t]*(?:[\r\n,.]|$)"
    )
);
pattern!(
    signed_beside = &format!(
        r"(?-u:\b)(?:[Rr]egards|[Ss]incerely|[Yy]ours|[Ww]ishes),\s(?:--?|[–—~])?\s?(?P<value>{SIGNED})"
    )
);
// A dash before the last line, behind a sentence.
pattern!(dashed = &format!(r"[.!?)]\s*\n\s*(?:--?|[–—~])\s?(?P<value>{SIGNED})\s*$"));
// The name before an address of mail.
pattern!(displayed = &format!(r#"(?:^|[\n:,;"])[ \t]*"?(?P<value>{NAME})"?\s<[^<>\s@]+@"#));
pattern!(
    introduced = &format!(
        r"(?-u:\b)(?:I(?:['’]m| am)|(?i:this is|it['’]s|it is))\s(?P<value>{GREETED})(?:[,.!;)\n]|\s(?:from|with|at|here|speaking|calling|again|and|writing|in)(?-u:\b)|\s*$)"
    )
);
pattern!(
    small = r"(?-u:\b)(?i:my name(?: is|['’]s))\s(?P<value>\p{Ll}[\p{L}'’-]+)(?: (?P<second>\p{Ll}[\p{L}'’-]+))?"
);
pattern!(
    small_known = r"(?-u:\b)(?i:i(?:['’]?m| am)|this is|hi|hello|hey|thanks|thank you|dear|regards,?|cheers,?|thanks,)\s+(?P<value>\p{Ll}[\p{L}'’-]+)(?: (?P<second>\p{Ll}[\p{L}'’-]+))?"
);
pattern!(
    address = r"^(?i:(?:(?:mr|mrs|ms|miss|mx|dr|prof|professor|sir|madam|dear|president|captain|judge|hi|hello|hey|hiya|greetings|thanks|thank you|thx|cheers|welcome|regards|sincerely|best|love|yours|good (?:morning|afternoon|evening)|i['’]m|i am|this is)[.,:]?\s+)+)"
);

pattern!(
    tratado = &format!(
        r"(?-u:\b)(?:(?:Sr|Sra|Srta|Dr|Dra|Prof|Dña|Lic)\.|Señora?|Señorita|Doctora?|Profesora?|Don|Doña|D\.)\s(?:(?:Sr|Sra|Srta|Dr|Dra|D|Dña)\. |[Dd]on |[Dd]oña )?(?P<value>{NAME})"
    )
);
pattern!(
    llamado = &format!(
        r"(?-u:\b)(?:[Mm]e llamo|[Mm]i nombre es|[Nn]ombre:|Estimad[oa]|Querid[oa]|[Ss]oy (?:el|la) (?:señora?|doctora?))\s(?:(?:Sr|Sra|Srta|Dr|Dra|D|Dña)\. |[Dd]on |[Dd]oña )?(?P<value>{NAME})"
    )
);
pattern!(
    saludado = &format!(
        r"(?-u:\b)(?i:hola|buen(?:os)? días?|buenas(?: tardes| noches)?|muchas gracias|gracias|bienvenid[oa]|felicidades)(?: de nuevo| otra vez)?,? (?:(?:Sr|Sra|Srta|Dr|Dra|D|Dña)\. |[Dd]on |[Dd]oña )?(?P<value>{GREETED})\s*(?:[,!.:;?)\n–—-]|y |$)"
    )
);
pattern!(
    firmado = &format!(
        r"(?-u:\b)(?i:(?:un )?(?:cordial )?saludos?(?: cordial(?:es)?)?|(?:muy )?atentamente|cordialmente|(?:un )?(?:fuerte )?abrazos?|besos|(?:muchas )?gracias(?: de antemano)?)[,.!]?[ \t]*\r?\n\s*(?:--?|[–—~])? ?(?P<value>{SIGNED})[ \t]*(?:[\r\n,.]|$)"
    )
);
pattern!(
    firmado_al_lado = &format!(
        r"(?-u:\b)(?:[Ss]aludos?(?: cordial(?:es)?)?|[Aa]tentamente|[Cc]ordialmente|[Aa]brazos?),\s(?:--?|[–—~])?\s?(?P<value>{SIGNED})"
    )
);
pattern!(
    presentado = &format!(
        r"(?-u:\b)(?i:soy|habla|le habla|te habla|le escribe)\s(?P<value>{GREETED})(?:[,.!;)\n]|\s(?:de|del|desde|y|otra|otro)(?-u:\b)|\s*$)"
    )
);
pattern!(
    menudo = r"(?-u:\b)(?i:me llamo|mi nombre es)\s(?P<value>\p{Ll}[\p{L}'’-]+)(?: (?P<second>\p{Ll}[\p{L}'’-]+))?"
);
pattern!(
    menudo_conocido = r"(?-u:\b)(?i:soy|hola|gracias|saludos,?)\s+(?P<value>\p{Ll}[\p{L}'’-]+)(?: (?P<second>\p{Ll}[\p{L}'’-]+))?"
);
pattern!(
    tratamiento = r"^(?i:(?:(?:sr|sra|srta|dr|dra|prof|dña|d|lic|señora?|señorita|don|doña|doctora?|profesora?|presidente|presidenta|capitán|jueza?|estimad[oa]|querid[oa]|hola|gracias|saludos|buenos días|buenas tardes|buenas noches|soy)[.,:]?\s+)+)"
);

/// What stands around names in a language.
pub(super) struct Frames {
    /// Forms that make a name of what stands behind them.
    sure: &'static [fn() -> &'static Regex],
    /// Forms that many other things stand behind.
    weak: fn() -> &'static Regex,
    /// Introductions before names in small letters: any name, and known ones only.
    small: [fn() -> &'static Regex; 2],
    /// Titles and greetings at the beginning that are no part of a name.
    address: fn() -> &'static Regex,
}

/// English.
pub(super) static ENGLISH: Frames = Frames {
    sure: &[
        titled,
        called,
        greeted,
        signed,
        signed_beside,
        dashed,
        displayed,
    ],
    weak: introduced,
    small: [small, small_known],
    address,
};

/// Spanish.
pub(super) static SPANISH: Frames = Frames {
    sure: &[
        tratado,
        llamado,
        saludado,
        firmado,
        firmado_al_lado,
        dashed,
        displayed,
    ],
    weak: presentado,
    small: [menudo, menudo_conocido],
    address: tratamiento,
};

/// Words that name a field of a form, an audience or nobody, in small letters.
const FIELDS: &str = "president home diary minister secretary chairman chairperson lord lady ambassador senator governor mayor back string str text option vec cow integer boolean number object array list path date varchar regex somebody someone anybody nobody performance rate penalty aba rtn ohip phn nino ni epic nrega dl utr uti sku isbn email e-mail phone mobile fax ssn itin vin pin cvv iban swift bic url ip mac nhs sin pan aadhaar passport \
    visa mastercard amex card password username login name address dob account customer team sir madam friend \
    friends all everyone colleagues correo teléfono móvil dni nie cif nif pasaporte tarjeta contraseña usuario \
    nombre apellidos dirección domicilio cuenta cliente clientes señor señora señores amigo amiga amigos todos \
    equipo compañeros config configuration tel zip zipcode code git sha commit branch tag id uid uuid guid key \
    token ref reference required optional unknown null none test demo example sample admin administrator root \
    guest user users support service services billing sales manager hiring recruiter world there again everybody \
    folks guys ladies gentlemen kitty siri alexa google cortana god santa mum mom dad mummy daddy love dear \
    sweetheart honey darling reader readers subscriber subscribers neighbour neighbours neighbor neighbors \
    parents students colleague sirs doctor nurse professor teacher valued representative agent advisor officer \
    concern seller buyer host chat bot robot help helpdesk hr it ceo cto cfo ok okay yes no sorry please thanks \
    hello hi hey regards best cheers sincerely yours note ps re fwd subject date time today tomorrow yesterday \
    morning afternoon evening monday tuesday wednesday thursday friday saturday sunday january february march \
    april may june july august september october november december american british english french german \
    spanish italian chinese indian canadian australian irish scottish welsh dutch european christian catholic \
    muslim jewish great good fine happy sad afraid not very so just also the a an my your our their his her in \
    on at from for with this that is was are and or but i we you he she they what how when where why who hola \
    saludos gracias buenos buenas días tardes noches soporte atención ventas facturación requerido obligatorio \
    usuaria clienta mundo chicos chicas compañera compañero doctora profesor profesora muy el la los las un una \
    yo tú";

/// Words that no person's name has: with one of them it names a group, a place or a firm.
const GROUPS: &str = "team support service services billing department dept manager management hiring committee board staff office \
    customer customers client clients helpdesk desk sales marketing accounting payroll reception admissions \
    recruiting recruitment administrator inc inc. ltd ltd. llc llp plc gmbh corp corp. co. corporation company \
    limited holdings group spa salon apartments residency hotel hotels resort restaurant cafe café bistro bank \
    insurance airlines airways university college institute academy hospital clinic pharmacy foundation \
    association society council ministry agency solutions systems technologies software labs studios studio \
    media network networks logistics motors enterprises industries partners consulting supermarket mall galaxy \
    tab pro app api server cloud online www http https equipo soporte atención departamento hotel banco \
    universidad instituto ministerio ayuntamiento";

/// Goods and programs whose names begin as a form of address.
const PRODUCTS: &[(&str, &str)] = &[
    ("dr", "pepper martens oetker scholl"),
    ("mr", "clean coffee muscle whippy kipling robot bean"),
    (
        "ms",
        "word excel access office outlook powerpoint project paint teams windows edge sql dos visio publisher store",
    ),
    ("mrs", "meyer butterworth"),
];

/// Well-known names that are people's too.
const ALSO_PEOPLE: &[&str] = &[
    "mario", "mercedes", "zelda", "ford", "dell", "casper", "jasper",
];

/// Given names in small letters, beside those of [`gender_of_name`].
const GIVEN: &str = "ana olga elena irina svetlana natasha tatiana ekaterina anastasia oksana dmitri sergei vladimir mikhail \
    nikolai igor boris rahul amit anjali deepak sanjay vikram arjun neha pooja ravi suresh sunita rajesh ramesh \
    sneha divya kavya anita lakshmi krishna mohamed muhammad hassan hussein ibrahim yusuf khalid layla zainab \
    noor abdul ayesha amina hiroshi kenji sakura keiko takeshi pedro juan pablo miguel javier diego alejandro \
    sofia lucia isabel andrés josé jesús fernando rafael manuel antonio francisco beatriz marta pilar rocío inés \
    lucía sofía maría ángela álvaro raúl sergio giulia giovanni francesca luca chiara alessandro matteo lars \
    sven anders björn astrid freya johan henrik katarzyna agnieszka tomasz piotr krzysztof emeka chidi kwame \
    ngozi amara abigail ashley samuel danielle heather megan melissa stephanie rebecca tiffany brittany kayla \
    alyssa jasmine vanessa monica veronica theresa teresa cynthia kathy debbie linda brenda cheryl phil greg \
    jeff doug kevin craig keith stuart gareth nigel fiona siobhan aoife liam connor declan eilidh niamh gustav \
    wolfgang jürgen klaus stefan matthias sabine heike ursula anke dieter günther";

/// Given names that are words, too.
const WORDS: &[&str] = &[
    "mark", "grace", "bill", "jack", "frank", "max", "rose", "ruth", "ali", "justin", "carol",
    "joy", "hope", "faith", "dawn", "eve", "will", "pat", "rob", "sue", "grandma", "marco",
    "clara", "victoria", "don", "art", "gene", "dan", "mia", "pilar", "jesús",
];

/// What ends a name in small letters, or begins no name.
const STOPS: &str = "and i im i'm from but so with calling writing here not on in at the a an my is was of to for or as by this \
    that who please thanks thank you your it its just also only now what how when where why can could would \
    should do does did have has had will am are be been being if because since speaking spelled spelt misspelled \
    wrong required missing incorrect unknown misprinted changed different listed shown printed too very really \
    still already no yes hello hi he she we they me our their his her y e soy de del en con por para que mi me \
    la el los las un una pero se lo le muy ya no sí tengo poco mucho bastante siempre nunca tampoco también solo ahora aquí tengo quiero estoy llamo vivo necesito escribo";

fn set(words: &'static str) -> HashSet<&'static str> {
    words.split_whitespace().collect()
}

static FIELD_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set(FIELDS));
static GROUP_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set(GROUPS));
static GIVEN_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set(GIVEN));
static STOP_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set(STOPS));

/// A word in small letters, without the marks around it.
fn lower(word: &str) -> String {
    word.to_lowercase()
        .trim_matches(['.', '\'', '’'])
        .to_owned()
}

/// The words name a field of a form or an audience, not a person.
pub(super) fn field(words: &str) -> bool {
    words
        .split_whitespace()
        .all(|word| FIELD_SET.contains(&*lower(word)))
}

/// A name without the ending that says whose something is, and without what two dashes part from it.
fn bare(text: &str, bytes: Range<usize>) -> Range<usize> {
    let name = &text[bytes.clone()];
    let name = name.split("--").next().unwrap_or_default();
    let name = ["'s", "’s", "'", "’", "-"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    bytes.start..bytes.start + name.len()
}

/// A name of a program's: `ObjectName`, `String(`, `Cow::`.
fn program(text: &str, bytes: &Range<usize>) -> bool {
    let behind = &text[bytes.end..];
    let called = behind.starts_with(['(', '<', '[', '_', '=']) || behind.starts_with("::");
    let humped = |word: &str| {
        let joined = [
            "Mc", "Mac", "De", "Di", "Du", "La", "Le", "Lo", "Van", "Von", "Fitz", "O'", "O’",
            "D'", "D’",
        ];
        let word = joined
            .iter()
            .find_map(|head| word.strip_prefix(head))
            .unwrap_or(word);
        let mut letters = word.chars().zip(word.chars().skip(1));
        letters.any(|(one, next)| one.is_lowercase() && next.is_uppercase())
    };
    called || text[bytes.clone()].split([' ', '-']).any(humped)
}

/// Nobody's name: a field, a group, a firm or a product.
pub(super) fn nobody(page: &Page<'_>, bytes: &Range<usize>) -> bool {
    let words = page.at(bytes);
    let small = words.to_lowercase();
    let known = of_known_name(&small.replace(' ', "_"))
        .is_some_and(|kind| kind != TargetType::Person && !ALSO_PEOPLE.contains(&&*small));
    let title = page.text[..bytes.start]
        .trim_end()
        .trim_end_matches('.')
        .rsplit(|c: char| !c.is_alphabetic())
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let first = small.split([' ', '\'', '’']).next().unwrap_or_default();
    let titled = ["mr", "mrs", "miss", "dr", "ms"].contains(&&*title);
    let product = PRODUCTS.iter().any(|(before, products)| {
        title == *before && products.split(' ').any(|product| product == first)
    });
    field(words)
        || program(page.text, bytes)
        || words
            .split_whitespace()
            .any(|word| GROUP_SET.contains(&*word.to_lowercase()))
        || (known && !titled)
        || product
}

/// Bytes of the titles and greetings at the beginning of what is taken for a name.
pub(super) fn forms_of_address(frames: &Frames, words: &str) -> usize {
    (frames.address)()
        .find(words)
        .map_or(0, |forms| forms.end())
}

/// A name without the words in small letters that end it, particles between capitals aside.
pub(super) fn capitals(name: &str) -> &str {
    let mut kept = name.trim_end();
    if !kept.starts_with(char::is_uppercase) {
        return kept;
    }
    while let Some((before, last)) = kept.rsplit_once(char::is_whitespace)
        && last.starts_with(char::is_lowercase)
    {
        kept = before.trim_end();
    }
    kept
}

/// Finds names by what stands around them.
pub(super) fn find(
    page: &Page<'_>,
    frames: &Frames,
    syntax: Option<&Syntax>,
    found: &mut Vec<Found>,
) {
    for pattern in frames.sure {
        for bytes in page.matches(pattern()) {
            let bytes = bare(page.text, bytes);
            let known = page.at(&bytes).split(' ').next().is_some_and(given);
            if !nobody(page, &bytes) && (known || !read_as_other(syntax, &bytes)) {
                found.push(shaped(PiiKind::Name, bytes, LIKELY));
            }
        }
    }
    for bytes in page.matches((frames.weak)()) {
        let bytes = bare(page.text, bytes);
        let words = page.at(&bytes);
        let proper = syntax.is_none_or(|syntax| proper(syntax, &bytes));
        let known = words.split(' ').next().is_some_and(given);
        // "IT'S HOT!" shouts.
        let shouted = words
            .chars()
            .filter(|c| c.is_alphabetic())
            .all(char::is_uppercase);
        let read = proper && !shouted && !read_as_other(syntax, &bytes);
        if (read || known) && !nobody(page, &bytes) {
            found.push(shaped(PiiKind::Name, bytes, PLAUSIBLE));
        }
    }
    let [any, known] = frames.small;
    for (pattern, any) in [(any(), true), (known(), false)] {
        for captures in pattern.captures_iter(page.text) {
            let Some(first) = captures.name("value") else {
                continue;
            };
            let stops = |word: &str| STOP_SET.contains(&*lower(word));
            if stops(first.as_str()) || !(any || given(first.as_str())) {
                continue;
            }
            // A second word is a name where the sentence ends or goes on behind it.
            let second = captures.name("second").filter(|second| {
                let after = &page.text[second.end()..];
                let next = after
                    .trim_start_matches(' ')
                    .split(|c: char| !c.is_alphanumeric() && c != '\'')
                    .next();
                let ends = !after.starts_with([' ', '-']) || next.is_none_or(stops);
                ends && !stops(second.as_str())
            });
            // Between known names and other words nothing tells where the name ends.
            let end = second.map_or(first.end(), |second| second.end());
            let bytes = first.start()..end;
            if !nobody(page, &bytes) && !nobody(page, &first.range()) {
                found.push(shaped(PiiKind::Name, bytes, PLAUSIBLE));
            }
        }
    }
}

/// A given name that is hardly a word.
fn given(word: &str) -> bool {
    let word = lower(word);
    !WORDS.contains(&&*word)
        && (GIVEN_SET.contains(&*word) || gender_of_name(&word) != Gender::Open)
}

/// The reading takes the words for something other than a person: a firm, a product, a people.
fn read_as_other(syntax: Option<&Syntax>, bytes: &Range<usize>) -> bool {
    const OTHERS: [&str; 7] = [
        "NORP", "PRODUCT", "LANGUAGE", "EVENT", "LAW", "DATE", "TIME",
    ];
    let Some(syntax) = syntax else { return false };
    let first = syntax
        .entities
        .partition_point(|entity| entity.extent.end_byte <= bytes.start);
    syntax.entities.get(first).is_some_and(|entity| {
        entity.extent.begin_byte <= bytes.start
            && entity.extent.end_byte >= bytes.end
            && OTHERS.contains(&&*entity.label)
    })
}

/// The reading takes the first word for a proper noun.
fn proper(syntax: &Syntax, bytes: &Range<usize>) -> bool {
    let first = syntax
        .tokens
        .partition_point(|token| token.extent.begin_byte < bytes.start);
    let entity = syntax
        .entities
        .partition_point(|entity| entity.extent.end_byte <= bytes.start);
    let placed = syntax.entities.get(entity).is_some_and(|entity| {
        entity.extent.begin_byte <= bytes.start
            && ["GPE", "LOC", "FAC", "ORG"].contains(&&*entity.label)
    });
    !placed
        && syntax
            .tokens
            .get(first)
            .is_some_and(|token| token.part_of_speech == PartOfSpeech::ProperNoun)
}
