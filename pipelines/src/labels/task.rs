//! The labels task: from encoded images to labels, as the engine runs it.
//!
//! Images are decoded, cropped and measured in parallel, one to a thread at a time, and only their 224 x 224
//! crops wait for the network, which sees the batch at once. An image that cannot be decoded fails alone.

use super::postprocess::{labels, probabilities};
use super::taxonomy::Taxonomy;
use super::{Labels, LabelsInput, LabelsOptions};
use crate::error::{Error, Kind, Result};
use crate::image::properties::{ImageProperties, measure};
use crate::image::resize::{Crop, bicubic};
use crate::image::{Detail, ImageLimits, Threads};
use crate::image_classes::ImageClassifier;
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use crate::vision::{GLANCE, model};
use bytes::Bytes;
use escala_models::Compute;
use escala_weights::{Progress, Store};
use image::{Rgb, RgbImage};
use parking_lot::Mutex;
use std::sync::Arc;

/// The catalogue's name of the network.
pub const MODEL: &str = "efficientnet-lite0";
/// Version of network and taxonomy together; a change of either that changes answers counts it up.
pub const MODEL_VERSION: &str = "1.1";

/// Pixels along each side of what the network sees.
const SIDE: u32 = 224;
/// Numbers in what the network sees of one image.
const VALUES: usize = (SIDE * SIDE * 3) as usize;
/// Of an image whose longer side is at most so many times the shorter one, the centre shows enough. Most photographs are
/// 4 : 3 or 3 : 2.
const NEARLY_SQUARE: f32 = 1.55;
/// From here on three squares leave gaps.
const LONG: f32 = 2.4;
/// Squares beside centres that the network sees at once.
const ASIDE: usize = 16;

/// A network that scores classes. What is said here of an image and of scores holds unless an implementation says
/// otherwise in all of the methods that it may leave out.
pub trait Classifier: Send + Sync + 'static {
    /// Scores before softmax, [`CLASSES`](super::taxonomy::CLASSES) for each image. An image is 224 x 224 x 3 numbers by row, column and
    /// channel (red, green, blue), each `(value - 127) / 128` of an 8-bit value.
    ///
    /// # Errors
    /// When the network fails; for the whole batch.
    fn logits(&self, compute: &Compute, images: &[f32]) -> Result<Vec<f32>>;

    /// What the network sees of an image, [`Classifier::values`] numbers.
    fn input(&self, image: &RgbImage) -> Vec<f32> {
        network_input(image)
    }

    /// Squares of an image beside its centre that are looked at, too; at most [`SIDE`] pixels a side. None for what sees
    /// images in its own way.
    fn aside(&self, image: &RgbImage) -> Vec<RgbImage> {
        squares_aside(image)
    }

    /// How much of an image [`Classifier::input`] needs.
    fn detail(&self) -> Detail {
        GLANCE
    }

    /// Numbers that it sees of an image.
    fn values(&self) -> usize {
        VALUES
    }

    /// The probability of each class from one image's scores.
    ///
    /// # Errors
    /// When the scores are not what they should be.
    fn probabilities(&self, scores: &[f32]) -> Result<Vec<f64>> {
        probabilities(scores)
    }

    /// Whether exactly one class holds, so that the probabilities of an image sum to one.
    fn exclusive(&self) -> bool {
        true
    }

    /// Bytes that the network holds.
    fn memory(&self) -> u64;
}

/// Labels of images by EfficientNet-Lite0, or by the classifier that the operator named.
#[derive(Clone, Debug, Default)]
pub struct LabelsTask {
    limits: ImageLimits,
    named: Option<Arc<str>>,
}

impl LabelsTask {
    /// The task for images within `limits`.
    pub fn new(limits: ImageLimits) -> Self {
        Self {
            limits,
            named: None,
        }
    }

    /// The same by the classifier that is named, if one is.
    pub fn with_classifier(self, named: Option<&str>) -> Self {
        Self {
            named: named.filter(|&named| named != MODEL).map(Arc::from),
            ..self
        }
    }
}

impl Task for LabelsTask {
    type Input = LabelsInput;
    type Output = Labels;
    type Pipeline = LabelsPipeline;

    fn name(&self) -> &'static str {
        "labels"
    }

    fn model(&self) -> &str {
        self.named.as_deref().unwrap_or(MODEL)
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        model::fetch(self.model(), weights, progress).map(drop)
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    /// Pixels to decode (or bytes held, where these are more) and those that the network sees. An image that
    /// will be refused costs the latter only.
    fn cost(&self, input: &LabelsInput) -> u64 {
        self.limits.cost(&input.image) + u64::from(SIDE * SIDE)
    }

    fn limits(&self) -> Limits {
        // A 12 megapixel JPEG takes about 65 ms to decode and crop: a batch holds a thread for a sixth of a
        // second, the queue holds one or two seconds of work and at most 400 MB of encoded images.
        Limits {
            batch_cost: 32_000_000,
            batch_items: 32,
            queue_items: 512,
            queue_cost: 400_000_000,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        // 4.65 million parameters of four bytes, their packing, and the taxonomy.
        self.named.is_none().then_some(20_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<LabelsPipeline> {
        if let Some(named) = &self.named {
            return LabelsPipeline::named(named, context, self.limits);
        }
        let files = context
            .weights
            .ensure(MODEL, &escala_weights::Silent)
            .map_err(|cause| unavailable(MODEL, cause))?;
        let path = files
            .path("model.safetensors")
            .map_err(|cause| unavailable(MODEL, cause))?;
        let network = super::network::load(&path, context.target.device)?;
        LabelsPipeline::new(network, self.limits)
    }
}

/// A loaded network with the decoding before it and the taxonomy behind it.
pub struct LabelsPipeline {
    network: Box<dyn Classifier>,
    taxonomy: Taxonomy,
    /// Version of network and taxonomy.
    version: String,
    limits: ImageLimits,
}

/// What decoding leaves of an image.
struct Prepared {
    /// What the network sees; `None` when no labels are asked for.
    pixels: Option<Vec<f32>>,
    /// What else it is shown, as bytes, of which there are fewer.
    aside: Vec<RgbImage>,
    properties: Option<ImageProperties>,
}

impl LabelsPipeline {
    /// A pipeline around `network`.
    ///
    /// # Errors
    /// `Internal` when the taxonomy built into the program is damaged.
    pub fn new(network: Box<dyn Classifier>, limits: ImageLimits) -> Result<Self> {
        Ok(Self {
            network,
            taxonomy: taxonomy()?,
            version: MODEL_VERSION.to_owned(),
            limits,
        })
    }

    /// A pipeline around the classifier that the operator named. Its classes are labels; where they are ImageNet's in
    /// their usual order, they are those of the taxonomy.
    fn named(reference: &str, context: &LoadContext<'_>, limits: ImageLimits) -> Result<Self> {
        let classifier = ImageClassifier::load(reference, context)?;
        let mut taxonomy = taxonomy()?;
        if !classifier.is_imagenet() {
            let names: Vec<&str> = classifier.names().iter().map(|name| &**name).collect();
            taxonomy = taxonomy.for_classes(&names);
        }
        Ok(Self {
            network: Box::new(classifier),
            taxonomy,
            version: reference.to_owned(),
            limits,
        })
    }

    fn prepare(&self, input: &LabelsInput, threads: &dyn Threads) -> Result<Prepared> {
        // Sharpness is that of the pixels as they are.
        let detail = match input.options.properties {
            Some(_) => Detail::Whole,
            None => self.network.detail(),
        };
        let decoded = input.image.decoded(&self.limits, detail, threads)?;
        let image = &decoded.pixels;
        let wanted = input.options.general_labels;
        let pixels = wanted.then(|| self.network.input(image));
        let aside = if wanted {
            self.network.aside(image)
        } else {
            Vec::new()
        };
        let properties = input.options.properties.map(|most| measure(image, most));
        Ok(Prepared {
            pixels,
            aside,
            properties,
        })
    }

    /// Scores of all images that have pixels, in order.
    fn scores(&self, compute: &Compute, prepared: &[Result<Prepared>]) -> Result<Vec<f32>> {
        let images: Vec<f32> = prepared
            .iter()
            .flatten()
            .filter_map(|item| item.pixels.as_deref())
            .flatten()
            .copied()
            .collect();
        self.scores_of(compute, &images)
    }

    /// Scores of the squares beside the centres of all images, in order; some at a time.
    fn scores_aside(&self, compute: &Compute, prepared: &[Result<Prepared>]) -> Result<Vec<f32>> {
        let squares: Vec<&RgbImage> = prepared
            .iter()
            .flatten()
            .flat_map(|item| &item.aside)
            .collect();
        let mut scores = Vec::new();
        for some in squares.chunks(ASIDE) {
            let images: Vec<f32> = some.iter().copied().flat_map(numbers).collect();
            scores.extend(self.scores_of(compute, &images)?);
        }
        Ok(scores)
    }

    fn scores_of(&self, compute: &Compute, images: &[f32]) -> Result<Vec<f32>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let count = images.len() / self.network.values().max(1);
        let scores = self.network.logits(compute, images)?;
        if scores.len() != count * self.taxonomy.classes() {
            let message = format!(
                "the network answered {} scores for {count} images",
                scores.len()
            );
            return Err(Error::new(Kind::Internal, message));
        }
        Ok(scores)
    }
}

/// The labels that ship with this version.
fn taxonomy() -> Result<Taxonomy> {
    Taxonomy::builtin().map_err(|source| {
        let message = format!("the label taxonomy is damaged: {source}");
        Error::new(Kind::Internal, message).with_source(source)
    })
}

impl Classifier for ImageClassifier {
    fn logits(&self, compute: &Compute, images: &[f32]) -> Result<Vec<f32>> {
        let mut scores = Vec::new();
        for pixels in images.chunks_exact(self.values().max(1)) {
            scores.extend(self.scores(compute, pixels)?);
        }
        Ok(scores)
    }

    fn input(&self, image: &RgbImage) -> Vec<f32> {
        ImageClassifier::input(self, image)
    }

    fn aside(&self, _: &RgbImage) -> Vec<RgbImage> {
        Vec::new()
    }

    fn detail(&self) -> Detail {
        ImageClassifier::detail(self)
    }

    fn values(&self) -> usize {
        ImageClassifier::values(self)
    }

    fn probabilities(&self, scores: &[f32]) -> Result<Vec<f64>> {
        ImageClassifier::probabilities(self, scores)
    }

    fn exclusive(&self) -> bool {
        ImageClassifier::exclusive(self)
    }

    fn memory(&self) -> u64 {
        ImageClassifier::memory(self)
    }
}

/// The centre of the image as the network was trained to see it.
pub(super) fn network_input(image: &RgbImage) -> Vec<f32> {
    let crop = Crop::centre(image.width(), image.height(), SIDE);
    numbers(&bicubic(image, crop, SIDE, SIDE))
}

/// Squares along the longer side of an image that its centre shows too little of, from the left or the top, without the
/// centre; of the centre's size, as the network is shown them.
fn squares_aside(image: &RgbImage) -> Vec<RgbImage> {
    let (width, height) = image.dimensions();
    let ratio = width.max(height) as f32 / width.min(height).max(1) as f32;
    let count = match ratio {
        ..=NEARLY_SQUARE => 0,
        ..=LONG => 3,
        _ => 5,
    };
    let centre = Crop::centre(width, height, SIDE);
    let place = |length: u32, part: u32| (length - centre.width) * part / (count - 1);
    let squares = (0..count).filter(|&part| 2 * part + 1 != count);
    squares
        .map(|part| {
            let crop = if width > height {
                Crop {
                    left: place(width, part),
                    ..centre
                }
            } else {
                Crop {
                    top: place(height, part),
                    ..centre
                }
            };
            bicubic(image, crop, SIDE, SIDE)
        })
        .collect()
}

/// The pixels of a square as the network was trained to see them.
fn numbers(square: &RgbImage) -> Vec<f32> {
    square
        .as_raw()
        .iter()
        .map(|&value| (f32::from(value) - 127.0) / 128.0)
        .collect()
}

impl Pipeline for LabelsPipeline {
    type Input = LabelsInput;
    type Output = Labels;

    fn memory(&self) -> u64 {
        self.network.memory() + self.taxonomy.memory()
    }

    fn sample(&self) -> LabelsInput {
        let image = RgbImage::from_fn(256, 256, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut bytes)
            .encode_image(&image)
            .expect("a small RGB image in memory can be encoded");
        LabelsInput {
            image: Bytes::from(bytes).into(),
            options: LabelsOptions::default(),
        }
    }

    fn run(&self, compute: &Compute, batch: &[LabelsInput]) -> Vec<Result<Labels>> {
        let slots: Vec<Mutex<Option<Result<Prepared>>>> =
            batch.iter().map(|_| Mutex::new(None)).collect();
        let threads = crate::image::threads(compute, batch.len());
        compute.team.for_each(batch.len(), |index| {
            let prepared = self.prepare(&batch[index], threads);
            *slots[index].lock() = Some(prepared);
        });
        let prepared: Vec<Result<Prepared>> = slots
            .into_iter()
            .map(|slot| {
                slot.into_inner()
                    .expect("`for_each` visits every index before it returns")
            })
            .collect();
        let classes = self.taxonomy.classes().max(1);
        let shares = |scores: Result<Vec<f32>>| -> Result<Vec<Result<Vec<f64>>>> {
            let scores = scores?;
            let images = scores.chunks_exact(classes);
            Ok(images
                .map(|mine| self.network.probabilities(mine))
                .collect())
        };
        let mut centres = shares(self.scores(compute, &prepared)).map(Vec::into_iter);
        let mut aside = shares(self.scores_aside(compute, &prepared)).map(Vec::into_iter);
        let mut answer = |item: Prepared, options: &LabelsOptions| {
            let labels = if item.pixels.is_some() {
                let centre = centres.as_mut().map_err(|error| error.clone())?;
                let mut views: Vec<Result<Vec<f64>>> = centre.next().into_iter().collect();
                if !item.aside.is_empty() {
                    let aside = aside.as_mut().map_err(|error| error.clone())?;
                    views.extend(aside.by_ref().take(item.aside.len()));
                }
                let views = views.into_iter().collect::<Result<Vec<_>>>()?;
                labels(&self.taxonomy, &views, self.network.exclusive(), options)
            } else {
                Vec::new()
            };
            Ok(Labels {
                labels,
                properties: item.properties,
                model_version: self.version.clone(),
            })
        };
        prepared
            .into_iter()
            .zip(batch)
            .map(|(item, input)| answer(item?, &input.options))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::taxonomy::CLASSES;
    use image::ImageFormat;
    use std::io::Cursor;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A stand-in network: says class 282 for bright images and 967 for dark ones, NaN for pure blue ones,
    /// and counts its calls.
    #[derive(Default)]
    struct Stub {
        calls: AtomicUsize,
        fails: bool,
        short: bool,
    }

    impl Classifier for std::sync::Arc<Stub> {
        fn logits(&self, _: &Compute, images: &[f32]) -> Result<Vec<f32>> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            if self.fails {
                return Err(Error::new(Kind::Internal, "no power"));
            }
            assert_eq!(images.len() % VALUES, 0);
            assert!(
                images
                    .iter()
                    .all(|value| (-127.0 / 128.0..=1.0).contains(value))
            );
            let mut scores = Vec::new();
            for image in images.chunks_exact(VALUES) {
                let green = image.iter().skip(1).step_by(3).sum::<f32>();
                let blue = image.iter().skip(2).step_by(3).sum::<f32>();
                let mut mine = vec![0.0; CLASSES];
                mine[if green > 0.0 { 282 } else { 967 }] = 12.0;
                if blue > 0.0 && green < 0.0 {
                    mine[0] = f32::NAN;
                }
                scores.extend(mine);
            }
            if self.short {
                scores.pop();
            }
            Ok(scores)
        }

        fn memory(&self) -> u64 {
            1 << 20
        }
    }

    fn pipeline(stub: Stub) -> (LabelsPipeline, std::sync::Arc<Stub>) {
        let stub = std::sync::Arc::new(stub);
        (
            LabelsPipeline::new(Box::new(stub.clone()), ImageLimits::default()).unwrap(),
            stub,
        )
    }

    fn png(width: u32, height: u32, rgb: [u8; 3]) -> Bytes {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(width, height, Rgb(rgb))
            .write_to(&mut bytes, ImageFormat::Png)
            .unwrap();
        bytes.into_inner().into()
    }

    fn ask(image: Bytes) -> LabelsInput {
        LabelsInput {
            image: image.into(),
            options: LabelsOptions::default(),
        }
    }

    fn mixed() -> Vec<LabelsInput> {
        let labels_and_properties = LabelsOptions {
            properties: Some(3),
            ..LabelsOptions::default()
        };
        let properties = LabelsOptions {
            general_labels: false,
            properties: Some(10),
            ..LabelsOptions::default()
        };
        vec![
            ask(png(300, 200, [250; 3])),
            ask(Bytes::from_static(b"no image")),
            LabelsInput {
                image: png(100, 120, [5; 3]).into(),
                options: labels_and_properties,
            },
            ask(png(79, 200, [250; 3])),
            LabelsInput {
                image: png(120, 100, [255, 0, 0]).into(),
                options: properties,
            },
            ask(png(100, 100, [0, 0, 255])),
            ask(png(90, 90, [200; 3])),
        ]
    }

    #[test]
    fn each_item_gets_its_own_answer_or_error() {
        for threads in [1, 3] {
            let (pipeline, stub) = pipeline(Stub::default());
            let answers = pipeline.run(&Compute::cpu(threads), &mixed());
            assert_eq!(
                stub.calls.load(Ordering::Relaxed),
                1,
                "one batch for the network"
            );
            let first = |index: usize| answers[index].as_ref().unwrap().labels[0].name.as_str();
            let has = |index: usize, name: &str| {
                answers[index]
                    .as_ref()
                    .unwrap()
                    .labels
                    .iter()
                    .any(|label| label.name == name)
            };
            assert!(has(0, "Tiger Cat") && has(6, "Tiger Cat") && has(2, "Espresso"));
            assert!(!first(0).is_empty());
            assert_eq!(
                answers[1].as_ref().expect_err("no image").kind(),
                Kind::InvalidImage
            );
            assert_eq!(
                answers[3].as_ref().expect_err("too small").kind(),
                Kind::InvalidInput
            );
            assert_eq!(answers[5].as_ref().expect_err("NaN").kind(), Kind::Internal);
            assert!(answers[0].as_ref().unwrap().properties.is_none());
            assert_eq!(
                answers[2]
                    .as_ref()
                    .unwrap()
                    .properties
                    .as_ref()
                    .unwrap()
                    .dominant_colors[0]
                    .css_color,
                "black"
            );
            let red = answers[4].as_ref().unwrap();
            assert!(red.labels.is_empty());
            assert_eq!(
                red.properties.as_ref().unwrap().dominant_colors[0].css_color,
                "red"
            );
            assert_eq!(red.model_version, MODEL_VERSION);
        }
    }

    /// Bright is what the stub calls a cat, and dark an espresso.
    #[test]
    fn what_is_beside_the_centre_of_a_long_image_is_seen() {
        let (pipeline, _) = pipeline(Stub::default());
        let half_bright = |size: (u32, u32), bright: fn(u32, u32) -> bool| {
            let image = RgbImage::from_fn(size.0, size.1, |x, y| {
                Rgb([if bright(x, y) { 250 } else { 5 }; 3])
            });
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, ImageFormat::Png).unwrap();
            ask(Bytes::from(bytes.into_inner()))
        };
        let names = |input: LabelsInput| {
            let answers = pipeline.run(&Compute::cpu(2), &[input]);
            let labels = &answers[0].as_ref().unwrap().labels;
            let name = |name: &str| labels.iter().any(|label| label.name == name);
            [name("Tiger Cat"), name("Espresso")]
        };
        let right = half_bright((400, 200), |x, _| x >= 300);
        assert_eq!(names(right), [true, true]);
        let below = half_bright((200, 1600), |_, y| (1000..1300).contains(&y));
        assert_eq!(names(below), [true, true]);
        // A square one is seen as its centre only.
        let corner = half_bright((240, 200), |x, _| x >= 200);
        assert_eq!(names(corner), [false, true]);
        assert!(squares_aside(&RgbImage::new(1, 1)).is_empty());
        assert_eq!(squares_aside(&RgbImage::new(10_000, 1)).len(), 4);
    }

    #[test]
    fn batched_equals_alone() {
        let (pipeline, _) = pipeline(Stub::default());
        let compute = Compute::cpu(2);
        let together = pipeline.run(&compute, &mixed());
        for (item, together) in mixed().into_iter().zip(together) {
            let alone = pipeline.run(&compute, &[item]).pop().unwrap();
            assert_eq!(
                alone.map_err(|error| error.kind()),
                together.map_err(|error| error.kind())
            );
        }
        assert!(pipeline.run(&compute, &[]).is_empty());
    }

    #[test]
    fn a_network_that_fails_fails_only_those_who_need_it() {
        for stub in [
            Stub {
                fails: true,
                ..Stub::default()
            },
            Stub {
                short: true,
                ..Stub::default()
            },
        ] {
            let (pipeline, _) = pipeline(stub);
            let answers = pipeline.run(&Compute::cpu(1), &mixed());
            for index in [0, 2, 6] {
                assert_eq!(
                    answers[index].as_ref().expect_err("failed").kind(),
                    Kind::Internal
                );
            }
            assert_eq!(
                answers[1].as_ref().expect_err("no image").kind(),
                Kind::InvalidImage
            );
            assert!(answers[4].is_ok(), "asked for properties only");
        }
    }

    #[test]
    fn costs_count_pixels_without_decoding_them() {
        let task = LabelsTask::default();
        let seen = u64::from(SIDE * SIDE);
        assert_eq!(task.cost(&ask(png(300, 200, [1; 3]))), 60_000 + seen);
        for refused in [
            Bytes::new(),
            Bytes::from_static(b"no image"),
            png(79, 79, [0; 3]),
        ] {
            assert_eq!(task.cost(&ask(refused)), seen);
        }
        let limits = task.limits();
        assert!(limits.batch_cost <= limits.queue_cost && limits.batch_items <= limits.queue_items);
    }

    #[test]
    fn the_sample_is_answered() {
        let (pipeline, stub) = pipeline(Stub::default());
        let answers = pipeline.run(&Compute::cpu(1), &[pipeline.sample()]);
        assert!(answers[0].is_ok() && stub.calls.load(Ordering::Relaxed) == 1);
        assert!(pipeline.memory() > 1 << 20);
    }
}
