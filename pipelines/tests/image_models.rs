//! Image networks that users bring, held to transformers' and ONNX Runtime's answers for the same files and images.
//!
//! Tolerances: sums are added up in another order, normalisations are folded into convolutions, and random networks
//! make more of that than trained ones. Golden values have six decimals.

#[path = "../../tests/common/image_models.rs"]
mod image_models;

use bytes::Bytes;
use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::bodies::{BodiesInput, BodiesTask};
use escala_pipelines::image::ImageLimits;
use escala_pipelines::image_classes::ImageClassesTask;
use escala_pipelines::labels::{LabelsInput, LabelsOptions, LabelsTask};
use escala_pipelines::objects::{Objects, ObjectsInput, ObjectsTask, SharedDetector};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_pipelines::{Kind, Result};
use escala_weights::{Store, StoreOptions};
use image_models::{Case, Found, checkpoint, export, golden, image};
use std::path::Path;
use tempfile::TempDir;

fn store() -> Store {
    Store::open(StoreOptions::default()).expect("store")
}

fn load<T: Task>(task: T) -> Result<T::Pipeline> {
    task.load(&LoadContext {
        weights: &store(),
        target: (&Device::Cpu).into(),
    })
}

fn name(folder: &TempDir) -> &str {
    folder.path().to_str().expect("UTF-8")
}

fn objects(folder: &TempDir) -> ObjectsTask {
    let detector = SharedDetector::choose(Some(name(folder)), &store());
    ObjectsTask::new(detector, ImageLimits::default())
}

fn classes(folder: &TempDir) -> ImageClassesTask {
    ImageClassesTask::new(name(folder), ImageLimits::default())
}

fn near(got: f32, want: f32, tolerance: f32, what: &str) {
    assert!((got - want).abs() < tolerance, "{what}: {got}, not {want}");
}

/// Classes of every case, alone and together.
fn classifies(folder: &TempDir, cases: &[Case], names: &[String], what: &str) {
    let pipeline = load(classes(folder)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let compute = Compute::cpu(2);
    let images: Vec<Bytes> = cases.iter().map(|case| image(&case.image).into()).collect();
    let together = pipeline.run(&compute, &images);
    for ((case, image), together) in cases.iter().zip(images).zip(together) {
        let found = together.unwrap_or_else(|error| panic!("{what}: {error}"));
        let alone = pipeline.run(&compute, &[image]).pop().expect("an answer");
        assert_eq!(alone.expect("alone"), found, "{what}");
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        assert_eq!(found.len(), case.shares.len());
        for (name, want) in names.iter().zip(&case.shares) {
            let class = found.iter().find(|class| *class.name == **name);
            near(class.expect("a class").score, *want, 2e-5, what);
        }
    }
}

fn ask(pipeline: &impl Pipeline<Input = ObjectsInput, Output = Objects>, name: &str) -> Objects {
    let input = ObjectsInput {
        image: Bytes::from(image(name)).into(),
        min_confidence: 0.0,
        most: 1000,
    };
    let found = pipeline.run(&Compute::cpu(2), &[input]).pop();
    found.expect("an answer").expect("objects")
}

/// What a detector finds in every case; classes whose name is `N/A` are none.
fn detects(folder: &TempDir, cases: &[Case], names: &[String], what: &str) {
    let pipeline = load(objects(folder)).unwrap_or_else(|error| panic!("{what}: {error}"));
    for case in cases {
        let found = ask(&pipeline, &case.image);
        assert!(
            found
                .objects
                .is_sorted_by(|a, b| a.confidence >= b.confidence)
        );
        let mut wanted: Vec<&Found> = case.detections.iter().collect();
        wanted.retain(|found| names[found.label] != "N/A");
        assert_eq!(found.objects.len(), wanted.len(), "{what}, {}", case.image);
        // Equally sure ones may come in any order.
        let mut left = found.objects.clone();
        for wanted in wanted {
            let side = found.width.max(found.height) as f32;
            let same = left.iter().position(|object| {
                let area = object.area;
                let edges = [area.left, area.top, area.right, area.bottom];
                let apart = edges.iter().zip(wanted.edges).map(|(a, b)| (a - b).abs());
                object.class == wanted.label
                    && (object.confidence - 100.0 * wanted.score).abs() < 5e-3
                    && apart.fold(0.0, f32::max) < 2e-4 * side
            });
            let same = same.unwrap_or_else(|| panic!("{what}: no {wanted:?} in {left:#?}"));
            left.remove(same);
        }
    }
}

fn is_detector(cases: &[Case]) -> bool {
    cases.iter().all(|case| !case.detections.is_empty())
}

/// The classes that a declaration lists.
fn declared(declaration: &str) -> Vec<String> {
    let declaration = escala_weights::declaration::Declaration::parse(declaration).expect("parses");
    match declaration.classes {
        Some(escala_weights::declaration::Classes::Names(names)) => names,
        other => panic!("{other:?}"),
    }
}

#[test]
fn checkpoints_answer_as_transformers_does() {
    let mut detectors = 0;
    for checkpoint in &golden().checkpoints {
        let (folder, names) = (checkpoint.folder(), checkpoint.classes());
        match is_detector(&checkpoint.cases) {
            true => {
                detectors += 1;
                detects(&folder, &checkpoint.cases, &names, &checkpoint.name);
            }
            false => classifies(&folder, &checkpoint.cases, &names, &checkpoint.name),
        }
    }
    assert_eq!((detectors, golden().checkpoints.len()), (2, 7));
}

#[test]
fn declared_networks_answer_as_onnx_runtime_does() {
    for export in &golden().exports {
        let (folder, names) = (export.folder(), declared(&export.declaration));
        match is_detector(&export.cases) {
            true => detects(&folder, &export.cases, &names, &export.name),
            false => classifies(&folder, &export.cases, &names, &export.name),
        }
    }
    assert_eq!(golden().exports.len(), 5);
}

#[test]
fn what_is_found_has_the_labels_of_its_class() {
    let folder = export("yolo8").folder();
    let text = export("yolo8").declaration.replace("gadget", "tvmonitor");
    std::fs::write(folder.path().join("model.toml"), text).expect("written");
    let found = ask(&load(objects(&folder)).expect("loads"), "chelsea.png");
    let television = &found.objects[0];
    assert_eq!(television.name, "Television");
    assert!(!television.categories.is_empty(), "{television:?}");
    let folder = export("yolo8").folder();
    let found = ask(&load(objects(&folder)).expect("loads"), "chelsea.png");
    let own = &found.objects[0];
    assert_eq!(own.name, "gadget");
    assert!(
        own.categories.is_empty() && own.parents.is_empty(),
        "{own:?}"
    );
}

#[test]
fn a_classifier_in_the_place_of_labels_makes_labels_of_its_classes() {
    let checkpoint = checkpoint("vit");
    let folder = checkpoint.folder();
    let task = LabelsTask::default().with_classifier(Some(name(&folder)));
    let pipeline = load(task).expect("loads");
    for case in &checkpoint.cases {
        let options = LabelsOptions {
            min_confidence: 0.0,
            ..LabelsOptions::default()
        };
        let input = LabelsInput {
            image: Bytes::from(image(&case.image)).into(),
            options,
        };
        let answer = pipeline
            .run(&Compute::cpu(1), &[input])
            .pop()
            .expect("an answer");
        let answer = answer.expect("labels");
        assert_eq!(answer.model_version, name(&folder));
        let sure = |label: &str| {
            let label = answer.labels.iter().find(|found| found.name == label);
            label
                .unwrap_or_else(|| panic!("{:?}", answer.labels))
                .confidence
        };
        // Espresso, zebra and tabby are labels of the taxonomy or other names of one.
        near(sure("Espresso"), 100.0 * case.shares[1], 2e-3, "a label");
        near(sure("Coffee"), 100.0 * case.shares[1], 2e-3, "its parent");
        near(
            sure("a thing of its own"),
            100.0 * case.shares[3],
            2e-3,
            "a label of its own",
        );
        near(
            sure("Animal"),
            100.0 * (case.shares[0] + case.shares[2]),
            2e-3,
            "animals",
        );
        let zebra = answer
            .labels
            .iter()
            .find(|found| found.name == "Zebra")
            .expect("zebra");
        assert!(zebra.parents.contains(&"Animal".to_owned()) && !zebra.categories.is_empty());
    }
}

/// People are looked for by the detector in force where it knows them, else by the built-in one.
#[test]
fn bodies_use_the_detector_that_objects_use() {
    let people = export("yolo8").folder();
    let text = export("yolo8")
        .declaration
        .replace("gadget", "person-like")
        .replace("\"person\"", "\"x\"");
    let text = text.replace("\"person-like\"", "\"person\"");
    std::fs::write(people.path().join("model.toml"), text).expect("written");
    let image = image("astronaut.png");
    let find = |folder: &TempDir| {
        let detector = SharedDetector::choose(Some(name(folder)), &store());
        let pipeline = load(BodiesTask::new(detector, ImageLimits::default())).expect("loads");
        let input = BodiesInput {
            image: image.clone().into(),
            most: 10,
        };
        pipeline
            .run(&Compute::cpu(2), &[input])
            .pop()
            .expect("an answer")
            .expect("bodies")
    };
    let brought = find(&people);
    let alone = ask(&load(objects(&people)).expect("loads"), "astronaut.png");
    let persons: Vec<_> = alone
        .objects
        .iter()
        .filter(|object| object.name == "Person")
        .collect();
    assert_eq!(brought.bodies.len(), persons.len().min(10));
    assert!(brought.bodies.len() > 1);
    for (body, person) in brought.bodies.iter().zip(persons) {
        assert_eq!(body.area, person.area);
    }
    let others = export("yolo8").folder();
    let text = export("yolo8").declaration.replace("person", "robot");
    std::fs::write(others.path().join("model.toml"), text).expect("written");
    let builtin = find(&others);
    assert_eq!(builtin.bodies.len(), 1);
    assert!(builtin.bodies[0].score > 0.5);
}

/// Two tasks that were given the same place hold one copy.
#[test]
fn tasks_share_one_detector() {
    let folder = export("yolo8").folder();
    let detector = SharedDetector::choose(Some(name(&folder)), &store());
    let first = load(ObjectsTask::new(detector.clone(), ImageLimits::default())).expect("loads");
    // What is loaded needs its files no more: a second copy could not be made.
    std::fs::remove_file(folder.path().join("model.onnx")).expect("removed");
    let second = load(ObjectsTask::new(detector.clone(), ImageLimits::default())).expect("shared");
    assert_eq!(ask(&first, "coffee.png"), ask(&second, "coffee.png"));
    drop((first, second));
    let error = load(ObjectsTask::new(detector, ImageLimits::default()))
        .err()
        .expect("gone");
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let why = |folder: &Path, detector: bool| {
        let name = folder.to_str().expect("UTF-8");
        let error = if detector {
            let detector = SharedDetector::choose(Some(name), &store());
            load(ObjectsTask::new(detector, ImageLimits::default())).err()
        } else {
            load(ImageClassesTask::new(name, ImageLimits::default())).err()
        };
        let error = error.expect("refused");
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        error.message().to_owned()
    };
    let changed = |at: &str, with: &str| {
        let folder = export("yolo8").folder();
        let text = &export("yolo8").declaration;
        assert!(text.contains(at), "{at}");
        std::fs::write(folder.path().join("model.toml"), text.replacen(at, with, 1))
            .expect("written");
        why(folder.path(), true)
    };
    for (at, with, says) in [
        ("height = 64", "height = 96", "reads [1, 3, 64, 64]"),
        (
            "[input]",
            "[input]\nlayout = \"nhwc\"",
            "reads [1, 3, 64, 64]",
        ),
        ("decoder", "outputs = [\"boxes\"]\ndecoder", "no boxes"),
        ("scale", "sacle", "unknown field `sacle`"),
        ("yolov8", "rtdetr", "`detections.overlap`"),
    ] {
        let said = changed(at, with);
        assert!(said.contains(says), "{with}: {said}");
    }
    // The number of classes shows when it runs, which the engine lets it do before anybody asks.
    let folder = export("yolo8").folder();
    let text = export("yolo8").declaration.replacen("\"cat\", ", "", 1);
    std::fs::write(folder.path().join("model.toml"), text).expect("written");
    let pipeline = load(objects(&folder)).expect("loads");
    let answer = pipeline.run(&Compute::cpu(1), &[pipeline.sample()]).pop();
    let error = answer
        .expect("an answer")
        .expect_err("another number of classes");
    assert_eq!(error.kind(), Kind::Internal);
    assert!(
        error.message().contains("shape [1, 9, 84], not [1, 8, n]"),
        "{error}"
    );

    let classifier = export("convnext").folder();
    assert!(
        why(classifier.path(), true).contains("it is an image classifier, not an object detector")
    );
    assert!(why(export("yolo8").folder().path(), false).contains("it is an object detector"));
    std::fs::write(classifier.path().join("model.onnx"), b"no network").expect("written");
    assert!(why(classifier.path(), false).contains("not an ONNX file"));
    std::fs::remove_file(classifier.path().join("model.onnx")).expect("removed");
    assert!(why(classifier.path(), false).contains("model.onnx"));
    assert!(why(Path::new("/nowhere/at/all"), false).contains("is no checkpoint"));

    let edit = |file: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let folder = checkpoint("vit").folder();
        let path = folder.path().join(file);
        let mut json = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        change(&mut json);
        std::fs::write(path, json.to_string()).expect("written");
        why(folder.path(), false)
    };
    for (file, key, value, says) in [
        (
            "config.json",
            "model_type",
            "swin".into(),
            "swin is no image classifier",
        ),
        ("config.json", "hidden_size", 15.into(), "`hidden_size` 15"),
        ("config.json", "hidden_size", 32.into(), "has shape"),
        (
            "config.json",
            "num_hidden_layers",
            3.into(),
            "has no tensor",
        ),
        (
            "config.json",
            "num_hidden_layers",
            100_000_000.into(),
            "`num_hidden_layers`",
        ),
        ("config.json", "patch_size", 0.into(), "`patch_size` 0"),
        (
            "config.json",
            "hidden_act",
            "mish".into(),
            "activation `mish`",
        ),
        ("config.json", "num_channels", 1.into(), "`num_channels`"),
        (
            "config.json",
            "id2label",
            serde_json::json!({"0": "a"}),
            "has shape",
        ),
        ("preprocessor_config.json", "size", 32.into(), "has shape"),
        (
            "preprocessor_config.json",
            "resample",
            5.into(),
            "`resample` 5",
        ),
    ] {
        let said = edit(file, &|json| json[key] = value.clone());
        assert!(said.contains(says), "{key}: {said}");
    }
    let folder = checkpoint("vit").folder();
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    assert!(why(folder.path(), false).contains("not a whole safetensors file"));
    std::fs::remove_file(folder.path().join("preprocessor_config.json")).expect("removed");
    assert!(why(folder.path(), false).contains("preprocessor_config.json"));
}
