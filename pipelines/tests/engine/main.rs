//! The engine's promises, checked with tasks whose answers name the item they belong to.
//!
//! Nothing here sleeps: where the order of events matters a gate inside the task holds a lane or a load
//! until the test has seen what it waits for. A gate gives up after a while, so a broken engine fails
//! its test instead of hanging it.

mod admission;
mod answers;
mod lifetime;
mod loading;
mod memory;
mod order;
mod probe;
