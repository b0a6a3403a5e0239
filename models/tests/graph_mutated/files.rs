//! Small graph files with most kinds of operations, and what is done with files of unknown contents: shared by the tests
//! beside this file and by the fuzz targets.

use escala_models::Compute;
use escala_models::graph::{Graph, Input, Limits, Network, Tensor};
use escala_models::kernels::Isa;

/// What the files may cost.
pub const LIMITS: Limits = Limits {
    nodes: 200,
    elements: 1 << 18,
    workspace: 1 << 20,
};

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(number: u64, body: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(body.len() as u64, out);
    out.extend_from_slice(body);
}

fn number(number: u64, value: u64, out: &mut Vec<u8>) {
    varint(number << 3, out);
    varint(value, out);
}

fn tensor(name: &str, shape: &[u64], kind: u64, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &size in shape {
        number(1, size, &mut out);
    }
    number(2, kind, &mut out);
    field(8, name.as_bytes(), &mut out);
    field(9, raw, &mut out);
    out
}

fn floats(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|i| ((i * 37 % 19) as f32 / 10.0 - 0.9).to_le_bytes())
        .collect()
}

fn integers(values: &[i64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn node(op: &str, inputs: &[&str], output: &str, lists: &[(&str, &[u64])]) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        field(1, input.as_bytes(), &mut out);
    }
    field(2, output.as_bytes(), &mut out);
    field(4, op.as_bytes(), &mut out);
    for (name, values) in lists {
        let mut attribute = Vec::new();
        field(1, name.as_bytes(), &mut attribute);
        match values {
            [value] if ["group", "axis", "to", "k", "num_groups"].contains(name) => {
                number(3, *value, &mut attribute);
            }
            values => values
                .iter()
                .for_each(|&value| number(8, value, &mut attribute)),
        }
        field(5, &attribute, &mut out);
    }
    out
}

/// A small ONNX network with most kinds of operations.
pub fn onnx() -> Vec<u8> {
    let mut graph = Vec::new();
    for node in [
        node(
            "Conv",
            &["x", "w1", "b1"],
            "a",
            &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])],
        ),
        node(
            "BatchNormalization",
            &["a", "b1", "b1", "b1", "v"],
            "b",
            &[],
        ),
        node("Relu", &["b"], "c", &[]),
        node(
            "Conv",
            &["c", "w2"],
            "d",
            &[("group", &[8]), ("pads", &[1, 1, 1, 1])],
        ),
        node("Add", &["c", "d"], "e", &[]),
        node(
            "MaxPool",
            &["e"],
            "f",
            &[("kernel_shape", &[2, 2]), ("strides", &[1, 1])],
        ),
        node("Resize", &["f", "", "scales"], "g", &[]),
        node("Concat", &["g", "g"], "h", &[("axis", &[1])]),
        node("Slice", &["h", "starts", "ends", "axes"], "i", &[]),
        node("Shape", &["i"], "s", &[]),
        node("Gather", &["s", "first"], "n", &[("axis", &[0])]),
        node("Concat", &["n", "free"], "shape", &[("axis", &[0])]),
        node("Transpose", &["i"], "t", &[("perm", &[0, 2, 3, 1])]),
        node("Reshape", &["t", "shape"], "j", &[]),
        node("GlobalAveragePool", &["e"], "p", &[]),
        node("ReduceMean", &["j"], "k", &[("axes", &[1])]),
        node("Softmax", &["k"], "y", &[("axis", &[1])]),
        node("Pad", &["e", "amounts"], "q", &[]),
    ] {
        field(1, &node, &mut graph);
    }
    for tensor in [
        tensor("w1", &[8, 3, 3, 3], 1, &floats(216)),
        tensor("b1", &[8], 1, &floats(8)),
        tensor("v", &[8], 1, &[0, 0, 128, 63].repeat(8)),
        tensor("w2", &[8, 1, 3, 3], 1, &floats(72)),
        tensor(
            "scales",
            &[4],
            1,
            &[1f32, 1.0, 2.0, 2.0].map(f32::to_le_bytes).concat(),
        ),
        tensor("starts", &[2], 7, &integers(&[0, 1])),
        tensor("ends", &[2], 7, &integers(&[9, i64::MAX])),
        tensor("axes", &[2], 7, &integers(&[1, 2])),
        tensor("first", &[1], 7, &integers(&[0])),
        tensor("free", &[1], 7, &integers(&[-1])),
        tensor("amounts", &[8], 7, &integers(&[0, 0, 1, 1, 0, 0, 2, 2])),
    ] {
        field(5, &tensor, &mut graph);
    }
    wrapped(graph, &[0, 3, 0, 12], &["y", "p", "q"])
}

/// A small ONNX network with the operations of detection transformers.
pub fn transformer() -> Vec<u8> {
    let mut graph = Vec::new();
    let mut equation = Vec::new();
    field(1, b"equation", &mut equation);
    field(4, b"bqc,bkc->bqk", &mut equation);
    let mut einsum = node("Einsum", &["rows", "picked"], "scores", &[]);
    field(5, &equation, &mut einsum);
    for node in [
        node("Shape", &["x"], "s", &[]),
        node("Gather", &["s", "one"], "places", &[("axis", &[0])]),
        node("Range", &["zero", "places", "one"], "line", &[]),
        node("Sin", &["line"], "waves", &[]),
        node("Unsqueeze", &["waves", "last"], "column", &[]),
        node("Expand", &["column", "wide"], "positions", &[]),
        node("Add", &["x", "positions"], "placed", &[]),
        node(
            "LayerNormalization",
            &["placed", "gamma", "gamma"],
            "rows",
            &[("axis", &[u64::MAX])],
        ),
        node("ReduceMax", &["rows"], "best", &[("axes", &[2])]),
        node("Squeeze", &["best", "last"], "flat", &[]),
        node("TopK", &["flat", "two"], "top", &[("axis", &[1])]),
        node("ConstantOfShape", &["filled"], "nothing", &[]),
        node("Tile", &["index", "across"], "indices", &[]),
        node(
            "GatherElements",
            &["rows", "indices"],
            "picked",
            &[("axis", &[1])],
        ),
        einsum,
        node("Greater", &["scores", "half"], "high", &[]),
        node("Not", &["high"], "low", &[]),
        node("Where", &["low", "scores", "half"], "chosen", &[]),
        node("CumSum", &["chosen", "one"], "sums", &[]),
        node("ScatterND", &["sums", "place", "update"], "y", &[]),
        node("Reshape", &["rows", "map"], "pixels", &[]),
        node("GridSample", &["pixels", "grid"], "z", &[]),
        node(
            "GroupNormalization",
            &["pixels", "pair", "pair"],
            "w",
            &[("num_groups", &[2])],
        ),
        node("Mod", &["line", "three"], "m", &[]),
        node("Cast", &["m"], "v", &[("to", &[9])]),
        node("Where", &["v", "line", "nothing"], "u", &[]),
    ] {
        field(1, &node, &mut graph);
    }
    for tensor in [
        tensor("zero", &[], 7, &integers(&[0])),
        tensor("one", &[], 7, &integers(&[1])),
        tensor("two", &[1], 7, &integers(&[2])),
        tensor("three", &[1], 7, &integers(&[3])),
        tensor("last", &[1], 7, &integers(&[-1])),
        tensor("wide", &[3], 7, &integers(&[1, 1, 4])),
        tensor("filled", &[1], 7, &integers(&[6])),
        tensor("gamma", &[4], 1, &floats(4)),
        tensor("index", &[1, 2, 1], 7, &integers(&[5, 0])),
        tensor("across", &[3], 7, &integers(&[1, 1, 4])),
        tensor("half", &[1], 1, &0.5f32.to_le_bytes()),
        tensor("place", &[1, 2], 7, &integers(&[0, 1])),
        tensor("update", &[1, 2], 1, &floats(2)),
        tensor("map", &[4], 7, &integers(&[1, 4, 2, 3])),
        tensor("grid", &[1, 2, 2, 2], 1, &floats(8)),
        tensor("pair", &[4], 1, &floats(4)),
    ] {
        field(5, &tensor, &mut graph);
    }
    wrapped(graph, &[1, 6, 4], &["y", "z", "w", "top", "u"])
}

/// The file of a graph with an input `x` of these sizes (0: any) and outputs.
fn wrapped(mut graph: Vec<u8>, sizes: &[u64], outputs: &[&str]) -> Vec<u8> {
    let mut dims = Vec::new();
    for &size in sizes {
        let mut dim = Vec::new();
        if size > 0 {
            number(1, size, &mut dim);
        }
        field(1, &dim, &mut dims);
    }
    let (mut kind, mut input) = (Vec::new(), Vec::new());
    field(2, &dims, &mut kind);
    let mut wrapped = Vec::new();
    field(1, &kind, &mut wrapped);
    field(1, b"x", &mut input);
    field(2, &wrapped, &mut input);
    field(11, &input, &mut graph);
    for name in outputs {
        let mut output = Vec::new();
        field(1, name.as_bytes(), &mut output);
        field(12, &output, &mut graph);
    }
    let mut model = Vec::new();
    field(7, &graph, &mut model);
    model
}

/// A small TensorFlow.js topology.
pub const TFJS: &str = r#"{"modelTopology":{"node":[
{"name":"x","op":"Placeholder","attr":{"shape":{"shape":{"dim":[{"size":"-1"},{"size":"9"},{"size":"9"},{"size":"3"}]}}}},
{"name":"w","op":"Const"},{"name":"b","op":"Const"},{"name":"s","op":"Const"},{"name":"d","op":"Const"},
{"name":"pads","op":"Const"},{"name":"size","op":"Const"},{"name":"shape","op":"Const"},{"name":"zero","op":"Const"},
{"name":"c","op":"_FusedConv2D","input":["x","w","b","s"],"attr":{"padding":{"s":"U0FNRQ=="},"strides":{"list":{"i":["1","2","2","1"]}},"fused_ops":{"list":{"s":["Qmlhc0FkZA==","UHJlbHU="]}}}},
{"name":"e","op":"DepthwiseConv2dNative","input":["c","d"],"attr":{"padding":{"s":"U0FNRQ=="},"strides":{"list":{"i":["1","1","1","1"]}}}},
{"name":"f","op":"AddV2","input":["c","e"]},
{"name":"g","op":"Pad","input":["f","pads"]},
{"name":"h","op":"MaxPool","input":["g"],"attr":{"padding":{"s":"VkFMSUQ="},"ksize":{"list":{"i":["1","2","2","1"]}},"strides":{"list":{"i":["1","2","2","1"]}}}},
{"name":"i","op":"ResizeBilinear","input":["h","size"],"attr":{"half_pixel_centers":{"b":true}}},
{"name":"j","op":"Unpack","input":["i"],"attr":{"num":{"i":"5"},"axis":{"i":"1"}}},
{"name":"k","op":"Pack","input":["j","j:1","j:4"],"attr":{"axis":{"i":"2"}}},
{"name":"l","op":"Reshape","input":["k","shape"]},
{"name":"m","op":"ArgMax","input":["l","zero"]},
{"name":"n","op":"GatherV2","input":["l","m","zero"]},
{"name":"o","op":"Softmax","input":["n"]}]}}"#;

/// Its tensors.
pub fn tfjs_tensor(name: &str) -> Option<Tensor> {
    let floats = |shape: &[usize]| {
        let count = shape.iter().product();
        let data = (0..count).map(|i: usize| (i * 37 % 19) as f32 / 10.0 - 0.9);
        Tensor::new(shape, data.collect()).ok()
    };
    let list = |values: &[f32], shape: &[usize]| Tensor::new(shape, values.to_vec()).ok();
    match name {
        "w" => floats(&[3, 3, 3, 8]),
        "b" => floats(&[8]),
        "s" => floats(&[1, 1, 8]),
        "d" => floats(&[3, 3, 8, 1]),
        "pads" => list(&[0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0], &[4, 2]),
        "size" => list(&[5.0, 6.0], &[2]),
        "shape" => list(&[-1.0, 10.0], &[2]),
        "zero" => list(&[0.0], &[]),
        _ => None,
    }
}

/// Compiles and runs what can be read. How far it came.
pub fn run(graph: Result<Graph, escala_models::graph::Error>) -> u8 {
    let Ok(graph) = graph else { return 0 };
    let Ok(network) = Network::compile_for(graph, Isa::best(), LIMITS) else {
        return 1;
    };
    let shapes: Vec<(String, Vec<usize>)> = network
        .inputs()
        .map(|input| {
            let sizes = input.shape.iter().map(|size| size.unwrap_or(6));
            (input.name.clone(), sizes.collect())
        })
        .collect();
    let mut data = Vec::new();
    for (_, shape) in &shapes {
        let elements = shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        match elements.filter(|&elements| elements <= LIMITS.elements) {
            Some(elements) => data.push(vec![0.5; elements]),
            None => return 2,
        }
    }
    let inputs: Vec<Input<'_>> = shapes
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| Input { name, shape, data })
        .collect();
    // One thread, so that all memory is this one's.
    match network.run(&Compute::cpu(1), &inputs) {
        Ok(_) => 4,
        Err(_) => 3,
    }
}
