//! Training a small random BERT: gradients against PyTorch, learning, resuming, and adapters on disk.

use candle_core::Device;
use escala_models::Compute;
use escala_models::bert::{AdaptedClassifier, Config, SentenceEncoder};
use escala_models::team::Team;
use escala_models::train::Rule;
use escala_models::train::adapter::{self, Adapter, AdapterConfig};
use escala_models::train::checkpoint::Checkpoint;
use escala_models::train::classifier::{
    Ended, Example, Improvement, Observer, Progress, Schedule, Settings, Steps, Trainer, softmax,
};
use escala_models::train::encoder::Method;
use escala_models::train::metrics::Metrics;
use escala_weights::Tensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;
use std::sync::Arc;

const LORA: Method = Method::Lora {
    rank: 4,
    alpha: 8.0,
};

/// The network that `tests/golden/train.py` builds: hidden 32, two layers, four heads.
fn config() -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.json");
    std::fs::write(&path, CONFIG).expect("written");
    Config::open(&path).expect("a configuration")
}

const CONFIG: &str = r#"{
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 40, "vocab_size": 50, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "hidden_act": "gelu"
}"#;

/// The weight at `index` of the tensor `name`: FNV-1a of the name and the index, as `train.py` computes it.
fn weight(name: &str, index: usize) -> f32 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in name.bytes().chain((index as u32).to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let unit = ((hash >> 32) as f64 / f64::from(u32::MAX) - 0.5) as f32;
    if name.ends_with("LayerNorm.weight") {
        1.0 + unit * 0.2
    } else {
        unit * 0.4
    }
}

/// Writes the network to a file and opens it.
fn network(folder: &Path) -> Arc<Tensors> {
    let c = config();
    let (h, i) = (c.hidden_size, c.intermediate_size);
    let mut shapes = vec![
        (
            "embeddings.word_embeddings.weight".to_owned(),
            vec![c.vocab_size, h],
        ),
        (
            "embeddings.position_embeddings.weight".to_owned(),
            vec![c.max_position_embeddings, h],
        ),
        (
            "embeddings.token_type_embeddings.weight".to_owned(),
            vec![2, h],
        ),
        ("embeddings.LayerNorm.weight".to_owned(), vec![h]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![h]),
    ];
    for layer in 0..c.num_hidden_layers {
        let mut add = |name: &str, weight: Vec<usize>| {
            let name = format!("encoder.layer.{layer}.{name}");
            shapes.push((format!("{name}.bias"), vec![weight[0]]));
            shapes.push((format!("{name}.weight"), weight));
        };
        for name in ["query", "key", "value"] {
            add(&format!("attention.self.{name}"), vec![h, h]);
        }
        add("attention.output.dense", vec![h, h]);
        add("attention.output.LayerNorm", vec![h]);
        add("intermediate.dense", vec![i, h]);
        add("output.dense", vec![h, i]);
        add("output.LayerNorm", vec![h]);
    }
    let values: Vec<Vec<u8>> = shapes
        .iter()
        .map(|(name, shape)| {
            (0..shape.iter().product())
                .flat_map(|index| weight(name, index).to_le_bytes())
                .collect()
        })
        .collect();
    let views = shapes.iter().zip(&values).map(|((name, shape), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor");
        (name.as_str(), view)
    });
    let path = folder.join("model.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).expect("bytes")).expect("written");
    Arc::new(Tensors::open(path).expect("readable"))
}

fn trainer(tensors: &Arc<Tensors>, method: Method, settings: Settings) -> Trainer {
    let team = Arc::new(Team::new(2));
    Trainer::new(
        config(),
        tensors.clone(),
        3,
        method,
        settings,
        &Device::Cpu,
        team,
    )
    .expect("a trainer")
}

/// A task that can be learned: which of three words occurs among words that say nothing.
fn examples(count: usize, seed: usize) -> Vec<Example> {
    (0..count)
        .map(|index| {
            let label = (index * 7 + seed) % 3;
            let mut ids: Vec<u32> = (0..4 + index % 9)
                .map(|at| {
                    let filler = weight("filler", seed * 1_000_000 + index * 100 + at) + 0.2;
                    10 + (filler * 99.9) as u32 % 40
                })
                .collect();
            let place = index % ids.len();
            ids[place] = 2 + label as u32;
            let mut target = vec![0.0; 3];
            target[label] = 1.0;
            Example { ids, target }
        })
        .collect()
}

/// Stops a run after some steps.
struct Watch {
    stop_after: u64,
    losses: Vec<f64>,
    rates: Vec<f64>,
    evaluations: Vec<Metrics>,
}

impl Watch {
    fn until(stop_after: u64) -> Self {
        Self {
            stop_after,
            losses: Vec::new(),
            rates: Vec::new(),
            evaluations: Vec::new(),
        }
    }
}

impl Observer for Watch {
    fn step(&mut self, progress: Progress) -> bool {
        self.losses.push(progress.loss);
        self.rates.push(progress.rate);
        progress.step == self.stop_after
    }

    fn evaluated(&mut self, _: Progress, metrics: &Metrics, _: bool) {
        self.evaluations.push(metrics.clone());
    }
}

fn settings() -> Settings {
    Settings {
        epochs: 6,
        batch: 8,
        rate: 5e-3,
        head_rate: 2e-2,
        patience: 0,
        ..Settings::default()
    }
}

#[test]
fn full_fine_tuning_learns_what_can_be_learned_and_keeps_the_best() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let mut trainer = trainer(&tensors, Method::Full, settings());
    let (train, dev) = (examples(400, 0), examples(60, 1));
    let before = trainer.evaluate(&dev).expect("figures");
    let mut watch = Watch::until(0);
    let ended = trainer
        .train(&train, &dev, None, &mut watch)
        .expect("trained");
    assert_eq!(ended, Ended::Finished);
    let after = trainer.evaluate(&dev).expect("figures");
    assert!(before.accuracy < 0.6, "started at {}", before.accuracy);
    assert!(after.accuracy > 0.95, "ended at {}", after.accuracy);
    // The best values are in place, not the last.
    let losses = watch.evaluations.iter().map(|m| m.loss);
    assert_eq!(after.loss, losses.fold(f64::MAX, f64::min));
}

/// Adapters of rank four on a random network cannot learn much, but some of forty examples by heart.
#[test]
fn adapters_learn_and_the_base_stays_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let settings = Settings {
        epochs: 60,
        rate: 2e-2,
        dropout: 0.0,
        ..settings()
    };
    let mut trainer = trainer(&tensors, LORA, settings);
    let train = examples(40, 0);
    let before = trainer.evaluate(&train).expect("figures");
    trainer
        .train(&train, &[], None, &mut Watch::until(0))
        .expect("trained");
    let after = trainer.evaluate(&train).expect("figures");
    // Chance is a third.
    assert!(after.accuracy > 0.55, "ended at {}", after.accuracy);
    assert!(
        after.loss < 0.8 * before.loss,
        "from {} to {}",
        before.loss,
        after.loss
    );
    let learned = trainer.learned().expect("values");
    assert!(
        learned
            .iter()
            .all(|(name, ..)| name.contains("lora_") || name.starts_with("classifier"))
    );
}

#[test]
fn a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one() {
    let plain = settings();
    let others = Settings {
        rule: Rule::Adadelta {
            rho: 0.95,
            epsilon: 1e-4,
        },
        rate: 1.0,
        schedule: Schedule::Steps(Steps {
            factor: 0.5,
            epochs: vec![2, 3],
        }),
        improvement: Improvement::Accuracy(0.2),
        patience: 3,
        least_epochs: 4,
        head_dropout: Some(0.3),
        head_l2: 1e-3,
        ..settings()
    };
    for settings in [plain, others] {
        resumed(&settings);
    }
}

fn resumed(settings: &Settings) {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let (train, dev) = (examples(100, 0), examples(30, 1));
    let whole = {
        let mut trainer = trainer(&tensors, LORA, settings.clone());
        let mut watch = Watch::until(0);
        trainer
            .train(&train, &dev, None, &mut watch)
            .expect("trained");
        (trainer.learned().expect("values"), watch.losses)
    };
    let path = folder.path().join("checkpoint.safetensors");
    let mut losses = Vec::new();
    for stop in [5, 33, 0] {
        // A new process knows nothing but the file.
        let mut trainer = trainer(&tensors, LORA, settings.clone());
        let mut watch = Watch::until(stop);
        let ended = trainer
            .train(&train, &dev, Some(&path), &mut watch)
            .expect("trained");
        losses.extend(watch.losses);
        assert_eq!(ended == Ended::Interrupted, stop != 0);
        if stop == 0 {
            assert_eq!(trainer.learned().expect("values"), whole.0);
        }
    }
    assert_eq!(losses, whole.1);
}

/// What the settings say of a run shows in it: its length, its rates and where its weights end.
#[test]
fn settings_have_their_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let train = examples(64, 0);
    // Labels of the development set are permuted: the better the training, the worse it gets.
    let mut dev = examples(60, 1);
    dev.iter_mut().for_each(|e| e.target.rotate_left(1));
    let run = |settings: Settings| {
        let mut trainer = trainer(&tensors, Method::Full, settings);
        let mut watch = Watch::until(0);
        let ended = trainer.train(&train, &dev, None, &mut watch);
        let learned = trainer.learned().expect("values");
        (ended.expect("trained"), watch, learned)
    };
    let plain = Settings {
        evaluations: 1,
        warm_up: 0.0,
        dropout: 0.0,
        epochs: 12,
        ..settings()
    };
    let stepped = Settings {
        schedule: Schedule::Steps(Steps {
            factor: 0.1,
            epochs: vec![1, 2],
        }),
        epochs: 3,
        ..plain.clone()
    };
    let (_, watch, _) = run(stepped);
    let rates: Vec<f64> = watch.rates.iter().step_by(8).copied().collect();
    for (rate, wanted) in rates.iter().zip([5e-3, 5e-4, 5e-5]) {
        assert!((rate - wanted).abs() < 1e-12, "{rates:?}");
    }
    assert_eq!(watch.rates[7], rates[0]);
    let patient = Settings {
        patience: 2,
        least_epochs: 9,
        improvement: Improvement::Loss(1.0),
        ..plain.clone()
    };
    let (ended, watch, _) = run(patient);
    assert_eq!((ended, watch.evaluations.len()), (Ended::EarlyStop, 9));
    let square = |learned: &[escala_models::train::classifier::Learned]| -> f32 {
        let head = learned
            .iter()
            .find(|(name, ..)| name == "classifier.weight");
        head.expect("a head").2.iter().map(|w| w * w).sum()
    };
    // The first evaluation is the best and kept, so that what is compared is eight steps.
    let (_, _, free) = run(plain.clone());
    let (_, _, held) = run(Settings {
        head_l2: 10.0,
        ..plain.clone()
    });
    assert!(square(&held) < 0.5 * square(&free));
    let (_, dropped, _) = run(Settings {
        head_dropout: Some(1.0),
        epochs: 1,
        ..plain
    });
    // Nothing reaches the head but its bias, which begins at zero: as good as three equal chances.
    assert!((dropped.losses[0] - 3f64.ln()).abs() < 1e-6);
}

#[test]
fn a_run_begins_with_what_was_learned_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let mut first = trainer(&tensors, LORA, settings());
    first
        .train(&examples(40, 0), &[], None, &mut Watch::until(0))
        .expect("trained");
    let mut second = trainer(&tensors, LORA, settings());
    let learned = first.learned().expect("values");
    assert!(second.learned().expect("values") != learned);
    second.begin_with(&learned).expect("the same parameters");
    assert_eq!(second.learned().expect("values"), learned);
    let (name, shape, values) = learned[0].clone();
    for other in [
        ("no such tensor".to_owned(), shape.clone(), values.clone()),
        (name, vec![1, 2], vec![0.0; 2]),
    ] {
        assert!(second.begin_with(&[other]).is_err());
    }
}

/// SplitMix64 of a seed and an index, as `train/mod.rs` has it.
fn random(seed: u64, index: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0xD129_0A15_87C3_7A6B)
        .wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Files that were written before rules, schedules and figures of improvement were in them are gone on from.
#[test]
fn a_checkpoint_without_what_came_later_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let (train, dev) = (examples(40, 0), examples(10, 1));
    let path = folder.path().join("checkpoint.safetensors");
    // Nobody asks what an improvement is where nothing ends a run early.
    let endless = Settings {
        improvement: Improvement::Accuracy(0.5),
        least_epochs: 3,
        ..settings()
    };
    let mut first = trainer(&tensors, LORA, endless);
    let ended = first.train(&train, &dev, Some(&path), &mut Watch::until(4));
    assert_eq!(ended.expect("stopped"), Ended::Interrupted);
    let told = "Settings { epochs: 6, batch: 8, rate: 0.005, head_rate: 0.02, warm_up: 0.06, weight_decay: 0.01, dropout: 0.1, \
                evaluations: 2, patience: 0, seed: 1 } Lora { rank: 4, alpha: 8.0 } 3";
    let mut hash = random(0, train.len() as u64);
    for byte in told.bytes() {
        hash = random(hash, u64::from(byte));
    }
    for example in train.iter().chain(&dev) {
        for id in &example.ids {
            hash = random(hash, u64::from(*id));
        }
        for target in &example.target {
            hash = random(hash, u64::from(target.to_bits()));
        }
    }
    let bytes = std::fs::read(&path).expect("a checkpoint");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
    let mut metadata = header.metadata().clone().expect("metadata");
    assert_eq!(metadata["fingerprint"], hash.to_string());
    let whole = Checkpoint::read(&path).expect("readable");
    metadata.remove("mark").expect("a mark");
    let all = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    let older = safetensors::serialize(all.iter(), Some(metadata)).expect("bytes");
    std::fs::write(&path, older).expect("written");
    let older = Checkpoint::read(&path).expect("readable");
    assert_eq!(older.mark, whole.best_loss);
    let mark = whole.mark;
    assert_eq!(Checkpoint { mark, ..older }, whole);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let path = folder.path().join("checkpoint.safetensors");
    let (train, dev) = (examples(40, 0), examples(10, 1));
    let mut first = trainer(&tensors, LORA, settings());
    first
        .train(&train, &dev, Some(&path), &mut Watch::until(2))
        .expect("stopped");
    let other = Settings {
        seed: 2,
        ..settings()
    };
    for (settings, train) in [(other, train.clone()), (settings(), examples(40, 2))] {
        let mut second = trainer(&tensors, LORA, settings);
        let refused = second.train(&train, &dev, Some(&path), &mut Watch::until(0));
        let message = refused.expect_err("another run").to_string();
        assert!(message.contains("other data or settings"), "{message}");
    }
    std::fs::write(&path, b"torn").expect("written");
    let mut third = trainer(&tensors, LORA, settings());
    assert!(
        third
            .train(&train, &dev, Some(&path), &mut Watch::until(0))
            .is_err()
    );
}

#[test]
fn training_stops_early_when_the_development_set_does_not_improve() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    // Labels of the development set are permuted: the better the training, the worse it gets.
    let mut dev = examples(60, 1);
    dev.iter_mut().for_each(|e| e.target.rotate_left(1));
    let mut trainer = trainer(
        &tensors,
        LORA,
        Settings {
            epochs: 50,
            patience: 4,
            ..settings()
        },
    );
    let mut watch = Watch::until(0);
    let ended = trainer
        .train(&examples(100, 0), &dev, None, &mut watch)
        .expect("trained");
    assert_eq!(ended, Ended::EarlyStop);
    assert!(
        watch.evaluations.len() < 40,
        "{} evaluations",
        watch.evaluations.len()
    );
}

#[test]
fn impossible_settings_and_examples_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let refused = |settings: Settings, method: Method| {
        let team = Arc::new(Team::new(1));
        Trainer::new(
            config(),
            tensors.clone(),
            3,
            method,
            settings,
            &Device::Cpu,
            team,
        )
        .is_err()
    };
    assert!(refused(
        Settings {
            batch: 0,
            ..settings()
        },
        LORA
    ));
    assert!(refused(
        Settings {
            dropout: 1.0,
            ..settings()
        },
        LORA
    ));
    assert!(refused(
        Settings {
            rate: f64::NAN,
            ..settings()
        },
        LORA
    ));
    assert!(refused(
        settings(),
        Method::Lora {
            rank: 0,
            alpha: 1.0
        }
    ));
    let mut good = trainer(&tensors, LORA, settings());
    assert!(good.train(&[], &[], None, &mut Watch::until(0)).is_err());
    for ids in [vec![], vec![50], vec![3; 41]] {
        let bad = vec![Example {
            ids,
            target: vec![1.0, 0.0, 0.0],
        }];
        assert!(good.train(&bad, &[], None, &mut Watch::until(0)).is_err());
    }
}

/// Loss, and the norm of the gradient through what AdamW makes of it: parameters after three steps are those
/// of PyTorch (`tests/golden/train.json`, written by `train.py` beside it). 2e-4 absolute: Adam divides by the root
/// of the second mean, which turns rounding of tiny gradients into steps of up to the learning rate.
#[test]
fn three_steps_of_full_fine_tuning_are_pytorchs() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/train.json");
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(golden).expect("golden")).expect("json");
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let settings = Settings {
        epochs: 3,
        batch: 16,
        rate: 1e-2,
        head_rate: 1e-2,
        warm_up: 0.0,
        weight_decay: 0.0,
        dropout: 0.0,
        patience: 0,
        ..Settings::default()
    };
    // The head starts with numbers of our own: PyTorch is given them.
    let mut trainer = trainer(&tensors, Method::Full, settings);
    let head = trainer.learned().expect("values");
    let head = &head
        .iter()
        .find(|(name, ..)| name == "classifier.weight")
        .expect("a head")
        .2;
    let want: Vec<f32> = serde_json::from_value(golden["head"].clone()).expect("numbers");
    assert_eq!(head, &want, "run train.py again with this head");
    let train: Vec<Example> = examples(16, 0);
    let mut watch = Watch::until(0);
    trainer
        .train(&train, &[], None, &mut watch)
        .expect("trained");
    let losses: Vec<f64> = serde_json::from_value(golden["losses"].clone()).expect("numbers");
    for (got, want) in watch.losses.iter().zip(&losses) {
        assert!((got - want).abs() < 2e-4, "loss {got} instead of {want}");
    }
    assert_eq!(watch.losses.len(), losses.len());
    let mut compared = 0;
    for (name, _, values) in trainer.learned().expect("values") {
        if let Some(want) = golden["after"].get(&name) {
            compared += 1;
            let want: Vec<f32> = serde_json::from_value(want.clone()).expect("numbers");
            for (got, want) in values.iter().zip(&want) {
                assert!((got - want).abs() < 2e-4, "{name}: {got} instead of {want}");
            }
        }
    }
    let named = golden["after"].as_object().map(serde_json::Map::len);
    assert_eq!(Some(compared), named, "every tensor of the golden file");
}

#[test]
fn a_saved_adapter_merges_into_the_network_that_was_trained() {
    saved_and_loaded(LORA);
}

#[test]
fn a_fully_trained_network_is_loaded_from_its_own_folder() {
    saved_and_loaded(Method::Full);
}

/// Trains a little, saves, loads, and compares the answers of the trained network with the loaded one's.
fn saved_and_loaded(method: Method) {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = network(folder.path());
    let mut trainer = trainer(&tensors, method, settings());
    trainer
        .train(&examples(100, 0), &[], None, &mut Watch::until(0))
        .expect("trained");
    let description = AdapterConfig {
        peft_type: "LORA".to_owned(),
        task_type: "SEQ_CLS".to_owned(),
        base_model_name_or_path: "small".to_owned(),
        r: 4,
        lora_alpha: 8.0,
        target_modules: vec![],
        modules_to_save: vec!["classifier".to_owned()],
        labels: ["a", "b", "c"].map(str::to_owned).to_vec(),
        max_tokens: 40,
        prompt: String::new(),
        temperature: 1.0,
    };
    std::fs::write(folder.path().join("config.json"), CONFIG).expect("written");
    std::fs::write(folder.path().join("tokenizer.json"), TOKENIZER).expect("written");
    let out = folder.path().join("adapter");
    assert!(!Adapter::is_in(&out));
    adapter::save(&trainer, &description, method, folder.path(), &out).expect("saved");
    assert!(Adapter::is_in(&out));
    let read = Adapter::open(&out).expect("readable").config;
    let base = match method {
        Method::Full => {
            assert_eq!(read.base_model_name_or_path, adapter::OWN_BASE);
            assert_eq!(read.labels, description.labels);
            &out
        }
        Method::Lora { .. } => {
            assert_eq!(read, description);
            folder.path()
        }
    };
    // What is read back is what was learned, to the f16 that files have.
    let adapter = Adapter::open(&out).expect("readable");
    let known = trainer.learned().expect("values");
    for (name, shape, values) in adapter.learned().expect("tensors") {
        let own = known.iter().find(|(other, ..)| *other == name);
        let (_, own_shape, own) = own.expect("a name that learned");
        assert_eq!(&shape, own_shape);
        let apart =
            |(one, other): (&f32, &f32)| (one - other).abs() <= 1e-3 * other.abs().max(1e-2);
        assert!(values.iter().zip(own).all(apart), "{name}");
    }
    // The fast network with the adapter merged into it answers as the one that was trained.
    let classifier = AdaptedClassifier::load(base, &out, &Device::Cpu).expect("fits its base");
    let texts = ["7 2 31", "44 4 4 19 20 3", "12"];
    let sequences: Vec<Example> = texts
        .iter()
        .map(|text| Example {
            ids: text
                .split(' ')
                .map(|id| id.parse().expect("a number"))
                .collect(),
            target: vec![1.0, 0.0, 0.0],
        })
        .collect();
    let got = classifier
        .classify(&Compute::cpu(2), &texts)
        .expect("answers");
    let want = trainer.predict(&sequences).expect("answers");
    let pooled = {
        let encoder = SentenceEncoder::load_adapted(base, &adapter, &Device::Cpu);
        let ids: Vec<&[u32]> = sequences.iter().map(|one| one.ids.as_slice()).collect();
        let encoder = encoder.expect("fits its base");
        encoder.pool(&Compute::cpu(2), &ids).expect("vectors")
    };
    let head = adapter.head(32).expect("a head");
    for (mean, got) in pooled.iter().zip(&got) {
        for (own, got) in softmax(&head.apply(mean)).iter().zip(got) {
            assert!((own - got).abs() < 1e-5, "{own} instead of {got}");
        }
    }
    let before = crate::trainer(&tensors, method, settings())
        .predict(&sequences)
        .expect("answers");
    let mut moved = 0f32;
    for ((got, want), before) in got.iter().zip(&want).zip(&before) {
        for ((got, want), before) in got.iter().zip(softmax(want)).zip(softmax(before)) {
            // f16 keeps eleven bits of each factor.
            assert!((got - want).abs() < 2e-3, "{got} instead of {want}");
            moved = moved.max((want - before).abs());
        }
    }
    assert!(moved > 0.1, "training changed the answers: {moved}");
}

/// A vocabulary of numbers, so that a text is its ids.
const TOKENIZER: &str = concat!(
    r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"#,
    r#""pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":null,"decoder":null,"#,
    r#""model":{"type":"WordLevel","unk_token":"0","vocab":{"#,
    r#""0":0,"2":2,"3":3,"4":4,"7":7,"12":12,"19":19,"20":20,"31":31,"44":44}}}"#
);
