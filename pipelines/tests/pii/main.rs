//! How much personal data is found, and how much of what is found is some: precision and recall by kind.
//!
//! `cargo test --release -p escala-pipelines --test pii -- --nocapture` prints the tables of `pipelines/README.md`.
//! After a change of rules, `ESCALA_TEST_PII_CALIBRATION=pipelines/src/pii/calibration.tsv` writes the table of
//! scores anew, and `ESCALA_TEST_PII_MISSES=1` prints what is wrong in the development half.
//! With `ESCALA_TEST_PII_CORPUS=FILE` it also writes the corpus, a text a line as JSON, for
//! `benches/pii_peer.py`, which asks another detector about the same texts.

mod corpus;

use corpus::{Half, Sample};
use escala_models::Compute;
use escala_pipelines::pii::calibration::Family;
use escala_pipelines::pii::{Found, PiiEntity, PiiInput, PiiKind, PiiTask, findings};
use escala_pipelines::syntax::{SharedEnglish, Syntax, SyntaxTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// Findings and what there is to find, of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    gold: usize,
    found: usize,
    exact: usize,
    /// Findings that overlap something of their kind.
    right: usize,
    /// Things that a finding of their kind overlaps.
    reached: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.gold += other.gold;
        self.found += other.found;
        self.exact += other.exact;
        self.right += other.right;
        self.reached += other.reached;
    }
}

fn share(part: usize, whole: usize) -> f64 {
    match whole {
        0 => 1.0,
        _ => part as f64 / whole as f64,
    }
}

type Tallies = BTreeMap<String, Tally>;

/// A sample, what is found in it, and the same with the rules' own scores.
type Result = (Sample, Vec<PiiEntity>, Vec<Found>);

/// The English reader and what searches, on one copy of the model.
fn loaded() -> (<SyntaxTask as Task>::Pipeline, <PiiTask as Task>::Pipeline) {
    let store = Store::open(StoreOptions::default()).expect("a store");
    let context = LoadContext {
        weights: &store,
        target: (&candle_core::Device::Cpu).into(),
    };
    let english = SharedEnglish::default();
    let reader = SyntaxTask::new(english.clone())
        .load(&context)
        .expect("weights");
    let pipeline = PiiTask::new(english).load(&context).expect("weights");
    (reader, pipeline)
}

/// The samples with what is found in each.
fn detected() -> Vec<Result> {
    let (reader, pipeline) = loaded();
    let mut samples = corpus::generated();
    samples.extend(corpus::forms());
    samples.extend(corpus::prose());
    let compute = Compute::cpu(1);
    let texts: Vec<Arc<str>> = samples.iter().map(|s| s.text.as_str().into()).collect();
    let readings = reader.run(&compute, &texts);
    let answer = |(sample, reading): (Sample, escala_pipelines::Result<Syntax>)| {
        let reading = reading.expect("read");
        let own = findings(&sample.text, Some(&reading), false);
        let input = PiiInput::new(sample.text.as_str().into(), "en");
        let mut found = pipeline.run(&compute, &[input.read(Arc::new(reading))]);
        let found = found.remove(0).expect("searched");
        assert_eq!(own.len(), found.len());
        (sample, found, own)
    };
    samples.into_iter().zip(readings).map(answer).collect()
}

fn tally(results: &[Result], wanted: impl Fn(&Sample) -> bool) -> Tallies {
    let mut tallies = Tallies::new();
    for (sample, found, _) in results.iter().filter(|result| wanted(&result.0)) {
        for (kind, bytes) in &sample.gold {
            let same = |entity: &&PiiEntity| entity.kind.name() == kind;
            let tally = tallies.entry(kind.clone()).or_default();
            tally.gold += 1;
            let exact = |entity: &PiiEntity| {
                entity.extent.begin_byte == bytes.start && entity.extent.end_byte == bytes.end
            };
            tally.exact += usize::from(found.iter().filter(same).any(exact));
            let meets = |entity: &PiiEntity| {
                entity.extent.begin_byte < bytes.end && bytes.start < entity.extent.end_byte
            };
            tally.reached += usize::from(found.iter().filter(same).any(meets));
        }
        for entity in found {
            let tally = tallies.entry(entity.kind.name().to_owned()).or_default();
            tally.found += 1;
            tally.right += usize::from(right(sample, entity));
        }
    }
    tallies
}

/// It overlaps something of its kind.
fn right(sample: &Sample, entity: &PiiEntity) -> bool {
    sample.gold.iter().any(|(kind, bytes)| {
        kind == entity.kind.name()
            && entity.extent.begin_byte < bytes.end
            && bytes.start < entity.extent.end_byte
    })
}

fn print(title: &str, tallies: &Tallies) -> Tally {
    println!("\n{title}\n");
    println!("| kind | there are | found | exact precision | exact recall | precision | recall |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut all = Tally::default();
    for tally in tallies.values() {
        all.add(*tally);
    }
    let rows = tallies.iter().map(|(kind, tally)| (kind.as_str(), *tally));
    for (kind, tally) in rows.chain([("all", all)]) {
        println!(
            "| {kind} | {} | {} | {:.3} | {:.3} | {:.3} | {:.3} |",
            tally.gold,
            tally.found,
            share(tally.exact, tally.found),
            share(tally.exact, tally.gold),
            share(tally.right, tally.found),
            share(tally.reached, tally.gold),
        );
    }
    all
}

fn write_corpus(path: &std::ffi::OsStr, results: &[Result]) {
    let mut file = std::fs::File::create(path).expect("a file");
    for (sample, ..) in results.iter().filter(|result| result.0.source != "forms") {
        let characters = |byte: usize| sample.text[..byte].chars().count();
        let gold: Vec<_> = sample
            .gold
            .iter()
            .map(|(kind, bytes)| json!([kind, characters(bytes.start), characters(bytes.end)]))
            .collect();
        let held_out = sample.half == Half::HeldOut;
        let line = json!({
            "text": sample.text, "gold": gold, "held_out": held_out, "source": sample.source,
        });
        writeln!(file, "{line}").expect("written");
    }
}

#[test]
fn the_corpus_is_sound() {
    let samples = corpus::generated();
    let again = corpus::generated();
    assert!(samples.len() > 1000);
    for (one, other) in samples.iter().zip(&again) {
        assert_eq!((&one.text, &one.gold), (&other.text, &other.gold));
    }
    let mut kinds: Vec<&str> = Vec::new();
    let prose = corpus::prose();
    assert!(prose.len() >= 60);
    for sample in samples.iter().chain(&prose) {
        for (kind, bytes) in &sample.gold {
            let kind = PiiKind::of_name(kind).unwrap_or_else(|| panic!("no kind {kind}"));
            assert!(!sample.text[bytes.clone()].trim().is_empty());
            kinds.push(kind.name());
        }
    }
    for kind in PiiKind::ALL.iter().filter(|kind| !kind.is_extension()) {
        assert!(kinds.contains(&kind.name()), "{}", kind.name());
    }
}

#[test]
fn precision_and_recall_stay_above_their_floors() {
    let results = detected();
    if let Some(path) = std::env::var_os("ESCALA_TEST_PII_CORPUS") {
        write_corpus(&path, &results);
    }
    if std::env::var_os("ESCALA_TEST_PII_MISSES").is_some() {
        // Only the half that rules may be fitted on.
        for (sample, found, _) in &results {
            if sample.half == Half::HeldOut {
                continue;
            }
            let shown: Vec<_> = found
                .iter()
                .map(|entity| (entity.kind.name(), entity.extent.of(&sample.text)))
                .collect();
            let wanted: Vec<_> = sample
                .gold
                .iter()
                .map(|(kind, bytes)| (kind.as_str(), &sample.text[bytes.clone()]))
                .collect();
            if shown != wanted {
                println!(
                    "{:?}\n   wanted {wanted:?}\n   found  {shown:?}",
                    sample.text
                );
            }
        }
    }
    let made = |sample: &Sample| !["prose", "forms"].contains(&sample.source);
    let formed = |sample: &Sample| sample.source == "forms";
    let prosaic = |sample: &Sample| sample.source == "prose";
    print(
        "generated, development half",
        &tally(&results, |s| made(s) && s.half == Half::Development),
    );
    let generated = tally(&results, |s| made(s) && s.half == Half::HeldOut);
    let all = print("generated, held-out half", &generated);
    print(
        "forms, development half",
        &tally(&results, |s| formed(s) && s.half == Half::Development),
    );
    let forms = tally(&results, |s| formed(s) && s.half == Half::HeldOut);
    let forms = print("forms, held-out half", &forms);
    print(
        "prose, development half",
        &tally(&results, |s| prosaic(s) && s.half == Half::Development),
    );
    let prose = tally(&results, |s| prosaic(s) && s.half == Half::HeldOut);
    let written = print("prose, held-out half", &prose);
    reliability(&results);
    let table = counted(&results);
    if let Some(path) = std::env::var_os("ESCALA_TEST_PII_CALIBRATION") {
        std::fs::write(path, &table).expect("written");
        return;
    }
    assert_eq!(
        table,
        include_str!("../../src/pii/calibration.tsv"),
        "the table of scores is out of date"
    );
    assert!(
        share(all.right, all.found) >= FLOORS.0,
        "precision of the generated half"
    );
    assert!(
        share(all.reached, all.gold) >= FLOORS.1,
        "recall of the generated half"
    );
    assert!(
        share(written.right, written.found) >= FLOORS.2,
        "precision of the prose"
    );
    assert!(
        share(written.reached, written.gold) >= FLOORS.3,
        "recall of the prose"
    );
    assert!(
        share(forms.right, forms.found) >= FORM_FLOORS.0,
        "precision of the forms"
    );
    assert!(
        share(forms.reached, forms.gold) >= FORM_FLOORS.1,
        "recall of the forms"
    );
    for (kind, tally) in &generated {
        assert!(
            share(tally.reached, tally.gold) >= KIND_FLOOR,
            "recall of {kind}"
        );
        assert!(
            share(tally.right, tally.found) >= KIND_FLOOR,
            "precision of {kind}"
        );
    }
}

/// Precision and recall (overlap) of the held-out generated half, then of the held-out prose.
const FLOORS: (f64, f64, f64, f64) = (0.98, 0.92, 0.95, 0.8);
/// Precision and recall (overlap) of the held-out half of the forms.
const FORM_FLOORS: (f64, f64) = (0.95, 0.9);
/// Precision and recall of every kind in the held-out generated half.
const KIND_FLOOR: f64 = 0.65;
/// Greatest expected calibration error of the held-out half.
const MISCALIBRATION: f64 = 0.05;

/// The table of `calibration.tsv`, counted again.
fn counted(results: &[Result]) -> String {
    let mut counts = BTreeMap::<Family, (usize, usize)>::new();
    let fitted = results
        .iter()
        .filter(|result| result.0.half == Half::Development);
    for (sample, found, own) in fitted {
        for (entity, own) in found.iter().zip(own) {
            let count = counts.entry(Family::of(own)).or_default();
            count.0 += usize::from(right(sample, entity));
            count.1 += 1;
        }
    }
    let mut table = "# Findings of the development half, by family: kind, evidence, own score in percent, right, \
                     all.\n"
        .to_owned();
    for (
        Family {
            kind,
            evidence,
            own,
        },
        (right, all),
    ) in counts
    {
        table += &format!(
            "{}\t{}\t{own}\t{right}\t{all}\n",
            kind.name(),
            evidence.name()
        );
    }
    table
}

/// Scores beside how often they are right in the half that nothing was fitted on: Brier's score and the greatest
/// distance between a band's mean score and its precision, of the calibrated scores and of the rules' own.
fn reliability(results: &[Result]) {
    let held_out = results
        .iter()
        .filter(|result| result.0.half == Half::HeldOut);
    let mut pairs: Vec<(f64, f64, bool)> = Vec::new();
    for (sample, found, own) in held_out {
        for (entity, own) in found.iter().zip(own) {
            let right = right(sample, entity);
            pairs.push((f64::from(entity.score), f64::from(own.score), right));
        }
    }
    let count = pairs.len() as f64;
    let truth = |right: bool| f64::from(u8::from(right));
    let brier = |score: fn(&(f64, f64, bool)) -> f64| {
        pairs
            .iter()
            .map(|pair| (score(pair) - truth(pair.2)).powi(2))
            .sum::<f64>()
            / count
    };
    let (calibrated, own) = (brier(|pair| pair.0), brier(|pair| pair.1));
    println!("\nheld-out scores: Brier {calibrated:.4} calibrated, {own:.4} the rules' own\n");
    println!("| score | findings | mean score | right |");
    println!("| --- | --- | --- | --- |");
    let mut distance = 0.0;
    for (low, high) in [
        (0.0, 0.5),
        (0.5, 0.7),
        (0.7, 0.85),
        (0.85, 0.95),
        (0.95, 1.01),
    ] {
        let band: Vec<_> = pairs
            .iter()
            .filter(|pair| (low..high).contains(&pair.0))
            .collect();
        if band.is_empty() {
            continue;
        }
        let all = band.len() as f64;
        let mean = band.iter().map(|pair| pair.0).sum::<f64>() / all;
        let right = band.iter().map(|pair| truth(pair.2)).sum::<f64>() / all;
        println!(
            "| {low:.2} to {:.2} | {} | {mean:.3} | {right:.3} |",
            f64::min(high, 1.0),
            band.len()
        );
        distance += (mean - right).abs() * all / count;
    }
    println!("\nexpected calibration error {distance:.4}");
    assert!(distance <= MISCALIBRATION, "{distance}");
}

/// What `cases.txt` marks is found, and nothing else.
#[test]
fn whole_texts_have_what_is_marked_in_them() {
    let (reader, pipeline) = loaded();
    let compute = Compute::cpu(1);
    let samples = corpus::cases();
    let texts: Vec<Arc<str>> = samples.iter().map(|s| s.text.as_str().into()).collect();
    let readings = reader.run(&compute, &texts);
    let mut wrong = Vec::new();
    for ((sample, text), reading) in samples.iter().zip(&texts).zip(readings) {
        let reading = Arc::new(reading.expect("read"));
        let input = PiiInput::new(text.clone(), "en").read(reading);
        let mut found = pipeline.run(&compute, &[input]);
        let found = found.remove(0).expect("searched");
        let shown: Vec<_> = (found.iter())
            .map(|entity| (entity.kind.name(), entity.extent.of(text)))
            .collect();
        let wanted: Vec<_> = (sample.gold.iter())
            .map(|(kind, bytes)| (kind.as_str(), &text[bytes.clone()]))
            .collect();
        if shown != wanted {
            wrong.push(format!(
                "{text:?}\n   wanted {wanted:?}\n   found  {shown:?}"
            ));
        }
    }
    assert!(samples.len() > 100);
    assert!(
        wrong.is_empty(),
        "{} texts:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
