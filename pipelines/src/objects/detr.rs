//! What the numbers of DETR and RT-DETR mean.
//!
//! Reference: `post_process_object_detection` of the image processors of transformers 5.24. Each of a few hundred
//! queries answers scores of classes and one box: centre x and y, width and height, as parts of the input. DETR's last
//! class says that there is nothing; RT-DETR's scores stand each for itself, and one box may be of several classes.
//! The networks were taught to say each thing once, so nothing is dropped that overlaps.

use super::Detection;
use crate::error::{Error, Kind, Result};
use crate::vision::Area;
use crate::vision::boxes::surer;
use crate::vision::preprocess::Frame;
use escala_models::graph::Tensor;
use escala_weights::declaration::{Decoder, Detections};

/// The detections of an answer for an input of `size` (width and height), surest first; a detection's class is a number
/// below `classes`.
///
/// # Errors
/// `Internal` when the answer has not the decoder's shape, or holds what is not a number.
pub fn decode(
    decoder: Decoder,
    [logits, boxes]: [&Tensor; 2],
    size: [f32; 2],
    classes: usize,
    frame: &Frame,
    kept: &Detections,
) -> Result<Vec<Detection>> {
    let nothing = usize::from(decoder == Decoder::Detr);
    let wanted = classes + nothing;
    let (&[1, queries, scores], &[1, others, 4]) = (logits.shape(), boxes.shape()) else {
        return Err(broken(&format!(
            "answers of shape {:?} and {:?}",
            logits.shape(),
            boxes.shape()
        )));
    };
    if scores != wanted || queries != others {
        return Err(broken(&format!(
            "{scores} scores for {queries} boxes of {others}, not {wanted} for {classes} classes"
        )));
    }
    let mut sure: Vec<(f32, usize, usize)> = Vec::new();
    for (query, logits) in logits.data().chunks_exact(wanted.max(1)).enumerate() {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(broken("a score that is no number"));
        }
        if decoder == Decoder::Detr {
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
            let best = logits[..classes]
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1));
            if let Some((class, logit)) = best {
                sure.push(((logit - most).exp() / sum, query, class));
            }
        } else {
            let each = logits.iter().enumerate();
            sure.extend(each.map(|(class, logit)| (1.0 / (1.0 + (-logit).exp()), query, class)));
        }
    }
    sure.retain(|&(score, ..)| score > kept.score);
    sure.sort_by(|a, b| surer(a.0, b.0));
    // As the reference: no more than there are queries.
    sure.truncate(queries.min(kept.most));
    let mut detections = Vec::with_capacity(sure.len());
    for (score, query, class) in sure {
        let [x, y, width, height] =
            [0, 1, 2, 3].map(|of| boxes.data()[query * 4 + of] * size[of % 2]);
        let area = Area::new(
            x - width / 2.0,
            y - height / 2.0,
            x + width / 2.0,
            y + height / 2.0,
        );
        if !area.is_finite() {
            return Err(broken("a side that is no number"));
        }
        let area = frame.area(&area).within(frame.width, frame.height);
        if area.size() > 0.0 {
            detections.push(Detection { class, score, area });
        }
    }
    Ok(detections)
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
        score: 0.4,
        overlap: None,
        most: 100,
    };

    fn read(
        decoder: Decoder,
        logits: &[f32],
        boxes: &[f32],
        classes: usize,
    ) -> Result<Vec<Detection>> {
        let input = Input {
            width: 10,
            height: 10,
            layout: Layout::Nchw,
            colours: Colours::Rgb,
            resize: Resize::Stretch {},
            filter: Filter::PillowNearest,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let frame = show(&input, &RgbImage::new(100, 50)).frame;
        let queries = boxes.len() / 4;
        let logits = Tensor::new(
            &[1, queries, logits.len() / queries.max(1)],
            logits.to_vec(),
        )
        .unwrap();
        let boxes = Tensor::new(&[1, queries, 4], boxes.to_vec()).unwrap();
        decode(
            decoder,
            [&logits, &boxes],
            [10.0; 2],
            classes,
            &frame,
            &KEPT,
        )
    }

    const BOXES: [f32; 8] = [0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.4, 0.2];

    #[test]
    fn one_box_may_be_of_several_classes() {
        let found = read(Decoder::Rtdetr, &[0.0, 2.0, -1.0, -0.2], &BOXES, 2).unwrap();
        let scores: Vec<_> = found
            .iter()
            .map(|d| (d.class, (d.score * 1000.0) as u32))
            .collect();
        assert_eq!(scores, [(1, 880), (0, 500)]);
        assert_eq!(found[0].area, Area::new(25.0, 12.5, 75.0, 37.5));
        // No more than there are queries.
        assert_eq!(
            read(Decoder::Rtdetr, &[9.0; 6], &BOXES, 3).unwrap().len(),
            2
        );
    }

    #[test]
    fn the_last_class_means_nothing() {
        let found = read(Decoder::Detr, &[2.0, 0.0, 0.0, 0.0, 0.0, 9.0], &BOXES, 2).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].class, 0);
        assert!((found[0].score - 0.786_986).abs() < 1e-5);
        // Boxes end at the image.
        let found = read(Decoder::Detr, &[0.0, 0.0, 9.0, 0.0, 9.0, 0.0], &BOXES, 2).unwrap();
        let area = found[0].area;
        assert_eq!((area.left, area.top, area.bottom), (0.0, 0.0, 10.0));
        assert!((area.right - 30.0).abs() < 1e-4, "{area:?}");
    }

    #[test]
    fn broken_answers_are_errors() {
        for (decoder, logits, boxes, classes) in [
            (Decoder::Detr, &[0.0; 4][..], &BOXES[..], 2),
            (Decoder::Rtdetr, &[0.0; 4], &BOXES, 3),
            (Decoder::Rtdetr, &[f32::NAN; 4], &BOXES, 2),
            (Decoder::Rtdetr, &[9.0; 4], &[f32::NAN; 8], 2),
        ] {
            let error = read(decoder, logits, boxes, classes).unwrap_err();
            assert_eq!(error.kind(), Kind::Internal);
        }
    }
}
