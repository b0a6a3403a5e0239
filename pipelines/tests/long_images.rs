//! Labels and objects of images that are much longer than high, or higher than wide: a cat that is nowhere near the middle.

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::labels::{Label, LabelsInput, LabelsOptions, LabelsTask};
use escala_pipelines::objects::{Object, ObjectsInput, ObjectsTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Store, StoreOptions};
use image::imageops::{FilterType, replace, resize};
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

fn load<T: Task>(task: T) -> T::Pipeline {
    let store = Store::open(StoreOptions::default()).expect("store");
    task.load(&LoadContext {
        weights: &store,
        target: (&Device::Cpu).into(),
    })
    .expect("weights")
}

/// The photograph of a cat, so wide, on a plain ground of this size.
fn cat(size: (u32, u32), width: u32, (left, top): (u32, u32)) -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/images/chelsea.png"
    );
    let cat = image::open(path).expect("image").to_rgb8();
    let height = cat.height() * width / cat.width();
    let cat = resize(&cat, width, height, FilterType::CatmullRom);
    let mut ground = RgbImage::from_pixel(size.0, size.1, Rgb([190, 195, 200]));
    replace(&mut ground, &cat, i64::from(left), i64::from(top));
    let mut bytes = Cursor::new(Vec::new());
    ground
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a file");
    bytes.into_inner()
}

/// Sizes, the cat's width and where it is: left, right, above, below, and at the right of a strip.
type Place = ((u32, u32), u32, (u32, u32));
const PLACES: [Place; 5] = [
    ((1067, 600), 450, (20, 150)),
    ((1067, 600), 450, (597, 150)),
    ((600, 1067), 450, (75, 20)),
    ((600, 1067), 450, (75, 747)),
    ((2400, 600), 450, (1900, 150)),
];

#[test]
fn labels_know_what_is_beside_the_centre() {
    let pipeline = load(LabelsTask::default());
    for (size, width, place) in PLACES {
        let input = LabelsInput {
            image: bytes::Bytes::from(cat(size, width, place)).into(),
            options: LabelsOptions {
                min_confidence: 0.0,
                ..LabelsOptions::default()
            },
        };
        let answers = pipeline.run(&Compute::cpu(2), &[input]);
        let labels = &answers[0].as_ref().expect("labels").labels;
        let of = |name: &str| -> &Label {
            let label = labels.iter().find(|label| label.name == name);
            label.expect("every label")
        };
        let best: Vec<_> = labels
            .iter()
            .take(9)
            .map(|l| (&l.name, l.confidence))
            .collect();
        println!("{size:?} {place:?}: Cat {}, {best:?}", of("Cat").confidence);
        assert!(of("Cat").confidence > 60.0, "{size:?} {place:?}: {best:?}");
        assert!(of("Animal").confidence >= of("Cat").confidence);
    }
}

#[test]
fn objects_of_strips_are_where_they_are() {
    let pipeline = load(ObjectsTask::default());
    for (size, width, (left, top)) in [
        ((2400, 600), 450, (1900, 150)),
        ((400, 1600), 380, (10, 1300)),
        ((3000, 400), 380, (1300, 60)),
    ] {
        let input = ObjectsInput {
            image: bytes::Bytes::from(cat(size, width, (left, top))).into(),
            min_confidence: 0.0,
            most: 20,
        };
        let answers = pipeline.run(&Compute::cpu(2), &[input]);
        let found = answers[0].as_ref().expect("objects");
        assert_eq!((found.width, found.height), size);
        println!("{size:?}: {:?}", found.objects);
        let height = width * 2 / 3;
        let inside = |object: &&Object| {
            let area = object.area;
            area.left >= left as f32 - 20.0
                && area.right <= (left + width) as f32 + 20.0
                && area.top >= top as f32 - 20.0
                && area.bottom <= (top + height) as f32 + 20.0
        };
        let cats = found.objects.iter().filter(|object| object.name == "Cat");
        assert_eq!(
            cats.filter(inside).count(),
            1,
            "{size:?}: {:?}",
            found.objects
        );
    }
}
