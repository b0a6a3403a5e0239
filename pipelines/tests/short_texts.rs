//! The language of texts of a few words, labelled by hand in `tests/data/language/short.tsv` before the rules were written.
//!
//! ```text
//! cargo test --release -p escala-pipelines --test short_texts -- --nocapture
//! ```

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::language::{LanguagePipeline, LanguageTask, Languages};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};

fn pipeline() -> LanguagePipeline {
    let store = Store::open(StoreOptions::default()).expect("store");
    let context = LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    };
    LanguageTask.load(&context).expect("weights")
}

fn languages(texts: &[String]) -> Vec<Languages> {
    let answers = pipeline().run(&Compute::cpu(2), texts).into_iter();
    answers.map(|answer| answer.expect("an answer")).collect()
}

/// Language and text.
fn labelled() -> Vec<(String, String)> {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/language/short.tsv"
    );
    let file = std::fs::read_to_string(file).expect("labelled set");
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| line.split_once('\t').expect("language, tab, text"));
    rows.map(|(language, text)| (language.to_owned(), text.to_owned()))
        .collect()
}

/// Least share of texts in English and in other languages whose language is told first, and most languages told of a
/// text.
const FLOORS: (f64, f64, f64) = (0.98, 0.94, 4.0);

#[test]
fn texts_of_a_few_words_are_in_their_language() {
    let rows = labelled();
    assert!(rows.len() >= 60);
    let texts: Vec<String> = rows.iter().map(|(_, text)| text.clone()).collect();
    let mut right = [0.0, 0.0];
    let mut count = [0.0, 0.0];
    let mut told = 0;
    for ((language, text), answer) in rows.iter().zip(languages(&texts)) {
        let group = usize::from(language != "en");
        count[group] += 1.0;
        told += answer.len();
        assert!(answer.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let sum: f32 = answer.iter().map(|language| language.score).sum();
        assert!(sum <= 1.01, "{text}: {sum}");
        match answer[0].code == *language {
            true => right[group] += 1.0,
            false => println!("{text} ({language}): {answer:?}"),
        }
    }
    let (english, others) = (right[0] / count[0], right[1] / count[1]);
    let mean = told as f64 / rows.len() as f64;
    println!(
        "| English {} | {english:.3} | others {} | {others:.3} | {mean:.1} languages |",
        count[0], count[1]
    );
    assert!(english >= FLOORS.0 && others >= FLOORS.1 && mean <= FLOORS.2);
}

#[test]
fn signs_and_figures_have_one_language() {
    let texts = ["12345", "😀😀", "", "...", "5/5"].map(str::to_owned);
    for (text, answer) in texts.iter().zip(languages(&texts)) {
        assert_eq!(answer.len(), 1, "{text}: {answer:?}");
    }
}
