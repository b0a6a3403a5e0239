//! Networks that continue texts, against Hugging Face transformers (`tests/golden/continued.json`, made by
//! `make_continued.py`).

use escala_models::Compute;
use escala_models::causal::{Batch, Choice, Chosen, Continuer, Continuing, Ended, Together, Told};
use escala_weights::format::safetensors::{Contents, Tensor, write};
use escala_weights::{Tensors, parts};
use half::bf16;
use safetensors::Dtype;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "../../tests/common/checkpoints.rs"]
mod checkpoints;

use checkpoints::continued;

fn number(parameters: &serde_json::Map<String, serde_json::Value>, name: &str) -> Option<f32> {
    Some(parameters.get(name)?.as_f64()? as f32)
}

/// Everything that follows, without an end.
fn all(_: Chosen) -> ControlFlow<()> {
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

/// Texts of different lengths, and how they are continued.
fn wishes() -> Vec<(Vec<u32>, Continuing)> {
    let wish = |number: u32| {
        let length = [1, 40, 3, 60, 17, 33, 2, 50][number as usize % 8];
        let tokens = (0..length).map(|n| (n * 31 + number * 7 + 3) % 290);
        let how = Continuing {
            most: 5 + number as usize * 3 % 31,
            choice: Choice {
                sample: number.is_multiple_of(3),
                seed: u64::from(number),
                ..Choice::default()
            },
            ends: vec![u32::MAX],
        };
        (tokens.collect(), how)
    };
    (0..12).map(wish).collect()
}

/// Each text's tokens are the same to the bit, alone and beside others that come and go.
#[test]
fn texts_side_by_side_do_not_know_of_each_other() {
    let compute = Compute::cpu(2);
    for made in &continued().checkpoints {
        let (name, folder) = (&made.checkpoint.name, made.checkpoint.folder());
        let network = Continuer::load(folder.path()).expect("a network");
        let alone = wishes().into_iter().map(|(tokens, how)| {
            let (chosen, _) = network.follow(&compute, &tokens, &how, all).expect(name);
            assert_eq!(chosen.len(), how.most);
            chosen
        });
        let alone: Vec<_> = alone.collect();
        let mut batch = Batch::default();
        let mut coming = wishes().into_iter();
        let mut found: HashMap<u64, (Vec<Chosen>, Option<Ended>)> = HashMap::new();
        let mut most = 0;
        loop {
            // Two at first, then one more with each step.
            let come = if found.is_empty() { 2 } else { 1 };
            for (tokens, how) in coming.by_ref().take(come) {
                let number = batch.add(&network, tokens, how).expect(name);
                assert!(found.insert(number, (Vec::new(), None)).is_none());
            }
            if batch.is_empty() {
                break;
            }
            most = most.max(batch.len());
            for step in batch.step(&network, &compute).expect(name) {
                let (next, ended) = step.next.expect(name);
                let text = found.get_mut(&step.text).expect("a text that was added");
                assert!(text.1.is_none(), "{name}: it went on after its end");
                text.0.push(next);
                text.1 = ended;
            }
        }
        assert!(most > 5, "{most} were side by side");
        for (number, alone) in (1..).zip(&alone) {
            let (chosen, ended) = &found[&number];
            assert_eq!(*ended, Some(Ended::Length), "{name}");
            assert_eq!(chosen, alone, "{name}: text {number}");
        }
    }
}

#[test]
fn callers_share_a_network() {
    let made = &continued().checkpoints[0];
    let folder = made.checkpoint.folder();
    let network = Continuer::load(folder.path()).expect("a network");
    let compute = Compute::cpu(1);
    let alone: Vec<_> = wishes()
        .iter()
        .map(|(tokens, how)| {
            let followed = network.follow(&compute, tokens, how, all);
            followed.expect("tokens").0
        })
        .collect();
    let together = Together::new(network, Compute::cpu(2)).expect("a thread");
    let never = || false;
    let hear = |coming: &std::sync::mpsc::Receiver<Told>| match coming.recv() {
        Ok(Told::Next(chosen, ended)) => (chosen, ended),
        other => panic!("{other:?}"),
    };
    std::thread::scope(|scope| {
        for ((tokens, how), alone) in wishes().into_iter().zip(&alone) {
            let together = &together;
            scope.spawn(move || {
                let coming = together.begin(tokens.into(), how, never);
                for (at, one) in alone.iter().enumerate() {
                    let last = (at + 1 == alone.len()).then_some(Ended::Length);
                    assert_eq!(hear(&coming), (*one, last));
                }
                assert!(coming.recv().is_err(), "more came after the end");
            });
        }
    });

    // Nobody waits for the second any more, the third is not heard, the fourth is no text: the first goes on.
    let (tokens, how) = wishes().remove(3);
    let tokens: Arc<[u32]> = tokens.into();
    let long = Continuing { most: 30, ..how };
    let asked = AtomicUsize::new(0);
    let gone = move || asked.fetch_add(1, Ordering::Relaxed) > 4;
    let first = together.begin(tokens.clone(), long.clone(), never);
    let second = together.begin(tokens.clone(), long.clone(), gone);
    drop(together.begin(tokens.clone(), long.clone(), never));
    let fourth = together.begin([1, 400].into(), long.clone(), never);
    let heard = std::iter::from_fn(|| second.recv().ok()).count();
    assert!((1..=5).contains(&heard), "{heard} tokens, asked five times");
    match fourth.recv() {
        Ok(Told::Failed(error)) => assert!(error.to_string().contains("token id 400")),
        other => panic!("{other:?}"),
    }
    assert!(fourth.recv().is_err());
    let followed = std::iter::from_fn(|| first.recv().ok()).count();
    assert_eq!(followed, 30);
}

/// Writes what is in a folder's weights anew, by `file` into files.
fn again(folder: &Path, numbers: impl Fn(f32) -> f32, dtype: Dtype, file: impl Fn(usize) -> usize) {
    let path = folder.join("model.safetensors");
    let tensors = Tensors::open(&path).expect("weights");
    let mut files: HashMap<usize, Contents> = HashMap::new();
    let mut places = serde_json::Map::new();
    for (place, name) in tensors.names().into_iter().enumerate() {
        let (shape, values) = tensors.f32(&name).expect("numbers");
        let values: Vec<f32> = values.iter().map(|value| numbers(*value)).collect();
        let tensor = match dtype {
            Dtype::BF16 => Tensor {
                dtype,
                shape,
                data: values
                    .iter()
                    .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
                    .collect(),
            },
            _ => Tensor::f32(&shape, &values),
        };
        places.insert(
            name.clone(),
            format!("part-{}.safetensors", file(place)).into(),
        );
        let contents = files.entry(file(place)).or_default();
        contents.tensors.insert(name, tensor);
    }
    drop(tensors);
    std::fs::remove_file(&path).expect("a file");
    if let ([contents], true) = (&*files.values().collect::<Vec<_>>(), files.len() == 1) {
        let mut bytes = Vec::new();
        write(contents, &mut bytes).expect("tensors");
        return std::fs::write(path, bytes).expect("a file");
    }
    for (number, contents) in &files {
        let mut bytes = Vec::new();
        write(contents, &mut bytes).expect("tensors");
        let path = folder.join(format!("part-{number}.safetensors"));
        std::fs::write(path, bytes).expect("a file");
    }
    let list = serde_json::json!({"metadata": {}, "weight_map": places});
    std::fs::write(folder.join(parts::FILE), list.to_string()).expect("a file");
}

/// Weights that are brain floats take half the memory, and say the same as when they were written with twice the bits; in
/// several files, too.
#[test]
fn brain_floats_stay_what_they_are() {
    let compute = Compute::cpu(2);
    let tokens: Vec<u32> = (0..40).map(|n| (n * 37 + 5) % 290).collect();
    let mut tried = 0;
    for made in &continued().checkpoints {
        if made.checkpoint.half {
            continue;
        }
        tried += 1;
        let name = &made.checkpoint.name;
        let load = |change: &dyn Fn(&Path)| {
            let folder = made.checkpoint.folder();
            change(folder.path());
            let network = Continuer::load(folder.path()).expect(name);
            let scores = network.scores(&compute, &tokens).expect(name);
            (network.memory(), scores)
        };
        let rounded = |value: f32| bf16::from_f32(value).to_f32();
        let (full, exact) = load(&|_| ());
        let (wide, scores) = load(&|folder| again(folder, rounded, Dtype::F32, |_| 0));
        let (short, same) = load(&|folder| again(folder, rounded, Dtype::BF16, |_| 0));
        let (parts, too) = load(&|folder| again(folder, rounded, Dtype::BF16, |place| place % 3));
        assert_eq!(scores, same, "{name}");
        assert_eq!(scores, too, "{name}");
        assert_ne!(scores, exact, "{name}");
        assert_eq!(short, parts, "{name}");
        // The table of words stays as wide as it was written.
        assert!(short < wide && wide < full, "{name}: {short} {wide} {full}");
        assert!(short * 10 < full * 9, "{name}: {short} of {full}");
    }
    assert!(tried > 3);
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
