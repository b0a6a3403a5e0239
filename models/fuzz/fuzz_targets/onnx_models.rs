//! Fuzzes the reader of models in ONNX files, and what runs them. Begins with the files of `tests/golden/onnx_models`.
#![no_main]

use escala_models::Compute;
use escala_models::onnx::{Input, Limits, Model};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    nodes: 200,
    elements: 1 << 18,
    workspace: 1 << 20,
};

fuzz_target!(|data: &[u8]| {
    let Ok(model) = Model::read(data, LIMITS) else {
        return;
    };
    let numbers = [1.0f32; 4096];
    let inputs = model.inputs().iter().map(|input| {
        let shape = input.shape.iter().flatten().take(4);
        let shape: Vec<usize> = shape.map(|size| size.unwrap_or(3).min(8)).collect();
        (input.name.clone(), shape)
    });
    let inputs: Vec<_> = inputs.collect();
    let inputs: Vec<Input<'_>> = inputs
        .iter()
        .map(|(name, shape)| Input {
            name,
            shape,
            data: &numbers[..shape.iter().product()],
        })
        .collect();
    // Most do not run; none may panic.
    let _ = model.run(&Compute::cpu(1), &inputs);
});
