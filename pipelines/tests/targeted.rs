//! Targeted sentiment on hand-labelled texts: `tests/data/sentiment/targets.tsv`, written before the rules were.
//!
//! ```text
//! cargo test --release -p escala-pipelines --test targeted -- --nocapture
//! ```
//!
//! Texts at even places were looked at while the rules were tuned, those at odd places were not. The floors are what
//! `pipelines/README.md` publishes, less two hundredths.

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::sentiment::{SentimentTask, SharedClassifier, likeliest};
use escala_pipelines::syntax::{SharedEnglish, Syntax, SyntaxTask};
use escala_pipelines::targeted::{
    Plan, Sentences, Sentiment, TargetType, Targeted, TargetedPipeline, TargetedTask,
};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};
use std::collections::HashMap;
use std::sync::Arc;

const TARGETS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/data/sentiment/targets.tsv"
);

struct Gold {
    begin: usize,
    end: usize,
    kind: String,
    sentiment: Sentiment,
    group: String,
}

fn gold() -> Vec<(String, Vec<Gold>)> {
    let file = std::fs::read_to_string(TARGETS).expect("targets");
    let mut texts: Vec<(String, Vec<Gold>)> = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        if let ["text", text] = fields[..] {
            texts.push((text.to_owned(), Vec::new()));
            continue;
        }
        let [begin, end, mention, kind, sentiment, group] = fields[..] else {
            panic!("{line}")
        };
        let (text, mentions) = texts.last_mut().expect("a text before its mentions");
        let (begin, end) = (begin.parse().expect(line), end.parse().expect(line));
        let there: String = text.chars().skip(begin).take(end - begin).collect();
        assert_eq!(there, mention, "{line}");
        let sentiment = Sentiment::ALL
            .iter()
            .find(|known| known.name() == sentiment);
        assert!(
            TargetType::ALL.iter().any(|known| known.name() == kind),
            "{line}"
        );
        mentions.push(Gold {
            begin,
            end,
            kind: kind.to_owned(),
            sentiment: *sentiment.expect(line),
            group: group.to_owned(),
        });
    }
    texts
}

fn readings(texts: &[Arc<str>]) -> Vec<Syntax> {
    let store = Store::open(StoreOptions::default()).expect("store");
    let pipeline = SyntaxTask::default()
        .load(&LoadContext {
            weights: &store,
            target: (&Device::Cpu).into(),
        })
        .expect("weights");
    let answers = pipeline.run(&Compute::cpu(2), texts);
    answers
        .into_iter()
        .map(|answer| answer.expect("read"))
        .collect()
}

/// What was found of the labelled mentions of some texts.
#[derive(Default)]
struct Tally {
    found: usize,
    wanted: usize,
    hit: usize,
    typed: usize,
    precision: f64,
    recall: f64,
}

impl Tally {
    fn add(&mut self, text: &str, mentions: &[Gold], syntax: &Syntax) {
        let plan = Plan::of(text, syntax).expect("plan");
        // Sentiment is not looked at here.
        let scores = vec![[0.0, 0.0, 1.0, 0.0]; plan.clauses().len()];
        let answer = plan.answer(&scores).expect("answer");
        let mut said = HashMap::new();
        for (group, entity) in answer.iter().enumerate() {
            for mention in &entity.mentions {
                let place = (mention.extent.begin, mention.extent.end);
                said.insert(place, (group, mention.kind));
            }
        }
        self.found += said.len();
        self.wanted += mentions.len();
        let mut pairs = Vec::new();
        for want in mentions {
            if let Some((group, kind)) = said.get(&(want.begin, want.end)) {
                self.hit += 1;
                self.typed += usize::from(kind.name() == want.kind);
                pairs.push((want.group.as_str(), *group));
            }
        }
        // B-cubed over the mentions that both have.
        for (gold, ours) in &pairs {
            let of_gold = pairs.iter().filter(|(other, _)| other == gold).count();
            let of_ours = pairs.iter().filter(|(_, other)| other == ours).count();
            let of_both = pairs.iter().filter(|pair| *pair == &(*gold, *ours)).count();
            self.precision += of_both as f64 / of_ours as f64;
            self.recall += of_both as f64 / of_gold as f64;
        }
    }
}

#[test]
fn mentions_types_and_groups() {
    let gold = gold();
    let texts: Vec<Arc<str>> = gold.iter().map(|(text, _)| text.as_str().into()).collect();
    let readings = readings(&texts);
    for (half, name) in ["even", "odd"].into_iter().enumerate() {
        let mut tally = Tally::default();
        let places = gold.iter().zip(&readings).skip(half).step_by(2);
        for ((text, mentions), syntax) in places {
            tally.add(text, mentions, syntax);
        }
        let hit = tally.hit as f64;
        let figures = [
            ("precision of mentions", hit / tally.found as f64, 0.945),
            ("recall of mentions", hit / tally.wanted as f64, 0.96),
            ("accuracy of types", tally.typed as f64 / hit, 0.94),
            ("B-cubed precision of groups", tally.precision / hit, 0.97),
            ("B-cubed recall of groups", tally.recall / hit, 0.967),
        ];
        for (what, figure, least) in figures {
            println!("{name}: {what} {figure:.3}");
            assert!(
                figure >= least,
                "{name}: {what} {figure:.3} is below {least}"
            );
        }
    }
}

fn targeted() -> TargetedPipeline<SentimentTask> {
    let store = Store::open(StoreOptions::default()).expect("store");
    let sentences = Sentences {
        task: SentimentTask::english(SharedClassifier::new(None)),
        input: |sentence| sentence.into(),
        scores: |parts| parts.whole(),
    };
    let context = LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    };
    TargetedTask::new(SharedEnglish::default(), sentences)
        .load(&context)
        .expect("weights")
}

/// What was said of labelled mentions: rows are labels, columns answers.
#[derive(Default)]
struct Confusion([[usize; 4]; 4]);

impl Confusion {
    fn add(&mut self, label: Sentiment, said: Sentiment) {
        self.0[label as usize][said as usize] += 1;
    }

    fn accuracy(&self) -> f64 {
        let right: usize = (0..4).map(|class| self.0[class][class]).sum();
        right as f64 / self.0.iter().flatten().sum::<usize>() as f64
    }

    fn macro_f1(&self) -> f64 {
        let f1 = |class: usize| {
            let labels: usize = self.0[class].iter().sum();
            let said: usize = self.0.iter().map(|row| row[class]).sum();
            2.0 * self.0[class][class] as f64 / (labels + said).max(1) as f64
        };
        (0..4).map(f1).sum::<f64>() / 4.0
    }
}

/// The sentiment towards the labelled mentions that are found, beside the plain answer: to every mention the
/// sentiment of its sentence.
#[test]
fn sentiment_towards_mentions() {
    let gold = gold();
    let texts: Vec<Arc<str>> = gold.iter().map(|(text, _)| text.as_str().into()).collect();
    let compute = Compute::cpu(2);
    let answers: Vec<Targeted> = targeted()
        .run(&compute, &texts)
        .into_iter()
        .map(|answer| answer.expect("an answer"))
        .collect();
    let store = Store::open(StoreOptions::default()).expect("store");
    let context = LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    };
    let judge = SentimentTask::english(SharedClassifier::new(None));
    let judge = judge.load(&context).expect("weights");
    let readings = readings(&texts);
    // Least accuracy and macro F1 of all mentions, and of those that are not the writer or the reader.
    let floors = [[0.79, 0.585, 0.768, 0.573], [0.827, 0.609, 0.805, 0.6]];
    for (half, name) in ["even", "odd"].into_iter().enumerate() {
        let mut ours = Confusion::default();
        let mut others = Confusion::default();
        let mut plain = Confusion::default();
        for at in (half..gold.len()).step_by(2) {
            let (text, mentions) = &gold[at];
            let sentences: Vec<Arc<str>> = readings[at]
                .sentences
                .iter()
                .map(|sentence| sentence.of(text).into())
                .collect();
            let judged = judge.run(&compute, &sentences);
            for want in mentions {
                let said = answers[at]
                    .iter()
                    .flat_map(|group| &group.mentions)
                    .find(|said| (said.extent.begin, said.extent.end) == (want.begin, want.end));
                let Some(said) = said else { continue };
                ours.add(want.sentiment, said.sentiment());
                if want.group.chars().all(char::is_lowercase) {
                    others.add(want.sentiment, said.sentiment());
                }
                let sentence = readings[at]
                    .sentences
                    .iter()
                    .position(|sentence| sentence.end >= want.end)
                    .expect("a sentence");
                let parts = judged[sentence].as_ref().expect("an answer");
                plain.add(want.sentiment, likeliest(&parts.whole()));
            }
        }
        let figures = [
            ours.accuracy(),
            ours.macro_f1(),
            others.accuracy(),
            others.macro_f1(),
        ];
        println!("{name}: accuracy, macro F1, without I and you: {figures:.3?}");
        let (accuracy, f1) = (plain.accuracy(), plain.macro_f1());
        println!("{name}: the sentence's sentiment: {accuracy:.3} {f1:.3}");
        println!("{name}: {:?}", ours.0);
        for (figure, least) in figures.iter().zip(floors[half]) {
            assert!(*figure >= least, "{name}: {figures:.3?} {floors:?}");
        }
        assert!(ours.accuracy() > accuracy + 0.2 && ours.macro_f1() > f1 + 0.15);
    }
}

#[test]
fn a_text_is_judged_alone_as_among_others() {
    let texts: Vec<Arc<str>> = [
        "The soup was great but the waiter ignored us.",
        "",
        "I prefer the old menu to the new one. It had character!",
        "\u{200b} 👋 ...",
    ]
    .map(Arc::from)
    .to_vec();
    let pipeline = targeted();
    let compute = Compute::cpu(2);
    let together = pipeline.run(&compute, &texts);
    for (text, among) in texts.iter().zip(together) {
        let among = among.expect("an answer");
        let alone = pipeline.run(&compute, std::slice::from_ref(text)).pop();
        let alone = alone.expect("one").expect("an answer");
        assert_eq!(alone.len(), among.len(), "{text}");
        for (one, other) in alone.iter().zip(&among) {
            assert_eq!(one.descriptive, other.descriptive);
            for (one, other) in one.mentions.iter().zip(&other.mentions) {
                assert_eq!((one.extent, one.kind), (other.extent, other.kind));
                // The order of additions differs with the length of the batch.
                for (one, other) in one.scores.iter().zip(other.scores) {
                    assert!((one - other).abs() < 1e-4, "{text}: {one} {other}");
                }
            }
        }
    }
}
