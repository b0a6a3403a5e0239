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
        let network = super::network::load(&path, context.device)?;
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
        let properties = input.options.properties.map(|most| measure(image, most));
        Ok(Prepared { pixels, properties })
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
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let count = images.len() / self.network.values().max(1);
        let scores = self.network.logits(compute, &images)?;
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
    let small = bicubic(image, crop, SIDE, SIDE);
    small
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
        let scores = self.scores(compute, &prepared);
        let mut next = 0;
        let answer = |item: Prepared, options: &LabelsOptions, next: &mut usize| {
            let labels = if item.pixels.is_some() {
                let scores = scores.as_ref().map_err(Clone::clone)?;
                let classes = self.taxonomy.classes();
                let mine = &scores[*next * classes..(*next + 1) * classes];
                *next += 1;
                let shares = self.network.probabilities(mine)?;
                labels(&self.taxonomy, &shares, self.network.exclusive(), options)
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
            .map(|(item, input)| answer(item?, &input.options, &mut next))
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
