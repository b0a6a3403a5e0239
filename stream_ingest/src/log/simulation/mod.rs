//! Crashes of a whole log on a simulated disk.
//!
//! The oracle is that the log is its frames: whatever a crash takes, what is recovered is exactly the state after some
//! frame, and no earlier one than the last that was durable, which is the last that anybody was told of or could see.
//! A model, which knows nothing of disks, says what the state is after every frame. That holds together everything at
//! once: no acknowledged record is lost, offsets keep their values, a commit is there whole or not, group offsets do
//! not go back, deleted topics do not come again. What readers of committed records see is held against a look at all
//! records: nothing of an open or aborted transaction, and everything else before the first open one. Of a topic that
//! compacts, what is there was written so, what is missing has a later record with its key or is a tombstone, and a table
//! made of it is the table made of everything.

mod crashes;
mod faults;
mod flush;
mod forgery;
mod model;
mod rot;
mod world;
