//! Runs of letterboxes beside runs that make everything, on graphs that a seed decides and on the detector of faces.

use crate::Compute;
use crate::faces;
use crate::graph::op::{Padding, Window};
use crate::graph::plan::Start;
use crate::graph::plan::growing::{Dice, Growing};
use crate::graph::{Graph, Input, Limits, Network};
use escala_weights::{Silent, Store, StoreOptions, Tensors};

/// Graphs that are tried.
const GRAPHS: u64 = 300;

/// An input of this shape with a picture in its corner.
fn letterbox(dice: &mut Dice, shape: &[usize], picture: [usize; 2], blank: f32) -> Vec<f32> {
    let mut data = dice.numbers(shape.iter().product());
    let (columns, channels) = (shape[2], shape[3]);
    for (at, value) in data.iter_mut().enumerate() {
        let pixel = at / channels;
        let (y, x) = (pixel / columns % shape[1], pixel % columns);
        if y >= picture[0] || x >= picture[1] {
            *value = blank;
        }
    }
    data
}

/// Asks three times with other pictures of one size: for the first time, when the blank is made, and when it is there.
fn same(network: &Network, shape: &[usize], picture: [usize; 2], dice: &mut Dice, what: &str) {
    let declared = network.inputs().next().expect("an input").name.clone();
    for turn in 0..3 {
        let data = letterbox(dice, shape, picture, 0.25);
        let input = Input {
            name: &declared,
            shape,
            data: &data,
        };
        let compute = Compute::cpu(1 + turn % 2);
        let whole = network.run(&compute, &[input]).expect("an answer");
        let found = network.run_letterboxed(&compute, input).expect("an answer");
        assert!(
            found == whole,
            "{what}, {picture:?}, turn {turn}: another answer"
        );
    }
}

#[test]
fn letterboxes_are_answered_as_the_whole() {
    let mut trimmed = 0;
    for seed in 0..GRAPHS {
        let mut dice = Dice(seed ^ 0x5EED);
        let shape = vec![
            1 + dice.below(2),
            16 + dice.below(40),
            16 + dice.below(24),
            1 + dice.below(5),
        ];
        let (graph, shape) = Growing::of(dice, shape).grown();
        let network = Network::compile(graph).expect("a network");
        let mut dice = Dice(!seed);
        let picture = [1 + dice.below(shape[1]), 1 + dice.below(shape[2])];
        let start = Start {
            limits: Limits::default(),
            shapes: &[&shape],
            inside: false,
        };
        let part = super::recorded(&network.graph, start, picture).expect("a plan");
        trimmed += usize::from(part.is_some());
        same(
            &network,
            &shape,
            picture,
            &mut dice,
            &format!("seed {seed}"),
        );
    }
    assert!(trimmed as u64 > GRAPHS / 2, "{trimmed} made in part");
}

#[test]
fn the_detector_of_faces_is_itself_in_part() {
    let store = Store::open(StoreOptions::default()).expect("a store");
    let files = store
        .ensure("face-ssd-mobilenetv1", &Silent)
        .expect("weights");
    let tensors = Tensors::open(files.path("model.safetensors").expect("a path")).expect("tensors");
    let network = Network::compile(faces::detector(&tensors).expect("a graph")).expect("a network");
    for picture in [[342, 512], [512, 342], [300, 200], [512, 512], [500, 500]] {
        same(&network, &[1, 512, 512, 3], picture, &mut Dice(7), "faces");
    }
}

#[test]
fn tiles_of_windows_are_made_in_part() {
    let mut dice = Dice(3);
    let shape = [1, 41, 37, 32];
    let mut graph = Graph::new();
    let mut x = graph.input("x", &shape.map(Some));
    for outputs in [48, 32] {
        let inputs = if outputs == 48 { 32 } else { 48 };
        let weights = dice.tensor(&[outputs, inputs, 3, 3]);
        let window = Window::square(3, 1, Padding::Same);
        x = graph
            .conv("conv", x, weights, None, window, 1)
            .expect("a node");
    }
    graph.output("y", x);
    let network = Network::compile(graph).expect("a network");
    for picture in [[20, 37], [41, 15], [7, 9]] {
        same(&network, &shape, picture, &mut dice, "tiles");
    }
}
