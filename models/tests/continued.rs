//! Networks that continue texts, against Hugging Face transformers (`tests/golden/continued.json`, made by
//! `make_continued.py`).

use escala_models::Compute;
use escala_models::causal::{Choice, Continuer, Continuing, Ended};
use std::ops::ControlFlow;

#[path = "../../tests/common/checkpoints.rs"]
mod checkpoints;

use checkpoints::continued;

fn number(parameters: &serde_json::Map<String, serde_json::Value>, name: &str) -> Option<f32> {
    Some(parameters.get(name)?.as_f64()? as f32)
}

/// Everything that follows, without an end.
fn all(_: escala_models::causal::Chosen) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn scores_of_what_follows_are_transformers() {
    for made in &continued().checkpoints {
        let (name, folder) = (&made.checkpoint.name, made.checkpoint.folder());
        let network = Continuer::load(folder.path()).expect("a network");
        let ids = network.tokens(&made.scored.prompt, true).expect("tokens");
        assert_eq!(ids, made.scored.ids, "{name}");
        for threads in [1, 3] {
            let scores = network
                .scores(&Compute::cpu(threads), &ids)
                .expect("scores");
            assert_eq!(scores.len(), made.scored.scores.len(), "{name}");
            for (got, want) in scores.iter().zip(&made.scored.scores) {
                // They have five decimals.
                assert!((got - want).abs() < 3e-5, "{name}: {got}, not {want}");
            }
        }
    }
}

#[test]
fn texts_are_continued_as_by_transformers() {
    let compute = Compute::cpu(2);
    let mut ended = 0;
    assert_eq!(continued().checkpoints.len(), 7);
    for made in &continued().checkpoints {
        let (name, folder) = (&made.checkpoint.name, made.checkpoint.folder());
        let network = Continuer::load(folder.path()).expect("a network");
        for text in &made.continued {
            let parameters = &text.parameters;
            let tokens = network.tokens(&text.prompt, true).expect("tokens");
            let whole = |name: &str| number(parameters, name).map(|number| number as usize);
            let how = Continuing {
                most: whole("max_new_tokens")
                    .or(whole("max_length").map(|all| all - tokens.len()))
                    .expect("a length"),
                choice: Choice {
                    repetition_penalty: number(parameters, "repetition_penalty").unwrap_or(1.0),
                    ..Choice::default()
                },
                ends: parameters.get("eos_token_id").map_or(Vec::new(), |ids| {
                    serde_json::from_value(ids.clone()).expect("numbers")
                }),
            };
            let (chosen, why) = network
                .follow(&compute, &tokens, &how, all)
                .expect("tokens");
            ended += usize::from(why == Ended::Token);
            let both: Vec<u32> = tokens
                .iter()
                .copied()
                .chain(chosen.iter().map(|next| next.token))
                .collect();
            let before = network.text(&tokens).expect("a text").chars().count();
            let said: String = network
                .text(&both)
                .expect("a text")
                .chars()
                .skip(before)
                .collect();
            let full = parameters.get("return_full_text") != Some(&serde_json::Value::Bool(false));
            let said = if full {
                format!("{}{said}", text.prompt)
            } else {
                said
            };
            assert_eq!(said, text.text, "{name}: {}", text.prompt);
        }
    }
    assert!(ended > 0, "no text ended by itself");
}

#[test]
fn what_sampling_leaves_is_what_transformers_leaves() {
    let made = &continued().checkpoints[0];
    assert!(made.drawn.len() > 5);
    for drawn in &made.drawn {
        let of = |name: &str| number(&drawn.settings, name);
        let choice = Choice {
            sample: true,
            temperature: of("temperature").unwrap_or(1.0),
            top_k: of("top_k").unwrap_or(0.0) as usize,
            top_p: of("top_p").unwrap_or(1.0),
            min_p: of("min_p").unwrap_or(0.0),
            repetition_penalty: of("repetition_penalty").unwrap_or(1.0),
            seed: 1,
        };
        let mut shares = vec![0.0; drawn.shares.len()];
        for (token, share) in choice.shares(&mut made.scored.scores.clone(), &made.scored.ids) {
            shares[token as usize] = share;
        }
        for (token, (got, want)) in shares.iter().zip(&drawn.shares).enumerate() {
            assert!(
                (got - want).abs() < 2e-5,
                "{:?}: token {token}: {got}, not {want}",
                drawn.settings
            );
        }
    }
}

/// A text that is read at once, in chunks, and token by token is the same text.
#[test]
fn what_is_kept_is_what_was_read() {
    for made in &continued().checkpoints {
        let (name, folder) = (&made.checkpoint.name, made.checkpoint.folder());
        let network = Continuer::load(folder.path()).expect("a network");
        let compute = Compute::cpu(2);
        let tokens: Vec<u32> = (0..60).map(|n| (n * 37 + 5) % 290).collect();
        let how = |most: usize| Continuing {
            most,
            // None of them ends a text.
            ends: vec![u32::MAX],
            ..Continuing::default()
        };
        let (chosen, _) = network
            .follow(&compute, &tokens, &how(30), all)
            .expect("tokens");
        let mut longer = tokens.clone();
        longer.extend(chosen[..20].iter().map(|next| next.token));
        let (again, why) = network
            .follow(&compute, &longer, &how(10), all)
            .expect("tokens");
        assert_eq!(why, Ended::Length);
        for (one, other) in chosen[20..].iter().zip(&again) {
            assert_eq!(one.token, other.token, "{name}");
            assert!((one.logarithm - other.logarithm).abs() < 1e-4, "{name}");
        }
        let mut seen = 0;
        let (few, why) = network
            .follow(&compute, &tokens, &how(30), |_| {
                seen += 1;
                if seen == 3 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .expect("tokens");
        assert_eq!((few.len(), why), (3, Ended::Watcher), "{name}");
        assert_eq!(few[..], chosen[..3], "{name}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = continued().checkpoints[1].checkpoint.folder();
    let network = Continuer::load(folder.path()).expect("a network");
    let compute = Compute::cpu(1);
    let said = |tokens: &[u32], most: usize| {
        let how = Continuing {
            most,
            ..Continuing::default()
        };
        let followed = network.follow(&compute, tokens, &how, all);
        followed.expect_err("an error").to_string()
    };
    assert!(said(&[1, 2], 95).contains("97 tokens, the network has 96 positions"));
    assert!(said(&[1, 2], usize::MAX).contains("96 positions"));
    assert!(said(&[], 3).contains("0 tokens"));
    assert!(said(&[7, 300], 3).contains("token id 300 of 300"));
    std::fs::remove_file(folder.path().join("tokenizer.json")).expect("a file");
    assert!(Continuer::load(folder.path()).is_err());
}
