//! What an operation answers when it does not do what it is asked, in SageMaker's words.

/// The request breaks a rule, or names what is not there: SageMaker says both with one code.
pub const VALIDATION: &str = "ValidationException";
/// Something has the name already, or is in a state in which it may not be changed.
pub const IN_USE: &str = "ResourceInUse";
/// There may be no more of them.
pub const LIMIT: &str = "ResourceLimitExceeded";
/// There is no such thing; operations on jobs say it so.
pub const NOT_FOUND: &str = "ResourceNotFound";
/// The same, as CloudWatch Logs says it.
pub const LOGS_NOT_FOUND: &str = "ResourceNotFoundException";
/// The same, as CloudWatch Logs says that a parameter is wrong.
pub const LOGS_INVALID: &str = "InvalidParameterException";
/// Something here broke; the log says what.
pub const INTERNAL: &str = "InternalFailure";

/// Why an operation does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// AWS's code.
    pub code: &'static str,
    /// A sentence for the caller; clients look for some of AWS's own words in it.
    pub message: String,
}

impl Refusal {
    /// A refusal with a code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The request breaks a rule.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(VALIDATION, message)
    }

    /// There is none of that name; clients look for "Could not find".
    pub fn absent(what: &str, arn: &str) -> Self {
        Self::validation(format!("Could not find {what} \"{arn}\"."))
    }

    /// There is one of that name; clients look for "Cannot create already existing".
    pub fn exists(what: &str, arn: &str) -> Self {
        Self::validation(format!("Cannot create already existing {what} \"{arn}\"."))
    }
}

/// What an operation answers.
pub type Result<T> = std::result::Result<T, Refusal>;
