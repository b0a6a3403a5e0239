//! Objects with boxes, by the built-in NanoDet or a detector that the operator brings; [`kinds`] joins what they find
//! to the label taxonomy.
//!
//! The way of an image: [`detector`] shows it to the network as that was trained to see it; the network's numbers become
//! boxes by the file of its family ([`nanodet`], [`yolo`], [`detr`]), in pixels of the image. Where a family says the
//! same thing more than once, the surest remains.

pub mod detector;
pub mod detr;
pub mod join;
pub mod kinds;
pub mod nanodet;
pub mod parts;
pub mod plain;
pub mod task;
pub mod yolo;

use crate::vision::Area;

pub use detector::SharedDetector;
pub use task::{Object, Objects, ObjectsInput, ObjectsPipeline, ObjectsTask};

/// One thing that was found, by its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// What it is: an index into the detector's classes.
    pub class: usize,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where it is, inside the image.
    pub area: Area,
}
