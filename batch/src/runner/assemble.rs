//! The end of a job: parts become its output.
//!
//! Every object of the output appears whole. What is written depends on the parts alone, so that doing it again after a
//! crash writes the same bytes under the same names.

use super::names::{self, Named};
use super::task::Tools;
use super::{Point, Trouble, output_name, part_name};
use crate::job::{Form, Input, Job, Part, Split, State, Task, Usage};
use crate::work::Tables;
use escala_objects::{NewObject, Object};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Component;

/// Bytes that are copied at a time.
const BUFFER: usize = 256 << 10;

/// The names of what a job has put into its output.
pub type Committed = Mutex<BTreeSet<String>>;

/// Puts the parts of a job together, in the order of its tasks; tasks without a part are left out. Of a work that is strict
/// ([`Tables::is_strict`]), the inputs with errors are left out, and it is answered why the job fails although its output
/// is there.
///
/// # Errors
/// A part is not what it was, or the output cannot be written. What of it is there is in `committed`.
pub fn assemble(
    tools: &Tools,
    job: &Job,
    inputs: &[Input],
    tasks: &[Task],
    committed: &Committed,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<String>, Trouble> {
    let done: Vec<(&Task, &Part)> = tasks
        .iter()
        .filter_map(|task| Some((task, task.part.as_ref()?)))
        .collect();
    let tables = tools.works.get(&job.spec.kind);
    let tables = tables.and_then(|work| work.tables());
    let strict = tables.is_some_and(Tables::is_strict);
    if strict && job.state == State::StopRequested {
        return Ok(None);
    }
    let root = tables.and_then(|tables| tables.root(&job.spec, inputs));
    // Another version may have planned it.
    let pieces = tasks.iter().flat_map(|task| &task.pieces);
    names::check(&job.spec, inputs, pieces, root)?;
    let assembly = Assembly {
        tools,
        job,
        strict,
        root,
        committed,
        go_on,
    };
    let failed = match &job.spec.output.form {
        Form::Archive { name, member } => {
            let all = done
                .iter()
                .map(|(task, part)| (*task, *part, 0..part.length()));
            assembly.archive(name, &[(member, all.collect())])?;
            None
        }
        Form::Collected { name, members } => {
            let Some((task, part)) = done.first() else {
                return Err(Trouble::Fails("the inputs have no documents".to_owned()));
            };
            let mut from = 0;
            let lengths = part.pieces.iter().chain(std::iter::repeat(&0));
            let files = members.iter().zip(lengths).map(|(member, length)| {
                from += length;
                (member, vec![(*task, *part, from - length..from)])
            });
            assembly.archive(name, &files.collect::<Vec<_>>())?;
            None
        }
        Form::Files { .. } | Form::Tables { .. } => assembly.files(inputs, &done)?,
        // It was stopped.
        Form::Joined { .. } if done.is_empty() && job.spec.input.split == Split::Question => None,
        Form::Joined { name } => {
            let mut new = assembly.create(name)?;
            tools.reach(Point::MidAssembly);
            for (task, part) in &done {
                assembly.copy(task, 0..part.length(), part, &mut new)?;
            }
            tools.reach(Point::OutputWritten);
            assembly.commit(name, new)?;
            None
        }
        Form::Unpacked { name } => {
            for (task, part) in &done {
                assembly.unpack(name, task, part)?;
            }
            None
        }
        Form::Summed { name, summary } => {
            assembly.summed(name, summary, &done)?;
            None
        }
    };
    Ok(failed)
}

/// Some bytes of a task's part.
type Slice<'a> = (&'a Task, &'a Part, Range<u64>);

struct Assembly<'a> {
    tools: &'a Tools,
    job: &'a Job,
    /// Whether inputs with errors are left out, and the job fails after the others.
    strict: bool,
    /// Bytes of the inputs' keys that are left out of names, where it is not the prefix's folder.
    root: Option<usize>,
    committed: &'a Committed,
    go_on: &'a dyn Fn() -> bool,
}

impl Assembly<'_> {
    fn create(&self, name: &str) -> Result<Box<dyn NewObject>, Trouble> {
        let output = &self.job.spec.output;
        let new = self.tools.objects.create(&output_name(output, name)?);
        new.map_err(|error| Trouble::output(output, &error))
    }

    fn commit(&self, name: &str, new: Box<dyn NewObject>) -> Result<(), Trouble> {
        let kept = new.commit();
        kept.map_err(|error| Trouble::output(&self.job.spec.output, &error))?;
        self.committed.lock().insert(name.to_owned());
        Ok(())
    }

    fn unwritten(&self, error: std::io::Error) -> Trouble {
        Trouble::output(&self.job.spec.output, &error.into())
    }

    /// A tar file of files that are put together of ranges of parts.
    fn archive(&self, name: &str, files: &[(&String, Vec<Slice<'_>>)]) -> Result<(), Trouble> {
        let unwritten = |error| self.unwritten(error);
        // No time and no name in it: the same job gives the same bytes.
        let gzip = GzBuilder::new().write(self.create(name)?, Compression::default());
        let mut tar = tar::Builder::new(gzip);
        for (member, slices) in files {
            let size = slices.iter().map(|(.., range)| range.end - range.start);
            let size: u64 = size.sum();
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            header.set_path(member).map_err(unwritten)?;
            header.set_cksum();
            let bytes = tar.get_mut();
            bytes.write_all(header.as_bytes()).map_err(unwritten)?;
            for (at, (task, part, range)) in slices.iter().enumerate() {
                if at == slices.len() / 2 {
                    self.tools.reach(Point::MidAssembly);
                }
                self.copy(task, range.clone(), part, bytes)?;
            }
            let padding = size.next_multiple_of(512) - size;
            let padding = &[0_u8; 512][..padding as usize];
            bytes.write_all(padding).map_err(unwritten)?;
        }
        let gzip = tar.into_inner().map_err(unwritten)?;
        let new = gzip.finish().map_err(unwritten)?;
        self.tools.reach(Point::OutputWritten);
        self.commit(name, new)
    }

    /// An object for each input, or for each of its pieces, wherever these are; why a strict work has left some out.
    fn files(&self, inputs: &[Input], done: &[(&Task, &Part)]) -> Result<Option<String>, Trouble> {
        let mut pieces = Vec::new();
        for (task, part) in done {
            let mut from = 0;
            for (piece, length) in task.pieces.iter().zip(&part.pieces) {
                pieces.push((piece.input, *task, *part, from..from + length, piece));
                from += length;
            }
        }
        let mut bad = BTreeSet::new();
        let mut why = None;
        for (task, part) in done.iter().filter(|_| self.strict) {
            let failed = part.failed.iter().filter_map(|at| task.pieces.get(*at));
            bad.extend(failed.map(|piece| piece.input));
            if !part.failed.is_empty() && why.is_none() {
                let first = part.samples.first();
                why = Some(first.map_or("a row has no answer", |sample| &sample.message));
            }
        }
        // In the order of the inputs already, and those of an input in its order.
        let mut pieces = pieces.into_iter().peekable();
        for (number, input) in inputs.iter().enumerate() {
            let number = number as u64;
            let is_its = |piece: &(u64, _, _, _, _)| piece.0 == number;
            if input.documents > 0 && !pieces.peek().is_some_and(is_its) {
                // Stopped before it was begun.
                continue;
            }
            if number == inputs.len() as u64 / 2 {
                self.tools.reach(Point::MidAssembly);
            }
            if bad.contains(&number) {
                while pieces.next_if(is_its).is_some() {}
                continue;
            }
            let spec = &self.job.spec;
            let file = names::file(&spec.input, self.root, &input.key);
            let last = || {
                if number + 1 == inputs.len() as u64 {
                    self.tools.reach(Point::OutputWritten);
                }
            };
            match Named::of(&spec.output.form, file) {
                None => {}
                Some(Named::Whole { name, gaps }) => {
                    let mut new = self.create(&name)?;
                    let mut next = 0;
                    while let Some((_, task, part, range, piece)) = pieces.next_if(is_its) {
                        if gaps || piece.first == next {
                            self.copy(task, range, part, &mut new)?;
                            next += piece.documents;
                        }
                    }
                    last();
                    self.commit(&name, new)?;
                }
                Some(named @ Named::Pieces(..)) => {
                    while let Some((_, task, part, range, piece)) = pieces.next_if(is_its) {
                        let name = named.file(input, piece);
                        let mut new = self.create(&name)?;
                        self.copy(task, range, part, &mut new)?;
                        last();
                        self.commit(&name, new)?;
                    }
                }
            }
        }
        Ok(why.map(str::to_owned))
    }

    /// A file of the answers and one of the errors, both whole before one of them appears.
    fn summed(&self, name: &str, summary: &str, done: &[(&Task, &Part)]) -> Result<(), Trouble> {
        let kind = &self.job.spec.kind;
        let work = self.tools.works.get(kind);
        let work = work.ok_or_else(|| Trouble::unknown(kind))?;
        // The last piece of a part is its errors.
        let answered =
            |part: &Part| part.length() - part.pieces.last().copied().unwrap_or_default();
        let mut usage = Usage::default();
        let mut answers = self.create(name)?;
        for (at, (task, part)) in done.iter().enumerate() {
            if at == done.len() / 2 {
                self.tools.reach(Point::MidAssembly);
            }
            usage += part.usage;
            self.copy(task, 0..answered(part), part, &mut answers)?;
        }
        let unwritten = |error| self.unwritten(error);
        let around = work.summary(&self.job.spec, &usage);
        let mut errors = self.create(summary)?;
        errors.write_all(&around.head).map_err(unwritten)?;
        let mut first = true;
        for (task, part) in done {
            let range = answered(part)..part.length();
            if range.is_empty() {
                continue;
            }
            if !std::mem::take(&mut first) {
                errors.write_all(&around.between).map_err(unwritten)?;
            }
            self.copy(task, range, part, &mut errors)?;
        }
        errors.write_all(&around.tail).map_err(unwritten)?;
        self.tools.reach(Point::OutputWritten);
        self.commit(name, answers)?;
        self.commit(summary, errors)
    }

    /// An object for each file of a part that is a gzipped tar file.
    fn unpack(&self, below: &str, task: &Task, part: &Part) -> Result<(), Trouble> {
        let packed = self.open(task, 0..part.length(), part)?;
        let mut tar = tar::Archive::new(GzDecoder::new(packed.bytes));
        let unread =
            |error: std::io::Error| Trouble::Now(format!("a part cannot be read: {error}"));
        for file in tar.entries().map_err(unread)? {
            let mut file = file.map_err(unread)?;
            if !file.header().entry_type().is_file() {
                continue;
            }
            let path = file.path().map_err(unread)?;
            let is_plain = |one: &Component<'_>| matches!(one, Component::Normal(_));
            let inside = path.components().all(|one| is_plain(&one));
            let Some(path) = path.to_str().filter(|_| inside) else {
                let why = "the work has a file whose name is no object's";
                return Err(Trouble::Fails(why.to_owned()));
            };
            let name = format!("{below}/{path}");
            let mut new = self.create(&name)?;
            self.pour(&mut file, &mut new)?;
            self.tools.reach(Point::MidAssembly);
            self.commit(&name, new)?;
        }
        self.tools.reach(Point::OutputWritten);
        Ok(())
    }

    /// Some of a part.
    fn open(&self, task: &Task, range: Range<u64>, part: &Part) -> Result<Object, Trouble> {
        let output = &self.job.spec.output;
        let name = part_name(output, &self.job.id, task.number)?;
        let object = self.tools.objects.open_range(&name, range);
        let object = object.map_err(|error| Trouble::output(output, &error))?;
        match object.length == part.length() {
            true => Ok(object),
            false => Err(changed(task)),
        }
    }

    /// Copies some of a part.
    fn copy(
        &self,
        task: &Task,
        range: Range<u64>,
        part: &Part,
        to: &mut impl Write,
    ) -> Result<u64, Trouble> {
        if range.is_empty() {
            return Ok(0);
        }
        let wanted = range.end - range.start;
        let mut object = self.open(task, range, part)?;
        match self.pour(&mut object.bytes, to)? {
            copied if copied == wanted => Ok(copied),
            _ => Err(changed(task)),
        }
    }

    /// Copies all that is left, while the job is wanted.
    fn pour(&self, from: &mut impl Read, to: &mut impl Write) -> Result<u64, Trouble> {
        let mut buffer = vec![0; BUFFER];
        let mut copied = 0;
        loop {
            if !(self.go_on)() {
                return Err(Trouble::Rest);
            }
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(copied),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Now(format!("a part cannot be read: {error}"))),
            };
            to.write_all(&buffer[..read])
                .map_err(|error| self.unwritten(error))?;
            copied += read as u64;
        }
    }
}

/// The part of a task is not the one that was written.
fn changed(task: &Task) -> Trouble {
    let number = task.number;
    Trouble::Fails(format!("the part of task {number} is not what was written"))
}

/// Deletes what a job that fails has put into its output.
///
/// # Errors
/// It cannot be deleted; what is left is in `committed`.
pub fn withdraw(tools: &Tools, job: &Job, committed: &Committed) -> Result<(), Trouble> {
    let output = &job.spec.output;
    let mut committed = committed.lock();
    while let Some(name) = committed.last() {
        let deleted = tools.objects.delete(&output_name(output, name)?);
        deleted.map_err(|error| Trouble::output(output, &error))?;
        committed.pop_last();
    }
    Ok(())
}

/// Deletes the parts of a job that nobody needs any more.
///
/// # Errors
/// They cannot be listed or deleted.
pub fn clear(tools: &Tools, job: &Job) -> Result<(), escala_objects::Error> {
    let output = &job.spec.output;
    let prefix = format!("{}.parts/{}/", output.folder, job.id);
    loop {
        let parts = tools.objects.list(&output.bucket, &prefix, "", 1000)?;
        if parts.is_empty() {
            return Ok(());
        }
        for part in parts {
            let name = escala_objects::ObjectName::new(&output.bucket, &part.key, None)?;
            tools.objects.delete(&name)?;
            tools.reach(Point::MidClearing);
        }
    }
}
