//! A corpus of texts with known personal data, made from a seed: numbers with valid checks in sentences people
//! write, near misses, and texts without any.
//!
//! A value is made by trying check characters until the public rule holds. Templates alternate between two halves:
//! rules and scores may be fitted on [`Half::Development`] only, and the figures that count are those of
//! [`Half::HeldOut`], whose sentences they have not seen.
//!
//! | file | what |
//! | --- | --- |
//! | `values.rs` | how values are made |
//! | `sentences.rs` | sentences around them, and near misses: the first corpus |
//! | `forms.rs` | forms of programs, letters and talk, and near misses |

mod forms;
mod sentences;
mod values;

use forms::{FORMS, NEAR_FORMS};
use sentences::{NEAR_MISSES, ROWS};
use std::ops::Range;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Development,
    HeldOut,
}

/// A text with its personal data: kinds and bytes.
#[derive(Clone, Debug)]
pub struct Sample {
    pub text: String,
    pub gold: Vec<(String, Range<usize>)>,
    pub half: Half,
    pub source: &'static str,
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn of(&mut self, alphabet: &str, count: usize) -> String {
        let bytes = alphabet.as_bytes();
        (0..count)
            .map(|_| char::from(bytes[self.below(bytes.len())]))
            .collect()
    }

    fn digits(&mut self, count: usize) -> String {
        self.of("0123456789", count)
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }
}

/// How a value is made.
type Make = fn(&mut Random) -> String;

/// A kind, how its values are made, and sentences that hold one at `{}`.
type Row = (&'static str, &'static [Make], &'static [&'static str]);

/// Texts without personal data, numbers and names of things included.
const CLEAN: &[&str] = &[
    "The harvest was late, and the barns stayed empty well into autumn.",
    "Turn the valve a quarter turn and wait for the pressure to drop.",
    "Our team shipped the feature after a long review.",
    "Please keep the receipt; refunds are not possible without it.",
    "The river rose by two metres and then fell again.",
    "Rust moves values by default, and borrows are checked at compile time.",
    "Is there a way to export the table as a spreadsheet?",
    "The orchestra tuned while the audience found its seats.",
    "I would like a window seat and a vegetarian meal.",
    "Great product, terrible packaging, will buy again.",
    "The password must be changed regularly, says the policy.",
    "A PIN protects the card, and a signature does not.",
    "Your account is in good standing; nothing is due.",
    "Routing problems delayed the parcels.",
    "The passport office is closed.",
    "Driving without a licence is a crime.",
    "The plates were cold but the soup was hot.",
    "Visa applications take weeks.",
    "To reset it, hold the button for ten seconds.",
    "f(x) = 3x^2 + 2x - 1 has two roots.",
    "The ratio of 16:9 is common for screens.",
    "Section 4.2.1 covers installation.",
    "It weighs 1.2 kg and measures 30 x 20 x 10 cm.",
    "Win rates went from 12.5% to 17.25%.",
    "for (int i = 0; i < 1000; i++) sum += a[i];",
    "See figure 12 and table 3 in the appendix.",
    "A dozen eggs, 500 g of flour and a pinch of salt.",
    "The score was 3-2 after extra time.",
    "Model T-1000 is a fictional machine.",
    "Use port 8080 unless it is taken.",
    "std::vec::Vec grows as needed; a::b::c is a path.",
    "SELECT count(*) FROM orders WHERE total > 100;",
    "The temperature was -40 degrees, in either unit.",
    "Only 1,234,567 of 10,000,000 tickets were sold.",
    "MD5 is broken: d41d8cd98f00b204e9800998ecf8427e is the sum of nothing.",
    "He said nothing. She said less.",
];

/// Texts around a sentence.
const CARRIERS: &[&str] = &[
    "{}",
    "Hello,\n\n{}\n\nThank you.",
    "{} Can you help?",
    "👋 {} 🙏🏽",
    "Note: it rained. {} That is all.",
    "\u{200f}שלום \u{200e}{}",
    "> {}\n>\n> It was not me.",
];

/// The corpus that other detectors were asked about, too.
pub fn generated() -> Vec<Sample> {
    let mut random = Random(20_261_122);
    let mut samples = filled(&mut random, ROWS, NEAR_MISSES);
    for (index, text) in CLEAN.iter().enumerate() {
        samples.push(Sample {
            text: (*text).to_owned(),
            gold: Vec::new(),
            half: half(index),
            source: "clean",
        });
    }
    samples
}

/// What programs, letters and talk write, apart from the first corpus, which stays as it was.
pub fn forms() -> Vec<Sample> {
    let mut samples = filled(&mut Random(20_261_130), FORMS, NEAR_FORMS);
    for sample in &mut samples {
        sample.source = "forms";
    }
    samples
}

/// Ten rounds of every template with a value.
fn filled(random: &mut Random, rows: &[Row], near: &[(Make, &[&str])]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (kind, makes, templates) in rows {
        for round in 0..10 {
            for (index, template) in templates.iter().enumerate() {
                let value = makes[(round + index / 2) % makes.len()](random);
                samples.push(sample(random, template, &value, Some(kind), index));
            }
        }
    }
    for (make, templates) in near {
        for _ in 0..10 {
            for (index, template) in templates.iter().enumerate() {
                let value = make(random);
                samples.push(sample(random, template, &value, None, index));
            }
        }
    }
    samples
}

/// A sentence with a value in it, in a text around both.
fn sample(
    random: &mut Random,
    sentence: &str,
    value: &str,
    kind: Option<&str>,
    index: usize,
) -> Sample {
    let carrier = random.pick(CARRIERS);
    let (before, after) = sentence.split_once("{}").expect("a place for the value");
    let (head, tail) = carrier.split_once("{}").expect("a place for the sentence");
    let (before, after) = (unbraced(before), unbraced(after));
    let start = head.len() + before.len();
    let gold = kind.map(|kind| (kind.to_owned(), start..start + value.len()));
    let source = if kind.is_some() {
        "generated"
    } else {
        "near miss"
    };
    Sample {
        text: format!("{head}{before}{value}{after}{tail}"),
        gold: gold.into_iter().collect(),
        half: half(index),
        source,
    }
}

fn unbraced(text: &str) -> String {
    text.replace("{{", "{").replace("}}", "}")
}

fn half(index: usize) -> Half {
    match index % 2 {
        0 => Half::Development,
        _ => Half::HeldOut,
    }
}

/// Texts written and marked by hand: `[KIND text]`.
pub fn prose() -> Vec<Sample> {
    marked(include_str!("../../../../tests/data/pii/prose.txt"))
}

/// Texts whose findings are held exactly.
pub fn cases() -> Vec<Sample> {
    marked(include_str!("../cases.txt"))
}

fn marked(file: &str) -> Vec<Sample> {
    // No kind's name, no mark.
    let mark = |text: &str| {
        let (kind, value) = text.split_once(']')?.0.split_once(' ')?;
        escala_pipelines::pii::PiiKind::of_name(kind)?;
        Some((kind.to_owned(), value.to_owned()))
    };
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .enumerate()
        .map(|(index, line)| {
            let (mut text, mut gold) = (String::new(), Vec::new());
            let line = line.replace('⏎', "\n");
            let mut rest = line.as_str();
            while let Some((before, after)) = rest.split_once('[') {
                text.push_str(before);
                rest = after;
                let Some((kind, value)) = mark(after) else {
                    text.push('[');
                    continue;
                };
                gold.push((kind.clone(), text.len()..text.len() + value.len()));
                text.push_str(&value);
                rest = &after[kind.len() + value.len() + 2..];
            }
            text.push_str(rest);
            Sample {
                text,
                gold,
                half: half(index),
                source: "prose",
            }
        })
        .collect()
}
