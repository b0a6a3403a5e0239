//! How much personal data is found, and how much of what is found is some: precision and recall by kind.
//!
//! `cargo test --release -p escala-pipelines --test pii -- --nocapture` prints the tables of `pipelines/README.md`.
//! With `ESCALA_TEST_PII_CORPUS=FILE` it also writes the corpus, a text a line as JSON, for
//! `benches/pii_peer.py`, which asks another detector about the same texts.

mod corpus;

use corpus::{Half, Sample};
use escala_models::Compute;
use escala_pipelines::pii::{Evidence, PiiEntity, PiiInput, PiiKind, PiiTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;

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

/// The samples with what is found in each.
fn detected() -> Vec<(Sample, Vec<PiiEntity>)> {
    let store = Store::open(StoreOptions::default()).expect("a store");
    let context = LoadContext {
        weights: &store,
        device: &candle_core::Device::Cpu,
    };
    let pipeline = PiiTask::default().load(&context).expect("weights");
    let mut samples = corpus::generated();
    samples.extend(corpus::prose());
    let compute = Compute::cpu(1);
    let inputs: Vec<PiiInput> = samples
        .iter()
        .map(|sample| PiiInput::new(sample.text.as_str().into(), "en"))
        .collect();
    let answers = pipeline.run(&compute, &inputs);
    samples
        .into_iter()
        .zip(answers)
        .map(|(sample, answer)| (sample, answer.expect("searched")))
        .collect()
}

fn tally(results: &[(Sample, Vec<PiiEntity>)], wanted: impl Fn(&Sample) -> bool) -> Tallies {
    let mut tallies = Tallies::new();
    for (sample, found) in results.iter().filter(|(sample, _)| wanted(sample)) {
        for (kind, bytes) in &sample.gold {
            let same = |entity: &&PiiEntity| entity.kind.name() == kind;
            let tally = tallies.entry(kind.clone()).or_default();
            tally.gold += 1;
            let exact =
                |entity: &PiiEntity| entity.extent.begin_byte..entity.extent.end_byte == *bytes;
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

fn write_corpus(path: &std::ffi::OsStr, results: &[(Sample, Vec<PiiEntity>)]) {
    let mut file = std::fs::File::create(path).expect("a file");
    for (sample, _) in results {
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
        for (sample, found) in &results {
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
    let made = |sample: &Sample| sample.source != "prose";
    print(
        "generated, development half",
        &tally(&results, |s| made(s) && s.half == Half::Development),
    );
    let generated = tally(&results, |s| made(s) && s.half == Half::HeldOut);
    let all = print("generated, held-out half", &generated);
    print(
        "prose, development half",
        &tally(&results, |s| !made(s) && s.half == Half::Development),
    );
    let prose = tally(&results, |s| !made(s) && s.half == Half::HeldOut);
    let written = print("prose, held-out half", &prose);
    reliability(&results);
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
const FLOORS: (f64, f64, f64, f64) = (0.0, 0.0, 0.0, 0.0);
/// Precision and recall of every kind in the held-out generated half.
const KIND_FLOOR: f64 = 0.0;

/// Scores beside how often they are right.
fn reliability(results: &[(Sample, Vec<PiiEntity>)]) {
    for half in [Half::Development, Half::HeldOut] {
        let mut bins: BTreeMap<(String, u32), (usize, usize)> = BTreeMap::new();
        let (mut brier, mut sum, mut correct, mut count) = (0.0, 0.0, 0, 0);
        for (sample, found) in results.iter().filter(|(sample, _)| sample.half == half) {
            for entity in found {
                let right = right(sample, entity);
                let evidence = match entity.evidence {
                    Evidence::Model => "model",
                    Evidence::Pattern => "pattern",
                    Evidence::Checksum => "checksum",
                };
                let bin = (evidence.to_owned(), (entity.score * 100.0).round() as u32);
                let bin = bins.entry(bin).or_default();
                bin.0 += usize::from(right);
                bin.1 += 1;
                let score = f64::from(entity.score);
                brier += (score - f64::from(u8::from(right))).powi(2);
                sum += score;
                correct += usize::from(right);
                count += 1;
            }
        }
        println!(
            "\nscores of the half {half:?}: mean {:.3}, right {:.3}, Brier {:.4}, {count} findings",
            sum / count as f64,
            share(correct, count),
            brier / count as f64
        );
        for ((evidence, score), (right, all)) in &bins {
            println!(
                "  {evidence} {:.2}: {right} of {all} right, smoothed {:.3}",
                f64::from(*score) / 100.0,
                (*right as f64 + 1.0) / (*all as f64 + 2.0)
            );
        }
    }
}
