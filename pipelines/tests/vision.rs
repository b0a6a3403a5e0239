//! Objects, faces, text and moderation on real weights and real photographs, against what TensorFlow.js, face-api,
//! rapidocr and ONNX Runtime answered for the same images.
//!
//! Tolerances: sums are added up in another order, and weights of a normalisation are folded into the convolution before it.
//! Pixels are the same ones, also those of JPEGs.

use bytes::Bytes;
use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::Kind;
use escala_pipelines::bodies::movenet::JOINTS;
use escala_pipelines::bodies::{BodiesInput, BodiesTask};
use escala_pipelines::faces::landmarks::Landmarks;
use escala_pipelines::faces::looks::Gender;
use escala_pipelines::faces::{Face, FacesInput, FacesOptions, FacesTask};
use escala_pipelines::image::ImageLimits;
use escala_pipelines::moderation::{ModerationInput, ModerationTask, labels};
use escala_pipelines::objects::nanodet::sureness;
use escala_pipelines::objects::{ObjectsInput, ObjectsTask, SharedDetector};
use escala_pipelines::ocr::{OcrInput, OcrTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_pipelines::vision::{Area, Point};
use escala_weights::{Store, StoreOptions};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");

fn load<T: Task>(task: T) -> T::Pipeline {
    let store = Store::open(StoreOptions::default()).expect("store");
    task.load(&LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    })
    .expect("weights")
}

/// Whoever comes in between waits for a page, a crowd or an image of an operator's detector, and not for a batch of them.
#[test]
fn a_lane_is_held_for_few_images_that_take_long() {
    let limits = ImageLimits::default();
    assert_eq!(OcrTask::new(limits).limits().batch_items, 1);
    assert_eq!(FacesTask::new(limits).limits().batch_items, 1);
    assert!(ObjectsTask::default().limits().batch_items <= 4);
    assert!(BodiesTask::default().limits().batch_items <= 4);
    let large = SharedDetector::named("large");
    let objects = ObjectsTask::new(large.clone(), limits).limits();
    let bodies = BodiesTask::new(large, limits).limits();
    assert_eq!((objects.batch_items, bodies.batch_items), (1, 1));
}

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(format!("{GOLDEN}{name}.json")).expect("golden");
    serde_json::from_str(&text).expect("json")
}

/// An image of the golden folder; `None` for those that may not be copied there.
fn image(name: &str) -> Option<Bytes> {
    let path = format!("{GOLDEN}images/{name}");
    std::fs::read(path).ok().map(Bytes::from)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> f32 {
    value.as_f64().expect("a number") as f32
}

fn name(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn xywh(value: &Value) -> Area {
    let [x, y, w, h] = [0, 1, 2, 3].map(|i| number(&value[i]));
    Area::new(x, y, x + w, y + h)
}

#[test]
fn objects_are_those_of_the_reference() {
    let pipeline = load(ObjectsTask::default());
    let taxonomy = escala_pipelines::labels::taxonomy::Taxonomy::builtin().expect("taxonomy");
    let kinds = escala_pipelines::objects::kinds::Kinds::builtin(&taxonomy).expect("kinds");
    let golden = golden("nanodet_g");
    let items: Vec<_> = list(&golden["items"])
        .iter()
        .filter_map(|item| Some((item, image(name(&item["image"]))?)))
        .collect();
    assert_eq!(items.len(), 4);
    let input = |image: &Bytes| ObjectsInput {
        image: image.clone().into(),
        min_confidence: 0.0,
        most: 100,
    };
    let batch: Vec<_> = items.iter().map(|(_, image)| input(image)).collect();
    let compute = Compute::cpu(2);
    for ((item, _), found) in items.iter().zip(pipeline.run(&compute, &batch)) {
        let (image, found) = (name(&item["image"]), found.expect("objects"));
        let wanted = list(&item["detections_score_gt_0_3_iou_0_5"]);
        assert_eq!(found.objects.len(), wanted.len(), "{image}: {found:?}");
        for wanted in wanted {
            let [left, top, right, bottom] = [0, 1, 2, 3].map(|i| number(&wanted["box_xyxy"][i]));
            let area = Area::new(left, top, right, bottom).within(found.width, found.height);
            let raw = number(&wanted["score"]);
            // As far apart as the network's own scores may be.
            let apart = 0.001;
            let [least, most] = [-apart, apart].map(|apart| 100.0 * sureness(raw + apart));
            let same = found.objects.iter().find(|object| {
                kinds.all()[object.class].coco == name(&wanted["label"])
                    && object.area.overlap(&area) > 0.98
                    && (least..most).contains(&object.confidence)
            });
            assert!(
                same.is_some(),
                "{image}: no {wanted} in {:?}",
                found.objects
            );
        }
    }
    // Alone as in company.
    let together = pipeline.run(&compute, &batch);
    let alone = pipeline.run(&Compute::cpu(1), &batch[1..2]);
    assert_eq!(
        alone[0].as_ref().expect("alone"),
        together[1].as_ref().expect("together")
    );
}

fn faces_of(images: &[&str], score: f32) -> Vec<Vec<Face>> {
    let pipeline = load(FacesTask::default());
    let options = FacesOptions {
        score,
        looks: true,
        gaze: true,
        ..FacesOptions::default()
    };
    let batch: Vec<_> = images
        .iter()
        .map(|name| FacesInput {
            image: image(name).expect("image"),
            options,
        })
        .collect();
    let answers = pipeline.run(&Compute::cpu(2), &batch);
    answers
        .into_iter()
        .map(|answer| answer.expect("faces").faces)
        .collect()
}

fn worst(found: &Landmarks, wanted: &[Value]) -> f32 {
    let points = found.points().iter().zip(wanted);
    let distances = points.map(|(p, w)| p.distance(Point::new(number(&w[0]), number(&w[1]))));
    distances.fold(0.0, f32::max)
}

#[test]
fn faces_are_those_of_the_reference() {
    let golden = golden("faces");
    let images = [
        "astronaut.png",
        "grace_hopper.jpg",
        "chelsea.png",
        "coffee.png",
    ];
    let found = faces_of(&images, 0.3);
    let (meshes, irises) = (self::golden("facemesh"), self::golden("iris"));
    for (image, faces) in images.iter().zip(&found) {
        let item = list(&golden["items"])
            .iter()
            .find(|item| item["image"] == *image);
        let wanted = list(&item.expect("item")["faces"]);
        // The cat and the officer's badge are faces to the detector, but not to the mesh.
        let real = match *image {
            "astronaut.png" | "grace_hopper.jpg" => 1,
            _ => 0,
        };
        assert_eq!(faces.len(), real, "{image}: {faces:?}");
        for (face, wanted) in faces.iter().zip(wanted) {
            assert!(
                face.area.overlap(&xywh(&wanted["box_xywh"])) > 0.98,
                "{image}: {:?}",
                face.area
            );
            assert!(
                (face.score - number(&wanted["score"])).abs() < 0.002,
                "{image}: {}",
                face.score
            );
            let worst = worst(&face.landmarks, list(&wanted["landmarks68"]));
            assert!(worst < 0.3, "{image}: a point is off by {worst}");
            let looks = face.looks.as_ref().expect("looks");
            let years = (looks.age_gender.age - number(&wanted["age"])).abs();
            assert!(years < 0.2, "{image}: {looks:?}");
            let gender = match looks.age_gender.gender {
                Gender::Male => "male",
                Gender::Female => "female",
            };
            assert_eq!(gender, name(&wanted["gender"]));
            let sure = (looks.age_gender.gender_score - number(&wanted["gender_prob"])).abs();
            assert!(sure < 0.01, "{image}: {looks:?}");
            let expressions = &wanted["expressions"];
            for (emotion, share) in &looks.emotions {
                let key = match emotion.name() {
                    "CALM" => "neutral",
                    "FEAR" => "fearful",
                    other => &other.to_lowercase(),
                };
                let wanted = number(&expressions[key]);
                assert!((share - wanted).abs() < 0.01, "{image}: {looks:?}");
            }
            let mesh = list(&meshes["items"])
                .iter()
                .find(|item| item["image"] == *image);
            let pose = &mesh.expect("mesh")["pose_deg"];
            for (found, wanted) in [
                (face.pose.roll, number(&pose["roll"])),
                // The reference counts to the left and down, and does not subtract what a face looking straight
                // ahead has.
                (face.pose.yaw, -number(&pose["yaw"])),
                (face.pose.pitch, 6.0 - number(&pose["pitch"])),
            ] {
                assert!(
                    (found - wanted).abs() < 1.0,
                    "{image}: {:?} for {pose}",
                    face.pose
                );
            }
            assert!(looks.eyes_open > 0.9, "{image}: {looks:?}");
            // Both look at the camera. The reference's irises, from its own squares around the eyes.
            let gaze = face.gaze.expect("open eyes");
            let looks_at = (gaze.yaw.abs(), gaze.pitch.abs());
            assert!(looks_at.0 < 10.0 && looks_at.1 < 15.0, "{image}: {gaze:?}");
            for (pupil, (eye, flipped)) in gaze
                .pupils
                .iter()
                .zip([("imgleft", true), ("imgright", false)])
            {
                let seen = list(&irises).iter().find(|seen| {
                    seen["image"] == *image && seen["eye"] == eye && seen["flipped"] == flipped
                });
                let seen = seen.expect("eye");
                let (half, iris) = (number(&seen["crop_half"]), &seen["iris5_xyz"][0]);
                let x = if flipped {
                    63.0 - number(&iris[0])
                } else {
                    number(&iris[0])
                };
                let along =
                    |centre: &Value, at: f32| number(centre) + (at / 63.0 - 0.5) * 2.0 * half;
                let centre = &seen["crop_center"];
                let wanted = Point::new(along(&centre[0], x), along(&centre[1], number(&iris[1])));
                assert!(
                    pupil.distance(wanted) < half / 20.0,
                    "{image}: {pupil:?} instead of {wanted:?}"
                );
            }
            assert!((0.0..=100.0).contains(&face.quality.brightness));
        }
    }
    let (astronaut, officer) = (&found[0][0], &found[1][0]);
    let looks = |face: &Face| face.looks.clone().expect("looks");
    assert!(looks(astronaut).mouth_open > 0.9 && looks(officer).mouth_open < 0.1);
}

#[test]
fn text_is_that_of_the_reference() {
    let pipeline = load(OcrTask::default());
    let golden = golden("ocr");
    let compute = Compute::cpu(2);
    let mut compared = 0;
    for item in list(&golden["end_to_end"]) {
        let Some(bytes) = image(name(&item["image"])) else {
            continue;
        };
        let image = name(&item["image"]);
        let answers = pipeline.run(&compute, &[OcrInput { image: bytes }]);
        let found = answers.into_iter().next().expect("one").expect("text");
        let wanted = list(&item["lines"]);
        let texts: Vec<_> = found
            .lines
            .iter()
            .map(|line| line.line.text.as_str())
            .collect();
        // Whether a narrow space is one hangs on a single step of the recogniser; the rest does not.
        let dense = |text: &str| text.replace(' ', "");
        // The stars on a badge are no line here.
        let stars = |line: &&Value| ["***", "**K"].contains(&name(&line["text"]));
        for wanted in wanted.iter().filter(|line| !stars(line)) {
            let quad: Vec<Point> = list(&wanted["quad"])
                .iter()
                .map(|corner| Point::new(number(&corner[0]), number(&corner[1])))
                .collect();
            let text = name(&wanted["text"]);
            let line = found
                .lines
                .iter()
                .find(|line| dense(&line.line.text) == dense(text));
            let line = line.unwrap_or_else(|| panic!("{image}: no {wanted} in {texts:?}"));
            let score = (line.line.score - number(&wanted["score"])).abs();
            assert!(score < 0.03, "{image}: {line:?}");
            for (corner, wanted) in line.line.quad.iter().zip(&quad) {
                // The reference's polygon library and ours round to whole pixels, each in its own way.
                assert!(
                    corner.distance(*wanted) < 4.0,
                    "{image}: {:?} {quad:?}",
                    line.line
                );
            }
            let words = line.words.iter().map(|word| word.text.as_str());
            let split = line.line.text.split(' ').filter(|word| !word.is_empty());
            assert!(words.eq(split), "{image}: {:?}", line.words);
        }
        if image == "ocr_synthetic.png" {
            // What was drawn.
            assert_eq!(
                texts,
                [
                    "INVOICE 2024-0917",
                    "Total: $1,234.56",
                    "EXIT",
                    "Ship to: 42 Elm Street, Springfield",
                    "www.example.com/help?id=7"
                ]
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 2);
}

/// Turned, upside down, dense, pale and white text is read as the reference reads it; of the curved line it finds nothing,
/// and we need not.
#[test]
fn hard_texts_are_those_of_the_reference() {
    let pipeline = load(OcrTask::default());
    let golden = golden("ocr_hard");
    let compute = Compute::cpu(2);
    let items = list(&golden["items"]);
    assert_eq!(items.len(), 10);
    for item in items {
        let image = name(&item["image"]);
        let input = OcrInput {
            image: self::image(image).expect("image"),
        };
        let answers = pipeline.run(&compute, &[input]);
        let found = answers.into_iter().next().expect("one").expect("text");
        let dense = |text: &str| text.replace(' ', "");
        let lines = found.lines.iter();
        let mut texts: Vec<String> = lines.map(|line| dense(&line.line.text)).collect();
        let mut wanted: Vec<String> = list(&item["lines"])
            .iter()
            .map(|line| dense(name(&line["text"])))
            .collect();
        if image == "ocr_curved.png" {
            assert!(wanted.is_empty());
            continue;
        }
        if image.starts_with("ocr_turned") {
            // However a page is turned, its lines are read as they were written.
            let drawn = list(&item["drawn"]).iter().map(|line| dense(name(line)));
            assert!(texts.iter().cloned().eq(drawn), "{image}: {texts:?}");
        }
        // The reference sorts lines of a turned picture by their corners.
        texts.sort();
        wanted.sort();
        assert_eq!(texts, wanted, "{image}");
    }
}

#[test]
fn opinions_are_those_of_the_references() {
    let pipeline = load(ModerationTask::default());
    let (classes, safety) = (golden("nsfwjs"), golden("open_nsfw"));
    let compute = Compute::cpu(2);
    let mut compared = 0;
    for item in list(&classes["items"]) {
        let image_name = name(&item["image"]);
        let Some(bytes) = image(image_name) else {
            continue;
        };
        let answers = pipeline.run(
            &compute,
            &[ModerationInput {
                image: bytes.into(),
            }],
        );
        let found = *answers[0].as_ref().expect("opinions");
        let tolerance = 0.005;
        let wanted = &item["mobilenet_v2_mid"];
        for (share, key) in [
            (found.drawing, "Drawing"),
            (found.hentai, "Hentai"),
            (found.neutral, "Neutral"),
            (found.porn, "Porn"),
            (found.sexy, "Sexy"),
        ] {
            let wanted = number(&wanted[key]);
            assert!(
                (share - wanted).abs() < tolerance,
                "{image_name}: {key} {share} {wanted}"
            );
        }
        let second = list(&safety["items"])
            .iter()
            .find(|other| other["image"] == image_name);
        let wanted = number(&second.expect("item")["nsfw"]);
        assert!(
            (found.unsafe_for_work - wanted).abs() < 0.002,
            "{image_name}: {found:?} {wanted}"
        );
        assert!(labels::labels(&found, &[], 50.0).is_empty(), "{image_name}");
        compared += 1;
    }
    assert_eq!(compared, 4);
}

#[test]
fn what_is_no_image_fails_alone() {
    let pipeline = load(ObjectsTask::default());
    let ask = |image: Bytes| ObjectsInput {
        image: image.into(),
        min_confidence: 0.0,
        most: 10,
    };
    let batch = [
        ask(Bytes::from_static(b"no image")),
        ask(image("coffee.png").expect("image")),
        pipeline.sample(),
    ];
    let answers = pipeline.run(&Compute::cpu(2), &batch);
    assert_eq!(
        answers[0].as_ref().expect_err("no image").kind(),
        Kind::InvalidImage
    );
    assert!(answers[1].is_ok() && answers[2].is_ok());
}

#[test]
fn bodies_have_their_points_where_the_reference_sees_them() {
    let pipeline = load(BodiesTask::default());
    for item in list(&golden("movenet_lightning")["items"]) {
        let image_name = name(&item["image"]);
        let input = BodiesInput {
            image: image(image_name).expect("image"),
            most: 1,
        };
        let answers = pipeline.run(&Compute::cpu(2), &[input]);
        let found = answers.into_iter().next().expect("one").expect("bodies");
        let body = &found.bodies[0];
        // The reference saw the whole image, here the network sees the person: sure points agree to some pixels.
        let side = found.width.max(found.height) as f32;
        let (left, top) = (
            ((side - found.width as f32) / 2.0).floor(),
            ((side - found.height as f32) / 2.0).floor(),
        );
        let wanted = item["keypoints_y_x_score"].as_object().expect("points");
        let mut compared = 0;
        for (joint, name) in body.joints.iter().zip(JOINTS) {
            let [y, x, score] = [0, 1, 2].map(|i| number(&wanted[name][i]));
            if score < 0.5 {
                continue;
            }
            let point = Point::new(x * side - left, y * side - top);
            let off = joint.point.distance(point) / side;
            assert!(
                off < 0.06 && joint.score > 0.3,
                "{image_name}: {name} {joint:?} {point:?}"
            );
            compared += 1;
        }
        assert!(compared >= 5, "{image_name}: {compared}");
        let parts: Vec<_> = body.parts().iter().map(|(part, _)| part.name()).collect();
        assert!(
            parts.starts_with(&["FACE", "HEAD"]),
            "{image_name}: {parts:?}"
        );
    }
}
