//! The labels task on real weights and real photographs, against the reference answers in
//! `tests/golden/efficientnet_lite0.json` (PyTorch and Pillow).

use bytes::Bytes;
use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::labels::taxonomy::Taxonomy;
use escala_pipelines::labels::{LabelsInput, LabelsOptions, LabelsPipeline, LabelsTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");

fn pipeline() -> LabelsPipeline {
    let store = Store::open(StoreOptions::default()).expect("store");
    LabelsTask::default()
        .load(&LoadContext {
            weights: &store,
            target: (&Device::Cpu).into(),
        })
        .expect("weights")
}

fn ask(image: &str, options: LabelsOptions) -> LabelsInput {
    let bytes = std::fs::read(format!("{GOLDEN}images/{image}")).expect("image");
    LabelsInput {
        image: Bytes::from(bytes).into(),
        options,
    }
}

#[test]
fn photographs_get_the_reference_answers() {
    let text = std::fs::read_to_string(format!("{GOLDEN}efficientnet_lite0.json")).expect("golden");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("json");
    let taxonomy = Taxonomy::builtin().expect("taxonomy");
    let everything = LabelsOptions {
        min_confidence: 0.0,
        max_labels: usize::MAX,
        ..LabelsOptions::default()
    };
    // PNG: the crop is the reference's byte for byte, what is left is the order of additions. JPEG: decoders
    // differ by a level here and there, which moves a probability by up to a hundredth.
    let images = [
        ("chelsea.png", 0.1),
        ("coffee.png", 0.1),
        ("grace_hopper.jpg", 1.5),
    ];
    let batch: Vec<LabelsInput> = images
        .iter()
        .map(|(image, _)| ask(image, everything.clone()))
        .collect();
    let answers = pipeline().run(&Compute::cpu(2), &batch);
    for ((image, tolerance), answer) in images.iter().zip(answers) {
        let labels = answer.expect(image).labels;
        assert_eq!(labels.len(), taxonomy.nodes().len());
        let item = golden["items"]
            .as_array()
            .expect("items")
            .iter()
            .find(|item| item["image"] == *image)
            .expect(image);
        for best in item["top5"].as_array().expect("top5") {
            let own = taxonomy.of_class(best["idx"].as_u64().expect("idx") as usize);
            let name = &taxonomy.nodes()[own].name;
            let expected = 100.0 * best["prob"].as_f64().expect("prob") as f32;
            let label = labels.iter().find(|label| label.name == *name).expect(name);
            // A label that others are kinds of (a coffee mug is a cup) has their shares on top.
            let over = label.confidence - expected;
            let above_others = taxonomy
                .nodes()
                .iter()
                .any(|node| node.ancestors.contains(&own));
            assert!(
                over > -tolerance && (above_others || over < *tolerance),
                "{image}: {label:?}, reference {expected}"
            );
        }
    }
}

#[test]
fn a_photograph_of_a_cat_has_a_cat() {
    let pipeline = pipeline();
    let options = LabelsOptions {
        properties: Some(3),
        ..LabelsOptions::default()
    };
    let answers = pipeline.run(
        &Compute::cpu(1),
        &[ask("chelsea.png", options), pipeline.sample()],
    );
    let cat = answers[0].as_ref().expect("cat");
    let mut names: Vec<&str> = cat.labels.iter().map(|label| label.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Animal", "Cat", "Feline", "Mammal", "Pet"]);
    assert_eq!(
        cat.properties
            .as_ref()
            .expect("properties")
            .dominant_colors
            .len(),
        3
    );
    assert!(answers[1].is_ok(), "the warm-up sample");
    assert!(
        (15_000_000..60_000_000).contains(&pipeline.memory()),
        "{}",
        pipeline.memory()
    );
}
