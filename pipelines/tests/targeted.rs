//! Targeted sentiment on hand-labelled texts: `tests/data/sentiment/targets.tsv`, written before the rules were.

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::syntax::{Syntax, SyntaxTask};
use escala_pipelines::targeted::{Plan, Sentiment, TargetType};
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
        assert!(
            Sentiment::ALL.iter().any(|known| known.name() == sentiment),
            "{line}"
        );
        assert!(
            TargetType::ALL.iter().any(|known| known.name() == kind),
            "{line}"
        );
        mentions.push(Gold {
            begin,
            end,
            kind: kind.to_owned(),
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
            device: &Device::Cpu,
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

/// Texts at even places were looked at while the rules were tuned, those at odd places were not. The bounds are
/// two hundredths below what was measured.
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
