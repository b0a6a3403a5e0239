//! Elements picked and put by indices and conditions.

use super::wire::Node;
use super::{Importer, Result};
use crate::graph::Value;
use crate::graph::op::Op;

impl Importer {
    /// What indices and conditions pick.
    pub(super) fn picks(&mut self, node: &Node) -> Result<Option<Value>> {
        let (op, inputs) = match node.op.as_str() {
            "Where" => (Op::Where, 3),
            "Gather" => (Op::Gather { axis: node.axis(0) }, 2),
            "GatherElements" => (Op::GatherElements { axis: node.axis(0) }, 2),
            "GatherND" if node.integer("batch_dims", 0) != 0 => {
                return Err(node.unsupported("batch_dims"));
            }
            "GatherND" => (Op::GatherNd, 2),
            "ScatterND" if node.text("reduction").is_some_and(|kind| kind != "none") => {
                return Err(node.unsupported("a reduction"));
            }
            "ScatterND" => (Op::ScatterNd, 3),
            _ => return Ok(None),
        };
        self.apply(node, op, inputs).map(Some)
    }
}
