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
use escala_models::toxicity::{Classifier, STEPS};
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
        target: (&Device::Cpu).into(),
    };
    ToxicityTask::default().load(&context).expect("weights")
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

/// The network without the task around it.
struct Network(Classifier);

impl Network {
    fn load() -> Self {
        let store = Store::open(StoreOptions::default()).expect("store");
        let files = store.ensure("tox-block", &escala_weights::Silent);
        let files = files.expect("weights");
        Self(Classifier::load(files.dir(), &Device::Cpu).expect("network"))
    }

    /// The largest toxicity of a text in windows of a hundred words, each beginning fifty after the one before.
    fn hundreds(&self, text: &str) -> f32 {
        let words = self.0.words().of(text);
        let last = words.len().saturating_sub(STEPS);
        let starts = (0..last).step_by(STEPS / 2).chain([last]);
        let windows: Vec<&[u32]> = starts
            .map(|start| &words[start..words.len().min(start + STEPS)])
            .collect();
        let scores = self.0.scores(&Compute::cpu(1), &windows).expect("scores");
        scores.iter().fold(0.0, |best, scores| scores[0].max(best))
    }
}

/// Sentences that say nothing bad of anybody, from the tests of other tasks; none was written for this one. Reviews
/// among them are rude about food.
fn calm() -> Vec<String> {
    let read = |file: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/");
        std::fs::read_to_string(format!("{path}{file}")).expect(file)
    };
    let marks = [
        "[NAME ",
        "[ADDRESS ",
        "[DATE_TIME ",
        "[AGE ",
        "[PHONE ",
        "]",
    ];
    let unmarked = |line: &str| {
        marks
            .iter()
            .fold(line.to_owned(), |text, mark| text.replace(mark, ""))
    };
    let prose = read("pii/prose.txt");
    let prose = prose
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(unmarked);
    let (mixed, targets) = (read("sentiment/mixed.tsv"), read("sentiment/targets.tsv"));
    let mixed = mixed.lines().filter_map(|line| line.split_once('\t'));
    let targets = targets
        .lines()
        .filter_map(|line| line.strip_prefix("text\t"));
    let all = prose
        .chain(mixed.map(|(_, text)| text.to_owned()))
        .chain(targets.map(str::to_owned));
    all.filter(|text| text.ends_with(['.', '!', '?']) && !text.contains('['))
        .collect()
}

/// Disguised words that are seen, and harmless texts that are called toxic, at most.
const DISGUISED: (usize, usize) = (13, 0);

#[test]
fn words_that_are_spelled_to_be_overlooked_are_seen() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/disguised.tsv");
    let file = std::fs::read_to_string(file).expect("labelled set");
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| line.split_once('\t').expect("label, tab, text"));
    let (labels, texts): (Vec<&str>, Vec<Arc<str>>) =
        rows.map(|(label, text)| (label, Arc::from(text))).unzip();
    let answers = pipeline().run(&Compute::cpu(2), &texts);
    let (mut seen, mut alarms) = (0, 0);
    for ((label, text), answer) in labels.iter().zip(&texts).zip(answers) {
        let toxicity = answer.expect("answer").toxicity;
        match (*label == "TOXIC", toxicity >= 0.5) {
            (true, true) => seen += 1,
            (false, true) => alarms += 1,
            _ => {}
        }
        println!("{label} {toxicity:.2} {text}");
    }
    println!("| disguised | {seen} seen | {alarms} false alarms |");
    assert!(seen >= DISGUISED.0 && alarms <= DISGUISED.1);
}

/// What is found of the toxic sentences within calm words, and how often calm words alone are called toxic.
#[derive(Default)]
struct Within {
    found: usize,
    /// Of these, by windows of a hundred words alone.
    plain: usize,
    alarms: usize,
    texts: usize,
}

/// Words around the sentence, whether marks are taken away, least share found, largest share of alarms: what was
/// measured when the windows were chosen, and one hundredth.
const WITHIN: [(usize, bool, f32, f32); 4] = [
    (50, false, 0.71, 0.02),
    (100, false, 0.72, 0.05),
    (400, false, 0.75, 0.18),
    (100, true, 0.55, 0.05),
];

#[test]
fn a_toxic_sentence_is_found_in_a_long_calm_text() {
    let (pipeline, network, calm) = (pipeline(), Network::load(), calm());
    assert!(calm.len() >= 300, "{}", calm.len());
    let toxic: Vec<Arc<str>> = labelled()
        .into_iter()
        .filter(|(labels, _)| labels.iter().any(|label| label == "TOXIC"))
        .map(|(_, text)| text)
        .collect();
    let is_toxic = |texts: &[Arc<str>]| -> Vec<bool> {
        let answers = pipeline.run(&Compute::cpu(2), texts).into_iter();
        answers
            .map(|answer| answer.expect("answer").toxicity >= 0.5)
            .collect()
    };
    let alone = is_toxic(&toxic).into_iter().filter(|found| *found).count();
    println!("alone: {alone} of {}", toxic.len());
    let sentences: Vec<Arc<str>> = calm.iter().map(|text| text.as_str().into()).collect();
    let mistaken = is_toxic(&sentences);
    let mistaken: Vec<_> = calm
        .iter()
        .zip(mistaken)
        .filter(|(_, toxic)| *toxic)
        .collect();
    println!(
        "calm sentences called toxic, of {}: {mistaken:?}",
        calm.len()
    );
    println!(
        "| calm words | windows of 100 only | found | false alarms |\n| --- | --- | --- | --- |"
    );
    let mut worse = Vec::new();
    for (words, bare, least, most) in WITHIN {
        let mut within = Within::default();
        for (index, sentence) in toxic.iter().enumerate() {
            let mut around: Vec<&str> = Vec::new();
            let mut length = 0;
            // Another choice of sentences for each.
            for step in index.. {
                if length >= words {
                    break;
                }
                let text = &calm[(step * 7919 + index * 31) % calm.len()];
                length += text.split(' ').count();
                around.push(text);
            }
            let join = |texts: &[&str]| -> Arc<str> {
                let text = texts.join(" ");
                let text = if bare {
                    text.replace(['.', '!', '?'], "")
                } else {
                    text
                };
                text.into()
            };
            let without = join(&around);
            // At the beginning, in the middle, at the end.
            around.insert([0, around.len() / 2, around.len()][index % 3], sentence);
            let within_calm = join(&around);
            within.plain += usize::from(network.hundreds(&within_calm) >= 0.5);
            let answers = is_toxic(&[within_calm, without]);
            within.found += usize::from(answers[0]);
            within.alarms += usize::from(answers[1]);
            within.texts += 1;
        }
        let share = |count: usize| count as f32 / within.texts as f32;
        let (found, alarms) = (share(within.found), share(within.alarms));
        let plain = share(within.plain);
        let marks = if bare { ", no marks" } else { "" };
        println!("| {words}{marks} | {plain:.3} | {found:.3} | {alarms:.3} |");
        if found < least || alarms > most || found < plain {
            worse.push((words, bare, found, alarms));
        }
    }
    assert!(worse.is_empty(), "worse than published: {worse:?}");
}

#[test]
fn short_texts_are_read_as_a_whole() {
    let Network(network) = Network::load();
    let texts: Vec<Arc<str>> = labelled().into_iter().map(|(_, text)| text).collect();
    let answers = pipeline().run(&Compute::cpu(1), &texts);
    for (text, answer) in texts.iter().zip(answers) {
        let words = network.words().of(text);
        let scores = network.scores(&Compute::cpu(1), &[&words]).expect("scores")[0];
        let answer = answer.expect("answer");
        assert_eq!(answer.toxicity, scores[0], "{text}");
        assert_eq!(score(&answer, "PROFANITY"), scores[2], "{text}");
        assert_eq!(score(&answer, "VIOLENCE_OR_THREAT"), scores[3], "{text}");
    }
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
