//! What images cost the running server: hostile files through every route, and the memory of a large photograph.
#![cfg(target_os = "linux")] // peaks come from /proc

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::hostile::{Expected, HUGE, files};
use common::{Answer, Server, Setup, golden_image, images};
use image::{DynamicImage, RgbImage};
use serde_json::{Value, json};

/// Megabytes above the loaded models that a photograph of twelve megapixels may need. The detector of text sees it at
/// 2000 pixels, and the maps of a run on so many take most.
const PHOTOGRAPH: u64 = 150;
/// The same for the worst file that the limits let in: 100 megapixels, which a decoder may hold in 400 MB.
const WORST: u64 = 460;

fn server(folder: &tempfile::TempDir) -> Server {
    let set = format!("data.dir={}", folder.path().display());
    let arguments = ["--preload", "faces", "--set", &set].map(str::to_owned);
    Server::start(&Setup {
        arguments: arguments.to_vec(),
        ..Setup::default()
    })
}

fn aws(server: &Server, operation: &str, body: &Value) -> Answer {
    let target = format!("RekognitionService.{operation}");
    server.aws(&target, body.to_string().as_bytes())
}

/// Every route that takes an image, asked about this one. `face` is one with a face, for those that take two.
fn ask_all(server: &Server, image: &[u8], face: &str) -> Vec<(&'static str, Answer)> {
    let text = BASE64_STANDARD.encode(image);
    let bytes = |text: &str| json!({ "Bytes": text });
    let own = bytes(&text);
    let mut answers = Vec::new();
    for (operation, body) in [
        ("DetectLabels", json!({"Image": own})),
        ("DetectFaces", json!({"Image": own, "Attributes": ["ALL"]})),
        ("DetectText", json!({"Image": own})),
        ("DetectModerationLabels", json!({"Image": own})),
        ("DetectProtectiveEquipment", json!({"Image": own})),
        (
            "CompareFaces",
            json!({"SourceImage": own, "TargetImage": bytes(face)}),
        ),
        (
            "CompareFaces",
            json!({"SourceImage": bytes(face), "TargetImage": own}),
        ),
        ("IndexFaces", json!({"CollectionId": "all", "Image": own})),
        (
            "SearchFacesByImage",
            json!({"CollectionId": "all", "Image": own}),
        ),
    ] {
        answers.push((operation, aws(server, operation, &body)));
    }
    for route in ["labels?properties=true", "faces", "text", "moderation"] {
        let path = format!("/v1/images/{route}");
        let answer = server.post(&path, "application/octet-stream", image);
        answers.push((route, answer));
    }
    let two = json!({"source": text, "target": face});
    answers.push(("compare", server.post_json("/v1/images/compare", &two)));
    answers
}

/// What an answer says, whichever door gave it.
fn outcome(answer: &Answer) -> String {
    if answer.status == 200 {
        return "answer".to_owned();
    }
    let body = answer.json();
    let code = body["__type"].as_str().or(body["error"]["code"].as_str());
    code.unwrap_or_default().to_owned()
}

fn is_expected(outcome: &str, expected: Expected) -> bool {
    let answered = matches!(
        outcome,
        // Comparing and searching need a face.
        "answer" | "InvalidParameterException" | "invalid_input"
    );
    let refused = matches!(outcome, "InvalidImageFormatException" | "invalid_image");
    let large = matches!(outcome, "ImageTooLargeException" | "too_large");
    match expected {
        Expected::Answer => answered,
        Expected::NoImage => refused,
        Expected::TooLarge => large || refused,
        Expected::Either => answered || refused,
    }
}

/// Megabytes of the peak since the last look, above `before`.
fn peak(server: &Server, before: u64) -> u64 {
    let peak = server.kilobytes("VmHWM").saturating_sub(before) / 1024;
    server.forget_peak();
    peak
}

/// Loads every model, and says what the server holds then, in kilobytes.
fn load_all(server: &Server, face: &str) -> u64 {
    aws(server, "CreateCollection", &json!({"CollectionId": "all"})).ok();
    let small = images::jpeg(&images::decoded("astronaut.png").thumbnail(200, 200));
    for (route, answer) in ask_all(server, &small, face) {
        assert_eq!(answer.status, 200, "{route}: {answer:?}");
    }
    server.forget_peak();
    server.kilobytes("VmRSS")
}

#[test]
fn hostile_images_through_every_route_harm_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = server(&folder);
    let face = BASE64_STANDARD.encode(golden_image("astronaut.png"));
    let before = load_all(&server, &face);
    let mut wrong = Vec::new();
    let mut worst = (0, String::new());
    for (name, bytes, expected) in files() {
        for (route, answer) in ask_all(&server, &bytes, &face) {
            let outcome = outcome(&answer);
            // Equipment is looked for in at most 4,096 pixels a side.
            let expected = match (route, name.as_str()) {
                ("DetectProtectiveEquipment", HUGE) => Expected::TooLarge,
                _ => expected,
            };
            if !is_expected(&outcome, expected) {
                wrong.push(format!("{name}, {route}: {outcome}, not {expected:?}"));
            }
        }
        let peak = peak(&server, before);
        if peak > worst.0 {
            worst = (peak, name);
        }
    }
    println!(
        "most memory above the models: {} MB, for {}",
        worst.0, worst.1
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(worst.0 <= WORST, "{} MB for {}", worst.0, worst.1);
    server.assert_sound("hostile images");
}

/// A photograph of 4000 x 3000 pixels, as a camera would store it: an astronaut beside herself, with grain.
fn photograph() -> Vec<u8> {
    let tile = images::decoded("astronaut.png").to_rgb8();
    let noise = images::noise(1 << 16);
    let picture = RgbImage::from_fn(4000, 3000, |x, y| {
        let mut pixel = *tile.get_pixel(x / 4 % tile.width(), y / 4 % tile.height());
        let grain = noise[(x * 31 + y * 1009) as usize % noise.len()] / 32;
        pixel.0 = pixel.0.map(|value| value.saturating_add(grain));
        pixel
    });
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 80);
    let picture = DynamicImage::ImageRgb8(picture);
    picture.write_with_encoder(encoder).expect("JPEG");
    bytes
}

#[test]
fn a_photograph_of_twelve_megapixels_needs_little_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = server(&folder);
    let face = BASE64_STANDARD.encode(golden_image("astronaut.png"));
    let before = load_all(&server, &face);
    let image = photograph();
    assert!(image.len() < 5_242_880, "{} bytes", image.len());
    let own = json!({ "Bytes": BASE64_STANDARD.encode(&image) });
    let mut over = Vec::new();
    for (operation, body) in [
        ("DetectLabels", json!({"Image": own})),
        ("DetectFaces", json!({"Image": own, "Attributes": ["ALL"]})),
        ("DetectText", json!({"Image": own})),
        ("DetectModerationLabels", json!({"Image": own})),
        ("DetectProtectiveEquipment", json!({"Image": own})),
    ] {
        let start = std::time::Instant::now();
        aws(&server, operation, &body).ok();
        let took = start.elapsed().as_millis();
        let held = server.kilobytes("VmRSS").saturating_sub(before) / 1024;
        let peak = peak(&server, before);
        println!(
            "{operation}: {peak} MB above the models at the peak, {held} MB afterwards, {took} ms"
        );
        if peak > PHOTOGRAPH {
            over.push(format!("{operation}: {peak} MB of {PHOTOGRAPH}"));
        }
    }
    assert!(over.is_empty(), "{over:?}");
}
