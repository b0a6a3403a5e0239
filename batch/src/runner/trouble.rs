//! Why work on a job does not go on.

use crate::job::{Spec, Target};
use escala_objects::Error as ObjectError;

/// Why a job fails whose work panics.
pub(crate) const DEFECT: &str = "a defect ended the work on it; the log says where";

/// How the reason of a failed job begins where one of its inputs is to blame, where all of them together are, and where its
/// output is: for doors that have words of their own for it.
pub const OF_INPUT: &str = "the input ";
/// All inputs together.
pub const OF_INPUTS: &str = "the inputs ";
/// The output.
pub const OF_OUTPUT: &str = "the output ";

/// Why something does not go on.
#[derive(Debug)]
pub enum Trouble {
    /// Somebody asked for rest.
    Rest,
    /// The machine's, for now.
    Now(String),
    /// The job fails.
    Fails(String),
}

impl Trouble {
    fn of(what: String, error: &ObjectError) -> Self {
        match error {
            ObjectError::Unavailable(_) => Self::Now(format!("{what}: {error}")),
            _ => Self::Fails(format!("{what}: {error}")),
        }
    }

    pub(super) fn input(bucket: &str, key: &str, error: &ObjectError) -> Self {
        Self::of(
            format!("{OF_INPUT}s3://{bucket}/{key} cannot be read"),
            error,
        )
    }

    pub(super) fn output(output: &Target, error: &ObjectError) -> Self {
        let (bucket, folder) = (&output.bucket, &output.folder);
        Self::of(
            format!("{OF_OUTPUT}s3://{bucket}/{folder} cannot be written"),
            error,
        )
    }

    pub(super) fn changed(key: &str) -> Self {
        Self::Fails(format!(
            "{OF_INPUT}`{key}` has changed since the job was planned"
        ))
    }

    pub(super) fn unknown(kind: &str) -> Self {
        Self::Fails(format!("nothing here does jobs of the kind {kind}"))
    }
}

pub(super) fn no_tables(spec: &Spec) -> Trouble {
    Trouble::Fails(format!(
        "jobs of the kind {} read no tables here",
        spec.kind
    ))
}

/// Does something for a job; a panic is a defect, and fails it.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| Err(Trouble::Fails(DEFECT.to_owned())))
}

/// An error and its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
