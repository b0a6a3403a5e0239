//! Objects with boxes: NanoDet finds the 80 kinds of things of COCO, [`kinds`] joins them to the label taxonomy.
//!
//! The way of an image: [`nanodet::input`] stretches it to 416 x 416, the network answers scores and distances for
//! three grids of places, [`nanodet::decode`] makes boxes of them and drops those that say the same as a surer one.

pub mod join;
pub mod kinds;
pub mod nanodet;
pub mod task;

use crate::vision::Area;

pub use task::{Object, Objects, ObjectsInput, ObjectsPipeline, ObjectsTask};

/// One thing that was found, by its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// What it is: an index into COCO's 80 classes, so also into [`kinds::Kinds::all`].
    pub class: usize,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where it is, inside the image.
    pub area: Area,
}
