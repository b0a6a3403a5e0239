//! Runs by bands beside runs without, on graphs that a seed decides.

use super::Bands;
use crate::Compute;
use crate::graph::network::Asked;
use crate::graph::plan::growing::{Dice, Growing};
use crate::graph::plan::{Start, plan_with};
use crate::graph::{Graph, Limits, Network, Output};
use escala_weights::{Silent, Store, StoreOptions};

/// Graphs that are tried.
const GRAPHS: u64 = 400;

fn answers(
    network: &Network,
    shape: &[usize],
    data: &[f32],
    bands: Option<Bands>,
    threads: usize,
) -> (Vec<Output>, usize) {
    // With bands, the input lies in the workspace.
    let start = Start {
        limits: Limits::default(),
        shapes: &[shape],
        inside: bands.is_some(),
    };
    let plan = plan_with(&network.graph, start, bands).expect("a plan");
    let compute = Compute::cpu(threads);
    let steps = plan.steps.len();
    let (outputs, _) = match bands {
        None => network.run_plan(&compute, &plan, &[data], |_| {}, Asked::Finite),
        Some(_) => {
            let fill = |arena: &mut [f32]| plan.input(arena).copy_from_slice(data);
            network.run_plan(&compute, &plan, &[], fill, Asked::Finite)
        }
    }
    .expect("an answer");
    (outputs, steps)
}

#[test]
fn runs_by_bands_are_those_without() {
    let mut banded = 0;
    for seed in 0..GRAPHS {
        let (graph, shape) = Growing::new(seed).grown();
        let network = Network::compile(graph).expect("a network");
        let mut dice = Dice(!seed);
        let data = dice.numbers(shape.iter().product());
        let (whole, steps) = answers(&network, &shape, &data, None, 1);
        for threads in [1, 3] {
            let bands = Bands {
                large: 1,
                band: 1 + dice.below(3000),
                rows: 1 + dice.below(4),
            };
            let (found, with) = answers(&network, &shape, &data, Some(bands), threads);
            banded += usize::from(with > steps);
            assert!(
                found == whole,
                "seed {seed}, {bands:?}, {threads} threads: another answer"
            );
        }
    }
    assert!(banded as u64 > GRAPHS, "{banded} runs by bands");
}

#[test]
fn the_detector_of_text_is_itself_by_bands() {
    let store = Store::open(StoreOptions::default()).expect("a store");
    let files = store.ensure("pp-ocr-v6", &Silent).expect("weights");
    let path = files.path("det.onnx").expect("a path");
    let graph = Graph::open_onnx(path).expect("a graph");
    let network = Network::compile(graph).expect("a network");
    let shape = [1, 3, 480, 736];
    let data = Dice(1).numbers(shape.iter().product());
    let (whole, steps) = answers(&network, &shape, &data, None, 2);
    let (found, with) = answers(&network, &shape, &data, Some(Bands::default()), 2);
    assert!(with > 2 * steps, "{with} steps, {steps} without bands");
    assert!(found == whole, "another answer");
}
