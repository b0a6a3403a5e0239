//! `DetectText`: lines and words in images.
//!
//! Filters are those of the request: words below its confidence or size, or outside its regions, are left out, and lines
//! that have no word left.

use super::image::Image;
use crate::app::one;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_pipelines::ocr::filter::{self, Geometry, WordFilter};
use escala_pipelines::ocr::recognise::Word;
use escala_pipelines::ocr::{OcrFound, OcrInput};
use escala_pipelines::vision::Point;
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Most words of an answer.
const MOST_WORDS: usize = 100;

/// Least confidence of a word in percent where the request says nothing: AWS's `DetectionFilter`.
const SURE: f32 = 80.0;

/// The version of the networks, in the answer.
const VERSION: &str = "1.0";

/// `DetectTextRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetectText {
    image: Image,
    filters: Option<Filters>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filters {
    word_filter: Option<RequestedFilter>,
    regions_of_interest: Option<Vec<Region>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RequestedFilter {
    min_confidence: Option<f32>,
    min_bounding_box_height: Option<f32>,
    min_bounding_box_width: Option<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Region {
    bounding_box: Option<BoundingBox>,
    polygon: Option<Vec<Corner>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BoundingBox {
    left: Option<f32>,
    top: Option<f32>,
    width: Option<f32>,
    height: Option<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Corner {
    x: Option<f32>,
    y: Option<f32>,
}

impl Region {
    /// What is wrong with it, if something is.
    fn fault(&self) -> Option<&'static str> {
        let share = |value: Option<f32>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
        match (&self.bounding_box, &self.polygon) {
            (None, None) => Some("a region of interest is a BoundingBox or a Polygon"),
            (Some(area), _)
                if ![area.left, area.top, area.width, area.height]
                    .into_iter()
                    .all(share) =>
            {
                Some("the sides of a region of interest are shares of the image, 0 to 1")
            }
            (_, Some(corners)) if corners.len() < 3 => {
                Some("a region of interest has three corners at least")
            }
            _ => None,
        }
    }

    fn read(&self) -> filter::Region {
        if let Some(area) = &self.bounding_box {
            let (left, top) = (area.left.unwrap_or(0.0), area.top.unwrap_or(0.0));
            let right = left + area.width.unwrap_or(1.0 - left);
            let bottom = top + area.height.unwrap_or(1.0 - top);
            return filter::Region::Box([left, top, right, bottom]);
        }
        let corners = self.polygon.as_deref().unwrap_or_default();
        let corner = |corner: &Corner| Point::new(corner.x.unwrap_or(0.0), corner.y.unwrap_or(0.0));
        filter::Region::Polygon(corners.iter().map(corner).collect())
    }
}

impl Filters {
    fn read(&self) -> WordFilter {
        let filter = self.word_filter.as_ref();
        let least = |of: fn(&RequestedFilter) -> Option<f32>| filter.and_then(of);
        WordFilter {
            least: least(|filter| filter.min_confidence).unwrap_or(SURE) / 100.0,
            height: least(|filter| filter.min_bounding_box_height).unwrap_or(0.0),
            width: least(|filter| filter.min_bounding_box_width).unwrap_or(0.0),
            regions: self
                .regions_of_interest
                .iter()
                .flatten()
                .map(Region::read)
                .collect(),
        }
    }
}

/// `Geometry`.
fn geometry(place: &Geometry) -> Result<Value, Error> {
    let corner = |corner: &Point| Ok(json!({"X": number(corner.x)?, "Y": number(corner.y)?}));
    let polygon: Result<Vec<Value>, Error> = place.corners.iter().map(corner).collect();
    Ok(json!({
        "BoundingBox": {
            "Left": number(place.low.x)?,
            "Top": number(place.low.y)?,
            "Width": number(place.high.x - place.low.x)?,
            "Height": number(place.high.y - place.low.y)?,
        },
        "Polygon": polygon?,
    }))
}

/// Runs the request.
pub async fn detect(
    aws: &Aws,
    call: Call,
    input: DetectText,
    options: Options,
) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    let filters = input.filters.unwrap_or_default();
    let mut regions = filters.regions_of_interest.iter().flatten();
    if let Some(fault) = regions.find_map(Region::fault) {
        return Err(fail(Error::new(Kind::InvalidInput, fault)));
    }
    let image = input.image.encoded(aws, call, options).await?;
    let found = one(&*aws.images.text, OcrInput { image }, options).await;
    let found = found.map_err(fail)?;
    let detections = detections(&found, &filters.read()).map_err(fail)?;
    Ok(json!({"TextDetections": detections, "TextModelVersion": VERSION}))
}

/// Lines first, then words, each word with the number of its line, as AWS orders them.
fn detections(found: &OcrFound, filter: &WordFilter) -> Result<Vec<Value>, Error> {
    let (mut lines, mut words) = (Vec::new(), Vec::new());
    for reading in &found.lines {
        let mut kept = reading.words.iter().filter_map(|word| {
            let geometry = Geometry::of(found, word);
            filter.keeps(word, &geometry).then_some((word, geometry))
        });
        let room = MOST_WORDS - words.len();
        let told: Vec<(&Word, Geometry)> = kept.by_ref().take(room).collect();
        if told.is_empty() {
            continue;
        }
        let mut said = Cow::Borrowed(&reading.line);
        if kept.next().is_some() {
            // The last line says what is told of it.
            let texts: Vec<&str> = told.iter().map(|(word, _)| &*word.text).collect();
            said.to_mut().text = texts.join(" ");
        }
        let line = lines.len();
        lines.push(said);
        words.extend(
            told.into_iter()
                .map(|(word, geometry)| (line, word, geometry)),
        );
    }
    let detection = |word: &Word, kind: &str, id: usize, place: &Geometry| {
        Ok::<Value, Error>(json!({
            "DetectedText": word.text,
            "Type": kind,
            "Id": id,
            "Confidence": number(word.score * 100.0)?,
            "Geometry": geometry(place)?,
        }))
    };
    let mut all = Vec::with_capacity(lines.len() + words.len());
    for (id, line) in lines.iter().enumerate() {
        all.push(detection(line, "LINE", id, &Geometry::of(found, line))?);
    }
    for (line, word, place) in &words {
        let mut value = detection(word, "WORD", all.len(), place)?;
        value["ParentId"] = json!(line);
        all.push(value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_pipelines::ocr::recognise::Reading;

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            score: 0.9,
            quad: [(0.0, 0.0), (9.0, 0.0), (9.0, 5.0), (0.0, 5.0)].map(|(x, y)| Point::new(x, y)),
        }
    }

    /// A hundred words are told; the line that has more says what is told of it.
    #[test]
    fn the_last_line_says_what_is_told_of_it() {
        let reading = |name: &str| {
            let words: Vec<Word> = (0..60).map(|i| word(&format!("{name}{i}"))).collect();
            let texts: Vec<&str> = words.iter().map(|word| &*word.text).collect();
            Reading {
                line: word(&texts.join(" ")),
                words,
            }
        };
        let found = OcrFound {
            width: 100,
            height: 100,
            lines: vec![reading("a"), reading("b"), reading("c")],
        };
        let told = detections(&found, &Filters::default().read()).unwrap();
        let of =
            |kind: &str| -> Vec<&Value> { told.iter().filter(|one| one["Type"] == kind).collect() };
        let (lines, words) = (of("LINE"), of("WORD"));
        assert_eq!((lines.len(), words.len()), (2, 100));
        let said = |line: &Value| line["DetectedText"].as_str().unwrap().split(' ').count();
        assert_eq!((said(lines[0]), said(lines[1])), (60, 40));
        assert_eq!(words[99]["DetectedText"], "b39");
        assert_eq!(words[99]["ParentId"], 1);
    }
}
