//! A file as steps: networks of ONNX's own operations, and the operations between them.
//!
//! Operations of a network are gathered by level, so that there are few networks: the level of a value is how many times
//! the way to it has led from an operation of ours into a network. Networks must know sizes before they run; what is
//! made of constants and sizes alone is therefore part of every network that asks for it.

use super::Element;
use super::operator::{self, Fact, Kind, Operator, Read};
use super::value::{Call, Data, Value};
use crate::Compute;
use crate::graph::network::is_finite;
use crate::graph::onnx::Importer;
use crate::graph::onnx::wire::{Constant, File, Node, malformed};
use crate::graph::{Error, Input, Limits, Network, Result};
use crate::kernels::Isa;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Whole numbers are exact in a network up to here.
const EXACT: u64 = 1 << 24;

/// Where a value is kept during a run.
type Slot = usize;

/// What is run, in its order.
pub(super) struct Program {
    steps: Vec<Step>,
    /// Values that are there before a run.
    constants: Vec<(Slot, Arc<Value>)>,
    slots: usize,
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<(Slot, Fact)>,
    limits: Limits,
}

struct Step {
    node: String,
    work: Work,
    inputs: Vec<Slot>,
    /// Where results go, in their order; nowhere when nothing reads them.
    outputs: Vec<Option<Slot>>,
    /// What nothing reads after this.
    done: Vec<Slot>,
}

enum Work {
    Operator(Box<dyn Operator>),
    /// A network, and which of its results are whole numbers.
    Network(Box<Network>, Vec<bool>),
}

/// Who makes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    Given,
    /// A node of a network, by its number.
    Network(usize),
    Operator,
}

struct Source {
    slot: Slot,
    fact: Fact,
    maker: Maker,
    level: usize,
    constant: Option<Constant>,
}

/// A node that has been looked at.
enum Seen {
    /// What the file gives at once.
    Constant,
    Network {
        level: usize,
        /// Whether constants and sizes alone decide it.
        known: bool,
    },
    Operator {
        level: usize,
    },
}

struct Builder<'f> {
    file: &'f File<'f>,
    sources: HashMap<&'f str, Source>,
    seen: Vec<Seen>,
    /// The operations that are ours, by the numbers of their nodes.
    operators: HashMap<usize, Box<dyn Operator>>,
    /// Inputs of the file and what networks make, if they are whole numbers or booleans.
    whole: HashSet<&'f str>,
}

impl Program {
    /// Plans the steps of a file.
    pub(super) fn build(file: &File<'_>, limits: Limits) -> Result<Self> {
        let mut builder = Builder {
            file,
            sources: HashMap::new(),
            seen: Vec::new(),
            operators: HashMap::new(),
            whole: HashSet::new(),
        };
        let body = &file.body;
        for (name, constant) in &body.constants {
            builder.constant(name, constant.clone())?;
        }
        let mut inputs = Vec::new();
        for input in &body.inputs {
            // Older files list their weights among the inputs.
            if !builder.sources.contains_key(input.name.as_str()) {
                let fact = match Element::of(input.element) {
                    Some(Element::Texts) => Fact::TEXTS,
                    _ => Fact::NUMBERS,
                };
                inputs.push(builder.source(&input.name, fact, Maker::Given, 0)?);
                if input.is_whole() {
                    builder.whole.insert(&input.name);
                }
            }
        }
        for (number, node) in body.nodes.iter().enumerate() {
            let seen = builder.look_at(number, node)?;
            builder.seen.push(seen);
        }
        let outputs = body.outputs.iter().map(|output| {
            let source = builder.get(&output.name)?;
            Ok((source.slot, source.fact.clone()))
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let slots = builder.sources.len();
        let mut steps = builder.steps(limits)?;
        let constants = builder.constants(&steps, &outputs);
        let outside = outputs.iter().map(|(slot, _)| slot);
        let outside = outside.chain(constants.iter().map(|(slot, _)| slot));
        // What is read after the steps that have been looked at, from the last one on.
        let mut later: HashSet<Slot> = outside.copied().collect();
        for step in steps.iter_mut().rev() {
            for slot in step.inputs.iter().chain(step.outputs.iter().flatten()) {
                if later.insert(*slot) {
                    step.done.push(*slot);
                }
            }
        }
        Ok(Self {
            steps,
            constants,
            slots,
            inputs,
            outputs,
            limits,
        })
    }

    /// Runs all steps and gives the outputs in their order.
    pub(super) fn run(&self, compute: &Compute, inputs: Vec<Value>) -> Result<Vec<Arc<Value>>> {
        let mut values: Vec<Option<Arc<Value>>> = vec![None; self.slots];
        let mut held = 0;
        for (slot, constant) in &self.constants {
            values[*slot] = Some(constant.clone());
        }
        for (slot, input) in self.inputs.iter().zip(inputs) {
            held += input.data.weight();
            values[*slot] = Some(Arc::new(input));
        }
        for step in &self.steps {
            let call = Call {
                team: &compute.team,
                limits: self.limits,
                node: &step.node,
            };
            let read = step.inputs.iter().map(|&slot| values[slot].as_deref());
            let read: Option<Vec<&Value>> = read.collect();
            let read = read.ok_or_else(|| call.invalid("an input has not been made"))?;
            let made = match &step.work {
                Work::Operator(operator) => operator.run(&call, &read)?,
                Work::Network(network, whole) => {
                    run_network(compute, &call, network, whole, &read)?
                }
            };
            if made.len() < step.outputs.len() {
                return Err(call.invalid(format!("it has {} results", made.len())));
            }
            for (slot, value) in step.outputs.iter().zip(made) {
                if let Some(slot) = *slot {
                    held += value.data.weight();
                    values[slot] = Some(Arc::new(value));
                }
            }
            if held > self.limits.workspace {
                return Err(Error::TooLarge {
                    what: "what is held between operations".to_owned(),
                    limit: self.limits.workspace as u64,
                });
            }
            for &slot in &step.done {
                held -= values[slot].take().map_or(0, |value| value.data.weight());
            }
        }
        let outputs = self.outputs.iter().map(|(slot, _)| values[*slot].clone());
        let outputs: Option<Vec<_>> = outputs.collect();
        outputs.ok_or_else(|| malformed("an output has not been made"))
    }

    pub(super) fn memory(&self) -> u64 {
        let constants = self.constants.iter().map(|(_, value)| value.data.bytes());
        let steps = self.steps.iter().map(|step| match &step.work {
            Work::Operator(operator) => operator.bytes(),
            Work::Network(network, _) => network.memory(),
        });
        constants.chain(steps).sum()
    }
}

/// Runs a network; its whole numbers go in and come out as such.
fn run_network(
    compute: &Compute,
    call: &Call<'_>,
    network: &Network,
    whole: &[bool],
    read: &[&Value],
) -> Result<Vec<Value>> {
    for value in read {
        if let Data::Whole(numbers) = &value.data
            && numbers.iter().any(|number| number.unsigned_abs() > EXACT)
        {
            return Err(call.invalid(format!("computing with whole numbers above {EXACT}")));
        }
    }
    let data = read.iter().map(|value| call.numbers(value));
    let data = data.collect::<Result<Vec<_>>>()?;
    let inputs = read.iter().zip(&data).map(|(value, data)| Input {
        name: "",
        shape: &value.shape,
        data,
    });
    let outputs = network.run_part(compute, &inputs.collect::<Vec<_>>())?;
    let outputs = outputs.into_iter().zip(whole).map(|(output, whole)| {
        let shape = output.tensor.shape().to_vec();
        let data = output.tensor.into_data();
        if !whole {
            return Ok(Value::new(shape, Data::Numbers(data)));
        }
        // Such as what a whole number divided by zero gives.
        if !is_finite(&data) {
            return Err(Error::NotFinite(output.name));
        }
        let data = data.into_iter().map(|number| number as i64).collect();
        Ok(Value::new(shape, Data::Whole(data)))
    });
    outputs.collect()
}

/// The inputs of a node that are given.
fn given<'n>(node: &'n Node<'_>) -> impl Iterator<Item = &'n str> {
    let names = node.inputs.iter().map(String::as_str);
    names.filter(|name| !name.is_empty())
}

/// The results of a node that have a name.
fn named<'n>(node: &'n Node<'_>) -> impl Iterator<Item = &'n str> {
    let names = node.outputs.iter().map(String::as_str);
    names.filter(|name| !name.is_empty())
}

impl<'f> Builder<'f> {
    fn source(&mut self, name: &'f str, fact: Fact, maker: Maker, level: usize) -> Result<Slot> {
        let slot = self.sources.len();
        let source = Source {
            slot,
            fact,
            maker,
            level,
            constant: None,
        };
        match self.sources.insert(name, source) {
            None => Ok(slot),
            Some(_) => Err(malformed(format!("`{name}` is made twice"))),
        }
    }

    fn constant(&mut self, name: &'f str, constant: Constant) -> Result<()> {
        let kind = match &constant {
            Constant::Texts { .. } => Kind::Texts,
            constant if constant.is_whole() => Kind::Whole,
            _ => Kind::Numbers,
        };
        let fact = Fact {
            kind,
            ..Fact::NUMBERS
        };
        self.source(name, fact, Maker::Given, 0)?;
        if let Some(source) = self.sources.get_mut(name) {
            source.constant = Some(constant);
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<&Source> {
        let source = self.sources.get(name);
        source.ok_or_else(|| malformed(format!("nothing makes `{name}`")))
    }

    /// Decides who does a node, and notes what it makes.
    fn look_at(&mut self, number: usize, node: &'f Node<'f>) -> Result<Seen> {
        if node.domain.is_empty() && node.op == "Constant" {
            if let Some(name) = node.outputs.first() {
                self.constant(name, node.constant()?)?;
            }
            return Ok(Seen::Constant);
        }
        let sources = given(node).map(|name| self.get(name));
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let reads = sources.iter().map(|source| Read {
            fact: &source.fact,
            constant: source.constant.as_ref(),
            ours: source.maker == Maker::Operator,
        });
        let made = operator::read(node, &reads.collect::<Vec<_>>())?;
        let level = sources.iter().map(|source| match source.maker {
            Maker::Operator if made.is_none() => source.level + 1,
            _ => source.level,
        });
        let level = level.max().unwrap_or(0);
        let Some(made) = made else {
            let known = node.op == "Shape"
                || sources.iter().all(|source| match source.maker {
                    Maker::Given => source.constant.is_some(),
                    Maker::Operator => false,
                    Maker::Network(number) => {
                        matches!(
                            self.seen.get(number),
                            Some(Seen::Network { known: true, .. })
                        )
                    }
                });
            // What only hands scores on gives scores.
            let fact = match (node.op.as_str(), sources.first()) {
                ("Identity" | "Cast", Some(source)) => Fact {
                    kind: Kind::Numbers,
                    ..source.fact.clone()
                },
                _ => Fact::NUMBERS,
            };
            for name in named(node) {
                self.source(name, fact.clone(), Maker::Network(number), level)?;
            }
            return Ok(Seen::Network { level, known });
        };
        if node.outputs.len() > made.facts.len() {
            return Err(node.unsupported(format!("more than {} results", made.facts.len())));
        }
        for (name, fact) in node.outputs.iter().zip(&made.facts) {
            if !name.is_empty() {
                self.source(name, fact.clone(), Maker::Operator, level)?;
            }
        }
        self.operators.insert(number, made.operator);
        Ok(Seen::Operator { level })
    }

    /// The values that must leave the network which makes them.
    fn asked(&self) -> Result<HashSet<&'f str>> {
        let mut asked = HashSet::new();
        let body = &self.file.body;
        for output in &body.outputs {
            asked.insert(output.name.as_str());
        }
        for (node, seen) in body.nodes.iter().zip(&self.seen) {
            for name in given(node) {
                let source = self.get(name)?;
                let goes_over = match seen {
                    Seen::Constant => false,
                    Seen::Operator { .. } => true,
                    // What is known is repeated where it is needed; so may be what reads this.
                    Seen::Network { level, known } => {
                        !self.is_known(source) && (*known || *level != source.level)
                    }
                };
                if goes_over {
                    asked.insert(name);
                }
            }
        }
        Ok(asked)
    }

    fn is_known(&self, source: &Source) -> bool {
        match source.maker {
            Maker::Network(number) => {
                matches!(
                    self.seen.get(number),
                    Some(Seen::Network { known: true, .. })
                )
            }
            _ => false,
        }
    }

    /// All steps in their order: of every level the network, then the operations that read it.
    fn steps(&mut self, limits: Limits) -> Result<Vec<Step>> {
        let asked = self.asked()?;
        let mut levels: Vec<Vec<usize>> = Vec::new();
        for (number, seen) in self.seen.iter().enumerate() {
            let level = match seen {
                Seen::Constant => continue,
                Seen::Network { level, .. } | Seen::Operator { level } => *level,
            };
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            levels[level].push(number);
        }
        let body = &self.file.body;
        let mut steps = Vec::new();
        for (level, numbers) in levels.iter().enumerate() {
            steps.extend(self.network(level, numbers, &asked, limits)?);
            for number in numbers {
                let Some(operator) = self.operators.remove(number) else {
                    continue;
                };
                let node = &body.nodes[*number];
                let inputs = given(node).map(|name| Ok(self.get(name)?.slot));
                let outputs = node.outputs.iter();
                let outputs = outputs.map(|name| self.sources.get(name.as_str()).map(|s| s.slot));
                steps.push(Step {
                    node: node.name.clone(),
                    work: Work::Operator(operator),
                    inputs: inputs.collect::<Result<_>>()?,
                    outputs: outputs.collect(),
                    done: Vec::new(),
                });
            }
        }
        Ok(steps)
    }

    /// The network of a level, if it makes anything that is asked.
    fn network(
        &mut self,
        level: usize,
        numbers: &[usize],
        asked: &HashSet<&'f str>,
        limits: Limits,
    ) -> Result<Option<Step>> {
        let nodes = &self.file.body.nodes;
        let is_asked = |number: usize| named(&nodes[number]).any(|name| asked.contains(name));
        let mut open: Vec<usize> = numbers
            .iter()
            .copied()
            .filter(|&number| match self.seen[number] {
                Seen::Network { known, .. } => !known || is_asked(number),
                _ => false,
            })
            .collect();
        let mut inside: BTreeSet<usize> = open.iter().copied().collect();
        while let Some(number) = open.pop() {
            for name in given(&nodes[number]) {
                let source = self.get(name)?;
                if let (Maker::Network(maker), true) = (source.maker, self.is_known(source))
                    && inside.insert(maker)
                {
                    open.push(maker);
                }
            }
        }
        let mut importer = Importer::new(self.file.version);
        let (mut inputs, mut outputs, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        let mut declared = HashSet::new();
        for &number in &inside {
            for name in given(&nodes[number]) {
                let source = self.get(name)?;
                let made_here = matches!(source.maker, Maker::Network(n) if inside.contains(&n));
                if made_here || !declared.insert(name) {
                    continue;
                }
                if let Some(constant) = &source.constant {
                    importer.constant(name, constant)?;
                } else {
                    let declared = self
                        .file
                        .body
                        .inputs
                        .iter()
                        .find(|input| input.name == name);
                    let shape = declared.and_then(|input| input.shape.as_deref());
                    importer.input(name, shape, self.is_whole(name, source));
                    inputs.push(source.slot);
                }
            }
            importer.node(&nodes[number])?;
        }
        let own = |number: &&usize| matches!(self.seen[**number], Seen::Network { level: l, .. } if l == level);
        let own: Vec<usize> = inside.iter().filter(own).copied().collect();
        for number in own {
            for name in named(&nodes[number]).filter(|name| asked.contains(name)) {
                outputs.push(Some(self.get(name)?.slot));
                let mut readers = nodes.iter().enumerate();
                let is_read_elsewhere = readers
                    .any(|(n, node)| !inside.contains(&n) && given(node).any(|one| one == name));
                let is_whole = importer.output(name, is_read_elsewhere)?;
                whole.push(is_whole);
                if is_whole {
                    self.whole.insert(name);
                }
            }
        }
        let (Some(&first), false) = (inside.first(), outputs.is_empty()) else {
            return Ok(None);
        };
        let network = Network::compile_for(importer.finish(), Isa::best(), limits)?;
        Ok(Some(Step {
            node: nodes[first].name.clone(),
            work: Work::Network(Box::new(network), whole),
            inputs,
            outputs,
            done: Vec::new(),
        }))
    }

    /// Whether what a network reads is whole numbers or booleans.
    fn is_whole(&self, name: &str, source: &Source) -> bool {
        source.fact.kind == Kind::Whole || self.whole.contains(name)
    }

    /// The constants that are read outside of networks.
    fn constants(&self, steps: &[Step], outputs: &[(Slot, Fact)]) -> Vec<(Slot, Arc<Value>)> {
        let ours = steps
            .iter()
            .filter(|step| matches!(step.work, Work::Operator(_)));
        let read = ours.flat_map(|step| step.inputs.iter().copied());
        let read: HashSet<Slot> = read.chain(outputs.iter().map(|(slot, _)| *slot)).collect();
        let constants = self
            .sources
            .values()
            .filter(|source| read.contains(&source.slot));
        constants
            .filter_map(|source| {
                let constant = source.constant.as_ref()?;
                Some((source.slot, Arc::new(Value::of(constant))))
            })
            .collect()
    }
}
