// Runs TensorFlow.js graphs in TensorFlow.js on WebAssembly, a line of JSON in, a line of JSON out; see graphs_peer.py,
// which starts it in the folder where npm has installed the packages.
//
//     {"load": [graph.json, model.safetensors], "shape": […], "offset": …, "scale": …}   gives {}
//     {"repeats": 5}                                                                     gives {"ms": […]}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { dirname, resolve } from "node:path";

const require = createRequire(resolve("x.js"));
const tf = require("@tensorflow/tfjs-core");
const wasm = require("@tensorflow/tfjs-backend-wasm");
const { loadGraphModel } = require("@tensorflow/tfjs-converter");

// What the backend says about threads goes to standard output otherwise.
console.log = console.error;
// It would rather not be awaited where a graph has no loops; not every graph here has none.
console.warn = () => {};
wasm.setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
await tf.setBackend("wasm");
await tf.ready();

async function load([topology, weights], { shape, offset, scale }) {
  const model = JSON.parse(readFileSync(topology));
  const file = readFileSync(weights);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const weightSpecs = [];
  const parts = [];
  for (const [name, { dtype, shape: sizes, data_offsets: [from, to] }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    weightSpecs.push({ name, shape: sizes, dtype: dtype === "I32" ? "int32" : "float32" });
    parts.push(file.subarray(8 + length + from, 8 + length + to));
  }
  const together = Buffer.concat(parts);
  const weightData = together.buffer.slice(together.byteOffset, together.byteOffset + together.byteLength);
  const artifacts = { modelTopology: model.modelTopology, signature: model.signature, weightSpecs, weightData };
  const network = await loadGraphModel({ load: async () => artifacts });
  const integral = network.inputs[0].dtype === "int32";
  const count = shape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: count }, (_, i) => offset + (scale * ((i * 7919) % 1021)) / 1020);
  const data = integral ? tf.tensor(Int32Array.from(values), shape, "int32") : tf.tensor(values, shape);
  return async () => {
    const made = [await network.executeAsync(data, network.outputNodes)].flat();
    for (const tensor of made) await tensor.data();
    tf.dispose(made);
  };
}

let run = null;
for await (const line of createInterface({ input: process.stdin })) {
  let answer = {};
  try {
    const request = JSON.parse(line);
    if (request.load) {
      run = await load(request.load, request);
    } else {
      answer.ms = [];
      for (let turn = 0; turn < request.repeats + 2; turn++) {
        const start = performance.now();
        await run();
        if (turn >= 2) answer.ms.push(performance.now() - start);
      }
    }
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
