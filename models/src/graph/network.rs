//! A compiled graph: packed weights, plans by input shapes, workspaces.

use super::execute::{Packed, Run};
use super::op::Op;
use super::optimise::optimise;
use super::plan::{Base, LARGE, Plan, Start, letterbox, plan};
use super::tensor::{Tensor, count, each_offset, row_major};
use super::{Declared, Error, Graph, Limits, Result};
use crate::compute::Compute;
use crate::kernels::shared::SharedSlice;
use crate::kernels::{AlignedVec, Isa};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Plans kept, by input shapes and letterboxes; the one that was used longest ago goes first. Pictures of all proportions in one
/// square need one for each of [`LETTERBOXES`] in both directions.
const KEPT_PLANS: usize = 2 * LETTERBOXES;
/// Letterboxes that are remembered when seen for the first time.
const KEPT_SEEN: usize = 64;
/// A picture's rows and columns are told apart in so many parts of the input's.
const LETTERBOXES: usize = 16;
/// Workspaces kept for the next run.
const KEPT_WORKSPACES: usize = 8;
/// Bytes of the largest workspace that is kept. A larger one is that of an unusually large input: making it anew costs
/// little beside the run.
const KEPT_BYTES: u64 = 48 << 20;

/// A graph ready to run on the CPU.
pub struct Network {
    pub(super) graph: Graph,
    packed: Vec<Packed>,
    limits: Limits,
    isa: Isa,
    plans: Mutex<Vec<Kept>>,
    /// Letterboxes that were seen once.
    seen: Mutex<Vec<Purpose>>,
    workspaces: Mutex<Vec<Workspace>>,
}

/// What a plan is for.
#[derive(Clone, PartialEq, Eq)]
struct Purpose {
    shapes: Vec<Vec<usize>>,
    inside: bool,
    letterbox: Option<Letterbox>,
}

/// A picture in the upper left corner of an input that is otherwise of one value.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Letterbox {
    /// Rows and columns that have all of the picture.
    picture: letterbox::Extent,
    /// The value, by its bits.
    blank: u32,
}

/// A plan and what it is for.
struct Kept {
    purpose: Purpose,
    plan: Arc<Plan>,
    /// Bytes that it holds beside the network's own.
    bytes: u64,
}

#[derive(Default)]
struct Workspace {
    arena: AlignedVec,
    scratch: AlignedVec,
    taken: Vec<AtomicUsize>,
}

/// What is asked of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Outputs, which must be finite.
    Finite,
    /// The same, and how long the steps took.
    Times,
    /// Outputs, whatever they are.
    Anything,
}

/// What a run reads: values in row-major order, in the layout of the graph's source.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Its dimensions.
    pub shape: &'a [usize],
    /// Its elements.
    pub data: &'a [f32],
}

/// What a run gives, in the layout of the graph's source.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The output's name.
    pub name: String,
    /// Its values.
    pub tensor: Tensor,
}

/// How long a node took.
#[derive(Clone, Debug)]
pub struct NodeTime {
    /// The node.
    pub node: String,
    /// Its operation and the kernel that did it.
    pub what: String,
    /// Nanoseconds, on the first thread.
    pub nanoseconds: u64,
}

impl Network {
    /// Optimises a graph and packs its weights for the CPU.
    ///
    /// # Errors
    /// When the graph does not hold together or is over the limits.
    pub fn compile(graph: Graph) -> Result<Self> {
        Self::compile_for(graph, Isa::best(), Limits::default())
    }

    /// As [`Network::compile`] for an instruction set and with limits.
    ///
    /// # Errors
    /// As [`Network::compile`].
    pub fn compile_for(graph: Graph, isa: Isa, limits: Limits) -> Result<Self> {
        if graph.len() > limits.nodes {
            return Err(Error::TooLarge {
                what: format!("{} nodes", graph.len()),
                limit: limits.nodes as u64,
            });
        }
        let mut graph = optimise(graph, limits)?;
        let packed: Vec<Packed> = graph
            .nodes
            .iter()
            .map(|node| Packed::new(node, isa))
            .collect();
        // The packed copies are the ones that are used: of the others only the shape is.
        for node in &mut graph.nodes {
            match &mut node.op {
                Op::Conv(conv) => conv.weights = conv.weights.without_data(),
                Op::Deconv(deconv) => deconv.weights = deconv.weights.without_data(),
                Op::Linear(linear) => linear.weights = linear.weights.without_data(),
                _ => {}
            }
        }
        Ok(Self {
            graph,
            packed,
            limits,
            isa,
            plans: Mutex::default(),
            seen: Mutex::default(),
            workspaces: Mutex::default(),
        })
    }

    /// What the network reads.
    pub fn inputs(&self) -> impl Iterator<Item = &Declared> {
        self.graph.inputs()
    }

    /// The names of what the network gives, in its order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.graph.outputs()
    }

    /// Text that the file carried beside the network.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.graph.metadata(key)
    }

    /// Bytes of memory that weights, kept plans and kept workspaces hold.
    pub fn memory(&self) -> u64 {
        let weights: u64 = self.packed.iter().map(Packed::bytes).sum();
        let constants = self.graph.constants.iter().flatten();
        let constants: u64 = constants.map(|tensor| 4 * tensor.data().len() as u64).sum();
        let workspaces: u64 = lock(&self.workspaces)
            .iter()
            .map(|workspace| workspace.arena.bytes() + workspace.scratch.bytes())
            .sum();
        let plans: u64 = lock(&self.plans).iter().map(|kept| kept.bytes).sum();
        weights + constants + plans + workspaces
    }

    /// Runs the network. Inputs go by name in any order; outputs come in the order of [`Network::outputs`].
    ///
    /// # Errors
    /// When inputs are missing or do not fit, something is over the limits, or an output is not finite.
    pub fn run(&self, compute: &Compute, inputs: &[Input<'_>]) -> Result<Vec<Output>> {
        self.run_timed(compute, inputs, Asked::Finite)
            .map(|(outputs, _)| outputs)
    }

    /// As [`Network::run`] for a part of a larger network: inputs of any shape, in the network's order, and outputs that
    /// need not be finite.
    pub(crate) fn run_part(&self, compute: &Compute, inputs: &[Input<'_>]) -> Result<Vec<Output>> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape).collect();
        let data: Vec<&[f32]> = inputs.iter().map(|input| input.data).collect();
        let plan = self.plan(&shapes, false)?;
        let ran = self.run_plan(compute, &plan, &data, |_| {}, Asked::Anything)?;
        Ok(ran.0)
    }

    /// Runs the network and says how long every step took.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn profile(
        &self,
        compute: &Compute,
        inputs: &[Input<'_>],
    ) -> Result<(Vec<Output>, Vec<NodeTime>)> {
        self.run_timed(compute, inputs, Asked::Times)
    }

    /// Runs a network with one input of this shape, which `fill` writes in row-major order. The input lies in the
    /// memory of the run, which uses it for other things once the input has been read: what is large is better
    /// written here than kept beside the run.
    ///
    /// # Errors
    /// As [`Network::run`], and when the network has not one input.
    pub fn run_filled(
        &self,
        compute: &Compute,
        shape: &[usize],
        fill: impl FnOnce(&mut [f32]),
    ) -> Result<Vec<Output>> {
        let plan = self.filled(shape)?;
        let fill = |arena: &mut [f32]| fill(plan.input(arena));
        self.run_plan(compute, &plan, &[], fill, Asked::Finite)
            .map(|(outputs, _)| outputs)
    }

    /// As [`Network::run`] of the one input `[batch, rows, columns, channels]` of a network, faster where its last rows and
    /// columns are blank, of one value: what the network makes of them alone is made once and kept for those that come. The
    /// answer is the same to the last bit.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_letterboxed(&self, compute: &Compute, input: Input<'_>) -> Result<Vec<Output>> {
        let inputs = self.arrange(&[input])?;
        let Some(letterbox) = Letterbox::of(input.shape, input.data) else {
            return self.run(compute, &inputs);
        };
        match self.trimmed(compute, input.shape, letterbox)? {
            Some(plan) => {
                let ran = self.run_plan(compute, &plan, &[input.data], |_| {}, Asked::Finite)?;
                Ok(ran.0)
            }
            None => self.run(compute, &inputs),
        }
    }

    /// The plan for a letterbox; none the first time one is seen, since many are never seen again.
    fn trimmed(
        &self,
        compute: &Compute,
        shape: &[usize],
        letterbox: Letterbox,
    ) -> Result<Option<Arc<Plan>>> {
        let purpose = Purpose {
            shapes: vec![shape.to_vec()],
            inside: false,
            letterbox: Some(letterbox),
        };
        if let Some(plan) = self.kept(&purpose) {
            return Ok(Some(plan));
        }
        {
            let mut seen = lock(&self.seen);
            if !seen.contains(&purpose) {
                if seen.len() >= KEPT_SEEN {
                    seen.remove(0);
                }
                seen.push(purpose);
                return Ok(None);
            }
        }
        let whole = self.plan(&[shape], false)?;
        let start = Start {
            limits: self.limits,
            shapes: &[shape],
            inside: false,
        };
        let picture = letterbox.picture;
        // A large run has bands instead; recorded as a whole it might not fit.
        let recorded = match whole.arena < LARGE {
            true => letterbox::recorded(&self.graph, start, picture)?,
            false => None,
        };
        let Some(plan) = recorded else {
            return Ok(Some(self.keep(purpose, whole, 0)));
        };
        let blank = vec![f32::from_bits(letterbox.blank); count(shape).unwrap_or(0)];
        let (outputs, _) = self.run_plan(compute, &plan, &[&blank], |_| {}, Asked::Anything)?;
        let own = self.graph.outputs.len();
        let blanks = outputs.into_iter().skip(own).map(|output| output.tensor);
        let plan = Arc::new(letterbox::trimmed(
            &self.graph,
            start,
            picture,
            blanks.collect(),
        )?);
        let bytes = letterbox::bytes(&plan);
        Ok(Some(self.keep(purpose, plan, bytes)))
    }

    /// Bytes in which [`Network::run_filled`] works for an input of this shape; each thread has some of its own beside.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn workspace(&self, shape: &[usize]) -> Result<u64> {
        let plan = self.filled(shape)?;
        Ok((plan.arena * size_of::<f32>()) as u64)
    }

    /// The plan for one input of this shape, in the workspace.
    fn filled(&self, shape: &[usize]) -> Result<Arc<Plan>> {
        let [(declared, _)] = self.graph.inputs.as_slice() else {
            let count = self.graph.inputs.len();
            return Err(Error::Input(format!("1 given, {count} wanted")));
        };
        declared.check(shape)?;
        self.plan(&[shape], true)
    }

    fn run_timed(
        &self,
        compute: &Compute,
        inputs: &[Input<'_>],
        asked: Asked,
    ) -> Result<(Vec<Output>, Vec<NodeTime>)> {
        let inputs = self.arrange(inputs)?;
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape).collect();
        let data: Vec<&[f32]> = inputs.iter().map(|input| input.data).collect();
        let plan = self.plan(&shapes, false)?;
        self.run_plan(compute, &plan, &data, |_| {}, asked)
    }

    /// Runs a plan with the inputs that do not lie in the workspace; `fill` is shown it before.
    pub(super) fn run_plan(
        &self,
        compute: &Compute,
        plan: &Plan,
        data: &[&[f32]],
        fill: impl FnOnce(&mut [f32]),
        asked: Asked,
    ) -> Result<(Vec<Output>, Vec<NodeTime>)> {
        let members = compute.team.threads();
        let mut workspace = lock(&self.workspaces).pop().unwrap_or_default();
        workspace.arena.reserve_len(plan.arena);
        fill(&mut workspace.arena);
        workspace
            .scratch
            .reserve_len(plan.scratch.saturating_mul(members));
        let counters = plan.steps.len() * members;
        workspace
            .taken
            .resize_with(counters.max(workspace.taken.len()), AtomicUsize::default);
        for taken in &mut workspace.taken {
            *taken.get_mut() = 0;
        }
        let times: Option<Vec<AtomicU64>> =
            (asked == Asked::Times).then(|| plan.steps.iter().map(|_| AtomicU64::new(0)).collect());
        let run = Run {
            plan,
            graph: &self.graph,
            packed: &self.packed,
            inputs: data,
            arena: SharedSlice::new(&mut workspace.arena),
            scratch: SharedSlice::new(&mut workspace.scratch),
            taken: &workspace.taken,
            times: times.as_deref(),
            isa: self.isa,
        };
        compute.team.run(|member| run.region(member));
        let finite = asked != Asked::Anything;
        let outputs = self.collect(plan, data, &workspace.arena, finite)?;
        if workspace.arena.bytes() + workspace.scratch.bytes() <= KEPT_BYTES {
            let mut kept = lock(&self.workspaces);
            if kept.len() < KEPT_WORKSPACES {
                kept.push(workspace);
            }
        }
        let times = times.into_iter().flatten().zip(&plan.steps);
        let times = times
            .map(|(time, planned)| {
                let node = &self.graph.nodes[planned.node];
                NodeTime {
                    node: node.name.clone(),
                    what: format!("{} {}", node.op.name(), planned.step.describe()),
                    nanoseconds: time.load(Ordering::Relaxed),
                }
            })
            .collect();
        Ok((outputs, times))
    }

    /// The inputs in the graph's order, checked.
    fn arrange<'a>(&self, inputs: &[Input<'a>]) -> Result<Vec<Input<'a>>> {
        if inputs.len() != self.graph.inputs.len() {
            return Err(Error::Input(format!(
                "{} given, {} wanted",
                inputs.len(),
                self.graph.inputs.len()
            )));
        }
        self.graph
            .inputs
            .iter()
            .map(|(declared, _)| {
                let input = inputs
                    .iter()
                    .find(|input| input.name == declared.name)
                    .ok_or_else(|| Error::Input(format!("`{}` is missing", declared.name)))?;
                declared.check(input.shape)?;
                if count(input.shape) != Some(input.data.len()) {
                    return Err(Error::Input(format!(
                        "`{}` has {} elements in shape {:?}",
                        declared.name,
                        input.data.len(),
                        input.shape
                    )));
                }
                Ok(*input)
            })
            .collect()
    }

    /// The plan for inputs of these shapes.
    fn plan(&self, shapes: &[&[usize]], inside: bool) -> Result<Arc<Plan>> {
        let purpose = Purpose {
            shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
            inside,
            letterbox: None,
        };
        if let Some(plan) = self.kept(&purpose) {
            return Ok(plan);
        }
        let start = Start {
            limits: self.limits,
            shapes,
            inside,
        };
        let made = Arc::new(plan(&self.graph, start)?);
        Ok(self.keep(purpose, made, 0))
    }

    /// The plan that is kept for a purpose; it goes last.
    fn kept(&self, purpose: &Purpose) -> Option<Arc<Plan>> {
        let mut plans = lock(&self.plans);
        let at = plans.iter().position(|kept| kept.purpose == *purpose)?;
        let entry = plans.remove(at);
        let found = entry.plan.clone();
        plans.push(entry);
        Some(found)
    }

    fn keep(&self, purpose: Purpose, plan: Arc<Plan>, bytes: u64) -> Arc<Plan> {
        let mut plans = lock(&self.plans);
        if plans.len() >= KEPT_PLANS {
            plans.remove(0);
        }
        plans.push(Kept {
            purpose,
            plan: plan.clone(),
            bytes,
        });
        plan
    }

    /// The outputs in row-major order; those that a plan has beside the network's have no name.
    fn collect(
        &self,
        plan: &Plan,
        inputs: &[&[f32]],
        arena: &[f32],
        finite: bool,
    ) -> Result<Vec<Output>> {
        let names = self.graph.outputs.iter().map(|(name, _)| name.as_str());
        names
            .chain(std::iter::repeat(""))
            .zip(&plan.outputs)
            .map(|(name, view)| {
                let slot = view.slot();
                let from = match &plan.buffers[view.buffer] {
                    Base::Arena(offset) => &arena[offset + slot.offset..][..slot.span],
                    Base::Constant(tensor) => &tensor.data()[slot.offset..][..slot.span],
                    Base::Input(number) => &inputs[*number][slot.offset..][..slot.span],
                };
                let elements = count(&view.shape).unwrap_or(0);
                let data = if view.strides == row_major(&view.shape) || elements <= 1 {
                    from.to_vec()
                } else {
                    let mut data = Vec::with_capacity(elements);
                    each_offset(&view.shape, &view.strides, |offset| data.push(from[offset]));
                    data
                };
                if finite && !is_finite(&data) {
                    return Err(Error::NotFinite(name.to_owned()));
                }
                Ok(Output {
                    name: name.to_owned(),
                    tensor: Tensor::new(&view.shape, data)?,
                })
            })
            .collect()
    }
}

impl Letterbox {
    /// What an input is; none where little of it is blank.
    fn of(shape: &[usize], data: &[f32]) -> Option<Self> {
        let &[_, rows, columns, channels] = shape else {
            return None;
        };
        let blank = data.last()?.to_bits();
        let row = columns.checked_mul(channels)?;
        let is_blank = |values: &[f32]| values.iter().all(|value| value.to_bits() == blank);
        let mut picture = [0, 0];
        for image in data.chunks_exact(rows.checked_mul(row)?) {
            for (y, line) in image.chunks_exact(row).enumerate() {
                // Columns that were already seen to have some of the picture are not looked at again.
                let rest = line.chunks_exact(channels).skip(picture[1]);
                let beyond = rest.rev().position(|pixel| !is_blank(pixel));
                picture[1] = beyond.map_or(picture[1], |beyond| columns - beyond);
                if picture[0] <= y && !is_blank(line) {
                    picture[0] = y + 1;
                }
            }
        }
        let rounded = |length: usize, all: usize| {
            let part = all.div_ceil(LETTERBOXES);
            length.max(1).next_multiple_of(part).min(all)
        };
        let picture = [rounded(picture[0], rows), rounded(picture[1], columns)];
        (picture != [rows, columns]).then_some(Self { picture, blank })
    }
}

/// Whether all numbers are finite.
pub(crate) fn is_finite(data: &[f32]) -> bool {
    // Zero times what is not finite is not a number.
    let mut check = [0f32; 16];
    for chunk in data.chunks(16) {
        for (sum, x) in check.iter_mut().zip(chunk) {
            *sum += x * 0.0;
        }
    }
    check.iter().all(|sum| sum.is_finite())
}

impl Declared {
    /// Whether an input may have this shape.
    fn check(&self, shape: &[usize]) -> Result<()> {
        let fits = shape.len() == self.shape.len()
            && shape
                .iter()
                .zip(&self.shape)
                .all(|(&size, wanted)| wanted.is_none_or(|wanted| wanted == size));
        if fits {
            return Ok(());
        }
        Err(Error::Input(format!(
            "`{}` has shape {shape:?}, not {:?}",
            self.name, self.shape
        )))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
