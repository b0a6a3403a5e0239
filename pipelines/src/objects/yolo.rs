//! What the numbers of the YOLO family mean.
//!
//! References: the ONNX exports of YOLOv8 (`[1, 4 + C, n]`), YOLOv5 (`[1, n, 5 + C]`) and YOLOX (the same, relative to
//! the places of its grids). All say a thing more than once; of boxes of one class that overlap, the surest remains.

use super::Detection;
use crate::error::{Error, Kind, Result};
use crate::vision::Area;
use crate::vision::boxes::{suppress, surer};
use crate::vision::preprocess::Frame;
use escala_models::graph::Tensor;
use escala_weights::declaration::{Decoder, Detections};

/// Boxes of one class that are compared with each other; many times what an image holds.
const CANDIDATES: usize = 1000;
/// Overlap of two boxes that say the same, where nothing is declared.
const OVERLAP: f32 = 0.45;
/// Pixels between the places of YOLOX's grids.
const STRIDES: [usize; 3] = [8, 16, 32];
/// The largest logarithm of a side: a box that is wider than any image.
const MOST_LOG: f32 = 12.0;

/// The detections of an answer for an input of `size` (width and height), surest first; a detection's class is a number
/// below `classes`.
///
/// # Errors
/// `Internal` when the answer has not the decoder's shape, or holds what is not a number.
pub fn decode(
    decoder: Decoder,
    answer: &Tensor,
    size: [f32; 2],
    classes: usize,
    frame: &Frame,
    kept: &Detections,
) -> Result<Vec<Detection>> {
    let first = if decoder == Decoder::Yolov8 { 4 } else { 5 };
    let wanted = first + classes;
    let shape = answer.shape();
    // Where a box's numbers are: `count` boxes, numbers `step` apart, boxes `next` apart.
    let (count, step, next) = match (decoder, shape) {
        (Decoder::Yolov8, &[1, rows, count]) if rows == wanted => (count, count, 1),
        (Decoder::Yolov5 | Decoder::Yolox, &[1, count, columns]) if columns == wanted => {
            (count, 1, columns)
        }
        _ => {
            let form = match decoder {
                Decoder::Yolov8 => format!("[1, {wanted}, n]"),
                _ => format!("[1, n, {wanted}]"),
            };
            return Err(broken(&format!(
                "an answer of shape {shape:?}, not {form} for {classes} classes"
            )));
        }
    };
    let places = match decoder {
        Decoder::Yolox => Some(places(size, count)?),
        _ => None,
    };
    let data = answer.data();
    let mut found: Vec<Vec<(f32, Area)>> = vec![Vec::new(); classes];
    for index in 0..count {
        let number = |of: usize| data[index * next + of * step];
        let thing = if first == 5 { number(4) } else { 1.0 };
        let best = (0..classes)
            .map(|class| (class, number(first + class) * thing))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((class, score)) = best else {
            continue;
        };
        if !score.is_finite() {
            return Err(broken("a score that is no number"));
        }
        if score <= kept.score {
            continue;
        }
        let [x, y, width, height] = match places.as_ref().map(|places| places[index]) {
            None => [0, 1, 2, 3].map(number),
            Some((column, row, stride)) => [
                (number(0) + column) * stride,
                (number(1) + row) * stride,
                number(2).min(MOST_LOG).exp() * stride,
                number(3).min(MOST_LOG).exp() * stride,
            ],
        };
        let area = Area::new(
            x - width / 2.0,
            y - height / 2.0,
            x + width / 2.0,
            y + height / 2.0,
        );
        if !area.is_finite() {
            return Err(broken("a side that is no number"));
        }
        found[class].push((score, area));
    }
    let mut detections = Vec::new();
    for (class, mut candidates) in found.into_iter().enumerate() {
        candidates.sort_by(|a, b| surer(a.0, b.0));
        candidates.truncate(CANDIDATES);
        for index in suppress(&candidates, kept.overlap.unwrap_or(OVERLAP), kept.most) {
            let (score, area) = candidates[index];
            let area = frame.area(&area).within(frame.width, frame.height);
            if area.size() > 0.0 {
                detections.push(Detection { class, score, area });
            }
        }
    }
    detections.sort_by(|a, b| surer(a.score, b.score));
    detections.truncate(kept.most);
    Ok(detections)
}

/// Column, row and stride of each place of YOLOX's grids, finest first.
fn places([width, height]: [f32; 2], count: usize) -> Result<Vec<(f32, f32, f32)>> {
    let mut places = Vec::new();
    for stride in STRIDES {
        let (columns, rows) = (width as usize / stride, height as usize / stride);
        for row in 0..rows {
            let of = |column: usize| (column as f32, row as f32, stride as f32);
            places.extend((0..columns).map(of));
        }
    }
    if places.len() == count {
        Ok(places)
    } else {
        Err(broken(&format!(
            "{count} boxes, not {} as its grids have places",
            places.len()
        )))
    }
}

fn broken(what: &str) -> Error {
    Error::new(Kind::Internal, format!("the object network gave {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::preprocess::show;
    use escala_weights::declaration::{Colours, Filter, Input, Layout, Resize};
    use image::RgbImage;

    const KEPT: Detections = Detections {
        score: 0.25,
        overlap: Some(0.5),
        most: 10,
    };

    /// The frame of an image of 128 x 64 that is stretched to 64 x 64.
    fn frame() -> Frame {
        let input = Input {
            width: 64,
            height: 64,
            layout: Layout::Nchw,
            colours: Colours::Rgb,
            resize: Resize::Stretch {},
            filter: Filter::PillowNearest,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        show(&input, &RgbImage::new(128, 64)).frame
    }

    fn answer(shape: [usize; 3], of: impl Fn(usize, usize) -> f32) -> Tensor {
        let [images, rows, columns] = shape;
        let data = (0..images * rows * columns).map(|i| of(i / columns % rows, i % columns));
        Tensor::new(&shape, data.collect()).unwrap()
    }

    fn read(decoder: Decoder, answer: &Tensor, classes: usize) -> Result<Vec<Detection>> {
        decode(decoder, answer, [64.0; 2], classes, &frame(), &KEPT)
    }

    #[test]
    fn boxes_are_where_the_image_has_them() {
        // Two boxes say the same, the third is another class.
        let boxes = [
            [32.0, 16.0, 16.0, 8.0, 0.1, 0.9],
            [33.0, 16.0, 16.0, 8.0, 0.0, 0.8],
            [32.0, 16.0, 16.0, 8.0, 0.7, 0.1],
            [10.0, 10.0, 4.0, 4.0, 0.2, 0.2],
        ];
        let wanted = [
            Detection {
                class: 1,
                score: 0.9,
                area: Area::new(48.0, 12.0, 80.0, 20.0),
            },
            Detection {
                class: 0,
                score: 0.7,
                area: Area::new(48.0, 12.0, 80.0, 20.0),
            },
        ];
        let v8 = answer([1, 6, 4], |row, column| boxes[column][row]);
        assert_eq!(read(Decoder::Yolov8, &v8, 2).unwrap(), wanted);
        // With how likely there is a thing.
        let v5 = answer([1, 4, 7], |row, column| match column {
            0..4 => boxes[row][column],
            4 => 0.5,
            _ => boxes[row][column - 1] * 2.0,
        });
        assert_eq!(read(Decoder::Yolov5, &v5, 2).unwrap(), wanted);
    }

    #[test]
    fn places_of_grids_move_boxes() {
        // 8 x 8, 4 x 4 and 2 x 2 places; the last one's box is two steps wide.
        let last = 64 + 16 + 3;
        let answer = answer([1, 84, 6], |row, column| match (row == last, column) {
            (true, 0 | 1) => 0.5,
            (true, 2) => 2.0_f32.ln(),
            (true, 4 | 5) => 1.0,
            _ => 0.0,
        });
        let found = read(Decoder::Yolox, &answer, 1).unwrap();
        assert_eq!(found.len(), 1);
        let area = found[0].area;
        assert!(
            (area.left - 32.0).abs() < 1e-3 && area.right == 128.0,
            "{area:?}"
        );
        assert_eq!((area.top, area.bottom), (32.0, 64.0));
    }

    #[test]
    fn broken_answers_are_errors() {
        let flat = |shape, value| answer(shape, |_, _| value);
        for (decoder, answer, classes) in [
            (Decoder::Yolov8, flat([1, 6, 4], 0.5), 3),
            (Decoder::Yolov8, flat([2, 6, 4], 0.5), 2),
            (Decoder::Yolov5, flat([1, 6, 4], 0.5), 2),
            (Decoder::Yolox, flat([1, 83, 6], 0.5), 1),
            (Decoder::Yolov8, flat([1, 6, 4], f32::NAN), 2),
            (Decoder::Yolov5, flat([1, 4, 7], f32::INFINITY), 2),
        ] {
            let answer = if answer.shape()[0] == 2 {
                Tensor::new(&[2, 6, 4], vec![0.5; 48]).unwrap()
            } else {
                answer
            };
            let error = read(decoder, &answer, classes).unwrap_err();
            assert_eq!(error.kind(), Kind::Internal);
        }
        // No boxes, and far too many, still end.
        assert_eq!(read(Decoder::Yolov8, &flat([1, 6, 0], 0.0), 2).unwrap(), []);
        let full = answer([1, 6, 8400], |row, column| match row {
            0 => (column % 64) as f32,
            1 => (column / 64 % 64) as f32,
            2 | 3 => 3.0,
            _ => 0.9,
        });
        assert_eq!(read(Decoder::Yolov8, &full, 2).unwrap().len(), KEPT.most);
        // Sides without end are cut off at the image.
        let huge = answer([1, 84, 6], |row, column| match (row, column) {
            (80, 2 | 3) => 1e9,
            (80, 4 | 5) => 1.0,
            _ => 0.0,
        });
        let found = read(Decoder::Yolox, &huge, 1).unwrap();
        assert_eq!(found[0].area, Area::new(0.0, 0.0, 128.0, 64.0));
    }
}
