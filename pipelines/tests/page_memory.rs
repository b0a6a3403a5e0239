//! What looks at the parts of a large photograph cost: no more memory than one look at all of it may.
#![cfg(target_os = "linux")] // peaks come from /proc

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::ocr::{OcrInput, OcrTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};
use image::RgbImage;
use image::imageops::{FilterType, replace, resize};

/// Megabytes above the loaded networks that a photograph of twelve megapixels may need.
const PHOTOGRAPH: u64 = 150;
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/images/");

fn megabytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.expect(field).parse::<u64>().expect("a number") / 1024
}

/// 4000 x 3000 pixels: an astronaut, and below her a page of small print, which is looked at in parts.
fn photograph() -> Vec<u8> {
    let open = |name: &str| {
        image::open(format!("{GOLDEN}{name}"))
            .expect("image")
            .to_rgb8()
    };
    let mut picture = resize(&open("astronaut.png"), 4000, 3000, FilterType::Triangle);
    replace(&mut picture, &open("page_screen.png"), 80, 700);
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode_image(&picture)
        .expect("a file");
    bytes
}

#[test]
fn small_print_in_a_large_photograph_is_read_in_little_memory() {
    let store = Store::open(StoreOptions::default()).expect("store");
    let context = LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    };
    let reader = OcrTask::default().load(&context).expect("weights");
    let compute = Compute::cpu(2);
    let ask = |image: Vec<u8>| {
        let input = OcrInput {
            image: image.into(),
        };
        let answers = reader.run(&compute, &[input]);
        answers.into_iter().next().expect("one").expect("text")
    };
    let mut small = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut small)
        .encode_image(&RgbImage::new(300, 200))
        .expect("a file");
    ask(small);
    let photograph = photograph();
    let before = megabytes("VmRSS");
    // Forgets the peak.
    std::fs::write("/proc/self/clear_refs", "5").expect("clear_refs");
    let found = ask(photograph);
    let peak = megabytes("VmHWM").saturating_sub(before);
    println!("{} lines, {peak} MB above the networks", found.lines.len());
    let lines = found.lines.iter();
    let right = lines.filter(|found| found.line.text.ends_with(": enabled by user"));
    assert!(right.count() >= 18, "{:?}", found.lines);
    assert!(peak <= PHOTOGRAPH, "{peak} MB");
}
