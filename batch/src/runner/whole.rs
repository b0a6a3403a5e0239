//! A task that is all documents of a job: a work on the whole reads them as often as it wants and writes the files of the output.

use super::task::{Order, Tools, documents};
use super::{Point, Trouble, file_of, part_name};
use crate::job::{Part, SAMPLES, Sample, Usage};
use crate::work::{Documents, Each, Place, Whole, Work};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Bytes of the output from one mark to the next.
const STEP: u64 = 256 << 10;

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
    let (live, cancelled) = (order.live.clone(), order.cancelled.clone());
    let all: u64 = order.pieces.iter().map(|piece| piece.documents).sum();
    let progress = move |part: f64| {
        // Not all before the part is there.
        let done = (part.clamp(0.0, 1.0) * all as f64) as u64;
        let done = done.min(all.saturating_sub(1));
        live.documents.store(done, Ordering::Relaxed);
        go_on(!*cancelled.borrow())
    };
    order.mark(tools, 0);
    let suspect = order.suspect.then(|| order.fence.clone());
    let (mut written, mut marked) = (0, 0);
    let mut reading = Reading {
        tools,
        work,
        order,
        usage: Usage::default(),
        samples: Vec::new(),
        read: false,
    };
    let counted = whole.collect(&spec, &mut reading, &progress, &mut |file, bytes| {
        pieces.resize(pieces.len().max(file + 1), 0);
        pieces[file] += bytes.len() as u64;
        written += bytes.len() as u64;
        // The same steps as the last time.
        if let Some(fence) = &suspect
            && written / STEP > marked
        {
            marked = written / STEP;
            (tools.mark)(fence, marked);
        }
        digest.update(bytes);
        new.write_all(bytes).map_err(unwritten)
    })?;
    let Reading {
        mut usage,
        samples,
        read,
        ..
    } = reading;
    if !read {
        // It did without them: it is the question that is done.
        usage.documents = all;
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

struct Reading<'a> {
    tools: &'a Tools,
    work: &'a dyn Work,
    order: &'a mut Order,
    usage: Usage,
    samples: Vec<Sample>,
    /// All documents were read once, and counted.
    read: bool,
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
}
