//! Fuzzes the reader of TensorFlow.js topologies, and what compiles and runs them. Begins with a whole file: run it with
//! `-len_control=0`, which leaves room for that from the start.
#![no_main]

#[path = "../../tests/graph_mutated/files.rs"]
#[allow(dead_code)]
mod files;

use escala_models::graph::Graph;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    files::run(Graph::read_tfjs(data, files::tfjs_tensor, files::LIMITS));
});

fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, _seed: u32| {
    let whole = files::TFJS;
    if size < 16 && whole.len() <= most {
        data[..whole.len()].copy_from_slice(whole.as_ref());
        return whole.len();
    }
    fuzzer_mutate(data, size, most)
});
