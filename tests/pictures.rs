//! Answers drawn into the images they are about, through the real binary: where the JSON says that something is, the
//! picture is painted, and nowhere else.

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{Server, Setup, golden_image, images};
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};
use std::sync::OnceLock;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let arguments = ["--preload", "labels,objects,faces"].map(str::to_owned);
        Server::start(&Setup {
            arguments: arguments.to_vec(),
            ..Setup::default()
        })
    })
}

/// The answer of an operation on a golden image, and its picture.
fn both(operation: &str, query: &str, name: &str) -> (Value, RgbImage, RgbImage) {
    let file = golden_image(name);
    let path = format!("/v1/images/{operation}{query}");
    let found = server().post(&path, "image/png", &file).ok();
    let drawn = server().post(&format!("{path}&render=png"), "image/png", &file);
    (found, images::decoded(name).into_rgb8(), drawn.picture())
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Left, top, right and bottom of a box.
fn edges(area: &Value) -> [f64; 4] {
    let [left, top, width, height] = ["left", "top", "width", "height"].map(|n| number(&area[n]));
    [left, top, left + width, top + height]
}

/// Pixels that differ, as a part of all.
fn changed(before: &RgbImage, after: &RgbImage) -> f64 {
    assert_eq!(before.dimensions(), after.dimensions());
    let differ = before.pixels().zip(after.pixels()).filter(|(a, b)| a != b);
    differ.count() as f64 / before.pixels().len() as f64
}

fn differ_at(before: &RgbImage, after: &RgbImage, x: f64, y: f64) -> bool {
    let (x, y) = (x.floor() as u32, y.floor() as u32);
    before.get_pixel(x, y) != after.get_pixel(x, y)
}

#[test]
fn faces_are_boxed_and_their_points_marked() {
    let (found, before, after) = both("faces", "?", "astronaut.png");
    let face = &found["faces"][0];
    let [left, top, right, bottom] = edges(&face["box"]);
    // The middle of each edge, one pixel inwards; the caption is above.
    let colour = after.get_pixel(left.round() as u32, ((top + bottom) / 2.0) as u32);
    for (x, y) in [
        (left.round(), (top + bottom) / 2.0),
        (right.round() - 1.0, (top + bottom) / 2.0),
        ((left + right) / 2.0, bottom.round() - 1.0),
    ] {
        assert_eq!(after.get_pixel(x as u32, y as u32), colour, "{x}, {y}");
        assert!(differ_at(&before, &after, x, y));
    }
    let points = face["landmarks"].as_array().expect("points");
    assert_eq!(points.len(), 30);
    for point in points {
        assert!(
            differ_at(&before, &after, number(&point["x"]), number(&point["y"])),
            "{point}"
        );
    }
    // The face is a small part of the picture, and the rest is as it was.
    let share = changed(&before, &after);
    assert!((0.005..0.08).contains(&share), "{share}");
    let far = |x: u32, y: u32| {
        let (x, y) = (f64::from(x), f64::from(y));
        x < left - 60.0 || x > right + 120.0 || y < top - 60.0 || y > bottom + 10.0
    };
    let mut pixels = before.enumerate_pixels().zip(after.pixels());
    assert!(pixels.all(|((x, y, a), b)| a == b || !far(x, y)));
}

#[test]
fn lines_of_text_are_outlined() {
    let (found, before, after) = both("text", "?", "ocr_synthetic.png");
    let lines = found["lines"].as_array().expect("lines");
    assert!(lines.len() >= 3, "{found}");
    for line in lines {
        let corners = line["polygon"].as_array().expect("corners");
        assert_eq!(corners.len(), 4);
        // Some pixel at the middle of a side is painted; a caption may lie on another.
        let painted = (0..4).any(|side| {
            let (a, b) = (&corners[side], &corners[(side + 1) % 4]);
            let middle = |name: &str| (number(&a[name]) + number(&b[name])) / 2.0;
            differ_at(&before, &after, middle("x"), middle("y"))
        });
        assert!(painted, "{line}");
    }
    assert!(changed(&before, &after) < 0.5);
}

#[test]
fn labels_with_a_place_are_boxed_and_the_others_listed() {
    let (found, before, after) = both("labels", "?min_confidence=10", "chelsea.png");
    let labels = found["labels"].as_array().expect("labels");
    assert_eq!(
        (&found["width"], &found["height"]),
        (&json!(451), &json!(300))
    );
    let cat = labels
        .iter()
        .find(|label| label["name"] == "Cat")
        .expect("Cat");
    let [left, top, right, bottom] = edges(&cat["instances"][0]["box"]);
    assert!(left >= 0.0 && top >= 0.0 && right <= 451.0 && bottom <= 300.0);
    assert!(differ_at(
        &before,
        &after,
        (left + right) / 2.0,
        top.round()
    ));
    let animal = labels
        .iter()
        .find(|label| label["name"] == "Animal")
        .expect("Animal");
    assert_eq!(animal["instances"], json!([]));
    // The list of those is dark and in a corner.
    let dark = after
        .pixels()
        .zip(before.pixels())
        .filter(|(after, before)| after != before && after.0.iter().all(|&value| value < 90));
    assert!(dark.count() > 1000);
    assert!(changed(&before, &after) < 0.5);
}

#[test]
fn bodies_have_boxes_joints_and_parts() {
    let (found, before, after) = both("bodies", "?", "astronaut.png");
    let person = &found["persons"][0];
    assert!(number(&person["score"]) > 0.6, "{found}");
    let [left, top, right, bottom] = edges(&person["box"]);
    assert!(differ_at(
        &before,
        &after,
        left.round(),
        (top + bottom) / 2.0
    ));
    assert!(right > left);
    let joints = person["joints"].as_array().expect("joints");
    assert_eq!(joints.len(), 17);
    let seen: Vec<&Value> = joints
        .iter()
        .filter(|j| number(&j["score"]) >= 0.2)
        .collect();
    assert!(seen.len() >= 5, "{joints:?}");
    for joint in seen {
        let (x, y) = (number(&joint["x"]), number(&joint["y"]));
        if (0.0..512.0).contains(&x) && (0.0..512.0).contains(&y) {
            assert!(differ_at(&before, &after, x, y), "{joint}");
        }
    }
    let parts = person["parts"].as_array().expect("parts").iter();
    assert!(parts.clone().any(|part| part["name"] == "FACE"), "{person}");
    // The same that the AWS door says of persons, which has no guesses below 50 %.
    let sure = parts.filter(|part| number(&part["score"]) >= 0.5);
    let body = json!({"Image": {"Bytes": BASE64_STANDARD.encode(golden_image("astronaut.png"))}});
    let target = "RekognitionService.DetectProtectiveEquipment";
    let aws = server().aws(target, body.to_string().as_bytes()).ok();
    let names: Vec<&Value> = sure.map(|part| &part["name"]).collect();
    let aws_parts = aws["Persons"][0]["BodyParts"].as_array().expect("parts");
    let aws_names: Vec<&Value> = aws_parts.iter().map(|part| &part["Name"]).collect();
    assert_eq!(names, aws_names);
    assert!(names.contains(&&json!("FACE")), "{aws}");
    let persons = found["persons"].as_array().expect("persons");
    assert_eq!(aws["Persons"].as_array().map(Vec::len), Some(persons.len()));
}

#[test]
fn moderation_is_a_note_in_a_corner() {
    let (found, before, after) = both("moderation", "?", "chelsea.png");
    assert_eq!(found["labels"], json!([]));
    let share = changed(&before, &after);
    assert!((0.01..0.3).contains(&share), "{share}");
}

#[test]
fn compared_images_stand_side_by_side() {
    let compare = |target: &str| {
        let encoded = |name: &str| BASE64_STANDARD.encode(golden_image(name));
        let body = json!({"source": encoded("astronaut.png"), "target": encoded(target)});
        let found = server().post_json("/v1/images/compare", &body).ok();
        let path = "/v1/images/compare?render=png";
        (found, server().post_json(path, &body).picture())
    };
    let (found, same) = compare("astronaut.png");
    assert!(number(&found["faces"][0]["similarity"]) > 99.0);
    assert_eq!(same.height(), 512);
    let gap = same.width() - 1024;
    assert!((1..64).contains(&gap), "{gap}");
    // A line through the gap joins one face to itself; two persons are not joined.
    let lively = |picture: &RgbImage, column: u32| {
        let rows = 0..picture.height();
        rows.filter(|&y| picture.get_pixel(column, y).0.iter().any(|&v| v > 100))
            .count()
    };
    assert!((1..20).contains(&lively(&same, 512 + gap / 2)));
    let (found, other) = compare("grace_hopper.jpg");
    assert!(number(&found["faces"][0]["similarity"]) < 50.0);
    // Both are as high as the higher one.
    let hopper = images::decoded("grace_hopper.jpg");
    let height = hopper.height().max(512);
    assert_eq!(other.height(), height);
    let first = (512.0 * f64::from(height) / 512.0).round() as u32;
    assert_eq!(lively(&other, first + 3), 0);
}

#[test]
fn the_upright_image_is_drawn_on() {
    let upright = images::decoded("astronaut.png").crop_imm(60, 0, 340, 400);
    let drawn = |bytes: &[u8]| {
        let path = "/v1/images/faces?render=png";
        server()
            .post(path, "application/octet-stream", bytes)
            .picture()
    };
    let wanted = drawn(&images::jpeg(&upright));
    assert_eq!(wanted.dimensions(), (340, 400));
    for orientation in 2..=8 {
        let picture = drawn(&images::jpeg_with_orientation(&upright, orientation));
        assert_eq!(picture.dimensions(), (340, 400), "{orientation}");
        // What JPEG loses in blocks that lie otherwise, and an edge that falls on the next pixel.
        let sum: u64 = picture
            .as_raw()
            .iter()
            .zip(wanted.as_raw())
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        let mean = sum as f64 / picture.as_raw().len() as f64;
        assert!(mean < 4.0, "orientation {orientation}: {mean}");
    }
}

#[test]
fn large_images_are_scaled_down() {
    let cat = images::decoded("chelsea.png").resize_exact(
        5000,
        3326,
        image::imageops::FilterType::Triangle,
    );
    let file = images::jpeg(&cat);
    let path = "/v1/images/labels?render=png";
    let picture = server().post(path, "image/jpeg", &file).picture();
    assert_eq!(picture.dimensions(), (4096, 2725));
}

#[test]
fn pictures_are_answered_to_those_who_ask_for_them() {
    let cat = golden_image("chelsea.png");
    let path = "/v1/images/moderation";
    let accepting = |accept: &str| server().post_accepting(path, "image/png", accept, &cat);
    assert_eq!(accepting("image/png").picture().dimensions(), (451, 300));
    accepting("application/json;q=0.4, image/png").picture();
    for accept in ["*/*", "application/json", "image/png, application/json"] {
        assert!(accepting(accept).ok()["neutral"].is_number(), "{accept}");
    }
    // With a JSON body too, also where settings are in it.
    let body = json!({"image": BASE64_STANDARD.encode(&cat), "min_confidence": 90});
    server()
        .post_json("/v1/images/labels?render=png", &body)
        .picture();
    // The first picture of an animation, as without drawing.
    let gif = images::encoded(
        &DynamicImage::ImageRgb8(images::decoded("chelsea.png").into_rgb8()),
        ImageFormat::Gif,
    );
    let drawn = server().post("/v1/images/moderation?render=png", "image/gif", &gif);
    assert_eq!(drawn.picture().dimensions(), (451, 300));
}

#[test]
fn what_cannot_be_drawn_is_an_error_in_json() {
    let cat = golden_image("chelsea.png");
    for operation in ["labels", "faces", "text", "moderation", "bodies"] {
        let path = format!("/v1/images/{operation}");
        let post = |query: &str, body: &[u8]| {
            server().post_accepting(&format!("{path}{query}"), "image/png", "image/png", body)
        };
        post("?render=jpeg", &cat).assert_rest_error(400, "invalid_input", operation);
        post("?colour=red", &cat).assert_rest_error(400, "invalid_input", operation);
        post("", b"no image").assert_rest_error(400, "invalid_image", operation);
        let bomb = images::png_bomb(60_000, 60_000);
        post("?render=png", &bomb).assert_rest_error(413, "too_large", operation);
        let empty = images::png_bomb(4000, 4000);
        post("?render=png", &empty).assert_rest_error(400, "invalid_image", operation);
    }
    let encoded = BASE64_STANDARD.encode(&cat);
    let body = json!({"source": encoded, "target": encoded});
    let answer = server().post_json("/v1/images/compare?render=png", &body);
    answer.assert_rest_error(400, "invalid_input", "a source without a face");
    let body = json!({"source": "%", "target": encoded});
    let answer = server().post_json("/v1/images/compare?render=png", &body);
    answer.assert_rest_error(400, "invalid_input", "no base64");
    assert!(answer.text.contains("`source`"), "{}", answer.text);
    server().assert_sound("broken pictures");
}

/// The same image, the same labels and boxes behind every door.
#[test]
fn every_door_answers_the_same_labels() {
    for name in ["chelsea.png", "coffee.png", "astronaut.png"] {
        let file = golden_image(name);
        let rest = server()
            .post("/v1/images/labels?min_confidence=5", "image/png", &file)
            .ok();
        let encoded =
            json!({"Image": {"Bytes": BASE64_STANDARD.encode(&file)}, "MinConfidence": 5.0});
        let target = "RekognitionService.DetectLabels";
        let aws = server().aws(target, encoded.to_string().as_bytes()).ok();
        let image = images::decoded(name);
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let labels = rest["labels"].as_array().expect("labels");
        let aws_labels = aws["Labels"].as_array().expect("labels");
        assert_eq!(labels.len(), aws_labels.len(), "{name}");
        let near = |a: &Value, b: f64| assert!((number(a) - b).abs() < 1e-3, "{name}: {a}, {b}");
        let mut instances = 0;
        for (label, aws_label) in labels.iter().zip(aws_labels) {
            assert_eq!(label["name"], aws_label["Name"], "{name}");
            near(&aws_label["Confidence"], number(&label["confidence"]));
            let places = label["instances"].as_array().expect("instances");
            let aws_places = aws_label["Instances"].as_array().expect("instances");
            assert_eq!(places.len(), aws_places.len(), "{name}: {label}");
            for (place, aws_place) in places.iter().zip(aws_places) {
                let [left, top, right, bottom] = edges(&place["box"]);
                let shares = &aws_place["BoundingBox"];
                near(&shares["Left"], left / width);
                near(&shares["Top"], top / height);
                near(&shares["Width"], (right - left) / width);
                near(&shares["Height"], (bottom - top) / height);
                near(&aws_place["Confidence"], number(&place["confidence"]));
                instances += 1;
            }
        }
        assert!(instances > 0, "{name}");
    }
}
