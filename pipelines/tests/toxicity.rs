//! The toxicity task on the labelled set in `tests/data/toxicity.tsv`, which was written before any text was given
//! to the model.
//!
//! ```text
//! cargo test --release -p escala-pipelines --test toxicity -- --nocapture
//! ```
//!
//! prints precision and recall of every label at a score of 0.5, how often a text with the label scores above one
//! without it (area under the ROC curve), and what is mistaken. The floors below are what
//! `pipelines/README.md` publishes, less one hundredth for rounding.

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_pipelines::toxicity::{ToxicKind, Toxicity, ToxicityPipeline, ToxicityTask};
use escala_weights::{Store, StoreOptions};
use std::sync::Arc;

/// Label, least precision, least recall.
const FLOORS: [(&str, f32, f32); 6] = [
    ("TOXIC", 0.87, 0.72),
    ("PROFANITY", 0.76, 0.96),
    ("HATE_SPEECH", 0.99, 0.21),
    ("INSULT", 0.64, 0.79),
    ("HARASSMENT_OR_ABUSE", 0.58, 0.59),
    ("VIOLENCE_OR_THREAT", 0.99, 0.30),
];

fn pipeline() -> ToxicityPipeline {
    let store = Store::open(StoreOptions::default()).expect("store");
    let context = LoadContext {
        weights: &store,
        device: &Device::Cpu,
    };
    ToxicityTask.load(&context).expect("weights")
}

/// Texts with their labels.
fn labelled() -> Vec<(Vec<String>, Arc<str>)> {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/toxicity.tsv"
    ))
    .expect("labelled set");
    let row = |line: &str| {
        let (labels, text) = line.split_once('\t').expect("labels, tab, text");
        let labels: Vec<String> = labels
            .split(',')
            .filter(|label| *label != "-")
            .map(str::to_owned)
            .collect();
        let known = |label: &String| FLOORS.iter().any(|(name, ..)| name == label);
        assert!(labels.iter().all(known), "{line}");
        (labels, text.into())
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(row).collect()
}

fn score(answer: &Toxicity, label: &str) -> f32 {
    if label == "TOXIC" {
        return answer.toxicity;
    }
    let found = answer.labels.iter().find(|(kind, _)| kind.name() == label);
    found.expect("every label").1
}

#[test]
fn labels_are_as_precise_and_complete_as_published() {
    let rows = labelled();
    assert!(rows.len() >= 150);
    let texts: Vec<Arc<str>> = rows.iter().map(|(_, text)| text.clone()).collect();
    let answers: Vec<Toxicity> = pipeline()
        .run(&Compute::cpu(2), &texts)
        .into_iter()
        .map(|answer| answer.expect("answer"))
        .collect();
    println!("| label | texts | precision | recall | AUC |\n| --- | --- | --- | --- | --- |");
    let mut low = Vec::new();
    for (label, precise, complete) in FLOORS {
        let (mut right, mut said, mut meant) = (0, 0, 0);
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for ((labels, text), answer) in rows.iter().zip(&answers) {
            let wanted = labels.iter().any(|wanted| wanted == label);
            let got = score(answer, label) >= 0.5;
            let side = if wanted { &mut with } else { &mut without };
            side.push(score(answer, label));
            right += usize::from(wanted && got);
            said += usize::from(got);
            meant += usize::from(wanted);
            if wanted != got {
                let what = if got { "not meant" } else { "not seen" };
                eprintln!("{label} {what}: {:.2} {text}", score(answer, label));
            }
        }
        let (precision, recall) = (right as f32 / said as f32, right as f32 / meant as f32);
        let above = |one: &f32| without.iter().filter(|other| one > *other).count();
        let area =
            with.iter().map(above).sum::<usize>() as f32 / (with.len() * without.len()) as f32;
        println!("| `{label}` | {meant} | {precision:.2} | {recall:.2} | {area:.2} |");
        // Also when nothing was said at all.
        if !(precision >= precise && recall >= complete) {
            low.push(label);
        }
    }
    assert!(low.is_empty(), "below what is published: {low:?}");
}

#[test]
fn a_text_has_the_same_answer_alone_and_in_any_company() {
    let pipeline = pipeline();
    let long = "You are a stupid person. ".to_owned() + &"All is calm in the house. ".repeat(200);
    let texts: Vec<Arc<str>> = labelled()
        .into_iter()
        .map(|(_, text)| text)
        .take(40)
        .chain([long.as_str().into(), "".into(), "你好".into()])
        .collect();
    let together = pipeline.run(&Compute::cpu(2), &texts);
    for (text, together) in texts.iter().zip(together) {
        let alone = pipeline.run(&Compute::cpu(1), std::slice::from_ref(text));
        assert_eq!(
            alone[0].as_ref().expect("alone"),
            together.as_ref().expect("together"),
            "{text}"
        );
    }
    // The insult is in the first of many windows (and in none that the last hundred words touch).
    let answer = pipeline.run(&Compute::cpu(1), &[long.as_str().into()]);
    let answer = answer[0].as_ref().expect("answer");
    assert!(answer.toxicity > 0.6, "{answer:?}");
    assert!(score(answer, ToxicKind::Insult.name()) > 0.5, "{answer:?}");
}
