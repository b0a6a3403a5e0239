//! The HTTP doors of the real binary: right answers against the golden files. Broken and hostile requests are in
//! `broken_requests.rs`.

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Server, Setup, golden_image, golden_json, images, without};
use image::ImageFormat;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&Setup::default()))
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
