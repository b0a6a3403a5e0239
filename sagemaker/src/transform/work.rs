//! The work of transform jobs: objects become requests, requests are asked, and what is answered becomes the output.
//!
//! An object is cut where a request ends, so that the model is asked the same whether one task has the object or many do. At
//! the first record of an object that cannot be answered the object is given up: it has no output, the job fails when the
//! other objects' output is there.

use super::manifest;
use super::request::Request;
use crate::served::{Asked as Question, Haste, Said, Served};
use bytes::Bytes;
use escala_batch::job::{Input, Job, Piece, Spec};
use escala_batch::runner::{Cut, Trouble};
use escala_batch::transform::record;
use escala_batch::transform::{Error, Transform};
use escala_batch::work::{Asked, Bounds, Collected, Failed, Fault, Scored, Scoring, Tables, Work};
use escala_objects::{Error as ObjectError, ObjectName, WritableStore};
use flate2::bufread::MultiGzDecoder;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Opens the model of a name, in an environment that a job adds to the model's. It may wait.
pub type Open =
    Arc<dyn Fn(&str, &BTreeMap<String, String>) -> Result<Arc<dyn Served>, String> + Send + Sync>;

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;
/// Bytes that are cut between two looks at whether the job is still wanted.
const GLANCE: u64 = 16 << 20;
/// Records of a task for each document that one may have: rows of numbers are small, and answered in microseconds; a task
/// of a few of them would be for the most part its own commit.
const ROWS: u64 = 8;
/// Waiting before a request is asked again: at first, at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How the reason of a failed job begins where the records or the request for the job are to blame, and where the model is.
pub(super) const CLIENT: &str = "ClientError";
pub(super) const ALGORITHM: &str = "AlgorithmError";
/// The status of a model that has too much to do.
const BUSY: u16 = 503;

/// A model that a job has open: opened by the first task that needs it, closed when the job ends.
type Opened = Arc<Mutex<Option<Arc<dyn Served>>>>;

/// Does transform jobs.
pub(super) struct Batches {
    pub objects: Arc<dyn WritableStore>,
    pub open: Open,
    /// Models by the name of their job, which no other has.
    opened: Mutex<BTreeMap<String, Opened>>,
    /// Who keeps how jobs ended.
    owner: Weak<super::Transforms>,
}

/// Why a request has no answer.
enum Stop {
    /// The object is given up.
    Object(Failed),
    Trouble(Trouble),
}

fn fails(why: impl std::fmt::Display) -> Trouble {
    Trouble::Fails(why.to_string())
}

impl Batches {
    pub fn new(
        objects: Arc<dyn WritableStore>,
        open: Open,
        owner: Weak<super::Transforms>,
    ) -> Self {
        Self {
            objects,
            open,
            opened: Mutex::default(),
            owner,
        }
    }

    fn model(&self, request: &Request) -> Result<Arc<dyn Served>, Trouble> {
        let name = &request.transform_job_name;
        let place = self.opened.lock().entry(name.clone()).or_default().clone();
        // Other tasks of the job wait for it; those of other jobs do not.
        let mut place = place.lock();
        if let Some(model) = &*place {
            return Ok(model.clone());
        }
        let opened = (self.open)(&request.model_name, &request.environment);
        let model = opened.map_err(|why| {
            let model = &request.model_name;
            fails(format!(
                "{CLIENT}: the model {model} cannot be opened: {why}"
            ))
        })?;
        *place = Some(model.clone());
        Ok(model)
    }

    /// Some bytes of an object, unpacked where it is packed.
    fn bytes(
        &self,
        spec: &Spec,
        key: &str,
        gzipped: bool,
        piece: Option<Piece>,
    ) -> Result<(Box<dyn BufRead + Send>, u64), Trouble> {
        let name = ObjectName::new(&spec.input.bucket, key, None).map_err(fails)?;
        let object = match piece {
            Some(piece) => self.objects.open_range(&name, piece.from..piece.to),
            None => self.objects.open(&name),
        };
        let object = object.map_err(|error| match error {
            ObjectError::Unavailable(_) => Trouble::Now(format!("`{key}` cannot be read: {error}")),
            error => fails(format!("{CLIENT}: `{key}` cannot be read: {error}")),
        })?;
        let plain = BufReader::with_capacity(BUFFER, object.bytes);
        let bytes: Box<dyn BufRead + Send> = match gzipped {
            true => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain))),
            false => Box::new(plain),
        };
        Ok((bytes, object.length))
    }

    async fn cut_now(
        &self,
        spec: &Spec,
        input: u64,
        key: &str,
        cut: Cut,
    ) -> Result<Vec<Piece>, Trouble> {
        let request = Request::read(&spec.question).map_err(fails)?;
        let transform = request.transform().map_err(fails)?;
        let gzipped = request.is_gzipped();
        let (bytes, length) = self.bytes(spec, key, gzipped, None)?;
        let whole = Piece {
            input,
            from: 0,
            to: length,
            first: 0,
            documents: 1,
        };
        if !transform.is_split() {
            return Ok(vec![whole]);
        }
        let mut pieces = Vec::new();
        let mut piece = Piece {
            to: 0,
            documents: 0,
            ..whole
        };
        let mut since = 0;
        for one in transform.requests(bytes, 0) {
            match one {
                Ok(one) => {
                    since += one.whole;
                    piece.to += one.whole;
                    piece.documents += one.records.len() as u64;
                }
                Err(error) => {
                    // Whoever asks about the records comes to it, too, and gives the object up.
                    unread(key, gzipped, error).map_err(Stop::trouble)?;
                    piece.to = length;
                    piece.documents += 1;
                    break;
                }
            }
            if since > GLANCE {
                since = 0;
                // Whether the job is still wanted is asked here.
                tokio::task::yield_now().await;
            }
            let enough = piece.to - piece.from >= cut.bytes
                || piece.documents >= cut.documents.saturating_mul(ROWS);
            // What is packed is read from its beginning.
            if enough && !gzipped {
                pieces.push(piece);
                piece = Piece {
                    from: piece.to,
                    first: piece.first + piece.documents,
                    documents: 0,
                    ..piece
                };
            }
        }
        if gzipped {
            piece.to = length;
        }
        if piece.documents > 0 {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// Asks a model, again where it may help.
    async fn asked(
        &self,
        model: &dyn Served,
        request: &Request,
        body: Vec<u8>,
    ) -> Result<Said, (&'static str, String)> {
        let (mut retries, timeout) = request.patience();
        let (content_type, accept) = request.types();
        let question = Question {
            content_type: content_type.cloned(),
            accept: accept.cloned(),
            body: Bytes::from(body),
            haste: Haste::Behind,
            ..Question::default()
        };
        let (began, mut wait) = (Instant::now(), PAUSE.0);
        loop {
            let said = tokio::time::timeout(timeout, model.invoke(question.clone())).await;
            let why = match said {
                Ok(Ok(said)) => return Ok(said),
                Ok(Err(no)) if no.status < 500 => {
                    return Err((CLIENT, format!("{} (status {})", no.message, no.status)));
                }
                // It is not the request's fault that others ask, too: it waits as long as it would for an answer.
                Ok(Err(no)) if no.status == BUSY && began.elapsed() < timeout => None,
                Ok(Err(no)) => Some(format!("{} (status {})", no.message, no.status)),
                Err(_) => Some(format!(
                    "the model has no answer after {} s",
                    timeout.as_secs()
                )),
            };
            if let Some(why) = why {
                if retries == 0 {
                    return Err((ALGORITHM, why));
                }
                retries -= 1;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(PAUSE.1);
        }
    }

    /// What is written of a request.
    async fn answered(
        &self,
        job: &Doing<'_>,
        one: Result<record::Request, record::Error>,
    ) -> Result<(u64, Vec<u8>), (u64, Stop)> {
        let one = match one {
            Ok(one) => one,
            Err(error) => {
                let number = match &error {
                    record::Error::Large { number, .. } | record::Error::Damaged { number, .. } => {
                        *number
                    }
                    record::Error::Unread(_) => job.first,
                };
                let stop =
                    unread(job.key, job.gzipped, error).map(|why| job.gives_up(CLIENT, &why));
                return Err((number, stop.map_or_else(|stop| stop, Stop::Object)));
            }
        };
        let (first, records) = (one.first, &one.records);
        let at = |number: u64, error: Error| {
            let why = format!("record {number}: {error}");
            (number, Stop::Object(job.gives_up(CLIENT, &why)))
        };
        let body = job.transform.ask(records).map_err(|error| {
            let alone = |record: &Vec<u8>| job.transform.ask(std::slice::from_ref(record)).is_err();
            let which = records.iter().position(alone).unwrap_or(0) as u64;
            at(first + which, error)
        })?;
        let said = self.asked(job.model, job.request, body).await;
        let said = said.map_err(|(whose, why)| {
            let why = match records.len() {
                1 => format!("record {first}: {why}"),
                many => format!("records {first} to {}: {why}", first + many as u64 - 1),
            };
            (first, Stop::Object(job.gives_up(whose, &why)))
        })?;
        let written = job.transform.answer(records, &said.body);
        let written = written.map_err(|error| at(first, error))?;
        Ok((records.len() as u64, written))
    }

    async fn score_now(
        &self,
        spec: &Spec,
        asked: Asked<'_>,
        write: &mut Scoring<'_>,
    ) -> Result<(), Trouble> {
        let request = Request::read(&spec.question).map_err(fails)?;
        let transform = request.transform().map_err(fails)?;
        let model = self.model(&request)?;
        let Asked {
            key,
            piece,
            one_by_one,
        } = asked;
        let gzipped = request.is_gzipped();
        let range = (!gzipped).then_some(piece);
        let (bytes, _) = self.bytes(spec, key, gzipped, range)?;
        let job = Doing {
            model: &*model,
            request: &request,
            transform: &transform,
            bucket: &spec.input.bucket,
            key,
            gzipped,
            first: piece.first,
        };
        let most = if one_by_one {
            1
        } else {
            transform.concurrent()
        };
        let requests = transform.requests(bytes, piece.first);
        let mut answers = stream::iter(requests)
            .map(|one| self.answered(&job, one))
            .buffered(most);
        let mut done = 0;
        while let Some(answer) = answers.next().await {
            let scored = match answer {
                Ok((rows, bytes)) => Scored {
                    bytes,
                    rows,
                    failed: Vec::new(),
                    counted: Collected::default(),
                },
                Err((number, Stop::Object(failed))) => {
                    if let (Some(owner), Some(name)) = (self.owner.upgrade(), &spec.name) {
                        owner.say(name, &failed.message);
                    }
                    // Those behind it are given up with it.
                    return write(Scored {
                        rows: piece.documents.saturating_sub(done),
                        failed: vec![(number, failed)],
                        ..Scored::default()
                    });
                }
                Err((_, Stop::Trouble(trouble))) => return Err(trouble),
            };
            done += scored.rows;
            write(scored)?;
        }
        Ok(())
    }
}

/// A piece of an object that is worked on.
struct Doing<'a> {
    model: &'a dyn Served,
    request: &'a Request,
    transform: &'a Transform,
    bucket: &'a str,
    key: &'a str,
    gzipped: bool,
    /// The number of its first record.
    first: u64,
}

impl Doing<'_> {
    /// Why the object has no output.
    fn gives_up(&self, whose: &str, why: &str) -> Failed {
        let Self { bucket, key, .. } = self;
        Failed {
            fault: Fault::Document,
            code: whose.to_owned(),
            message: format!("{whose}: s3://{bucket}/{key}: {why}"),
            subject: None,
        }
    }
}

impl Stop {
    fn trouble(self) -> Trouble {
        match self {
            Self::Object(failed) => fails(failed.message),
            Self::Trouble(trouble) => trouble,
        }
    }
}

/// What is said of records that cannot be read; it is tried again where the machine is to blame.
fn unread(key: &str, gzipped: bool, error: record::Error) -> Result<String, Stop> {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error {
        record::Error::Unread(error)
            if gzipped && matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof) =>
        {
            Ok(format!("it is not gzipped: {error}"))
        }
        record::Error::Unread(error) => {
            let why = format!("`{key}` cannot be read: {error}");
            Err(Stop::Trouble(Trouble::Now(why)))
        }
        error => Ok(error.to_string()),
    }
}

impl Tables for Batches {
    fn passes_over(&self, _: &str) -> bool {
        false
    }

    fn takes_empty(&self) -> bool {
        true
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn keys(&self, spec: &Spec) -> Result<Option<Vec<String>>, Trouble> {
        let request = Request::read(&spec.question).map_err(fails)?;
        if !request.has_manifest() {
            return Ok(None);
        }
        let (bucket, key) = request.input().map_err(fails)?;
        let named = manifest::read(&*self.objects, bucket, key);
        let named = named.map_err(|why| fails(format!("{CLIENT}: {why}")))?;
        match (&named.bucket, &named.prefix) == (&spec.input.bucket, &spec.input.prefix) {
            true => Ok(Some(named.keys)),
            false => Err(fails(format!(
                "{CLIENT}: the manifest s3://{bucket}/{key} has changed since the job was asked for"
            ))),
        }
    }

    /// Where the prefix is a folder whose slash was left out, the names begin behind it.
    fn root(&self, spec: &Spec, inputs: &[Input]) -> Option<usize> {
        let prefix = &spec.input.prefix;
        let behind = |input: &Input| {
            let rest = input.key.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let inside = !prefix.is_empty() && inputs.iter().all(behind);
        inside.then_some(prefix.len() + 1)
    }

    fn cut<'a>(
        &'a self,
        spec: &'a Spec,
        input: u64,
        key: &'a str,
        cut: Cut,
    ) -> BoxFuture<'a, Result<Vec<Piece>, Trouble>> {
        Box::pin(self.cut_now(spec, input, key, cut))
    }

    fn score<'a>(
        &'a self,
        spec: &'a Spec,
        asked: Asked<'a>,
        write: &'a mut Scoring<'a>,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(self.score_now(spec, asked, write))
    }
}

impl Work for Batches {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: u64::MAX,
            documents: u64::MAX,
            bytes: u64::MAX,
        }
    }

    fn tables(&self) -> Option<&dyn Tables> {
        Some(self)
    }

    fn ended(&self, job: &Job) {
        let Some(name) = &job.spec.name else { return };
        self.opened.lock().remove(name);
        if let Some(owner) = self.owner.upgrade() {
            owner.ended(name, job);
        }
    }
}
