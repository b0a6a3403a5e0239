//! Bits that flip in a log that was closed.
