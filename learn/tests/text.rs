//! blazingtext against fastText's classifier, of `golden/text.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use escala_learn::text::blazing::{BlazingText, Classifier};
use escala_learn::text::formats::{self, Form};
use escala_learn::text::{LABEL, Line};
use escala_learn::{Error, Parameters, Result, TextAlgorithm, TextModel, Texts};
use support::{Looker, golden};

/// The reviews, and every fourth of them held out.
fn reviews() -> (Vec<Line>, Vec<Line>) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/texts/reviews.txt"
    );
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut lines = Vec::new();
    formats::read(file, Form::Labelled, path, &mut lines).unwrap();
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (at, line) in lines.into_iter().enumerate() {
        match at % 4 {
            3 => test.push(line),
            _ => train.push(line),
        }
    }
    (train, test)
}

fn parameters(given: &[(&str, &str)]) -> Parameters {
    let given = given.iter().copied().chain([("mode", "supervised")]);
    Parameters::read(BlazingText.parameters(), given).unwrap()
}

fn run(given: &[(&str, &str)], texts: &Texts, looker: &mut Looker) -> Result<Classifier> {
    BlazingText.fit(&parameters(given), texts, looker)
}

/// Small and quick.
const QUICK: [(&str, &str); 4] = [
    ("learning_rate", "0.5"),
    ("vector_dim", "10"),
    ("min_count", "2"),
    ("epochs", "4"),
];

fn quick() -> Texts {
    let (mut train, validation) = reviews();
    train.truncate(600);
    Texts {
        train,
        validation: Some(validation),
    }
}

/// As accurate as the reference, whose runs differ by half a point: within a point and a half of it on the mean of five seeds.
#[test]
fn reviews_are_classified_as_well_as_by_the_reference() {
    let (train, test) = reviews();
    let texts = Texts {
        train,
        validation: Some(test),
    };
    for case in golden("text")["accuracy"].as_array().unwrap() {
        let settings = case["settings"].as_object().unwrap();
        let settings: Vec<(&str, String)> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_string()))
            .collect();
        let mut mean = 0.0;
        for seed in ["0", "1", "2", "3", "4"] {
            let mut given: Vec<(&str, &str)> = settings
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            given.push(("seed", seed));
            let mut looker = Looker::default();
            run(&given, &texts, &mut looker).unwrap();
            mean += looker.last("validation:accuracy") / 5.0;
            assert!(looker.last("train:accuracy") > 0.9);
        }
        let theirs = case["mean"].as_f64().unwrap();
        println!("{settings:?}: {mean:.4}, the reference {theirs:.4}");
        assert!(
            (mean - theirs).abs() < 0.015,
            "{settings:?}: {mean} {theirs}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_model_with_any_number_of_threads_and_after_a_kill() {
    let texts = quick();
    let early = [("early_stopping", "true")];
    let given = [&QUICK[..], &early].concat();
    let mut looker = Looker::default();
    let one = run(&given, &texts, &mut looker).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(5).build();
    let many = pool
        .unwrap()
        .install(|| run(&given, &texts, &mut Looker::default()));
    assert!(one == many.unwrap());
    let seed = [&given[..], &[("seed", "1")]].concat();
    let other = run(&seed, &texts, &mut Looker::default()).unwrap();
    assert!(one != other);
    assert_eq!(looker.checkpoints.len(), 4);
    for checkpoint in looker.checkpoints {
        let mut goes_on = Looker {
            from: Some(checkpoint),
            ..Looker::default()
        };
        let again = run(&given, &texts, &mut goes_on).unwrap();
        assert!(one == again, "{:?}", goes_on.log);
        assert!(goes_on.log.iter().any(|line| line.contains("goes on")));
    }
    // Of another vocabulary, and none at all.
    let mut shorter = texts.clone();
    shorter.train.truncate(500);
    let first = run(&given, &shorter, &mut Looker::default()).unwrap();
    for from in [looker_of(&given, &texts).from, Some(b"nothing".to_vec())] {
        let mut anew = Looker {
            from,
            ..Looker::default()
        };
        let again = run(&given, &shorter, &mut anew).unwrap();
        assert!(again == first);
        assert!(anew.log.iter().any(|line| line.contains("begins anew")));
    }
}

/// Who has the last checkpoint of a run.
fn looker_of(given: &[(&str, &str)], texts: &Texts) -> Looker {
    let mut looker = Looker::default();
    run(given, texts, &mut looker).unwrap();
    Looker {
        from: looker.checkpoints.pop(),
        ..Looker::default()
    }
}

#[test]
fn early_stopping_keeps_the_best_epoch() {
    let texts = quick();
    let given = [
        &QUICK[..3],
        &[
            ("epochs", "200"),
            ("early_stopping", "true"),
            ("patience", "2"),
            ("min_epochs", "3"),
        ],
    ]
    .concat();
    let mut looker = Looker::default();
    let model = run(&given, &texts, &mut looker).unwrap();
    let seen: Vec<f64> = looker
        .metrics
        .iter()
        .filter(|one| one.0 == "validation:accuracy")
        .map(|one| one.1)
        .collect();
    assert!((3..200).contains(&seen.len()), "{seen:?}");
    let best = seen.iter().copied().fold(0.0, f64::max);
    let first = seen.iter().position(|one| *one == best).unwrap();
    // The first of the best is number `first + 1`, and two come behind it.
    assert_eq!(seen.len(), (first + 3).max(3), "{seen:?}");
    // The model that is kept is that of the best epoch.
    let validation = texts.validation.unwrap();
    let right = validation.iter().filter(|line| {
        let said = model.classify(&line.text, 1);
        line.labels.iter().any(|label| label == said[0].0)
    });
    let accuracy = right.count() as f64 / validation.len() as f64;
    assert_eq!(accuracy, best);
}

#[test]
fn a_run_that_is_stopped_keeps_what_it_learned() {
    let texts = quick();
    let mut looker = Looker {
        patience: Some(2),
        ..Looker::default()
    };
    let model = run(&QUICK, &texts, &mut looker).unwrap();
    assert!(
        looker
            .log
            .iter()
            .any(|line| line.contains("stopped in epoch 3")),
        "{:?}",
        looker.log
    );
    let said = model.classify("great product , works well", 2);
    assert!(said[0].1 > 0.5 && (said[0].1 + said[1].1 - 1.0).abs() < 1e-6);
}

#[test]
fn several_labels_of_a_line_share_it() {
    let line = |labels: &[&str], text: &str| Line {
        labels: labels
            .iter()
            .map(|label| format!("{LABEL}{label}"))
            .collect(),
        text: text.to_owned(),
    };
    let lines = [
        line(&["a", "b"], "red blue"),
        line(&["c"], "green"),
        line(&[], "is passed over"),
    ];
    let texts = Texts {
        train: lines.iter().cycle().take(300).cloned().collect(),
        validation: Some(vec![line(&["b", "a"], "red blue"), line(&["d"], "green")]),
    };
    let mut looker = Looker::default();
    let given = [
        ("vector_dim", "8"),
        ("epochs", "20"),
        ("learning_rate", "0.5"),
    ];
    // A label that was never learned is none, and its line is passed over.
    let model = run(&given, &texts, &mut looker).unwrap();
    assert_eq!(looker.last("validation:accuracy"), 1.0);
    let said = model.classify("red blue", 3);
    assert!(said.iter().all(|(label, share)| match *label {
        "__label__c" => *share < 0.1,
        _ => (share - 0.5).abs() < 0.1,
    }));
    assert_eq!(model.classify("red", 9).len(), 3);
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let texts = quick();
    let refused = |given: &[(&str, &str)], texts: &Texts| {
        let error = run(given, texts, &mut Looker::default()).unwrap_err();
        assert!(
            matches!(error, Error::Input(_) | Error::Diverged(_)),
            "{error}"
        );
        error.to_string()
    };
    let none = Texts {
        validation: None,
        ..texts.clone()
    };
    let said = refused(&[("early_stopping", "true")], &none);
    assert!(said.contains("no channel validation"), "{said}");
    let unlabelled = Texts {
        train: vec![Line::default()],
        validation: None,
    };
    let said = refused(&[], &unlabelled);
    assert!(
        said.contains("channel train has no line with a label"),
        "{said}"
    );
    let said = refused(&[("vector_dim", "1048576")], &texts);
    assert!(
        said.contains("vector_dim or buckets must be less"),
        "{said}"
    );
    let said = refused(&[("learning_rate", "1e30")], &texts);
    assert!(said.contains("learning_rate must be less"), "{said}");
    for mode in ["skipgram", "cbow", "batch_skipgram"] {
        let given = Parameters::read(BlazingText.parameters(), [("mode", mode)]).unwrap();
        let error = BlazingText.fit(&given, &texts, &mut Looker::default());
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(mode) && error.contains("supervised"),
            "{error}"
        );
    }
}
