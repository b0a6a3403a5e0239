//! Who is like whom: descriptors against dlib's, and pairs of one person and of two.
//!
//! ```sh
//! cargo test --release -p escala-pipelines --test likeness -- --nocapture    # the distances
//! ```

mod photographs;

use bytes::Bytes;
use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::faces::{
    Face, FacesInput, FacesOptions, FacesPipeline, FacesTask, similarity,
};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};
use image::RgbImage;
use image::imageops::FilterType;
use photographs::{GROUPS, PORTRAITS};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");

fn pipeline() -> FacesPipeline {
    let store = Store::open(StoreOptions::default()).expect("store");
    let context = LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    };
    FacesTask::default().load(&context).expect("weights")
}

fn faces(pipeline: &FacesPipeline, image: Bytes) -> Vec<Face> {
    let options = FacesOptions {
        descriptors: true,
        ..FacesOptions::default()
    };
    let found = pipeline.run(&Compute::cpu(2), &[FacesInput { image, options }]);
    found.into_iter().next().expect("one").expect("faces").faces
}

fn golden_image(name: &str) -> Bytes {
    std::fs::read(format!("{GOLDEN}images/{name}"))
        .expect("an image")
        .into()
}

fn descriptor(face: &Face) -> &[f32] {
    face.descriptor.as_deref().expect("a descriptor")
}

fn apart(a: &Face, b: &Face) -> f32 {
    similarity::distance(descriptor(a), descriptor(b))
}

/// Ours differ from dlib's by the points, which are found in another box, and by half a pixel, since dlib's are whole.
#[test]
fn descriptors_are_those_of_dlib() {
    let text = std::fs::read_to_string(format!("{GOLDEN}chips.json")).expect("golden");
    let chips: Value = serde_json::from_str(&text).expect("json");
    let pipeline = pipeline();
    let mut pairs = Vec::new();
    for name in ["astronaut.png", "grace_hopper.jpg"] {
        let items = chips["items"].as_array().expect("items");
        let item = items
            .iter()
            .find(|item| item["image"] == name)
            .expect("an item");
        let wanted: Vec<f32> = item["descriptor"]
            .as_array()
            .expect("numbers")
            .iter()
            .map(|value| value.as_f64().expect("a number") as f32)
            .collect();
        let found = faces(&pipeline, golden_image(name));
        let [face] = found.as_slice() else {
            panic!("{name}: {found:?}")
        };
        let off = similarity::distance(descriptor(face), &wanted);
        println!("{name}: {off} from dlib's");
        assert!(off < 0.06, "{name}: {off}");
        pairs.push((face.clone(), wanted));
    }
    let [(a, a_wanted), (b, b_wanted)] = pairs.as_slice() else {
        panic!("two faces")
    };
    let (found, wanted) = (apart(a, b), similarity::distance(a_wanted, b_wanted));
    assert!((found - wanted).abs() < 0.05, "{found} instead of {wanted}");
}

/// A photograph at a third of its size and turned by 25 degrees.
fn far_and_tilted(image: &Bytes) -> Bytes {
    let image = image::load_from_memory(image).expect("an image").to_rgb8();
    let (width, height) = (image.width() / 3, image.height() / 3);
    let small = image::imageops::resize(&image, width, height, FilterType::Lanczos3);
    let square = escala_pipelines::vision::turned::Turned {
        middle: escala_pipelines::vision::Point::new(width as f32 / 2.0, height as f32 / 2.0),
        step: 1.0,
        turn: 25_f32.to_radians(),
    };
    let turned: RgbImage = square.pixels(&small, width.max(height) * 5 / 4);
    let mut file = std::io::Cursor::new(Vec::new());
    turned
        .write_to(&mut file, image::ImageFormat::Png)
        .expect("a file");
    Bytes::from(file.into_inner())
}

#[test]
fn one_person_is_nearer_than_two_in_every_pair() {
    let pipeline = pipeline();
    let mut portraits: Vec<(String, Face)> = Vec::new();
    let own = ["astronaut.png", "grace_hopper.jpg"].map(|name| (name, golden_image(name)));
    for (name, image) in PORTRAITS.pull().into_iter().chain(own) {
        let mut found = faces(&pipeline, image);
        assert_eq!(found.len(), 1, "{name}");
        portraits.push((name[..5].to_owned(), found.remove(0)));
    }
    let (mut same, mut other) = (Vec::new(), Vec::new());
    for (index, (name, face)) in portraits.iter().enumerate() {
        for (second, another) in &portraits[index + 1..] {
            let list = if name == second {
                &mut same
            } else {
                &mut other
            };
            list.push(apart(face, another));
        }
    }
    // People in one photograph are not each other; a photograph shows whom it shows, however it is turned.
    let mut people = 0;
    for (name, image) in GROUPS.pull() {
        let tilted = faces(&pipeline, far_and_tilted(&image));
        let found = faces(&pipeline, image);
        people += found.len();
        for (index, face) in found.iter().enumerate() {
            other.extend(
                found[index + 1..]
                    .iter()
                    .map(|another| apart(face, another)),
            );
            other.extend(portraits.iter().map(|(_, another)| apart(face, another)));
        }
        // Faces of the tilted picture are told by their nearest: each of the upright ones at most once.
        let nearest = |face: &Face| {
            let order =
                |&a: &usize, &b: &usize| apart(face, &found[a]).total_cmp(&apart(face, &found[b]));
            (0..found.len()).min_by(order).expect("a face")
        };
        let mut told: Vec<usize> = tilted.iter().map(nearest).collect();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), tilted.len(), "{name}: two faces for one");
        assert!(
            tilted.len() + 1 >= found.len(),
            "{name}: {} of {}",
            tilted.len(),
            found.len()
        );
        same.extend(tilted.iter().map(|face| apart(face, &found[nearest(face)])));
    }
    assert_eq!(people, 22);
    same.sort_by(f32::total_cmp);
    other.sort_by(f32::total_cmp);
    let (farthest, nearest) = (same[same.len() - 1], other[0]);
    println!(
        "{} pairs of one person: {:.3} to {farthest:.3}",
        same.len(),
        same[0]
    );
    println!(
        "{} pairs of two: {nearest:.3} to {:.3}",
        other.len(),
        other[other.len() - 1]
    );
    println!(
        "  nearest {:.3?}, farthest {:.3?}",
        &other[..8],
        &same[same.len() - 8..]
    );
    assert!(same.len() >= 29 && other.len() > 200);
    assert!(farthest < nearest, "{farthest} and {nearest}");
    // The two conditions that the curve is fitted to.
    let enough = similarity::farthest(80.0) - (farthest + nearest) / 2.0;
    assert!(enough.abs() < 0.01, "{enough} off the middle");
    let unlike = similarity::percent(nearest);
    assert!((unlike - 25.0).abs() < 2.0, "{unlike}");
    assert!(similarity::percent(farthest) >= 95.0, "{farthest}");
    assert!(similarity::percent(nearest) < 50.0, "{nearest}");
}
