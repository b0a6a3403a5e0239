//! Jobs in words: what is asked, the states of a job and of its tasks, and what is counted.
//!
//! ```text
//! Submitted -> Planning -> Queued -> Running -> Committing -> Completed
//!     \___________\__________\_________\___________\________> Failed
//!      \___________\__________\_________\___________\_______> StopRequested -> Stopped
//!
//! Pending -> Leased -> Done | Failed | Poisoned        (Leased -> Pending when its owner is gone)
//! ```
//!
//! Nothing here does any input or output: stores hold jobs to these rules ([`State::may`]), the runner moves them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Most samples of errors that a job keeps.
pub const SAMPLES: usize = 20;

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// What kind of job it is, such as `comprehend.sentiment`; quotas are for each kind, and a work answers for it.
    pub kind: String,
    /// The name that its owner gave it; several jobs may have one.
    pub name: Option<String>,
    /// Higher ones are worked on first.
    pub priority: i32,
    /// What is read.
    pub input: Source,
    /// What is written.
    pub output: Target,
    /// What is asked about each document, in the words of the work.
    pub question: Value,
    /// What the door that took the job wants to be told again.
    pub details: Value,
}

/// Where documents come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The bucket.
    pub bucket: String,
    /// Every key that begins with this is an input.
    pub prefix: String,
    /// What a document is.
    pub split: Split,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// A line, ended by LF, CR, CRLF or the end of the file.
    Lines,
    /// A line of the one object whose key is the prefix.
    Manifest,
    /// A file.
    Files,
    /// A row of a table; a work that knows tables cuts them.
    Rows,
    /// The question itself: a work on the whole ([`Work::whole`](crate::work::Work::whole)) reads what it names. There is no
    /// bucket.
    Question,
}

/// Where answers go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The bucket.
    pub bucket: String,
    /// The folder, with a slash at its end; the parts of an unfinished job lie in `.parts/` below it.
    pub folder: String,
    /// How they are put together.
    pub form: Form,
}

/// How answers are put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One gzipped tar file with one file that has all answers in the order of the inputs.
    Archive {
        /// The name of the tar file.
        name: String,
        /// The name of the file in it.
        member: String,
    },
    /// One gzipped tar file with the files that a work on all documents together writes.
    Collected {
        /// The name of the tar file.
        name: String,
        /// The names of the files in it.
        members: Vec<String>,
    },
    /// A file for each input.
    Files {
        /// What is put behind the input's name.
        suffix: String,
    },
    /// One file with all answers in the order of the inputs.
    Joined {
        /// Its name.
        name: String,
    },
    /// The files of the gzipped tar file that the work writes, each an object below a name.
    Unpacked {
        /// The name.
        name: String,
    },
    /// A table for each input. Where the format has rows in lines it is one file with the input's name; else it is as many
    /// files as the input has pieces, with their numbers behind the name.
    Tables {
        /// What the names end in; what the input's name does where there is none.
        ending: Option<String>,
    },
    /// One file that has the answers in the order of the inputs, and one that sums the job up and has the errors
    /// ([`Work::summary`](crate::work::Work::summary)).
    Summed {
        /// The name of the file of answers.
        name: String,
        /// The name of the other.
        summary: String,
    },
}

/// Endings of tables whose rows are lines: they can be put behind one another.
const LINES: [&str; 5] = ["csv", "tsv", "jsonl", "ndjson", "json"];

/// What the name of a file of [`Form::Tables`] begins with, and what it ends in.
pub fn table_name<'a>(file: &'a str, ending: Option<&'a str>) -> (&'a str, &'a str) {
    let (stem, own) = match file.rsplit_once('.') {
        Some((stem, own)) if !own.contains('/') => (stem, own),
        _ => (file, ""),
    };
    (stem, ending.unwrap_or(own))
}

/// Whether pieces of a table with this ending become one file.
pub fn is_joined(ending: &str) -> bool {
    LINES.iter().any(|lines| lines.eq_ignore_ascii_case(ending))
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is kept.
    Submitted,
    /// Its inputs are looked at.
    Planning,
    /// Its inputs are frozen and cut into tasks.
    Queued,
    /// Its tasks are worked on.
    Running,
    /// All tasks are done; their parts are put together.
    Committing,
    /// Somebody asked to stop it.
    StopRequested,
    /// Its output is there.
    Completed,
    /// It ended without output, and says why.
    Failed,
    /// It was stopped; the output has what was done before.
    Stopped,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Submitted,
        Self::Planning,
        Self::Queued,
        Self::Running,
        Self::Committing,
        Self::StopRequested,
        Self::Completed,
        Self::Failed,
        Self::Stopped,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Planning => "planning",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Committing => "committing",
            Self::StopRequested => "stop_requested",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The state of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it goes on from here.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }

    /// Whether a job in this state may go to another.
    pub fn may(self, to: Self) -> bool {
        use State as S;
        match (self, to) {
            (S::Submitted, S::Planning)
            | (S::Planning, S::Queued)
            | (S::Queued, S::Running)
            | (S::Running, S::Committing)
            | (S::Committing, S::Completed)
            | (S::StopRequested, S::Stopped) => true,
            (S::StopRequested, S::StopRequested) => false,
            (from, S::Failed | S::StopRequested) => from.is_live(),
            _ => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// 32 hexadecimal characters.
    pub id: String,
    /// What is wanted.
    pub spec: Spec,
    /// Where it stands.
    pub state: State,
    /// When it was submitted, in milliseconds since 1970.
    pub submitted: i64,
    /// When its first task could begin.
    pub begun: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// Why it failed, or what is to be known of how it ended.
    pub why: Option<String>,
    /// What its plan came to; zero before it is planned.
    pub planned: Planned,
    /// The first errors of documents.
    pub samples: Vec<Sample>,
    /// Its output is there, and nobody needs its parts any more: only its end is to be kept yet.
    pub assembled: bool,
    /// What is known of its being planned.
    pub planning: Planning,
}

/// What is known of the planning of a job, whoever did it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planning {
    /// It was begun, and nobody came back from it yet.
    pub open: bool,
    /// Inputs that were done with by then, where somebody said so.
    pub place: Option<u64>,
    /// What is known of those from which nobody came back.
    pub losses: Losses,
}

impl Planning {
    /// It is begun; one that was begun before was lost.
    pub fn begun(self) -> Self {
        Self {
            open: true,
            place: None,
            losses: match self.open {
                true => self.losses.and(self.place),
                false => self.losses,
            },
        }
    }

    /// Somebody came back from it.
    pub fn put_down(self) -> Self {
        Self {
            open: false,
            place: None,
            ..self
        }
    }

    /// Whether nobody came back from it once: it may end the process.
    pub fn is_suspect(&self) -> bool {
        self.losses.times > 0
    }
}

/// What a plan came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Inputs.
    pub inputs: u64,
    /// Tasks.
    pub tasks: u64,
    /// Documents.
    pub documents: u64,
    /// Bytes of all inputs.
    pub bytes: u64,
}

/// One input as it was when the job was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub length: u64,
    /// What changes when its bytes do.
    pub etag: String,
    /// Documents in it.
    pub documents: u64,
}

/// Some documents of one input that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The number of the input.
    pub input: u64,
    /// The first byte.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
    /// The number of the first document, from 0.
    pub first: u64,
    /// Documents.
    pub documents: u64,
}

/// The inputs of a job and how they are cut into tasks: the pieces of each, in the order of the output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By key.
    pub inputs: Vec<Input>,
    /// What each task reads.
    pub tasks: Vec<Vec<Piece>>,
}

impl Plan {
    /// What it comes to.
    pub fn total(&self) -> Planned {
        Planned {
            inputs: self.inputs.len() as u64,
            tasks: self.tasks.len() as u64,
            documents: self.inputs.iter().map(|input| input.documents).sum(),
            bytes: self.inputs.iter().map(|input| input.length).sum(),
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Nobody works on it.
    Pending,
    /// Its owner works on it.
    Leased,
    /// Its part is there.
    Done,
    /// It cannot be done, and the job with it.
    Failed,
    /// Whoever worked on it did not come back, too often: its documents become errors.
    Poisoned,
}

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Leased,
        Self::Done,
        Self::Failed,
        Self::Poisoned,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Poisoned => "poisoned",
        }
    }

    /// The state of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A task as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its number in the job, from 0: the order of the output.
    pub number: u64,
    /// What it reads.
    pub pieces: Vec<Piece>,
    /// Where it stands.
    pub state: TaskState,
    /// How often it was begun.
    pub attempt: u32,
    /// What is known of attempts that nobody came back from.
    pub losses: Losses,
    /// What it came to, where it is done (or poisoned, and its errors are written).
    pub part: Option<Part>,
}

/// Attempts that nobody came back from: a process was killed, or a document killed it.
///
/// The two look alike, but a document does it again at the same place. So whoever works on a task that was lost says how far
/// it is, and only losses at one place in a row count; of the first one nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// How many, in a row and at the same place.
    pub times: u32,
    /// The documents that were done with before it.
    pub place: Option<u64>,
}

impl Losses {
    /// With one more, of an attempt that said it was at a place; without one, it had not begun.
    pub fn and(self, place: Option<u64>) -> Self {
        match place {
            _ if self.times == 0 => Self { times: 1, place },
            None => self,
            Some(_) if place == self.place => Self {
                times: self.times + 1,
                place,
            },
            Some(_) => Self { times: 1, place },
        }
    }
}

/// The right to say what became of a task: only the attempt that holds the lease has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The job.
    pub job: String,
    /// The number of the task.
    pub task: u64,
    /// The attempt.
    pub attempt: u32,
    /// Whose it is.
    pub owner: String,
}

/// What a task came to: an object with the answers of its pieces, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Bytes of the answers of each piece.
    pub pieces: Vec<u64>,
    /// The SHA-256 sum of all, in hexadecimal.
    pub digest: String,
    /// What it took.
    pub usage: Usage,
    /// The first errors of documents.
    pub samples: Vec<Sample>,
    /// Which pieces have a document without an answer, where the output is to have all or none of an input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<usize>,
}

impl Part {
    /// Bytes of all answers.
    pub fn length(&self) -> u64 {
        self.pieces.iter().sum()
    }
}

/// A document without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The name of its file.
    pub file: String,
    /// Its line, from 0, where documents are lines.
    pub line: Option<u64>,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// What work took. What was done again after a crash counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Documents, errors included.
    pub documents: u64,
    /// Documents without an answer.
    pub errors: u64,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Characters (code points) of documents with an answer.
    pub characters: u64,
    /// Units as AWS bills them, of documents with an answer.
    pub units: u64,
    /// Milliseconds that the answers were waited for.
    pub compute_ms: u64,
    /// Milliseconds from a task's begin to its part.
    pub wall_ms: u64,
    /// Tokens that encoders of texts were shown, special ones included; of documents that are asked about again, again.
    #[serde(default)]
    pub tokens: u64,
    /// Pixels of images that were decoded, as many as their files have.
    #[serde(default)]
    pub pixels: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.documents += more.documents;
        self.errors += more.errors;
        self.read += more.read;
        self.written += more.written;
        self.characters += more.characters;
        self.units += more.units;
        self.compute_ms += more.compute_ms;
        self.wall_ms += more.wall_ms;
        self.tokens += more.tokens;
        self.pixels += more.pixels;
    }
}

/// Something that happened to a job; all of them are its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in the job, from 1.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// A word for programs: the state that was reached, `task` or `note`.
    pub kind: String,
    /// A sentence for people.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_keep_their_names() {
        assert_eq!(table_name("2026/a.b.csv", None), ("2026/a.b", "csv"));
        assert_eq!(table_name("a.CSV", Some("parquet")), ("a", "parquet"));
        assert_eq!(table_name("v1.2/table", None), ("v1.2/table", ""));
        assert!(is_joined("CSV") && is_joined("jsonl") && !is_joined("parquet"));
    }

    #[test]
    fn a_job_goes_forward_and_ends_once() {
        use State as S;
        let way = [
            S::Submitted,
            S::Planning,
            S::Queued,
            S::Running,
            S::Committing,
            S::Completed,
        ];
        for (at, from) in way.iter().enumerate() {
            for (then, to) in way.iter().enumerate() {
                assert_eq!(from.may(*to), then == at + 1, "{from} to {to}");
            }
        }
        for from in S::ALL {
            assert_eq!(from.may(S::Failed), from.is_live(), "{from}");
            let stoppable = from.is_live() && from != S::StopRequested;
            assert_eq!(from.may(S::StopRequested), stoppable, "{from}");
            assert_eq!(from.may(S::Stopped), from == S::StopRequested, "{from}");
            assert_eq!(S::of_name(from.name()), Some(from));
            if !from.is_live() {
                assert!(S::ALL.iter().all(|to| !from.may(*to)), "{from} is the end");
            }
        }
        for state in TaskState::ALL {
            assert_eq!(TaskState::of_name(state.name()), Some(state));
        }
    }
}
