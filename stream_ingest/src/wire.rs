//! Kafka's wire protocol: messages as typed structs, read from and written to bytes. No I/O.
//!
//! | file | what |
//! | --- | --- |
//! | `reader.rs` | values off the front of a message, every length held against what is left |
//! | `writer.rs` | values behind each other, long byte strings shared instead of copied |
//! | `header.rs` | what precedes every request and answer |
//! | `messages/` | the messages, generated from Kafka's definitions |
//! | `record.rs` | records inside of a batch |
//!
//! `protocol/messages.json` holds the facts of Kafka's definitions (names, types, version ranges, tags, nullability,
//! defaults); `protocol/generate.py` makes `messages/` from it, and a test holds the two together.
//!
//! Promises: no input makes it panic or allocate more than a small multiple of the message's size; messages do not
//! nest deeper than their definitions; byte strings that are read share the memory of the message.

mod header;
// Generated: one statement a field reads better than rustfmt's and clippy's other ways.
#[allow(clippy::field_reassign_with_default, clippy::collapsible_if)]
#[rustfmt::skip]
pub mod messages;
mod reader;
mod writer;

pub use header::{RequestHeader, write_response_header};
pub use messages::Api;
pub use reader::Reader;
pub use writer::{Tags, Writer};

use std::ops::RangeInclusive;

/// Why bytes are not a message, or a value cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The message ends early, or a length says more than there is.
    #[error("{wanted} bytes are wanted where {left} are left")]
    Short {
        /// How many.
        wanted: usize,
        /// Of how many.
        left: usize,
    },
    /// More than the message.
    #[error("{0} bytes are left behind the end")]
    Trailing(usize),
    /// A length below the one that means null.
    #[error("a length of {0}")]
    Length(i32),
    /// A variable-length number that does not end in time.
    #[error("a variable-length number has too many bits")]
    Varint,
    /// Text that is none.
    #[error("a string is not UTF-8")]
    Utf8,
    /// Null where the version has no null.
    #[error("a value is null that may not be")]
    Null,
    /// Arrays that would occupy far more than the message.
    #[error("arrays would occupy far more memory than the message")]
    Memory,
    /// A value whose length the protocol cannot say.
    #[error("a value of {0} bytes or elements is too long for the protocol")]
    TooLong(usize),
}

/// What reading and writing give.
pub type Result<T> = std::result::Result<T, Error>;

/// A request or an answer.
pub trait Message: Sized {
    /// The number of its API.
    const KEY: i16;
    /// The versions that this code knows.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields.
    const FLEXIBLE: Option<i16>;

    /// Reads it as `version`, one of [`VERSIONS`](Self::VERSIONS), has it.
    ///
    /// # Errors
    /// When the bytes are not such a message.
    fn read(version: i16, reader: &mut Reader) -> Result<Self>;

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    fn write(&self, version: i16, writer: &mut Writer) -> Result<()>;
}

#[cfg(test)]
mod tests;
