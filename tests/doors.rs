//! The HTTP doors of the real binary: right answers against the golden files, and every kind of broken
//! or hostile request answered with the documented error while the server lives on and stays right.

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Server, Setup, golden_image, golden_json, images, without};
use image::ImageFormat;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::OnceLock;

/// A pause in a body that the server under test takes for a stall; long beside a busy machine's hiccups.
const BODY_PAUSE: &str = "2s";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::start(&Setup::default().with("ESCALA_LIMITS_BODY_PAUSE", BODY_PAUSE))
    })
}

fn labels_of(answer: &Answer) -> HashMap<String, f64> {
    let answer = answer.ok();
    let labels = answer["labels"].as_array().expect("labels");
    labels
        .iter()
        .map(|label| {
            (
                label["name"].as_str().expect("name").to_owned(),
                label["confidence"].as_f64().expect("confidence"),
            )
        })
        .collect()
}

/// The labels that have a place.
fn located(answer: &Answer) -> HashSet<String> {
    let answer = answer.ok();
    let labels = answer["labels"].as_array().expect("labels").iter();
    let placed = labels.filter(|label| label["instances"] != json!([]));
    placed
        .map(|label| label["name"].as_str().expect("name").to_owned())
        .collect()
}

fn label_image(bytes: &[u8]) -> Answer {
    server().post(
        "/v1/images/labels?min_confidence=1",
        "application/octet-stream",
        bytes,
    )
}

fn near(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!(
        (got - want).abs() <= tolerance,
        "{what}: {got} is not {want} within {tolerance}"
    );
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

// --- right answers ---------------------------------------------------------------------------------

#[test]
fn languages_are_the_reference_ones() {
    let golden = golden_json("lid176.json");
    let items = golden["items"].as_array().expect("items");
    let texts: Vec<&str> = items
        .iter()
        .map(|item| item["text"].as_str().expect("text"))
        .collect();
    let together = server()
        .post_json("/v1/text/language", &json!({ "texts": texts }))
        .ok();
    for (index, item) in items.iter().enumerate() {
        let alone = server()
            .post_json("/v1/text/language", &json!({ "text": texts[index] }))
            .ok();
        assert_eq!(
            alone["languages"], together["results"][index]["languages"],
            "{}",
            texts[index]
        );
        let best = &alone["languages"][0];
        assert_eq!(best["code"], item["top3"][0][0], "{}", texts[index]);
        // fastText sums in f32; the file has five decimals.
        let score = item["top3"][0][1].as_f64().expect("score");
        near(
            best["score"].as_f64().expect("score"),
            score,
            1e-4,
            texts[index],
        );
    }
    let plain = server()
        .post(
            "/v1/text/language",
            "text/plain; charset=utf-8",
            texts[2].as_bytes(),
        )
        .ok();
    assert_eq!(plain["languages"], together["results"][2]["languages"]);
}

#[test]
fn readings_agree_through_every_door() {
    let golden = golden_json("spacy_en.json");
    for item in golden["items"].as_array().expect("items") {
        let text = item["text"].as_str().expect("text");
        let rest = server()
            .post_json("/v1/text/entities", &json!({ "text": text }))
            .ok();
        let request = json!({ "Text": text, "LanguageCode": "en" }).to_string();
        let aws = server()
            .aws("Comprehend_20171127.DetectEntities", request.as_bytes())
            .ok();
        let rest = without(&rest["entities"], "en", "rules", "text");
        let aws = without(&aws["Entities"], "en", "rules", "Text");
        let reference = without(&item["ents"], "en", "reference", "text");
        assert_eq!(
            (rest.len(), aws.len()),
            (reference.len(), reference.len()),
            "{text}"
        );
        for ((rest, aws), reference) in rest.iter().zip(aws).zip(reference) {
            assert_eq!(
                (&rest["text"], &rest["label"]),
                (&reference["text"], &reference["label"])
            );
            assert_eq!(
                (&rest["begin"], &rest["end"]),
                (&reference["start_char"], &reference["end_char"])
            );
            // The same 32-bit number, which the two doors write with as many digits as it or a double needs.
            let score = |value: &Value| value.as_f64().expect("a score") as f32;
            assert_eq!(
                (&rest["type"], score(&rest["score"])),
                (&aws["Type"], score(&aws["Score"]))
            );
            assert_eq!(
                (&rest["begin"], &rest["end"]),
                (&aws["BeginOffset"], &aws["EndOffset"])
            );
            let (from, to) = (rest["begin_byte"].as_u64(), rest["end_byte"].as_u64());
            let (from, to) = (from.expect("a byte") as usize, to.expect("a byte") as usize);
            assert_eq!(&text[from..to], rest["text"].as_str().expect("text"));
        }
    }
}

#[test]
fn strange_texts_are_read_or_refused() {
    for text in [
        "\u{0}",
        "👩‍👩‍👧‍👦 😀",
        "\u{202e}מִבְחָן עברית",
        "\u{200b}\u{200b}",
        &"x".repeat(100_000),
        &"1".repeat(5_000),
        "\n\n a \t b \r\n",
    ] {
        for path in [
            "/v1/text/syntax",
            "/v1/text/entities",
            "/v1/text/pii",
            "/v1/text/targeted-sentiment",
            "/v1/text/toxicity",
        ] {
            let answer = server().post_json(path, &json!({ "text": text })).ok();
            for list in ["tokens", "entities"] {
                let items = answer[list].as_array().into_iter().flatten();
                // What a text speaks of stands in several places.
                let places = |item: &Value| match item["mentions"].as_array() {
                    Some(mentions) => mentions.clone(),
                    None => vec![item.clone()],
                };
                for item in items.flat_map(places) {
                    let (from, to) = (item["begin_byte"].as_u64(), item["end_byte"].as_u64());
                    let (from, to) = (from.expect("a byte") as usize, to.expect("a byte") as usize);
                    assert_eq!(text.get(from..to), item["text"].as_str(), "{path}");
                }
            }
        }
    }
    let lone = server().post(
        "/v1/text/syntax",
        "application/json",
        br#"{"text": "\ud800"}"#,
    );
    lone.assert_rest_error(400, "invalid_input", "a lone surrogate");
}

#[test]
fn embeddings_are_the_reference_ones() {
    // Two f32 implementations sum in different orders; the file has six decimals, its cosines five.
    const TOLERANCE: f64 = 2e-5;
    let golden = golden_json("minilm.json");
    let items = golden["items"].as_array().expect("items");
    let texts: Vec<&str> = items
        .iter()
        .map(|item| item["text"].as_str().expect("text"))
        .collect();
    let together = server()
        .post_json("/v1/text/embeddings", &json!({ "texts": texts }))
        .ok();
    let vectors: Vec<Vec<f64>> = (0..texts.len())
        .map(|index| numbers(&together["results"][index]["embedding"]))
        .collect();
    for (index, item) in items.iter().enumerate() {
        let (text, vector) = (texts[index], &vectors[index]);
        assert_eq!(vector.len(), 384);
        let wanted = [
            numbers(&item["embedding_first8"]),
            numbers(&item["embedding_last4"]),
        ]
        .concat();
        let got = [&vector[..8], &vector[380..]].concat();
        for (got, want) in got.iter().zip(wanted) {
            near(*got, want, TOLERANCE, text);
        }
        near(
            vector.iter().map(|x| x * x).sum::<f64>().sqrt(),
            1.0,
            1e-5,
            text,
        );
        let tokens = item["input_ids"].as_array().expect("ids").len();
        assert_eq!(together["results"][index]["tokens"], tokens, "{text}");
        assert_eq!(together["results"][index]["truncated"], false, "{text}");
        let alone = server()
            .post_json("/v1/text/embeddings", &json!({ "text": text }))
            .ok();
        for (a, b) in numbers(&alone["embedding"]).iter().zip(vector) {
            near(*a, *b, 1e-6, &format!("alone and batched, {text}"));
        }
        for (other, cosine) in vectors.iter().zip(numbers(&golden["cosine"][index])) {
            let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            near(dot, cosine, 1e-4, text);
        }
    }
}

#[test]
fn a_long_text_is_read_to_its_256th_token() {
    let text = "word ".repeat(1000);
    let answer = server()
        .post_json("/v1/text/embeddings", &json!({ "text": text }))
        .ok();
    assert_eq!(
        (&answer["tokens"], &answer["truncated"]),
        (&json!(256), &json!(true))
    );
    let cut = server()
        .post_json(
            "/v1/text/embeddings",
            &json!({ "text": "word ".repeat(254) }),
        )
        .ok();
    assert_eq!(cut["truncated"], false);
    for (a, b) in numbers(&answer["embedding"])
        .iter()
        .zip(numbers(&cut["embedding"]))
    {
        near(*a, b, 1e-6, "the first 254 words");
    }
}

/// The label of each class, and whether it stands for that class alone.
fn label_of_class() -> HashMap<u64, (String, bool)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/data/labels.tsv");
    let text = std::fs::read_to_string(path).expect("the taxonomy");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .collect();
    let has_children = |name: &str| {
        rows.iter()
            .any(|row| row[2].split(';').any(|parent| parent == name))
    };
    let mut labels = HashMap::new();
    for row in &rows {
        let classes: Vec<u64> = row[4]
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|class| class.parse().ok())
            .collect();
        for class in &classes {
            labels.insert(
                *class,
                (
                    row[0].to_owned(),
                    classes.len() == 1 && !has_children(row[0]),
                ),
            );
        }
    }
    labels
}

#[test]
fn labels_are_the_reference_classes() {
    let by_class = label_of_class();
    assert_eq!(by_class.len(), 1000);
    let golden = golden_json("efficientnet_lite0.json");
    let mut exact = 0;
    for item in golden["items"].as_array().expect("items") {
        let name = item["image"].as_str().expect("image");
        if item["input_png"].is_null() {
            continue; // no licence to ship it
        }
        let answer = label_image(&golden_image(name));
        let labels = labels_of(&answer);
        let located = located(&answer);
        // PNG pixels are the same for all readers, and the bicubic crop is Pillow's to a rounding;
        // JPEG decoders may differ by a step or two in each pixel.
        let tolerance = if name.ends_with(".jpg") { 2.0 } else { 0.5 };
        for class in item["top5"].as_array().expect("top5") {
            let percent = class["prob"].as_f64().expect("prob") * 100.0;
            let (label, alone) = &by_class[&class["idx"].as_u64().expect("idx")];
            match labels.get(label) {
                Some(got) if *alone && !located.contains(label) => {
                    near(*got, percent, tolerance, &format!("{name}: {label}"));
                    exact += 1;
                }
                // Other classes add to a label that stands for several, the detector to one that it sees.
                Some(got) => assert!(
                    *got >= percent - tolerance,
                    "{name}: {label} {got} is less than {percent}"
                ),
                None => assert!(
                    percent < 1.0 + tolerance,
                    "{name}: {label} is missing in {labels:?}"
                ),
            }
        }
    }
    assert!(exact >= 6, "only {exact} labels could be compared exactly");
}

#[test]
fn json_and_raw_bytes_and_the_aws_door_agree() {
    let image = golden_image("coffee.png");
    let raw = labels_of(&label_image(&image));
    let encoded = BASE64_STANDARD.encode(&image);
    let by_json = labels_of(&server().post_json(
        "/v1/images/labels",
        &json!({ "image": encoded, "min_confidence": 1.0 }),
    ));
    assert_eq!(raw, by_json);
    let body = json!({ "Image": { "Bytes": encoded }, "MinConfidence": 1.0 }).to_string();
    let aws = server()
        .aws("RekognitionService.DetectLabels", body.as_bytes())
        .ok();
    let aws: HashMap<String, f64> = aws["Labels"]
        .as_array()
        .expect("labels")
        .iter()
        .map(|label| {
            (
                label["Name"].as_str().expect("name").to_owned(),
                label["Confidence"].as_f64().expect("confidence"),
            )
        })
        .collect();
    assert_eq!(raw.len(), aws.len());
    for (name, confidence) in &raw {
        near(aws[name], *confidence, 1e-3, name);
    }
}

#[test]
fn every_orientation_is_honoured() {
    let upright = images::decoded("coffee.png");
    let wanted = labels_of(&label_image(&images::jpeg(&upright)))["Espresso"];
    for orientation in 1..=8 {
        let labels = labels_of(&label_image(&images::jpeg_with_orientation(
            &upright,
            orientation,
        )));
        // The pixels differ by what JPEG loses in blocks that lie otherwise.
        near(
            labels["Espresso"],
            wanted,
            2.0,
            &format!("orientation {orientation}"),
        );
    }
    // The picture can tell: without the tag, at least one way of lying gives another answer.
    let lying = [upright.rotate90(), upright.rotate180(), upright.rotate270()];
    let moved = lying.iter().any(|image| {
        let labels = labels_of(&label_image(&images::jpeg(image)));
        (labels.get("Espresso").copied().unwrap_or(0.0) - wanted).abs() > 2.0
    });
    assert!(moved, "the picture looks the same from all sides");
}

#[test]
fn every_format_is_read() {
    let coffee = images::decoded("coffee.png");
    let wanted = labels_of(&label_image(&golden_image("coffee.png")))["Espresso"];
    // All but JPEG and GIF (256 colours) keep every pixel.
    for (format, tolerance) in [
        (ImageFormat::Png, 0.01),
        (ImageFormat::Bmp, 0.01),
        (ImageFormat::Tiff, 0.01),
        (ImageFormat::WebP, 0.01),
        (ImageFormat::Jpeg, 5.0),
        (ImageFormat::Gif, 10.0),
    ] {
        let labels = labels_of(&label_image(&images::encoded(&coffee, format)));
        near(
            labels.get("Espresso").copied().unwrap_or(0.0),
            wanted,
            tolerance,
            &format!("{format:?}"),
        );
    }
}

#[test]
fn many_callers_at_once_each_get_their_own_answer() {
    let golden = golden_json("lid176.json");
    let minilm = golden_json("minilm.json");
    let items = golden["items"].as_array().expect("items");
    let texts = minilm["items"].as_array().expect("items");
    std::thread::scope(|scope| {
        for caller in 0..16 {
            scope.spawn(move || {
                for round in 0..12 {
                    let item = &items[(caller * 5 + round) % items.len()];
                    let answer = server()
                        .post_json("/v1/text/language", &json!({ "text": item["text"] }))
                        .ok();
                    assert_eq!(answer["languages"][0]["code"], item["top3"][0][0]);
                    let item = &texts[(caller + round * 3) % texts.len()];
                    let answer = server()
                        .post_json("/v1/text/embeddings", &json!({ "text": item["text"] }))
                        .ok();
                    near(
                        numbers(&answer["embedding"])[0],
                        numbers(&item["embedding_first8"])[0],
                        2e-5,
                        "the right caller's",
                    );
                }
            });
        }
    });
}

#[test]
fn the_document_describes_what_is_served() {
    let document = server().get("/openapi.json").ok();
    assert!(
        document["openapi"]
            .as_str()
            .expect("version")
            .starts_with("3.1"),
        "{}",
        document["openapi"]
    );
    for path in [
        "/v1/text/language",
        "/v1/text/embeddings",
        "/v1/images/labels",
        "/v1/embeddings",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(
            document["paths"].get(path).is_some(),
            "{path} is not described"
        );
    }
    for page in ["/", "/docs"] {
        let answer = server().get(page);
        assert_eq!(
            (answer.status, answer.content_type.starts_with("text/html")),
            (200, true),
            "{page}"
        );
    }
}

// --- refused requests ------------------------------------------------------------------------------

/// What is broken, the path, the content type, the body, and the status and code to expect.
type BrokenRequest = (
    &'static str,
    &'static str,
    &'static str,
    Vec<u8>,
    u16,
    &'static str,
);

#[test]
fn broken_rest_requests_get_their_error_and_harm_nobody() {
    let long = "a".repeat(1_000_001);
    let many: Vec<&str> = vec!["a"; 2049];
    let language = "/v1/text/language";
    let labels = "/v1/images/labels";
    let cases: Vec<BrokenRequest> = vec![
        (
            "no JSON",
            language,
            "application/json",
            b"{\"text\": ".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "bytes that are no UTF-8",
            language,
            "application/json",
            vec![b'"', 0xff, 0xfe, b'"'],
            400,
            "invalid_input",
        ),
        (
            "an empty body",
            language,
            "application/json",
            vec![],
            400,
            "invalid_input",
        ),
        (
            "a list instead of an object",
            language,
            "application/json",
            b"[1]".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "a wrong type",
            language,
            "application/json",
            b"{\"text\": 5}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "an unknown member",
            language,
            "application/json",
            b"{\"txt\": \"hello\"}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "both members",
            language,
            "application/json",
            json!({ "text": "a", "texts": ["b"] }).to_string().into(),
            400,
            "invalid_input",
        ),
        (
            "no texts",
            language,
            "application/json",
            b"{\"texts\": []}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "too many texts",
            language,
            "application/json",
            json!({ "texts": many }).to_string().into(),
            400,
            "invalid_input",
        ),
        (
            "a text that is too long",
            language,
            "application/json",
            json!({ "text": long }).to_string().into(),
            413,
            "too_large",
        ),
        (
            "deep nesting",
            language,
            "application/json",
            "[".repeat(200_000).into(),
            400,
            "invalid_input",
        ),
        (
            "a wrong content type",
            language,
            "application/xml",
            b"<text/>".to_vec(),
            415,
            "unsupported_media_type",
        ),
        (
            "a text that is no UTF-8",
            language,
            "text/plain",
            vec![0xc3, 0x28],
            400,
            "invalid_input",
        ),
        (
            "no image",
            labels,
            "image/png",
            vec![],
            400,
            "invalid_image",
        ),
        (
            "wrong base64",
            labels,
            "application/json",
            b"{\"image\": \"*not base64*\"}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "text as image",
            labels,
            "application/json",
            json!({ "image": BASE64_STANDARD.encode("hello") })
                .to_string()
                .into(),
            400,
            "invalid_image",
        ),
        (
            "a wrong setting",
            labels,
            "application/json",
            json!({ "image": "aGk=", "min_confidence": 101 })
                .to_string()
                .into(),
            400,
            "invalid_input",
        ),
        (
            "an unknown query",
            "/v1/images/labels?colour=red",
            "image/png",
            golden_image("coffee.png"),
            400,
            "invalid_input",
        ),
    ];
    for (what, path, content_type, body, status, code) in cases {
        server()
            .post(path, content_type, &body)
            .assert_rest_error(status, code, what);
        server().assert_sound(what);
    }
}

#[test]
fn hostile_images_get_their_error_and_harm_nobody() {
    let (png, jpeg) = (
        golden_image("chelsea.png"),
        golden_image("grace_hopper.jpg"),
    );
    let noise_in_the_middle = {
        let mut bytes = png.clone();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].copy_from_slice(&images::noise(4096));
        bytes
    };
    let header_then_noise = [&png[..64], &images::noise(100_000)[..]].concat();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("random bytes", images::noise(100_000), 400, "invalid_image"),
        (
            "a PNG cut in half",
            png[..png.len() / 2].to_vec(),
            400,
            "invalid_image",
        ),
        (
            "a JPEG cut in half",
            jpeg[..jpeg.len() / 2].to_vec(),
            400,
            "invalid_image",
        ),
        ("only a signature", png[..8].to_vec(), 400, "invalid_image"),
        (
            "a PNG with noise inside",
            noise_in_the_middle,
            400,
            "invalid_image",
        ),
        (
            "a PNG header before noise",
            header_then_noise,
            400,
            "invalid_image",
        ),
        (
            "a PNG that announces 3.6 gigapixels",
            images::png_bomb(60_000, 60_000),
            413,
            "too_large",
        ),
        (
            "a PNG that announces all it can",
            images::png_bomb(0x7fff_ffff, 0x7fff_ffff),
            413,
            "too_large",
        ),
        (
            "a PNG of one row",
            images::png_bomb(1_000_000, 100),
            413,
            "too_large",
        ),
        (
            "a PNG without its pixels",
            images::png_bomb(4000, 4000),
            400,
            "invalid_image",
        ),
        (
            "a PNG of nothing",
            images::png_bomb(0, 0),
            400,
            "invalid_image",
        ),
        (
            "a JPEG that announces 4.3 gigapixels",
            images::jpeg_bomb(65_500, 65_500),
            413,
            "too_large",
        ),
        (
            "a GIF that announces 4.3 gigapixels",
            images::gif_bomb(),
            413,
            "too_large",
        ),
        (
            "an SVG",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            400,
            "invalid_image",
        ),
    ];
    for (what, bytes, status, code) in cases {
        label_image(&bytes).assert_rest_error(status, code, what);
        let encoded = json!({ "Image": { "Bytes": BASE64_STANDARD.encode(&bytes) } }).to_string();
        let name = if code == "too_large" {
            "ImageTooLargeException"
        } else {
            "InvalidImageFormatException"
        };
        server()
            .aws("RekognitionService.DetectLabels", encoded.as_bytes())
            .assert_aws_error(400, name, what);
        server().assert_sound(what);
    }
    assert!(labels_of(&label_image(&png)).contains_key("Cat"));
}

#[test]
fn broken_aws_requests_get_their_error_and_harm_nobody() {
    let (language, labels) = (
        "Comprehend_20171127.DetectDominantLanguage",
        "RekognitionService.DetectLabels",
    );
    let long = json!({ "Text": "a".repeat(100_001) }).to_string();
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        (
            "no JSON",
            language,
            b"{\"Text\": ".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "an empty body",
            language,
            vec![],
            400,
            "SerializationException",
        ),
        (
            "a list instead of an object",
            language,
            b"[]".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "a wrong type",
            language,
            b"{\"Text\": 5}".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "deep nesting",
            language,
            format!("{{\"Text\": {}", "[".repeat(200_000)).into(),
            400,
            "SerializationException",
        ),
        (
            "a missing member",
            language,
            b"{}".to_vec(),
            400,
            "ValidationException",
        ),
        (
            "an empty text",
            language,
            b"{\"Text\": \"\"}".to_vec(),
            400,
            "ValidationException",
        ),
        (
            "a text that is too long",
            language,
            long.into(),
            400,
            "TextSizeLimitExceededException",
        ),
        (
            "an unknown operation",
            "Comprehend_20171127.DetectMood",
            b"{}".to_vec(),
            400,
            "UnknownOperationException",
        ),
        (
            "an unknown service",
            "Mars_20990101.DetectWater",
            b"{}".to_vec(),
            400,
            "UnknownOperationException",
        ),
        (
            "a target without a dot",
            "DetectDominantLanguage",
            b"{}".to_vec(),
            400,
            "UnknownOperationException",
        ),
        (
            "an operation to come",
            "Comprehend_20171127.ListEndpoints",
            b"{}".to_vec(),
            501,
            "NotImplementedException",
        ),
        (
            "wrong base64",
            labels,
            b"{\"Image\": {\"Bytes\": \"*no*\"}}".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "no image",
            labels,
            b"{\"Image\": {}}".to_vec(),
            400,
            "InvalidParameterException",
        ),
        (
            "a bound of the model",
            labels,
            b"{\"Image\": {\"Bytes\": \"aGk=\"}, \"MinConfidence\": 101}".to_vec(),
            400,
            "ValidationException",
        ),
    ];
    for (what, target, body, status, code) in cases {
        server()
            .aws(target, &body)
            .assert_aws_error(status, code, what);
        server().assert_sound(what);
    }
    let answer = server().post("/", "application/x-amz-json-1.1", b"{}");
    answer.assert_aws_error(400, "UnknownOperationException", "no target");
}

#[test]
fn openai_errors_have_their_shape() {
    let ask = |body: Value| server().post_json("/v1/embeddings", &body);
    let cases = [
        (
            "another model",
            json!({ "model": "gpt-4", "input": "a" }),
            404,
            "model",
        ),
        (
            "token numbers",
            json!({ "model": "all-MiniLM-L6-v2", "input": [1, 2] }),
            400,
            "input",
        ),
        (
            "another size",
            json!({ "model": "all-MiniLM-L6-v2", "input": "a", "dimensions": 3 }),
            400,
            "dimensions",
        ),
    ];
    for (what, body, status, param) in cases {
        let answer = ask(body);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &json!(param)),
            "{what}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{what}"
        );
        server().assert_sound(what);
    }
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    server()
        .get("/v1/nothing/here")
        .assert_rest_error(404, "not_found", "an unknown path");
    server().get("/v1/text/language").assert_rest_error(
        405,
        "method_not_allowed",
        "a wrong method",
    );
    server().method("DELETE", "/healthz").assert_rest_error(
        405,
        "method_not_allowed",
        "a wrong method",
    );
    server().method("PUT", "/").assert_rest_error(
        405,
        "method_not_allowed",
        "a wrong method on the root",
    );
    server().assert_sound("unknown paths");
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let body = vec![b' '; (24 << 20) + 1];
    server()
        .post("/v1/text/language", "application/json", &body)
        .assert_rest_error(413, "too_large", "25 MB");
    server()
        .aws("Comprehend_20171127.DetectDominantLanguage", &body)
        .assert_aws_error(413, "RequestEntityTooLargeException", "25 MB");
    server().assert_sound("a large body");
}

/// Reads until the server closes the connection, which it does by itself: what the caller sends next may be the rest of a
/// body that was refused.
fn rest_of(mut stream: std::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_body_that_announces_more_than_it_may_is_refused_without_being_sent() {
    let mut stream = server().connect();
    let head = "POST /v1/text/language HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 999999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = rest_of(stream);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server().assert_sound("an announced terabyte");
}

#[test]
fn a_slow_body_times_out() {
    let mut stream = server().connect();
    let head = "POST /v1/text/language HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"text\":";
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = rest_of(stream);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server().assert_sound("a slow body");
}

#[test]
fn callers_that_hang_up_harm_nobody() {
    for after in [10, 120, 100_000] {
        let body =
            json!({ "image": BASE64_STANDARD.encode(golden_image("coffee.png")) }).to_string();
        let request = format!(
            "POST /v1/images/labels HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = server().connect();
        stream
            .write_all(&request.as_bytes()[..after.min(request.len())])
            .expect("sent");
        stream.shutdown(Shutdown::Both).expect("hung up");
    }
    // A whole request whose answer nobody waits for.
    let mut stream = server().connect();
    stream.write_all(b"POST /v1/text/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello").expect("sent");
    drop(stream);
    server().assert_sound("hanging up");
}

#[test]
fn what_is_no_http_is_refused() {
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"HELO example.org\r\n\r\n",
        &images::noise(4096),
    ] {
        let mut stream = server().connect();
        // The server may close while this is still being written.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        server().assert_sound("garbage");
    }
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let mut stream = server().connect();
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "y".repeat(200_000)
    );
    // The server may answer and close before it has read all.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    server().assert_sound("a long head");
}
