//! One task: its documents are read, asked about in small batches, and what is said of them becomes a part.

use super::{Point, Trouble, Works, file_of, input_name, no_tables, part_name, tables, whole};
use crate::cluster::Live;
use crate::job::{Fence, Form, Input, Part, Piece, SAMPLES, Sample, Spec, Split, Usage};
use crate::lines::read_line;
use crate::work::{Answer, Failed, Fault, Found, Place, Seen, Work};
use escala_objects::{NewObject, ObjectStore, WritableStore};
use sha2::{Digest, Sha256};
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Documents of the first batch.
const FIRST: usize = 16;
/// Most documents of a batch.
const MOST: usize = 1024;
/// Bytes after which a batch is full.
const MOST_BYTES: usize = 1 << 20;
/// How long the engine should work on a batch: how soon a job is stopped, and how long others may wait for it.
const PACE: Duration = Duration::from_millis(250);
/// How often a document that a defect left without an answer is asked about again.
const AGAIN: u32 = 2;
/// Waiting for the machine before it is asked again: from, to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a task is begun again where objects cannot be reached.
const TRIES: u32 = 3;

/// Told that so many documents of a task are done with.
pub type Mark = Arc<dyn Fn(&Fence, u64) + Send + Sync>;

/// What tasks are done with.
#[derive(Clone)]
pub struct Tools {
    /// Where inputs are and parts go.
    pub objects: Arc<dyn WritableStore>,
    /// Who answers.
    pub works: Works,
    /// Where answers are waited for.
    pub runtime: tokio::runtime::Handle,
    /// How long the machine may have no answers before a job fails.
    pub patience: Duration,
    /// Keeps how far a task is that was lost before.
    pub mark: Mark,
    /// Told what is reached, by tests that end the process there.
    pub reached: Option<Arc<dyn Fn(Point) + Send + Sync>>,
}

impl Tools {
    /// Says what is reached.
    pub fn reach(&self, point: Point) {
        if let Some(reached) = &self.reached {
            reached(point);
        }
    }
}

/// A task to be done.
pub struct Order {
    /// Which it is.
    pub fence: Fence,
    /// What it reads.
    pub pieces: Vec<Piece>,
    /// The job.
    pub spec: Arc<Spec>,
    /// The job's inputs.
    pub inputs: Arc<Vec<Input>>,
    /// What counts.
    pub live: Arc<Live>,
    /// Whether it is to be put down.
    pub cancelled: watch::Receiver<bool>,
    /// Whether it was lost before. It is worked on in the same small steps then, whatever else there is, and each is marked.
    pub suspect: bool,
    /// Whether nothing else may be worked on beside it: whoever worked on it did not come back twice from the same place, and
    /// what is beside it when that happens again would be suspected, too.
    pub alone: bool,
    /// Whether nothing is asked: each of its documents becomes an error.
    pub poison: bool,
}

impl Order {
    /// Says that so many documents are done with, where somebody wants to know.
    pub fn mark(&self, tools: &Tools, place: u64) {
        if self.suspect {
            (tools.mark)(&self.fence, place);
        }
    }
}

/// How a task ended.
pub enum Ended {
    /// Its part is published.
    Done(Part),
    /// It was cancelled.
    PutDown,
    /// It cannot be done.
    Failed(String),
}

/// Reads the documents of a piece, each with its line where documents are lines, until `each` breaks or fails.
///
/// # Errors
/// Those of `each`; the input cannot be read, or is not what it was when it was planned.
pub fn documents(
    tools: &Tools,
    work: &dyn Work,
    order: &Order,
    piece: Piece,
    mut each: impl FnMut(Option<u64>, Result<Vec<u8>, Failed>) -> Result<ControlFlow<()>, Trouble>,
) -> Result<u64, Trouble> {
    let spec = &order.spec;
    let input = usize::try_from(piece.input)
        .ok()
        .and_then(|number| order.inputs.get(number));
    let input = input.ok_or_else(|| Trouble::Fails("the plan names no such input".to_owned()))?;
    let key = &input.key;
    let bytes = open(tools, spec, input, piece)?;
    let mut from = BufReader::with_capacity(64 << 10, bytes);
    let most = work.bounds(spec).document;
    let unread = |error: std::io::Error| Trouble::Now(format!("`{key}` cannot be read: {error}"));
    let mut read = 0;
    for number in 0..piece.documents {
        let (line, text, length) = match spec.input.split {
            Split::Lines | Split::Manifest => {
                let line = read_line(&mut from, most).map_err(unread)?;
                // As many lines as were there when it was planned, or it is not what it was.
                let line = line.ok_or_else(|| Trouble::changed(key))?;
                read += line.whole;
                (Some(piece.first + number), line.text, line.length)
            }
            Split::Files => {
                let mut text = Vec::new();
                let length = input.length;
                if length <= most {
                    let got = from.by_ref().take(most + 1).read_to_end(&mut text);
                    if got.map_err(unread)? as u64 != length {
                        return Err(Trouble::changed(key));
                    }
                }
                read += length;
                (None, text, length)
            }
            Split::Rows => return Err(no_tables(spec)),
            Split::Question => {
                let kind = &spec.kind;
                let why = format!("jobs of the kind {kind} read documents here");
                return Err(Trouble::Fails(why));
            }
        };
        let document = match length > most {
            true => Err(work.too_large(spec, length)),
            false => Ok(text),
        };
        if each(line, document)?.is_break() {
            return Ok(read);
        }
    }
    match read == piece.to - piece.from {
        true => Ok(read),
        false => Err(Trouble::changed(key)),
    }
}

/// Opens the bytes of a piece, of an input that is what it was when it was planned.
///
/// # Errors
/// It is not, or cannot be read.
pub fn open(
    tools: &Tools,
    spec: &Spec,
    input: &Input,
    piece: Piece,
) -> Result<Box<dyn Read + Send>, Trouble> {
    let objects: &dyn ObjectStore = &*tools.objects;
    let name = input_name(&spec.input, &input.key)?;
    let object = match (piece.from, piece.to) == (0, input.length) {
        true => objects.open(&name),
        false => objects.open_range(&name, piece.from..piece.to),
    };
    let object = object.map_err(|error| match error {
        // It was there when it was planned.
        escala_objects::Error::Range { .. } => Trouble::changed(&input.key),
        error => Trouble::input(&spec.input.bucket, &input.key, &error),
    })?;
    match object.etag == input.etag && object.length == input.length {
        true => Ok(object.bytes),
        false => Err(Trouble::changed(&input.key)),
    }
}

/// Does a task.
pub fn execute(tools: &Tools, mut order: Order) -> Ended {
    let Some(work) = tools.works.get(&order.spec.kind).cloned() else {
        return Ended::Failed(format!(
            "nothing here does jobs of the kind {}",
            order.spec.kind
        ));
    };
    let mut tries = 0;
    loop {
        order.live.clear();
        tries += 1;
        if order.spec.input.split == Split::Rows {
            let done = match work.tables() {
                Some(tables) => tables::execute(tools, tables, &mut order),
                None => Err(no_tables(&order.spec)),
            };
            match again(tools, &mut order, tries, done) {
                Some(ended) => return ended,
                None => continue,
            }
        }
        if let Some(whole) = work.whole() {
            let done = whole::execute(tools, &*work, whole, &mut order);
            match again(tools, &mut order, tries, done) {
                Some(ended) => return ended,
                None => continue,
            }
        }
        let mut doing = Doing {
            tools,
            work: &*work,
            order: &mut order,
            batch: Vec::new(),
            bytes: 0,
            most: FIRST,
            part: Part {
                pieces: Vec::new(),
                digest: String::new(),
                usage: Usage::default(),
                samples: Vec::new(),
                failed: Vec::new(),
            },
            digest: Sha256::new(),
            text: Vec::new(),
            aside: None,
            errors: Vec::new(),
            compute: Duration::ZERO,
            seen: Seen::default(),
            asked: 0,
        };
        let done = doing.run();
        if let Some(ended) = again(tools, &mut order, tries, done) {
            return ended;
        }
    }
}

/// How a task ended; `None` where it is to be begun again.
fn again(
    tools: &Tools,
    order: &mut Order,
    tries: u32,
    done: Result<Part, Trouble>,
) -> Option<Ended> {
    match done {
        Ok(part) => Some(Ended::Done(part)),
        Err(Trouble::Rest) => Some(Ended::PutDown),
        Err(Trouble::Fails(why)) => Some(Ended::Failed(why)),
        Err(Trouble::Now(why)) if tries >= TRIES => Some(Ended::Failed(why)),
        Err(Trouble::Now(why)) => {
            tracing::warn!(
                job = order.fence.job,
                task = order.fence.task,
                why,
                "a task is begun again"
            );
            match pause(tools, &mut order.cancelled, PAUSE.1) {
                true => None,
                false => Some(Ended::PutDown),
            }
        }
    }
}

/// Waits; `false` where the task was cancelled meanwhile.
fn pause(tools: &Tools, cancelled: &mut watch::Receiver<bool>, time: Duration) -> bool {
    tools.runtime.block_on(async {
        tokio::select! {
            biased;
            // One who cannot cancel any more does not need the task either.
            _ = cancelled.wait_for(|cancelled| *cancelled) => false,
            () = tokio::time::sleep(time) => true,
        }
    })
}

/// A document that waits to be asked about.
struct Waiting {
    piece: usize,
    line: Option<u64>,
    document: Result<Vec<u8>, Failed>,
}

struct Doing<'a> {
    tools: &'a Tools,
    work: &'a dyn Work,
    order: &'a mut Order,
    batch: Vec<Waiting>,
    bytes: usize,
    /// Documents of a full batch.
    most: usize,
    part: Part,
    digest: Sha256,
    text: Vec<u8>,
    /// What stands between errors, where they have a file of their own.
    aside: Option<Vec<u8>>,
    /// Those so far: they are the end of the part.
    errors: Vec<u8>,
    compute: Duration,
    seen: Seen,
    asked: u64,
}

impl Doing<'_> {
    fn run(&mut self) -> Result<Part, Trouble> {
        let began = Instant::now();
        let spec = self.order.spec.clone();
        let name = part_name(&spec.output, &self.order.fence.job, self.order.fence.task)?;
        let new = self.tools.objects.create(&name);
        let mut new = new.map_err(|error| Trouble::output(&spec.output, &error))?;
        let pieces = self.order.pieces.clone();
        self.part.pieces = vec![0; pieces.len()];
        if matches!(spec.output.form, Form::Summed { .. }) {
            self.aside = Some(self.work.summary(&spec, &Usage::default()).between);
        }
        for (at, piece) in pieces.into_iter().enumerate() {
            self.piece(at, piece, &mut *new)?;
        }
        self.flush(&mut *new)?;
        if self.aside.is_some() {
            self.digest.update(&self.errors);
            let written = new.write_all(&self.errors);
            written.map_err(|error| Trouble::output(&spec.output, &error.into()))?;
            self.part.pieces.push(self.errors.len() as u64);
        }
        self.tools.reach(Point::PartWritten);
        let kept = new.commit();
        kept.map_err(|error| Trouble::output(&spec.output, &error))?;
        self.tools.reach(Point::PartPublished);
        let mut part = self.part.clone();
        let digest = std::mem::take(&mut self.digest).finalize();
        part.digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        part.usage.written = part.length();
        part.usage.compute_ms = self.compute.as_millis() as u64;
        part.usage.tokens = self.seen.tokens();
        part.usage.pixels = self.seen.pixels();
        part.usage.wall_ms = began.elapsed().as_millis() as u64;
        Ok(part)
    }

    /// Reads the documents of a piece.
    fn piece(&mut self, at: usize, piece: Piece, to: &mut dyn NewObject) -> Result<(), Trouble> {
        let (tools, work) = (self.tools, self.work);
        // What is read belongs to the order, what is asked to the rest.
        let order = Order {
            cancelled: self.order.cancelled.clone(),
            live: self.order.live.clone(),
            spec: self.order.spec.clone(),
            inputs: self.order.inputs.clone(),
            fence: self.order.fence.clone(),
            pieces: Vec::new(),
            suspect: self.order.suspect,
            alone: self.order.alone,
            poison: self.order.poison,
        };
        let read = documents(tools, work, &order, piece, |line, document| {
            self.bytes += document.as_ref().map_or(0, Vec::len);
            self.batch.push(Waiting {
                piece: at,
                line,
                document,
            });
            if self.batch.len() >= self.most || self.bytes >= MOST_BYTES {
                self.flush(to)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.part.usage.read += read;
        self.order.live.bytes.fetch_add(read, Ordering::Relaxed);
        Ok(())
    }

    /// Asks about the batch and writes what is said.
    fn flush(&mut self, to: &mut dyn NewObject) -> Result<(), Trouble> {
        if *self.order.cancelled.borrow() {
            return Err(Trouble::Rest);
        }
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        self.order.mark(self.tools, self.part.usage.documents);
        let full = batch.len() >= self.most;
        let began = Instant::now();
        let count = batch.len() as u64;
        let mut documents = Vec::new();
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(batch.len());
        let mut places = Vec::with_capacity(batch.len());
        for waiting in batch {
            places.push((waiting.piece, waiting.line));
            answers.push(match waiting.document {
                Ok(_) if self.order.poison => Some(Err(poisoned())),
                Ok(document) => {
                    documents.push((answers.len(), document));
                    None
                }
                Err(failed) => Some(Err(failed)),
            });
        }
        if !documents.is_empty() {
            self.ask(documents, &mut answers)?;
            self.asked += 1;
            if self.asked == 2 {
                self.tools.reach(Point::MidBatch);
            }
        }
        let took = began.elapsed();
        self.compute += took;
        if self.order.suspect {
            // The same steps as the last time.
        } else if full && took < PACE / 2 {
            self.most = (self.most * 2).min(MOST);
        } else if took > PACE {
            self.most = (self.most / 2).max(1);
        }
        let spec = self.order.spec.clone();
        for ((piece, line), answer) in places.into_iter().zip(answers) {
            let answer = answer.unwrap_or_else(|| Err(unanswered()));
            self.write(&spec, piece, line, &answer);
        }
        self.part.usage.documents += count;
        self.order
            .live
            .documents
            .fetch_add(count, Ordering::Relaxed);
        self.digest.update(&self.text);
        let written = to.write_all(&self.text);
        written.map_err(|error| Trouble::output(&spec.output, &error.into()))?;
        let live = &self.order.live;
        let length = self.text.len() as u64;
        live.written.fetch_add(length, Ordering::Relaxed);
        self.text.clear();
        Ok(())
    }

    fn write(&mut self, spec: &Spec, piece: usize, line: Option<u64>, answer: &Answer) {
        let inputs = &self.order.inputs;
        let number = self.order.pieces[piece].input;
        let key = usize::try_from(number)
            .ok()
            .and_then(|number| inputs.get(number))
            .map_or("", |input| input.key.as_str());
        let place = Place {
            file: file_of(&spec.input, key),
            line,
        };
        let before = self.text.len();
        let said = match answer {
            Ok(Found {
                answer,
                characters,
                units,
            }) => {
                self.part.usage.characters += characters;
                self.part.usage.units += units;
                Ok(answer.as_slice())
            }
            Err(failed) => {
                self.part.usage.errors += 1;
                self.order.live.errors.fetch_add(1, Ordering::Relaxed);
                if self.part.samples.len() < SAMPLES {
                    self.part.samples.push(Sample {
                        file: place.file.to_owned(),
                        line,
                        code: failed.code.clone(),
                        message: failed.message.clone(),
                    });
                }
                Err(failed)
            }
        };
        match (&self.aside, said) {
            (Some(between), Err(_)) => {
                if !self.errors.is_empty() {
                    self.errors.extend_from_slice(between);
                }
                self.work.render(spec, place, said, &mut self.errors);
            }
            _ => self.work.render(spec, place, said, &mut self.text),
        }
        self.part.pieces[piece] += (self.text.len() - before) as u64;
    }

    /// Asks until every document has an answer or an error of its own.
    fn ask(
        &mut self,
        documents: Vec<(usize, Vec<u8>)>,
        answers: &mut [Option<Answer>],
    ) -> Result<(), Trouble> {
        // All at once first; those that a defect left without an answer each alone.
        let mut groups = vec![(0, documents)];
        let began = Instant::now();
        let mut wait = PAUSE.0;
        while let Some((tries, group)) = groups.pop() {
            let asked = group.iter().map(|(_, document)| document.clone()).collect();
            let mut said = self.predict(asked)?.into_iter();
            let (mut later, mut why) = (Vec::new(), None);
            for (at, document) in group {
                match said.next().unwrap_or_else(|| Err(unanswered())) {
                    Err(failed) if failed.fault == Fault::Now => {
                        why = Some(failed);
                        later.push((at, document));
                    }
                    Err(failed) if failed.fault == Fault::Defect && tries < AGAIN => {
                        groups.push((tries + 1, vec![(at, document)]));
                    }
                    answer => answers[at] = Some(answer),
                }
            }
            if later.is_empty() {
                continue;
            }
            groups.push((tries, later));
            let why = why.map(|failed| failed.message).unwrap_or_default();
            if began.elapsed() >= self.tools.patience {
                return Err(Trouble::Fails(format!("the machine has no answers: {why}")));
            }
            tracing::warn!(job = self.order.fence.job, why, "a job waits");
            if !pause(self.tools, &mut self.order.cancelled, wait) {
                return Err(Trouble::Rest);
            }
            wait = (wait * 2).min(PAUSE.1);
        }
        Ok(())
    }

    fn predict(&mut self, documents: Vec<Vec<u8>>) -> Result<Vec<Answer>, Trouble> {
        let (work, spec) = (self.work, self.order.spec.clone());
        let cancelled = &mut self.order.cancelled;
        let answers = self.tools.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = cancelled.wait_for(|cancelled| *cancelled) => None,
                answers = work.predict(&spec, documents, &self.seen) => Some(answers),
            }
        });
        answers.ok_or(Trouble::Rest)
    }
}

fn unanswered() -> Failed {
    Failed {
        fault: Fault::Defect,
        code: "INTERNAL_SERVER_ERROR".to_owned(),
        message: "The prediction has no answer.".to_owned(),
        subject: None,
    }
}

fn poisoned() -> Failed {
    Failed {
        fault: Fault::Document,
        code: "INTERNAL_SERVER_ERROR".to_owned(),
        message: "Whoever worked on this part of the input did not come back, too often."
            .to_owned(),
        subject: None,
    }
}
