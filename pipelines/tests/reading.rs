//! Entities and key phrases of texts as people send them: with addresses, amounts, brands, emoji and line ends, labelled
//! by hand in `tests/data/reading/`: `entities.tsv` before the rules were written, which were then tuned on it, and
//! `later.tsv` after them, on which nothing was.
//!
//! ```text
//! cargo test --release -p escala-pipelines --test reading -- --nocapture
//! ```
//!
//! prints figures and mistakes. What is found is right when it covers the same bytes as a label (of the same type). The
//! floors are what `pipelines/README.md` publishes, less two hundredths.

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::syntax::{Syntax, SyntaxPipeline, SyntaxTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};
use std::sync::Arc;

fn pipeline() -> SyntaxPipeline {
    let store = Store::open(StoreOptions::default()).expect("store");
    let context = LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    };
    SyntaxTask::default().load(&context).expect("weights")
}

fn read(pipeline: &SyntaxPipeline, texts: &[Arc<str>]) -> Vec<Syntax> {
    let answers = pipeline.run(&Compute::cpu(2), texts).into_iter();
    answers.map(|answer| answer.expect("read")).collect()
}

/// A text with what is labelled in it: the bytes, and of entities the type.
struct Labelled {
    text: Arc<str>,
    entities: Vec<(usize, usize, String)>,
    phrases: Vec<(usize, usize)>,
}

fn unescaped(cell: &str) -> String {
    cell.replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace("\\t", "\t")
        .replace("\\uFEFF", "\u{feff}")
        .replace("\\u200B", "\u{200b}")
}

/// The parts of a list in the order of the text.
fn places(text: &str, list: &str) -> Vec<(usize, usize, String)> {
    let mut from = 0;
    let parts = list.split(" ;; ").filter(|part| *part != "-");
    parts
        .map(|part| {
            let (surface, kind) = part.rsplit_once('|').unwrap_or((part, ""));
            let start = from + text[from..].find(surface).expect(part);
            from = start + surface.len();
            (start, from, kind.to_owned())
        })
        .collect()
}

fn labelled(name: &str) -> Vec<Labelled> {
    let file = format!(
        "{}/../tests/data/reading/{name}.tsv",
        env!("CARGO_MANIFEST_DIR")
    );
    let file = std::fs::read_to_string(file).expect("labelled set");
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let cells: Vec<String> = line.split('\t').map(unescaped).collect();
            let [text, entities, phrases] = &cells[..] else {
                panic!("{line}")
            };
            let phrases = places(text, phrases).into_iter();
            Labelled {
                entities: places(text, entities),
                phrases: phrases.map(|(start, end, _)| (start, end)).collect(),
                text: text.as_str().into(),
            }
        })
        .collect()
}

/// How much of what is wanted was found.
#[derive(Default)]
struct Tally {
    wanted: usize,
    found: usize,
    right: usize,
}

impl Tally {
    fn add<T: PartialEq>(&mut self, wanted: &[T], found: &[T]) -> bool {
        let right = found.iter().filter(|one| wanted.contains(one)).count();
        self.wanted += wanted.len();
        self.found += found.len();
        self.right += right;
        right == wanted.len() && right == found.len()
    }

    fn precision(&self) -> f64 {
        self.right as f64 / self.found as f64
    }

    fn recall(&self) -> f64 {
        self.right as f64 / self.wanted as f64
    }
}

/// Least precision and recall of spans of entities, of spans with types, of key phrases.
type Floors = [(&'static str, f64, f64); 3];

const TUNED: Floors = [
    ("entities", 0.92, 0.92),
    ("entities and types", 0.88, 0.88),
    ("key phrases", 0.92, 0.91),
];

const LATER: Floors = [
    ("entities", 0.87, 0.87),
    ("entities and types", 0.82, 0.82),
    ("key phrases", 0.87, 0.86),
];

#[test]
fn entities_and_key_phrases_of_texts_as_they_are_sent() {
    measure("entities", 60, TUNED);
    measure("later", 20, LATER);
}

fn measure(name: &str, least: usize, floors: Floors) {
    let rows = labelled(name);
    assert!(rows.len() >= least);
    let texts: Vec<Arc<str>> = rows.iter().map(|row| row.text.clone()).collect();
    let mut tallies: [Tally; 3] = Default::default();
    for (row, syntax) in rows.iter().zip(read(&pipeline(), &texts)) {
        let entities = syntax.entities.iter().map(|entity| {
            let extent = entity.extent;
            let kind = entity.kind.name().to_owned();
            (extent.begin_byte, extent.end_byte, kind)
        });
        let entities: Vec<_> = entities.collect();
        let phrases = syntax.key_phrases.iter();
        let phrases: Vec<_> = phrases
            .map(|phrase| (phrase.extent.begin_byte, phrase.extent.end_byte))
            .collect();
        let spans = |entities: &[(usize, usize, String)]| -> Vec<(usize, usize)> {
            let spans = entities.iter().map(|(start, end, _)| (*start, *end));
            spans.collect()
        };
        tallies[0].add(&spans(&row.entities), &spans(&entities));
        let shown = |spans: &[(usize, usize)]| -> Vec<String> {
            let parts = spans
                .iter()
                .map(|(start, end)| row.text[*start..*end].to_owned());
            parts.collect()
        };
        if !tallies[1].add(&row.entities, &entities) {
            let named: Vec<String> = entities
                .iter()
                .map(|(start, end, kind)| format!("{}|{kind}", &row.text[*start..*end]))
                .collect();
            println!("entities of {:?}: {named:?}", row.text);
        }
        if !tallies[2].add(&row.phrases, &phrases) {
            println!("phrases of {:?}: {:?}", row.text, shown(&phrases));
        }
    }
    for ((what, precise, complete), tally) in floors.into_iter().zip(&tallies) {
        let (precision, recall) = (tally.precision(), tally.recall());
        println!(
            "| {name}: {what} | {} | {precision:.3} | {recall:.3} |",
            tally.wanted
        );
        assert!(precision >= precise && recall >= complete, "{name}: {what}");
    }
}
