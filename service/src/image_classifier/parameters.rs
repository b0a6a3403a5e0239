//! The hyperparameters of `image-classification`, and what they say.
//!
//! Defaults are SageMaker's but for these:
//!
//! | hyperparameter | here | SageMaker's | why |
//! | --- | --- | --- | --- |
//! | `num_classes`, `num_training_samples` | as many as there are | required | they are counted; `num_classes` that is said and is not so is refused |
//! | `use_pretrained_model` | 1 | 0 | a network that has learned knows more than a few images teach |
//! | `optimizer` | Adam with decoupled `weight_decay`; of the network with rates that rise and fall along a cosine | `sgd` | a layer on standardised values, and the network, learn in the fewest passes so; one that is named does as AWS says: its rate stays but for `lr_scheduler_step` |
//! | `learning_rate` | 0.1 of `sgd` and `nag`, else 0.001, and of a network from the beginning 0.01 | 0.1 | Adam and RMSProp move by the rate itself, which 0.1 is too much for |

use super::job::client;
use super::model::CLASSES;
use escala_learn::parameters::{Bound, Kind};
use escala_learn::{Parameter, Parameters};
use escala_models::train::Rule;
use escala_models::train::classifier::{Improvement, Schedule, Settings, Steps};
use escala_models::train::image::Augmentation;
use escala_sagemaker::training::Failure;

/// Pixels that augmentation moves an image by at most: a fourteenth of what the network sees.
const SHIFT: usize = 16;
/// Rates where nothing is said: of gradient descent; of other rules a layer's, and the highest of a network from the beginning.
const DESCENT_RATE: f64 = 0.1;
const LAYER_RATE: f64 = 0.001;
const RATE: f64 = 0.01;
/// How much less the rate of the layer is than that of the network below it, where both learn.
pub(super) const LAYER_SHARE: f64 = 3.0;
/// Share of the steps over which the network's rates rise, and of what its layer reads that is dropped.
pub(super) const WARM_UP: f64 = 0.2;
pub(super) const DROPOUT: f32 = 0.2;

pub(super) const PARAMETERS: &[Parameter] = &[
    whole(
        "num_classes",
        2,
        CLASSES as i64,
        None,
        "classes; as many as there are where nothing is said, which SageMaker requires",
    ),
    whole(
        "num_training_samples",
        1,
        i64::MAX,
        None,
        "images to learn from; they are counted here, where SageMaker requires it to be said",
    ),
    whole(
        "epochs",
        1,
        u32::MAX as i64,
        Some("30"),
        "passes over the images",
    ),
    whole("mini_batch_size", 1, 4096, Some("32"), "images of a step"),
    Parameter {
        name: "learning_rate",
        kind: Kind::Real(Bound::Included(0.0), Bound::Included(1.0)),
        default: None,
        required: false,
        help: "of the layer, or of a network from the beginning as a part of the size of its numbers; where nothing is said 0.1 of \
               sgd and nag, else 0.001 of the layer and 0.01 of the network",
    },
    Parameter {
        name: "optimizer",
        kind: Kind::Choice(&["sgd", "adam", "rmsprop", "nag"]),
        default: None,
        required: false,
        help: "what a step makes of a gradient; adam whose weights decay where nothing is said",
    },
    real(
        "momentum",
        "0.9",
        "the part of its velocity that a weight keeps, for sgd and nag",
    ),
    real(
        "weight_decay",
        "0.0001",
        "decay of weights, for sgd and nag, and where no optimizer is named",
    ),
    real(
        "beta_1",
        "0.9",
        "decay of the mean of the gradients, for adam",
    ),
    real(
        "beta_2",
        "0.999",
        "decay of the mean of their squares, for adam",
    ),
    real(
        "eps",
        "1e-8",
        "added so that nothing is divided by 0, for adam and rmsprop",
    ),
    real(
        "gamma",
        "0.9",
        "decay of the mean of the squares of gradients, for rmsprop",
    ),
    real(
        "lr_scheduler_factor",
        "0.1",
        "what becomes of the rate at each of lr_scheduler_step",
    ),
    Parameter {
        name: "lr_scheduler_step",
        kind: Kind::Text,
        default: None,
        required: false,
        help: "the epochs after which the rate goes down, as 10,20",
    },
    Parameter {
        name: "early_stopping",
        kind: Kind::Flag,
        default: Some("false"),
        required: false,
        help: "ends where the accuracy on what is held out does not improve",
    },
    whole(
        "early_stopping_min_epochs",
        1,
        u32::MAX as i64,
        Some("10"),
        "epochs before which it does not end early",
    ),
    whole(
        "early_stopping_patience",
        1,
        u32::MAX as i64,
        Some("5"),
        "epochs that may bring no improvement",
    ),
    real(
        "early_stopping_tolerance",
        "0.0",
        "the part of the best accuracy that counts as an improvement, at least",
    ),
    whole(
        "top_k",
        2,
        i64::MAX,
        None,
        "tells how often the class is among so many of the likeliest, too",
    ),
    Parameter {
        name: "use_pretrained_model",
        kind: Kind::Choice(&["0", "1"]),
        default: Some("1"),
        required: false,
        help: "1: the network is one that has learned; 0: it begins with random values, and all of it learns in the epochs",
    },
    Parameter {
        name: "multi_label",
        kind: Kind::Choice(&["0", "1"]),
        default: Some("0"),
        required: false,
        help: "1: an image is of any number of classes, and each has a probability of its own",
    },
    Parameter {
        name: "use_weighted_loss",
        kind: Kind::Choice(&["0", "1"]),
        default: Some("0"),
        required: false,
        help: "1: with multi_label 1 the images that a class holds for weigh as much as all others together",
    },
    whole(
        "fine_tune_epochs",
        0,
        1000,
        Some("0"),
        "passes in which the whole network learns, after the layer",
    ),
    real(
        "fine_tune_learning_rate",
        "0.003",
        "of the network below the layer, as a part of the size of its numbers; the layer has a third as much then",
    ),
    Parameter {
        name: "augmentation_type",
        kind: Kind::Choice(&["crop", "crop_color", "crop_color_transform"]),
        default: None,
        required: false,
        help: "where the network learns, images are moved and mirrored at random; their hue, saturation and lightness too; \
               and they are turned, sheared and stretched",
    },
    Parameter {
        name: "augmentation_flip",
        kind: Kind::Flag,
        default: Some("true"),
        required: false,
        help: "whether augmentation mirrors: not for what left and right tell apart",
    },
    whole("seed", 0, i64::MAX, Some("1"), "of everything random"),
    Parameter {
        name: "image_shape",
        kind: Kind::Text,
        default: Some("3,224,224"),
        required: false,
        help: "channels, height and width, as 3,224,224; an image of any size is shown to the network as the square of 224 by 224 \
               pixels in its middle, whatever height and width say",
    },
    // What AWS's own algorithm is told of the networks that it makes, and of the machines.
    Parameter {
        kind: Kind::Choice(&[
            "18", "34", "50", "101", "152", "200", "20", "32", "44", "56", "110",
        ]),
        ..without_effect("num_layers")
    },
    Parameter {
        kind: Kind::Choice(&["float32", "float16"]),
        ..without_effect("precision_dtype")
    },
    Parameter {
        kind: Kind::Integer(1, i64::MAX),
        ..without_effect("resize")
    },
    Parameter {
        kind: Kind::Choice(&["dist_sync", "dist_async"]),
        ..without_effect("kv_store")
    },
    Parameter {
        kind: Kind::Integer(1, i64::MAX),
        ..without_effect("checkpoint_frequency")
    },
];

const fn without_effect(name: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Text,
        default: None,
        required: false,
        help: "taken and without effect",
    }
}

const fn whole(
    name: &'static str,
    least: i64,
    most: i64,
    default: Option<&'static str>,
    help: &'static str,
) -> Parameter {
    Parameter {
        name,
        kind: Kind::Integer(least, most),
        default,
        required: false,
        help,
    }
}

const fn real(name: &'static str, default: &'static str, help: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Real(Bound::Included(0.0), Bound::Included(1.0)),
        default: Some(default),
        required: false,
        help,
    }
}

/// Height and width of an `image_shape`.
pub(super) fn shape(text: &str) -> Result<[u32; 2], Failure> {
    let text = text.trim_matches(|at: char| at.is_whitespace() || "()[]".contains(at));
    let numbers: Option<Vec<u32>> = text
        .split(',')
        .map(|number| number.trim().parse().ok().filter(|number| *number > 0))
        .collect();
    match numbers.as_deref() {
        Some(&[3, height, width]) => Ok([height, width]),
        Some(&[channels, _, _]) => Err(client(format!(
            "Hyperparameter image_shape is {text:?}: images are read in 3 channels, not {channels}"
        ))),
        _ => Err(client(format!(
            "Hyperparameter image_shape is {text:?}: it is three whole numbers above 0, channels, height and width, as 3,224,224"
        ))),
    }
}

/// The epochs of an `lr_scheduler_step`.
pub(super) fn scheduled(text: &str) -> Result<Vec<u32>, Failure> {
    let numbers: Option<Vec<u32>> = text
        .split(',')
        .map(|number| number.trim().parse().ok().filter(|number| *number > 0))
        .collect();
    numbers.ok_or_else(|| {
        client(format!(
            "Hyperparameter lr_scheduler_step is {text:?}: it is whole numbers above 0, the epochs after which the rate goes down, as 10,20"
        ))
    })
}

/// The rule of the `optimizer`, where one is named.
pub(super) fn rule(given: &Parameters) -> Option<Rule> {
    let real = |name| given.real(name).unwrap_or(0.0);
    Some(match given.text("optimizer")? {
        "adam" => Rule::Adam {
            beta1: real("beta_1"),
            beta2: real("beta_2"),
            epsilon: real("eps"),
        },
        "rmsprop" => Rule::RmsProp {
            rho: real("gamma"),
            epsilon: real("eps"),
        },
        name => Rule::Sgd {
            momentum: real("momentum"),
            nesterov: name == "nag",
        },
    })
}

/// How a layer on a network that stays learns, or with `scratch` a network from the beginning.
pub(super) fn settings(given: &Parameters, scratch: bool) -> Result<Settings, Failure> {
    let whole = |name| given.integer(name).unwrap_or(1).clamp(0, u32::MAX.into()) as u32;
    let real = |name| given.real(name).unwrap_or(0.0);
    let named = rule(given);
    let rate = given.real("learning_rate");
    let rate = rate.unwrap_or(match named {
        Some(Rule::Sgd { .. }) => DESCENT_RATE,
        _ if scratch => RATE,
        _ => LAYER_RATE,
    });
    let epochs = match given.text("lr_scheduler_step").map(str::trim) {
        None | Some("") => None,
        Some(text) => Some(scheduled(text)?),
    };
    // The rates of a network rise and fall where nothing is said of them.
    let schedule = match scratch && named.is_none() && epochs.is_none() {
        true => Schedule::WarmUp,
        false => Schedule::Steps(Steps {
            factor: real("lr_scheduler_factor"),
            epochs: epochs.unwrap_or_default(),
        }),
    };
    let decays = matches!(named, None | Some(Rule::Sgd { .. }));
    Ok(Settings {
        epochs: whole("epochs"),
        batch: whole("mini_batch_size") as usize,
        rate,
        head_rate: if scratch { rate / LAYER_SHARE } else { rate },
        warm_up: WARM_UP,
        weight_decay: if decays { real("weight_decay") } else { 0.0 },
        dropout: DROPOUT,
        evaluations: 1,
        patience: match given.flag("early_stopping") {
            Some(true) => whole("early_stopping_patience"),
            _ => 0,
        },
        seed: given.integer("seed").unwrap_or(1).max(0) as u64,
        rule: named.unwrap_or_default(),
        schedule,
        improvement: Improvement::Accuracy(real("early_stopping_tolerance")),
        least_epochs: whole("early_stopping_min_epochs"),
        ..Settings::default()
    })
}

/// How the network learns from where a layer on it ended: as that did, at rates that rise and fall to the end, where it is best.
pub(super) fn tuned(given: &Parameters, layer: &Settings) -> Settings {
    let rate = given.real("fine_tune_learning_rate").unwrap_or(0.003);
    Settings {
        epochs: given
            .integer("fine_tune_epochs")
            .unwrap_or(0)
            .clamp(0, u32::MAX.into()) as u32,
        rate,
        head_rate: rate / LAYER_SHARE,
        schedule: Schedule::WarmUp,
        patience: 0,
        ..layer.clone()
    }
}

/// What `augmentation_type` says happens to images.
pub(super) fn augmentation(given: &Parameters) -> Augmentation {
    let Some(kind) = given.text("augmentation_type") else {
        return Augmentation::default();
    };
    Augmentation {
        flip: given.flag("augmentation_flip").unwrap_or(true),
        shift: SHIFT,
        colours: kind != "crop",
        bend: kind == "crop_color_transform",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_shape_is_three_channels_a_height_and_a_width() {
        assert_eq!(shape("3,224,224"), Ok([224, 224]));
        assert_eq!(shape(" 3, 32 ,48"), Ok([32, 48]));
        assert_eq!(shape("(3, 32, 48)"), Ok([32, 48]));
        for bad in [
            "", "224", "3,224", "3,0,224", "3,-1,4", "3,a,b", "3,1,1,1", "1,28,28",
        ] {
            let Err(Failure::Client(why)) = shape(bad) else {
                panic!("{bad} is taken");
            };
            assert!(why.contains("image_shape") && why.contains(bad), "{why}");
        }
    }

    fn read(given: &[(&'static str, &'static str)]) -> Parameters {
        Parameters::read(PARAMETERS, given.iter().copied()).expect("parameters")
    }

    #[test]
    fn hyperparameters_are_sagemakers() {
        let of = |given: &[(&'static str, &'static str)], scratch| {
            settings(&read(given), scratch).expect("settings")
        };
        let plain = of(&[], false);
        let wanted = Settings {
            epochs: 30,
            rate: 0.001,
            warm_up: 0.2,
            weight_decay: 0.0001,
            dropout: 0.2,
            evaluations: 1,
            patience: 0,
            schedule: Schedule::Steps(Steps {
                factor: 0.1,
                epochs: Vec::new(),
            }),
            improvement: Improvement::Accuracy(0.0),
            least_epochs: 10,
            ..Settings::default()
        };
        assert_eq!(plain, wanted);
        let begun = of(&[], true);
        assert_eq!((begun.rate, begun.schedule), (0.01, Schedule::WarmUp));
        let said = [
            ("optimizer", "nag"),
            ("momentum", "0.5"),
            ("weight_decay", "0.25"),
            ("lr_scheduler_factor", "0.5"),
            ("lr_scheduler_step", "10, 20"),
            ("early_stopping", "True"),
            ("early_stopping_min_epochs", "3"),
            ("early_stopping_patience", "4"),
            ("early_stopping_tolerance", "0.125"),
        ];
        for scratch in [false, true] {
            let said = of(&said, scratch);
            let rule = Rule::Sgd {
                momentum: 0.5,
                nesterov: true,
            };
            assert_eq!((said.rule, said.rate, said.weight_decay), (rule, 0.1, 0.25));
            let steps = Steps {
                factor: 0.5,
                epochs: vec![10, 20],
            };
            assert_eq!(said.schedule, Schedule::Steps(steps));
            let stops = (said.patience, said.least_epochs, said.improvement);
            assert_eq!(stops, (4, 3, Improvement::Accuracy(0.125)));
        }
        for (name, rule, rate) in [
            (
                "sgd",
                Rule::Sgd {
                    momentum: 0.9,
                    nesterov: false,
                },
                0.1,
            ),
            (
                "adam",
                Rule::Adam {
                    beta1: 0.25,
                    beta2: 0.75,
                    epsilon: 0.01,
                },
                0.001,
            ),
            (
                "rmsprop",
                Rule::RmsProp {
                    rho: 0.5,
                    epsilon: 0.01,
                },
                0.001,
            ),
        ] {
            let given = [
                ("optimizer", name),
                ("beta_1", "0.25"),
                ("beta_2", "0.75"),
                ("eps", "0.01"),
                ("gamma", "0.5"),
            ];
            let said = of(&given, false);
            assert_eq!((said.rule, said.rate), (rule, rate));
            // As AWS has it, weights decay by gradient descent alone.
            let decays = if name == "sgd" { 0.0001 } else { 0.0 };
            assert_eq!(said.weight_decay, decays, "{name}");
        }
        let given = read(&[("optimizer", "rmsprop"), ("fine_tune_epochs", "2")]);
        let layer = settings(&given, false).expect("settings");
        let network = tuned(&given, &layer);
        assert_eq!((network.epochs, network.rate), (2, 0.003));
        assert_eq!(
            (network.rule, network.schedule),
            (layer.rule, Schedule::WarmUp)
        );
    }

    #[test]
    fn what_is_out_of_range_is_said() {
        for (name, bad) in [
            ("optimizer", "adamw"),
            ("momentum", "1.5"),
            ("weight_decay", "-1"),
            ("beta_1", "1.5"),
            ("beta_2", "x"),
            ("eps", "2"),
            ("gamma", "-0.1"),
            ("lr_scheduler_factor", "1.5"),
            ("top_k", "1"),
            ("early_stopping", "maybe"),
            ("early_stopping_min_epochs", "0"),
            ("early_stopping_patience", "0"),
            ("early_stopping_tolerance", "1.5"),
            ("num_layers", "19"),
            ("precision_dtype", "float64"),
            ("kv_store", "local"),
            ("resize", "0"),
            ("checkpoint_frequency", "0"),
        ] {
            let error = Parameters::read(PARAMETERS, [(name, bad)]).expect_err(name);
            let said = error.to_string();
            assert!(
                said.starts_with(&format!("Hyperparameter {name}: ")),
                "{said}"
            );
        }
        for bad in ["0", "10,", "a", "1.5", "10;20"] {
            let Err(Failure::Client(why)) = scheduled(bad) else {
                panic!("{bad} is taken");
            };
            assert!(
                why.contains("lr_scheduler_step") && why.contains(bad),
                "{why}"
            );
        }
    }

    #[test]
    fn what_augments_follows_its_type() {
        let of = |given: &[(&str, &str)]| {
            augmentation(&Parameters::read(PARAMETERS, given.iter().copied()).expect("parameters"))
        };
        assert_eq!(of(&[]), Augmentation::default());
        let crop = Augmentation {
            flip: true,
            shift: SHIFT,
            colours: false,
            bend: false,
        };
        assert_eq!(of(&[("augmentation_type", "crop")]), crop);
        let colours = Augmentation {
            colours: true,
            ..crop
        };
        assert_eq!(of(&[("augmentation_type", "crop_color")]), colours);
        let given = [
            ("augmentation_type", "crop_color_transform"),
            ("augmentation_flip", "false"),
        ];
        let all = Augmentation {
            flip: false,
            bend: true,
            ..colours
        };
        assert_eq!(of(&given), all);
    }
}
