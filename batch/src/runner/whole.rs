//! A task that is all documents of a job: a work on the whole reads them as often as it wants and writes the files of the output.

use super::task::{Order, Tools, documents};
use super::{Point, Trouble, file_of, part_name};
use crate::job::{Fence, Form, Part, SAMPLES, Sample, Usage};
use crate::work::{Documents, Each, Made, Place, Whole, Work};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Bytes of the output from one mark to the next.
const BYTES: u64 = 256 << 10;
/// Documents that are read from one mark to the next.
const DOCUMENTS: u64 = 256;
/// Marks of all that a work says of its progress.
const PARTS: f64 = 64.0;
/// Of inputs that are no documents, marks are a part of their number apart: so many each time that it doubles, from this
/// number on. They are counted while they go through, so that the number at which a process ends is about the same each
/// time and not just the same.
const DOUBLING: f64 = 8.0;
const INPUTS: f64 = 65_536.0;

/// Does a task: its part has the files of the output one after the other, as its pieces.
///
/// # Errors
/// Those of the work, and of what is read and written.
pub fn execute(
    tools: &Tools,
    work: &dyn Work,
    whole: &dyn Whole,
    order: &mut Order,
) -> Result<Part, Trouble> {
    if order.poison {
        let why = "whoever worked on it did not come back, too often";
        return Err(Trouble::Fails(why.to_owned()));
    }
    let began = Instant::now();
    let spec = order.spec.clone();
    let name = part_name(&spec.output, &order.fence.job, order.fence.task)?;
    let unwritten =
        |error: std::io::Error| Trouble::output(&spec.output, &escala_objects::Error::from(error));
    let new = tools.objects.create(&name);
    let mut new = new.map_err(|error| Trouble::output(&spec.output, &error))?;
    let (mut pieces, mut digest) = (Vec::new(), Sha256::new());
    order.mark(tools, 0);
    let steps = &Steps {
        tools,
        fence: order.suspect.then(|| order.fence.clone()),
        written: Cell::default(),
        documents: Cell::default(),
        parts: Cell::default(),
        inputs: Cell::default(),
        marked: Cell::default(),
    };
    let (live, cancelled) = (order.live.clone(), order.cancelled.clone());
    let writing = live.clone();
    let all: u64 = order.pieces.iter().map(|piece| piece.documents).sum();
    let progress = move |part: f64| {
        // Not all before the part is there.
        let done = (part.clamp(0.0, 1.0) * all as f64) as u64;
        let done = done.min(all.saturating_sub(1));
        live.documents.fetch_max(done, Ordering::Relaxed);
        steps.came(&steps.parts, (part.clamp(0.0, 1.0) * PARTS) as u64);
        go_on(!*cancelled.borrow())
    };
    let mut reading = Reading {
        tools,
        work,
        order,
        steps,
        usage: Usage::default(),
        samples: Vec::new(),
        read: false,
        made: None,
    };
    let counted = whole.collect(&spec, &mut reading, &progress, &mut |file, bytes| {
        let length = bytes.len() as u64;
        writing.written.fetch_add(length, Ordering::Relaxed);
        pieces.resize(pieces.len().max(file + 1), 0);
        pieces[file] += length;
        steps.came(&steps.written, steps.written.get() + length);
        digest.update(bytes);
        new.write_all(bytes).map_err(unwritten)
    })?;
    let Reading {
        mut usage,
        mut samples,
        read,
        made,
        ..
    } = reading;
    match made {
        Some(made) => {
            (usage.documents, usage.errors) = (made.rows, made.errors);
            let file = match &spec.output.form {
                Form::Joined { name } => name.as_str(),
                _ => "",
            };
            let example = |message| Sample {
                file: file.to_owned(),
                line: None,
                code: "unanswered".to_owned(),
                message,
            };
            samples = made.examples.into_iter().map(example).collect();
            samples.truncate(SAMPLES);
        }
        // It did without them: it is the question that is done.
        None if !read => usage.documents = all,
        None => {}
    }
    tools.reach(Point::PartWritten);
    let kept = new.commit();
    kept.map_err(|error| Trouble::output(&spec.output, &error))?;
    tools.reach(Point::PartPublished);
    let took = began.elapsed().as_millis() as u64;
    let usage = Usage {
        written: pieces.iter().sum(),
        characters: counted.characters,
        units: counted.units,
        tokens: counted.tokens,
        pixels: counted.pixels,
        compute_ms: took,
        wall_ms: took,
        ..usage
    };
    let digest = digest.finalize();
    Ok(Part {
        pieces,
        digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        usage,
        samples,
        failed: Vec::new(),
    })
}

fn go_on(go_on: bool) -> ControlFlow<()> {
    match go_on {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    }
}

/// How far a task is, told where it was lost before. The steps are the same each time, so that who dies at one place again and
/// again is told from who is killed at any.
struct Steps<'a> {
    tools: &'a Tools,
    /// Whose they are, where somebody wants to know.
    fence: Option<Fence>,
    /// Bytes of the output.
    written: Cell<u64>,
    /// Documents that were read, each time.
    documents: Cell<u64>,
    /// Parts of the work.
    parts: Cell<u64>,
    /// Inputs that are no documents, in steps of their own.
    inputs: Cell<u64>,
    marked: Cell<u64>,
}

impl Steps<'_> {
    /// One of the counts has come so far.
    fn came(&self, count: &Cell<u64>, to: u64) {
        count.set(count.get().max(to));
        let (written, documents) = (self.written.get(), self.documents.get());
        let counted = written / BYTES + documents / DOCUMENTS;
        let place = counted + self.parts.get() + self.inputs.get();
        if let Some(fence) = &self.fence
            && place > self.marked.replace(place)
        {
            (self.tools.mark)(fence, place);
        }
    }
}

struct Reading<'a> {
    tools: &'a Tools,
    work: &'a dyn Work,
    order: &'a mut Order,
    steps: &'a Steps<'a>,
    usage: Usage,
    samples: Vec<Sample>,
    /// All documents were read once, and counted.
    read: bool,
    /// What answers a question.
    made: Option<Made>,
}

impl Documents for Reading<'_> {
    fn read(&mut self, each: &mut Each<'_>) -> Result<(), Trouble> {
        let (spec, inputs) = (self.order.spec.clone(), self.order.inputs.clone());
        let (mut usage, mut samples) = (Usage::default(), Vec::new());
        let mut broken = false;
        for piece in self.order.pieces.clone() {
            if broken {
                return Ok(());
            }
            let key = inputs.get(piece.input as usize);
            let file = key.map_or("", |input| file_of(&spec.input, &input.key));
            let read = documents(
                self.tools,
                self.work,
                self.order,
                piece,
                |line, document| {
                    let place = Place { file, line };
                    let steps = self.steps;
                    steps.came(&steps.documents, steps.documents.get() + 1);
                    usage.documents += 1;
                    if let Err(failed) = &document {
                        usage.errors += 1;
                        if samples.len() < SAMPLES {
                            samples.push(Sample {
                                file: file.to_owned(),
                                line,
                                code: failed.code.clone(),
                                message: failed.message.clone(),
                            });
                        }
                    }
                    if *self.order.cancelled.borrow() {
                        return Err(Trouble::Rest);
                    }
                    let text = document.as_ref().map(Vec::as_slice);
                    broken = each(place, text).is_break();
                    Ok(match broken {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    })
                },
            );
            usage.read += read?;
        }
        if !self.read {
            self.read = true;
            (self.usage, self.samples) = (usage, samples);
            let live = &self.order.live;
            live.bytes.store(usage.read, Ordering::Relaxed);
            live.errors.store(usage.errors, Ordering::Relaxed);
        }
        Ok(())
    }

    fn passed(&mut self, inputs: u64) {
        let step = DOUBLING * (1.0 + inputs as f64 / INPUTS).log2();
        self.steps.came(&self.steps.inputs, step as u64);
    }

    fn made(&mut self, made: Made) {
        let live = &self.order.live;
        live.errors.store(made.errors, Ordering::Relaxed);
        live.documents.store(made.rows, Ordering::Relaxed);
        self.made = Some(made);
    }
}
