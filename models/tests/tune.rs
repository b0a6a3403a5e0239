//! Tuning the image network: gradients beside PyTorch's, learning, repeating and going on, and what is read again.

use candle_core::Device;
use escala_models::Compute;
use escala_models::efficientnet::{EfficientNetLite, FEATURES, INPUT, SIDE};
use escala_models::team::Team;
use escala_models::train::Rule;
use escala_models::train::adapter::Head;
use escala_models::train::classifier::{Ended, Observer, Progress, Schedule, Settings, Steps};
use escala_models::train::image::{Augmentation, Images, Tuner};
use escala_models::train::loss::Loss;
use escala_models::train::metrics::Metrics;
use escala_weights::{Silent, Store, StoreOptions, Tensors};
use std::path::{Path, PathBuf};

fn path() -> PathBuf {
    let store = Store::open(StoreOptions::default()).expect("store");
    store
        .ensure("efficientnet-lite0", &Silent)
        .expect("weights")
        .path("model.safetensors")
        .expect("path")
}

fn tensors() -> Tensors {
    Tensors::open(path()).expect("tensors")
}

fn head(classes: usize) -> Head {
    Head {
        weight: (0..classes * FEATURES)
            .map(|at| (0.37 * at as f64).sin() as f32 * 0.05)
            .collect(),
        bias: vec![0.0; classes],
    }
}

/// Stripes, across in one class and along in the other, of a width and at a place that differ.
struct Stripes {
    classes: Vec<u32>,
    /// Number of the first; even.
    first: usize,
    /// Most images that were asked for at a time.
    most: usize,
    read: usize,
}

impl Stripes {
    fn new(count: u32) -> Self {
        Self {
            classes: (0..count).map(|index| index % 2).collect(),
            first: 0,
            most: 0,
            read: 0,
        }
    }
}

impl Images for Stripes {
    fn count(&self) -> usize {
        self.classes.len()
    }

    fn classes(&self, index: usize) -> &[u32] {
        std::slice::from_ref(&self.classes[index])
    }

    fn read(&mut self, indices: &[usize], out: &mut [f32]) -> escala_models::Result<()> {
        assert_eq!(out.len(), indices.len() * INPUT);
        self.most = self.most.max(indices.len());
        self.read += indices.len();
        for (index, image) in indices.iter().zip(out.chunks_exact_mut(INPUT)) {
            let index = index + self.first;
            let width = 9 + index % 5;
            for (at, pixel) in image.chunks_exact_mut(3).enumerate() {
                let (y, x) = (at / SIDE, at % SIDE);
                let along = if index.is_multiple_of(2) { y } else { x };
                pixel.fill(if ((along + index) / width).is_multiple_of(2) {
                    -0.9
                } else {
                    0.9
                });
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Watch {
    stop_after: u64,
    losses: Vec<f64>,
    /// Shares of batches whose class was among the likeliest.
    tops: Vec<f64>,
    judged: Vec<(f64, bool)>,
    asked: usize,
}

impl Observer for Watch {
    fn step(&mut self, progress: Progress) -> bool {
        assert!(
            progress
                .accuracy
                .is_some_and(|share| (0.0..=1.0).contains(&share))
        );
        self.losses.push(progress.loss);
        self.tops.extend(progress.top);
        progress.step == self.stop_after
    }

    fn evaluated(&mut self, _: Progress, metrics: &Metrics, best: bool) {
        self.judged.push((metrics.loss, best));
    }

    fn stopped(&mut self) -> bool {
        self.asked += 1;
        false
    }
}

fn settings() -> Settings {
    Settings {
        epochs: 3,
        batch: 4,
        rate: 1e-3,
        head_rate: 1e-3,
        warm_up: 0.0,
        dropout: 0.2,
        evaluations: 1,
        patience: 0,
        seed: 7,
        ..Settings::default()
    }
}

const MOVED: Augmentation = Augmentation {
    flip: true,
    shift: 8,
    colours: false,
    bend: false,
};

fn bits(tuner: &Tuner<'_>) -> Vec<u32> {
    let learned = tuner.learned().expect("values");
    let values = learned.iter().flat_map(|(_, _, values)| values);
    values.map(|value| value.to_bits()).collect()
}

/// A run of three passes over eight images; with a step to stop after and a checkpoint if that is said.
fn run(team: &Team, seed: u64, stop_after: u64, checkpoint: Option<&Path>) -> (Vec<u32>, Watch) {
    let settings = Settings { seed, ..settings() };
    let mut tuner = Tuner::new(&tensors(), &head(2), settings, MOVED, team).expect("a tuner");
    let mut watch = Watch {
        stop_after,
        ..Watch::default()
    };
    let ended = tuner
        .train(
            &mut Stripes::new(8),
            &mut Stripes::new(4),
            checkpoint,
            &mut watch,
        )
        .expect("tuned");
    let wanted = match stop_after {
        0 => Ended::Finished,
        _ => Ended::Interrupted,
    };
    assert_eq!(ended, wanted);
    (bits(&tuner), watch)
}

#[test]
fn it_learns_keeps_the_best_repeats_and_goes_on() {
    let team = Team::new(2);
    let (one, watch) = run(&team, 7, 0, None);
    let (first, last) = (watch.losses[0], watch.losses[5]);
    assert!(last < first / 2.0, "{:?}", watch.losses);
    // Before the first pass and after each; asked before each piece.
    assert_eq!(watch.judged.len(), 4);
    assert!(watch.asked >= 4);
    assert!(watch.judged[3].0 < watch.judged[0].0, "{:?}", watch.judged);
    let (same, _) = run(&team, 7, 0, None);
    assert!(one == same, "the same seed gave other bits");
    let (other, _) = run(&team, 8, 0, None);
    assert!(one != other, "another seed gave the same bits");
    // Stopped in the middle of a pass, and gone on with by somebody else.
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.safetensors");
    let (stopped, _) = run(&team, 7, 3, Some(&state));
    assert!(stopped != one);
    let (resumed, watch) = run(&team, 7, 0, Some(&state));
    assert_eq!(watch.losses.len(), 3);
    assert!(
        one == resumed,
        "a run that was stopped ended with other bits"
    );
}

/// Tensors of any size learn by every rule, and rates that end at nothing leave what the pass before them made.
#[test]
fn it_learns_by_other_rules_and_in_steps_and_looks_at_the_likeliest() {
    let team = Team::new(2);
    let run = |rule: Rule, rate: f64, factor: f64, epochs: u32| {
        let steps = Steps {
            factor,
            epochs: vec![2],
        };
        let settings = Settings {
            rule,
            rate,
            head_rate: 0.01,
            epochs,
            weight_decay: 1e-4,
            dropout: 0.0,
            schedule: Schedule::Steps(steps),
            ..settings()
        };
        let tuner = Tuner::new(&tensors(), &head(3), settings, MOVED, &team);
        let mut tuner = tuner.expect("a tuner").with_top(Some(2));
        let mut watch = Watch::default();
        tuner
            .train(&mut Stripes::new(8), &mut Stripes::new(0), None, &mut watch)
            .expect("tuned");
        let figures = tuner.evaluate(&mut Stripes::new(8)).expect("figures");
        let top = figures.top.expect("the likeliest are looked at");
        assert!((figures.accuracy..=1.0).contains(&top));
        assert_eq!(watch.tops.len(), watch.losses.len());
        (watch.losses, bits(&tuner))
    };
    let descent = |nesterov| Rule::Sgd {
        momentum: 0.9,
        nesterov,
    };
    let averaged = Rule::RmsProp {
        rho: 0.9,
        epsilon: 1e-8,
    };
    for (rule, rate) in [
        (descent(false), 0.1),
        (descent(true), 0.1),
        (averaged, 1e-3),
    ] {
        let (losses, _) = run(rule, rate, 1.0, 3);
        let pass = |number: usize| losses[number * 2] + losses[number * 2 + 1];
        assert!(pass(2) < 0.8 * pass(0), "{rule:?}: {losses:?}");
    }
    let (_, two) = run(averaged, 1e-3, 1.0, 2);
    let (_, three) = run(averaged, 1e-3, 0.0, 3);
    assert!(two == three, "a rate of nothing moved something");
}

#[test]
fn what_makes_it_worse_is_not_kept_and_one_step_lowers_the_loss() {
    let team = Team::new(2);
    let new = |rate: f64, epochs: u32| {
        let settings = Settings {
            epochs,
            batch: 6,
            rate,
            head_rate: rate,
            dropout: 0.0,
            patience: 1,
            ..settings()
        };
        Tuner::new(
            &tensors(),
            &head(2),
            settings,
            Augmentation::default(),
            &team,
        )
        .expect("a tuner")
    };
    let mut tuner = new(1e-4, 1);
    let before = tuner.evaluate(&mut Stripes::new(6)).expect("figures").loss;
    let mut images = Stripes::new(6);
    tuner
        .train(
            &mut images,
            &mut Stripes::new(0),
            None,
            &mut Watch::default(),
        )
        .expect("a step");
    assert!(images.read == 6 && images.most <= 16, "{}", images.most);
    let after = tuner.evaluate(&mut Stripes::new(6)).expect("figures").loss;
    assert!(after < before, "{before} became {after}");
    // A rate that ruins it: what was there before the first pass is the best, and stays.
    let mut tuner = new(0.5, 3);
    let start = bits(&tuner);
    let mut watch = Watch::default();
    let ended = tuner.train(&mut Stripes::new(6), &mut Stripes::new(6), None, &mut watch);
    assert!(
        matches!(
            ended,
            Ok(Ended::EarlyStop) | Err(escala_models::Error::NotFinite)
        ),
        "{ended:?}"
    );
    if ended.is_ok() {
        assert!(bits(&tuner) == start, "{:?}", watch.judged);
    }
}

#[test]
fn what_was_tuned_is_read_by_both_ways_and_damage_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tuned.safetensors");
    let team = Team::new(2);
    let mut tuner = Tuner::new(
        &tensors(),
        &head(3),
        Settings {
            epochs: 1,
            ..settings()
        },
        MOVED,
        &team,
    )
    .expect("a tuner");
    tuner
        .train(
            &mut Stripes::new(4),
            &mut Stripes::new(0),
            None,
            &mut Watch::default(),
        )
        .expect("tuned");
    tuner.write(&file).expect("written");
    let mut images = vec![0.0; 3 * INPUT];
    Stripes::new(3)
        .read(&[0, 1, 2], &mut images)
        .expect("images");
    let compute = Compute::cpu(2);
    let fast = EfficientNetLite::load(&file, &Device::Cpu).expect("fast");
    let plain = EfficientNetLite::reference(&file, &Device::Cpu).expect("plain");
    assert_eq!((fast.classes(), plain.classes()), (3, 3));
    let (fast, plain) = (
        fast.forward(&compute, &images).expect("fast"),
        plain.forward(&compute, &images).expect("plain"),
    );
    assert_eq!(fast.logits.len(), 9);
    // Sums of a thousand products in another order, through fifty layers.
    for (fast, plain) in fast.logits.iter().zip(&plain.logits) {
        assert!((fast - plain).abs() < 2e-3, "{fast} {plain}");
    }
    // The trainer's own way forward, and the layer on the features.
    let head = tuner.head().expect("the layer");
    let row = head.apply(&fast.features[..FEATURES]);
    for (ours, read) in row.iter().zip(&fast.logits) {
        assert!((ours - read).abs() < 1e-3, "{ours} {read}");
    }
    let figures = tuner.evaluate(&mut Stripes::new(3)).expect("figures");
    let softmax = |row: &[f32]| escala_models::train::classifier::softmax(row);
    let loss: f64 = [0, 1, 0]
        .iter()
        .zip(plain.logits.chunks_exact(3))
        .map(|(&class, row)| -f64::from(softmax(row)[class]).ln() / 3.0)
        .sum();
    assert!(
        (figures.loss - loss).abs() < 1e-3,
        "{} {loss}",
        figures.loss
    );

    let open = |bytes: &[u8]| {
        let file = folder.path().join("damaged.safetensors");
        std::fs::write(&file, bytes).expect("written");
        EfficientNetLite::load(&file, &Device::Cpu)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let whole = std::fs::read(&file).expect("bytes");
    assert!(open(&whole).is_ok());
    assert!(open(&whole[..whole.len() - 4]).is_err());
    let mut broken = whole.clone();
    let last = broken.len() - 4;
    broken[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(open(&broken).is_err_and(|why| why.contains("finite")));
    let text = |from: &str, to: &str| {
        let at = whole
            .windows(from.len())
            .position(|part| part == from.as_bytes())
            .expect("part of the header");
        let mut changed = whole.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        open(&changed)
    };
    assert!(
        text("\"folded\":\"1\"", "\"folded\":\"9\"").is_err_and(|why| why.contains("version 9"))
    );
    assert!(text("_conv_stem.bias", "_conv_stem.bios").is_err());
    assert!(text("[3,1280]", "[1280,3]").is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    let team = Team::new(1);
    let new = |head: Head, settings| {
        Tuner::new(&tensors(), &head, settings, MOVED, &team).map(|mut tuner| {
            let mut none = Stripes::new(0);
            tuner.train(&mut Stripes::new(2), &mut none, None, &mut Watch::default())
        })
    };
    let mut short = head(2);
    short.weight.pop();
    assert!(new(short, settings()).is_err());
    assert!(new(head(1), settings()).is_err());
    let never = Settings {
        batch: 0,
        ..settings()
    };
    assert!(new(head(2), never).is_err());
    let mut tuner = Tuner::new(&tensors(), &head(2), settings(), MOVED, &team).expect("a tuner");
    let mut third = Stripes::new(2);
    third.classes[1] = 2;
    let mut watch = Watch::default();
    let (none, other) = (&mut Stripes::new(0), &mut Stripes::new(0));
    assert!(tuner.train(&mut third, none, None, &mut watch).is_err());
    assert!(tuner.train(other, &mut third, None, &mut watch).is_err());
    assert!(tuner.evaluate(none).is_err());
}

/// Bright squares on dark, each in a colour of its own at a place of its own: class 0 is red, 1 green, 2 blue, and any of
/// them may be there.
struct Squares {
    classes: Vec<Vec<u32>>,
    first: usize,
}

impl Squares {
    fn new(count: usize, first: usize) -> Self {
        let classes = (first..first + count)
            .map(|index| {
                (0..3)
                    .filter(|class| (index * 5 + index / 3) >> class & 1 == 1)
                    .collect()
            })
            .collect();
        Self { classes, first }
    }
}

impl Images for Squares {
    fn count(&self) -> usize {
        self.classes.len()
    }

    fn classes(&self, index: usize) -> &[u32] {
        &self.classes[index]
    }

    fn read(&mut self, indices: &[usize], out: &mut [f32]) -> escala_models::Result<()> {
        for (&index, image) in indices.iter().zip(out.chunks_exact_mut(INPUT)) {
            image.fill(-0.8);
            for &class in &self.classes[index] {
                let class = class as usize;
                let at = (self.first + index) * 37 + class * 71;
                let (top, left) = (at % (SIDE - 80), at * 3 % (SIDE - 80));
                for y in top..top + 80 {
                    for x in left..left + 80 {
                        image[(y * SIDE + x) * 3 + class] = 0.9;
                    }
                }
            }
        }
        Ok(())
    }
}

#[test]
fn a_network_that_begins_with_nothing_learns_with_all_that_augments() {
    let team = Team::new(2);
    let settings = Settings {
        epochs: 6,
        batch: 8,
        rate: 0.01,
        warm_up: 0.2,
        ..settings()
    };
    let augmentation = Augmentation {
        colours: true,
        bend: true,
        ..MOVED
    };
    let mut train = Stripes::new(24);
    let mut tuner =
        Tuner::begin(2, &mut train, settings.clone(), augmentation, &team).expect("a tuner");
    let mut held = Stripes {
        first: 100,
        ..Stripes::new(16)
    };
    let before = tuner.evaluate(&mut held).expect("figures");
    let mut watch = Watch::default();
    tuner
        .train(&mut train, &mut Stripes::new(0), None, &mut watch)
        .expect("it learned");
    let after = tuner.evaluate(&mut held).expect("figures");
    assert!(
        before.accuracy < 0.8 && after.accuracy >= 0.9,
        "{before:?} {after:?}"
    );
    let again =
        Tuner::begin(2, &mut train, settings.clone(), augmentation, &team).expect("a tuner");
    let same = Tuner::begin(2, &mut train, settings.clone(), augmentation, &team).expect("a tuner");
    assert!(bits(&again) == bits(&same) && bits(&again) != bits(&tuner));
    let settings = Settings {
        seed: 8,
        ..settings
    };
    let other =
        Tuner::begin(2, &mut train, settings.clone(), augmentation, &team).expect("a tuner");
    assert!(bits(&other) != bits(&same));
    assert!(Tuner::begin(1, &mut train, settings.clone(), augmentation, &team).is_err());
    assert!(Tuner::begin(2, &mut Stripes::new(0), settings, augmentation, &team).is_err());
}

#[test]
fn classes_that_hold_each_by_itself_are_learned() {
    let team = Team::new(2);
    let settings = Settings {
        epochs: 5,
        batch: 8,
        rate: 0.003,
        head_rate: 0.003,
        warm_up: 0.2,
        ..settings()
    };
    let (mut train, mut held) = (Squares::new(24, 0), Squares::new(16, 64));
    let new = |loss: Loss| {
        let tuner = Tuner::new(&tensors(), &head(3), settings.clone(), MOVED, &team);
        tuner.expect("a tuner").with_loss(loss)
    };
    let mut tuner = new(Loss::Sigmoid(vec![1.0; 3])).expect("a tuner");
    let before = tuner.evaluate(&mut held).expect("figures");
    tuner
        .train(&mut train, &mut held, None, &mut Watch::default())
        .expect("it learned");
    let after = tuner.evaluate(&mut held).expect("figures");
    assert!(
        before.accuracy < 0.8 && after.accuracy >= 0.95,
        "{before:?} {after:?}"
    );
    assert!(new(Loss::Sigmoid(vec![1.0; 2])).is_err());
    assert!(new(Loss::Sigmoid(vec![f32::NAN, 1.0, 1.0])).is_err());
    // Where one class excludes the others, an image has one.
    let mut exclusive = new(Loss::Softmax).expect("a tuner");
    let ended = exclusive.train(&mut train, &mut held, None, &mut Watch::default());
    assert!(ended.is_err_and(|error| error.to_string().contains("excludes")));
}
