//! What an image network reads and what its numbers mean, declared as data.
//!
//! An ONNX file says which tensors go in and out, and nothing about how an image becomes the one and what the others
//! are. That stands in a `model.toml` beside the file, or in the table `[declaration]` of a catalogue entry:
//!
//! ```
//! # use escala_weights::declaration::{Declaration, Decoder};
//! let text = r#"
//! task = "object-detector"
//! decoder = "yolov8"
//! classes = "coco-80"
//!
//! [input]
//! width = 640
//! height = 640
//! resize = { kind = "letterbox", pad = 114 }
//! filter = "opencv-bilinear"
//! scale = 0.00392156862745098
//!
//! [detections]
//! score = 0.25
//! overlap = 0.45
//! "#;
//! assert_eq!(Declaration::parse(text)?.decoder, Decoder::Yolov8);
//! # Ok::<(), String>(())
//! ```
//!
//! It is read as an input that nobody vouches for: unknown keys are refused, every number has bounds, and names of
//! files have no folders in them.

use crate::catalogue::plain_name;
use crate::error::{Error, io_error};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The declaration's file name beside a network.
pub const FILE: &str = "model.toml";
/// Bytes of a declaration.
pub const MOST_BYTES: u64 = 4 << 20;
/// Pixels along one side of what a network sees.
pub const MOST_SIDE: u32 = 4096;
/// Pixels of what a network sees.
pub const MOST_PIXELS: u32 = 4 << 20;
/// Classes of a network.
pub const MOST_CLASSES: usize = 65_536;
/// Bytes of a class's name.
pub const MOST_NAME: usize = 256;
/// Detections of an image.
pub const MOST_DETECTIONS: usize = 1000;

/// An image network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// What it does.
    pub task: Task,
    /// The file that holds it.
    #[serde(default = "model_onnx")]
    pub file: String,
    /// What its numbers mean.
    pub decoder: Decoder,
    /// The outputs that the decoder reads, in its order: scores, or boxes with scores, or scores and boxes. Without
    /// them, those are read that are named as the decoder expects, or the only one.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// The names of its classes, or a list of names that is built in.
    pub classes: Option<Classes>,
    /// A file with the names of its classes, one a line.
    pub classes_file: Option<String>,
    /// What it is shown.
    pub input: Input,
    /// Which detections are kept.
    pub detections: Option<Detections>,
}

fn model_onnx() -> String {
    "model.onnx".to_owned()
}

/// What an image network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Scores classes of the whole image.
    ImageClassifier,
    /// Finds things and where they are.
    ObjectDetector,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageClassifier => "an image classifier",
            Self::ObjectDetector => "an object detector",
        })
    }
}

/// What the numbers of a network mean. `C` is the number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// Scores `[1, C]` of classes of which one holds, before softmax.
    Softmax,
    /// Scores `[1, C]` of classes of which any number may hold, before the logistic function.
    Sigmoid,
    /// Probabilities `[1, C]` of classes of which one holds.
    Probabilities,
    /// `[1, 4 + C, n]`: centre x and y, width and height in pixels of the input, then the classes' probabilities.
    Yolov8,
    /// `[1, n, 5 + C]`: the same box, how likely there is a thing, then the classes' probabilities.
    Yolov5,
    /// As `yolov5`, with boxes relative to the places of three grids, 8, 16 and 32 pixels apart: offsets in steps of
    /// the grid, logarithms of width and height in steps.
    Yolox,
    /// `logits` `[1, n, C + 1]` before softmax, the last class meaning nothing, and `pred_boxes` `[1, n, 4]`: centre x
    /// and y, width and height as parts of the input.
    Detr,
    /// `logits` `[1, n, C]` before the logistic function, and `pred_boxes` as `detr`'s.
    Rtdetr,
}

impl Decoder {
    /// The task whose numbers it reads.
    pub fn task(self) -> Task {
        match self {
            Self::Softmax | Self::Sigmoid | Self::Probabilities => Task::ImageClassifier,
            Self::Yolov8 | Self::Yolov5 | Self::Yolox | Self::Detr | Self::Rtdetr => {
                Task::ObjectDetector
            }
        }
    }

    /// How many outputs it reads.
    pub fn outputs(self) -> usize {
        match self {
            Self::Detr | Self::Rtdetr => 2,
            _ => 1,
        }
    }

    /// Whether boxes that say the same as a surer one must be dropped.
    pub fn suppresses(self) -> bool {
        matches!(self, Self::Yolov8 | Self::Yolov5 | Self::Yolox)
    }
}

/// Names of classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classes {
    /// `"imagenet-1k"`: the thousand classes of ImageNet in their usual order.
    Imagenet1k,
    /// `"coco-80"`: the eighty kinds of things of COCO in their usual order.
    Coco80,
    /// One by one.
    Names(Vec<String>),
}

impl<'de> Deserialize<'de> for Classes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Classes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, \"imagenet-1k\" or \"coco-80\"")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Classes, E> {
                match name {
                    "imagenet-1k" => Ok(Classes::Imagenet1k),
                    "coco-80" => Ok(Classes::Coco80),
                    _ => Err(E::invalid_value(de::Unexpected::Str(name), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Classes, A::Error> {
                let mut list = Vec::new();
                while let Some(name) = names.next_element::<String>()? {
                    list.push(name);
                }
                Ok(Classes::Names(list))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// What a network is shown: the image resized to `width` x `height`, each value times `scale`, less `mean`, divided by
/// `std`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The order of its numbers.
    #[serde(default)]
    pub layout: Layout,
    /// The order of its colours; `mean` and `std` are in the same order.
    #[serde(default)]
    pub colours: Colours,
    /// What of the image is shown, and where.
    pub resize: Resize,
    /// How pixels are made of others.
    #[serde(default)]
    pub filter: Filter,
    /// What each value, 0 to 255, is multiplied by.
    #[serde(default = "one")]
    pub scale: f32,
    /// What is then subtracted.
    #[serde(default)]
    pub mean: [f32; 3],
    /// What it is then divided by.
    #[serde(default = "ones")]
    pub std: [f32; 3],
}

fn one() -> f32 {
    1.0
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// The order of an input's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[1, 3, height, width]`
    #[default]
    Nchw,
    /// `[1, height, width, 3]`
    Nhwc,
}

/// The order of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colours {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What of an image is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Resize {
    /// All of it, whatever that does to its proportions.
    Stretch {},
    /// All of it in its proportions, and a colour around it.
    Letterbox {
        /// The value of what is around it.
        #[serde(default = "grey")]
        pad: u8,
        /// Where the image is.
        #[serde(default)]
        place: Place,
    },
    /// The middle, after the image was resized in its proportions so that its shorter side has `shorter` pixels.
    Crop {
        /// Pixels of the shorter side; what of it is not shown is cut off.
        shorter: u32,
    },
    /// All of it in its proportions and nothing around it, for networks that see any size: the shorter side has
    /// `shorter` pixels, or fewer where the longer one would have more than the input's `width`, which is also its
    /// `height`.
    Within {
        /// Pixels of the shorter side.
        shorter: u32,
    },
}

fn grey() -> u8 {
    114
}

/// Where an image lies on its canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the middle; an odd pixel goes to the right and down.
    #[default]
    Middle,
    /// In the upper left corner.
    Corner,
}

/// How pixels are made of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Pillow's bilinear filter, antialiased.
    #[default]
    PillowBilinear,
    /// Pillow's bicubic filter, antialiased.
    PillowBicubic,
    /// The nearest pixel, as Pillow finds it.
    PillowNearest,
    /// OpenCV's `INTER_LINEAR`: four neighbours, not antialiased.
    OpencvBilinear,
    /// TensorFlow's bilinear resize without half-pixel centres, not antialiased.
    TensorflowBilinear,
}

/// Which detections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detections {
    /// Least score, 0 to 1; 0.3 when left out.
    #[serde(default = "sure")]
    pub score: f32,
    /// Of two boxes of one class that overlap more than this, the surer remains; 0.45 when left out. Only for decoders
    /// whose networks say the same thing more than once.
    pub overlap: Option<f32>,
    /// Most detections of an image; 300 when left out.
    #[serde(default = "many")]
    pub most: usize,
}

fn sure() -> f32 {
    0.3
}

fn many() -> usize {
    300
}

impl Default for Detections {
    fn default() -> Self {
        Self {
            score: sure(),
            overlap: None,
            most: many(),
        }
    }
}

impl Declaration {
    /// Reads a declaration.
    ///
    /// # Errors
    /// What is wrong, and with which key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let declaration: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        declaration.check()?;
        Ok(declaration)
    }

    /// Reads a declaration from its file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Declaration`] with what is wrong.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |why| Error::Declaration {
            path: path.to_owned(),
            why,
        };
        let text = read_text(path, MOST_BYTES)?.map_err(refuse)?;
        Self::parse(&text).map_err(refuse)
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let classes = self.classes_file.as_deref();
        std::iter::once(self.file.as_str()).chain(classes)
    }

    /// The names of the classes where they are in a file: [`MOST_CLASSES`] at most, one a line.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Declaration`] with what is wrong.
    pub fn read_classes(path: &Path) -> Result<Vec<String>, Error> {
        let refuse = |why| Error::Declaration {
            path: path.to_owned(),
            why,
        };
        let text = read_text(path, MOST_BYTES)?.map_err(refuse)?;
        let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        check_names(&names).map_err(refuse)?;
        Ok(names)
    }

    /// Whether it holds together.
    ///
    /// # Errors
    /// What does not, and the key.
    pub fn check(&self) -> Result<(), String> {
        plain_name("file", &self.file)?;
        if let Some(name) = &self.classes_file {
            plain_name("classes_file", name)?;
        }
        if self.task != self.decoder.task() {
            return Err(format!(
                "`decoder` is of {}, but `task` says {}",
                self.decoder.task(),
                self.task
            ));
        }
        let wanted = self.decoder.outputs();
        if !self.outputs.is_empty() && self.outputs.len() != wanted {
            return Err(format!(
                "`outputs` names {} where the decoder reads {wanted}",
                self.outputs.len()
            ));
        }
        let named = |name: &String| !name.is_empty() && name.len() <= MOST_NAME;
        if !self.outputs.iter().all(named) {
            return Err(format!(
                "`outputs` has a name without or with over {MOST_NAME} bytes"
            ));
        }
        match (&self.classes, &self.classes_file) {
            (Some(_), Some(_)) => {
                return Err("`classes` and `classes_file` exclude each other".into());
            }
            (None, None) => return Err("`classes` or `classes_file` must say what there is".into()),
            (Some(Classes::Names(names)), None) => {
                check_names(names).map_err(|why| format!("`classes`: {why}"))?
            }
            _ => (),
        }
        self.input.check()?;
        if self.task == Task::ImageClassifier && matches!(self.input.resize, Resize::Within { .. })
        {
            return Err("`input.resize` must give a classifier one size".to_owned());
        }
        match (&self.detections, self.task) {
            (Some(_), Task::ImageClassifier) => {
                Err("`detections` is of detectors, but `task` says otherwise".to_owned())
            }
            (Some(detections), Task::ObjectDetector) => detections.check(self.decoder),
            (None, _) => Ok(()),
        }
    }
}

impl Input {
    /// Whether it holds together.
    ///
    /// # Errors
    /// What does not, and the key.
    pub fn check(&self) -> Result<(), String> {
        for (key, side) in [("width", self.width), ("height", self.height)] {
            if !(1..=MOST_SIDE).contains(&side) {
                return Err(format!("`input.{key}` is {side}, not 1 to {MOST_SIDE}"));
            }
        }
        if self.width * self.height > MOST_PIXELS {
            return Err(format!(
                "`input.width` times `input.height` is {}, over {MOST_PIXELS}",
                self.width * self.height
            ));
        }
        if let Resize::Crop { shorter } = self.resize
            && !(self.width.max(self.height)..=MOST_SIDE).contains(&shorter)
        {
            return Err(format!(
                "`input.resize.shorter` is {shorter}, not from the longer side of the input to {MOST_SIDE}"
            ));
        }
        if let Resize::Within { shorter } = self.resize {
            if self.width != self.height {
                return Err("`input.width` and `input.height` must be the same longer side".into());
            }
            if !(1..=self.width).contains(&shorter) {
                return Err(format!(
                    "`input.resize.shorter` is {shorter}, not from 1 to the longer side"
                ));
            }
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(format!("`input.scale` is {}", self.scale));
        }
        if !self.mean.iter().all(|value| value.is_finite()) {
            return Err(format!("`input.mean` is {:?}", self.mean));
        }
        // So small a divisor is a slip, and what it gives no number.
        if !self
            .std
            .iter()
            .all(|value| value.is_finite() && value.abs() >= 1e-6)
        {
            return Err(format!("`input.std` is {:?}", self.std));
        }
        Ok(())
    }
}

impl Detections {
    fn check(&self, decoder: Decoder) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.score) {
            return Err(format!("`detections.score` is {}, not 0 to 1", self.score));
        }
        if let Some(overlap) = self.overlap {
            if !(0.0..=1.0).contains(&overlap) {
                return Err(format!("`detections.overlap` is {overlap}, not 0 to 1"));
            }
            if !decoder.suppresses() {
                return Err(
                    "`detections.overlap` means nothing to this decoder, whose network says each thing once"
                        .to_owned(),
                );
            }
        }
        if !(1..=MOST_DETECTIONS).contains(&self.most) {
            return Err(format!(
                "`detections.most` is {}, not 1 to {MOST_DETECTIONS}",
                self.most
            ));
        }
        Ok(())
    }
}

fn check_names(names: &[String]) -> Result<(), String> {
    if !(1..=MOST_CLASSES).contains(&names.len()) {
        return Err(format!("{} names, not 1 to {MOST_CLASSES}", names.len()));
    }
    match names
        .iter()
        .position(|name| name.trim().is_empty() || name.len() > MOST_NAME)
    {
        Some(class) => Err(format!(
            "class {class} has a name without or with over {MOST_NAME} bytes"
        )),
        None => Ok(()),
    }
}

/// A file of text; what is wrong when it is larger or no text.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<Result<String, String>, Error> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    if bytes.len() as u64 > most {
        return Ok(Err(format!("it has more than {most} bytes")));
    }
    Ok(String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETECTOR: &str = r#"
task = "object-detector"
decoder = "yolov8"
classes = ["cat", "dog"]

[input]
width = 640
height = 480
resize = { kind = "letterbox", pad = 0, place = "corner" }
filter = "opencv-bilinear"
colours = "bgr"
layout = "nhwc"
scale = 0.5
mean = [1, 2.5, 3]
std = [4, 5, 6]

[detections]
score = 0.25
overlap = 0.45
most = 10
"#;

    #[test]
    fn everything_that_is_declared_is_read() {
        let declared = Declaration::parse(DETECTOR).unwrap();
        assert_eq!(declared.task, Task::ObjectDetector);
        assert_eq!(declared.file, "model.onnx");
        let names = ["cat", "dog"].map(str::to_owned).to_vec();
        assert_eq!(declared.classes, Some(Classes::Names(names)));
        let input = Input {
            width: 640,
            height: 480,
            layout: Layout::Nhwc,
            colours: Colours::Bgr,
            resize: Resize::Letterbox {
                pad: 0,
                place: Place::Corner,
            },
            filter: Filter::OpencvBilinear,
            scale: 0.5,
            mean: [1.0, 2.5, 3.0],
            std: [4.0, 5.0, 6.0],
        };
        assert_eq!(declared.input, input);
        let kept = declared.detections.unwrap();
        assert_eq!(
            (kept.score, kept.overlap, kept.most),
            (0.25, Some(0.45), 10)
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        for (at, with, says) in [
            ("most = 10", "most = 10\nbest = 1", "unknown field `best`"),
            (
                "width = 640",
                "width = 640\nwidht = 1",
                "unknown field `widht`",
            ),
            ("pad = 0", "pad = 0, colour = 1", "unknown field `colour`"),
            ("decoder", "family = 1\ndecoder", "unknown field `family`"),
            ("\"yolov8\"", "\"yolov9\"", "unknown variant `yolov9`"),
            (
                "\"yolov8\"",
                "\"softmax\"",
                "`decoder` is of an image classifier",
            ),
            ("\"yolov8\"", "\"detr\"", "`detections.overlap`"),
            (
                "object-detector",
                "segmenter",
                "unknown variant `segmenter`",
            ),
            ("width = 640", "width = 0", "`input.width` is 0"),
            ("width = 640", "width = 5000", "`input.width` is 5000"),
            ("width = 640", "width = -1", "width"),
            ("height = 480", "height = 4096\n#", ""),
            ("pad = 0", "pad = 300", "pad"),
            ("scale = 0.5", "scale = 0", "`input.scale`"),
            ("scale = 0.5", "scale = nan", "`input.scale`"),
            ("mean = [1, 2.5, 3]", "mean = [1, inf, 3]", "`input.mean`"),
            ("mean = [1, 2.5, 3]", "mean = [1, 2]", "mean"),
            ("std = [4, 5, 6]", "std = [4, 0, 6]", "`input.std`"),
            ("score = 0.25", "score = 25", "`detections.score` is 25"),
            ("overlap = 0.45", "overlap = nan", "`detections.overlap`"),
            ("most = 10", "most = 100000", "`detections.most`"),
            (
                "classes = [\"cat\", \"dog\"]",
                "",
                "`classes` or `classes_file`",
            ),
            (
                "classes = [\"cat\", \"dog\"]",
                "classes = []",
                "`classes`: 0 names",
            ),
            (
                "classes = [\"cat\", \"dog\"]",
                "classes = [\" \"]",
                "class 0",
            ),
            (
                "classes = [\"cat\", \"dog\"]",
                "classes = \"coco\"",
                "\"coco-80\"",
            ),
            (
                "classes = ",
                "classes_file = \"x.txt\"\nclasses = ",
                "exclude each other",
            ),
            (
                "decoder",
                "file = \"../x.onnx\"\ndecoder",
                "file \"../x.onnx\"",
            ),
            (
                "decoder",
                "classes_file = \"/etc/passwd\"\ndecoder",
                "classes_file",
            ),
            (
                "decoder",
                "outputs = [\"a\", \"b\"]\ndecoder",
                "`outputs` names 2",
            ),
            (
                "decoder",
                "outputs = [\"\"]\ndecoder",
                "`outputs` has a name",
            ),
            (
                "kind = \"letterbox\", pad = 0, place = \"corner\"",
                "kind = \"crop\", shorter = 500",
                "shorter",
            ),
            (
                "kind = \"letterbox\", pad = 0, place = \"corner\"",
                "kind = \"within\", shorter = 500",
                "the same longer side",
            ),
        ] {
            assert!(DETECTOR.contains(at), "{at}");
            let read = Declaration::parse(&DETECTOR.replacen(at, with, 1));
            if says.is_empty() {
                read.unwrap();
            } else {
                let why = read.expect_err(with);
                assert!(why.contains(says), "{with}: {why}");
            }
        }
        let classifier = DETECTOR.replace("object-detector", "image-classifier");
        let why = Declaration::parse(&classifier.replace("yolov8", "softmax")).unwrap_err();
        assert!(why.contains("`detections` is of detectors"), "{why}");
    }

    #[test]
    fn files_are_bounded_and_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, DETECTOR).unwrap();
        assert!(Declaration::open(&path).is_ok());
        std::fs::write(&path, b"task = \"\xff\"").unwrap();
        assert!(
            Declaration::open(&path)
                .unwrap_err()
                .to_string()
                .contains("not UTF-8")
        );
        std::fs::write(&path, vec![b'#'; MOST_BYTES as usize + 1]).unwrap();
        assert!(
            Declaration::open(&path)
                .unwrap_err()
                .to_string()
                .contains("more than")
        );
        assert!(matches!(
            Declaration::open(&folder.path().join("none")),
            Err(Error::Io { .. })
        ));
        std::fs::write(&path, "cat\n dog \r\nbird\n").unwrap();
        assert_eq!(
            Declaration::read_classes(&path).unwrap(),
            ["cat", "dog", "bird"]
        );
        std::fs::write(&path, "cat\n\ndog\n").unwrap();
        let why = Declaration::read_classes(&path).unwrap_err().to_string();
        assert!(why.contains("class 1 has a name"), "{why}");
    }
}
