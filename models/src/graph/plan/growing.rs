//! Graphs of local operations that a seed decides, for tests.

use super::Planner;
use crate::graph::op::{
    Arithmetic, Coordinates, Deconv, Function, Op, Padding, Pool, PoolKind, Reduce, Reduction,
    Resize, ResizeMode, ResizeTarget, Window,
};
use crate::graph::{Graph, Limits, Tensor, Value};

/// Numbers that a seed decides (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    pub(super) fn numbers(&mut self, count: usize) -> Vec<f32> {
        let number = |_| self.below(2001) as f32 / 1000.0 - 1.0;
        (0..count).map(number).collect()
    }

    pub(super) fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let numbers = self.numbers(shape.iter().product());
        Tensor::new(shape, numbers).expect("a tensor")
    }
}

/// A graph that grows.
pub(super) struct Growing {
    dice: Dice,
    graph: Graph,
    shape: Vec<usize>,
    /// Maps so far.
    maps: Vec<Value>,
}

impl Growing {
    /// Of a small input that is higher than wide.
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let shape = vec![
            1 + dice.below(2),
            5 + dice.below(40),
            1 + dice.below(12),
            1 + dice.below(9),
        ];
        Self::of(dice, shape)
    }

    /// Of an input of this shape.
    pub(super) fn of(dice: Dice, shape: Vec<usize>) -> Self {
        let mut graph = Graph::new();
        let sizes: Vec<Option<usize>> = shape.iter().copied().map(Some).collect();
        let input = graph.input("x", &sizes);
        Self {
            dice,
            graph,
            shape,
            maps: vec![input],
        }
    }

    /// The shape of a map; none where the graph does not hold together.
    fn shape_of(&self, value: Value) -> Option<[usize; 4]> {
        let planner = Planner::measured(&self.graph, Limits::default(), &[&self.shape]).ok()?;
        planner.shape(value).try_into().ok()
    }

    fn window(&mut self) -> Window {
        let dice = &mut self.dice;
        let size = [1 + dice.below(5), 1 + dice.below(3)];
        let padding = match dice.below(3) {
            0 => Padding::Same,
            1 => Padding::VALID,
            _ => Padding::Explicit([dice.below(4), dice.below(3), dice.below(4), dice.below(3)]),
        };
        Window {
            size,
            strides: [1 + dice.below(3), 1 + dice.below(2)],
            dilations: [1 + dice.below(2), 1],
            padding,
            ceil: false,
        }
    }

    fn conv(&mut self, x: Value, mut window: Window) -> Option<Value> {
        let channels = self.shape_of(x)?[3];
        let dice = &mut self.dice;
        let (groups, outputs) = match dice.below(4) {
            0 => (channels, channels),
            1 if channels.is_multiple_of(2) => (2, 2 * (1 + dice.below(9))),
            _ => (1, 1 + dice.below(20)),
        };
        if dice.below(4) == 0 {
            window = Window::square(1, 1, Padding::VALID);
        }
        let weights = dice.tensor(&[outputs, channels / groups, window.size[0], window.size[1]]);
        let bias = dice.numbers(outputs);
        let graph = &mut self.graph;
        graph
            .conv("conv", x, weights, Some(&bias), window, groups)
            .ok()
    }

    /// Another map of this shape.
    fn like(&mut self, x: Value) -> Option<Value> {
        let shape = self.shape_of(x)?;
        let maps: Vec<Value> = self.maps.clone();
        let same: Vec<Value> = maps
            .into_iter()
            .filter(|&map| self.shape_of(map) == Some(shape))
            .collect();
        (!same.is_empty()).then(|| self.dice.one_of(&same))
    }

    /// Another operation on one of the latest maps.
    fn grow(&mut self) -> Option<Value> {
        let near = self.maps.len().min(3);
        let x = self.maps[self.maps.len() - 1 - self.dice.below(near)];
        let [_, height, width, channels] = self.shape_of(x)?;
        let functions = [
            Function::RELU,
            Function::Sigmoid,
            Function::Leaky(0.25),
            Function::HardSwish,
            Function::Gelu,
            Function::Elu(0.5),
            Function::Prelu((0..channels).map(|c| c as f32 / 8.0).collect()),
        ];
        Some(match self.dice.below(11) {
            0..=2 => {
                let window = self.window();
                let y = self.conv(x, window)?;
                let function = self.dice.one_of(&functions[..6]);
                self.graph.map("function", function, y)
            }
            // A sum with another map, which the convolution takes up.
            3 => {
                let window = Window::square(3, 1, Padding::Same);
                let y = self.conv(x, window)?;
                let other = self.like(y)?;
                self.graph.add("sum", y, other)
            }
            4 => {
                let mut window = self.window();
                window.ceil = self.dice.below(2) == 0;
                let kind = self.dice.one_of(&[
                    PoolKind::Max,
                    PoolKind::Average,
                    PoolKind::AverageWithPadding,
                ]);
                let pool = Op::Pool(Pool { kind, window });
                self.graph.apply("pool", pool, &[x])
            }
            5 => {
                let size = [1 + self.dice.below(3), 1 + self.dice.below(3)];
                let outputs = 1 + self.dice.below(6);
                let weights = self.dice.tensor(&[channels, outputs, size[0], size[1]]);
                let deconv = Deconv::new("deconv", weights, None).ok()?;
                self.graph.apply("deconv", Op::Deconv(deconv), &[x])
            }
            6 => {
                let resize = Resize {
                    mode: self.dice.one_of(&[
                        ResizeMode::Linear,
                        ResizeMode::NearestFloor,
                        ResizeMode::NearestCeil,
                        ResizeMode::NearestPreferFloor,
                    ]),
                    coordinates: self.dice.one_of(&[
                        Coordinates::Asymmetric,
                        Coordinates::HalfPixel,
                        Coordinates::AlignCorners,
                    ]),
                    target: ResizeTarget::Sizes,
                };
                let rows = match self.dice.below(3) {
                    0 => 2 * height,
                    1 => 4 * height,
                    _ => 1 + self.dice.below(3 * height),
                };
                let target = [rows.min(120) as i64, 1 + self.dice.below(2 * width) as i64];
                let target = self.graph.integers(&target);
                self.graph.apply("resize", Op::Resize(resize), &[x, target])
            }
            7 => {
                let function = self.dice.one_of(&functions);
                self.graph.map("function", function, x)
            }
            // A gate that sees the whole map.
            8 => {
                let mean = Op::Reduce(Reduce {
                    kind: Reduction::Mean,
                    axes: vec![1, 2],
                    keep: true,
                });
                let mean = self.graph.apply("mean", mean, &[x]);
                let product = Op::Arithmetic(Arithmetic::Mul);
                self.graph.apply("gate", product, &[x, mean])
            }
            9 => {
                let arithmetic = Op::Arithmetic(self.dice.one_of(&[
                    Arithmetic::Add,
                    Arithmetic::Mul,
                    Arithmetic::Sub,
                    Arithmetic::Max,
                ]));
                let other = match self.dice.below(3) {
                    0 => {
                        let shape = self.dice.one_of(&[
                            vec![1, height, 1, channels],
                            vec![1, height, width, 1],
                            vec![width, channels],
                            vec![],
                        ]);
                        let tensor = self.dice.tensor(&shape);
                        self.graph.constant(tensor)
                    }
                    _ => self.like(x)?,
                };
                self.graph.apply("arithmetic", arithmetic, &[x, other])
            }
            _ => {
                let fits = |shape: [usize; 4]| shape[1..3] == [height, width];
                let maps = self.maps.clone();
                let mut parts: Vec<Value> = maps
                    .into_iter()
                    .filter(|&map| map != x && self.shape_of(map).is_some_and(fits))
                    .take(3)
                    .collect();
                parts.push(x);
                self.graph.apply("join", Op::Concat { axis: 3 }, &parts)
            }
        })
    }

    /// A graph of a few operations.
    pub(super) fn grown(mut self) -> (Graph, Vec<usize>) {
        for _ in 0..4 + self.dice.below(12) {
            let before = self.graph.clone();
            let size = |shape: [usize; 4]| shape.iter().product::<usize>();
            match self.grow() {
                Some(value)
                    if self
                        .shape_of(value)
                        .is_some_and(|shape| (1..60_000).contains(&size(shape))) =>
                {
                    self.maps.push(value);
                }
                _ => self.graph = before,
            }
        }
        let last = self.maps[self.maps.len() - 1];
        self.graph.output("last", last);
        if self.dice.below(3) == 0 {
            let other = self.dice.one_of(&self.maps);
            self.graph.output("other", other);
        }
        (self.graph, self.shape)
    }
}
