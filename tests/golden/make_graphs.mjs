// Writes graphs_tfjs.json: what TensorFlow.js 4.22 answers for the graph models of the catalogue.
//
//     npm install @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-converter@4.22.0 @tensorflow/tfjs-backend-cpu@4.22.0
//     node make_graphs.mjs MODELS_FOLDER > graphs_tfjs.json     # the folder that `escala models pull` fills
//
// Inputs and samples are those of make_graphs.py.
import { createRequire } from "node:module";
import { readFileSync, readdirSync } from "node:fs";
import { resolve } from "node:path";

const require = createRequire(resolve("x.js"));
const tf = require("@tensorflow/tfjs-core");
require("@tensorflow/tfjs-backend-cpu");
const { loadGraphModel } = require("@tensorflow/tfjs-converter");

const KEPT = 200;
const models = resolve(process.argv[2]);

function load(name) {
  const folder = `${models}/${name}/${readdirSync(`${models}/${name}`)[0]}`;
  const model = JSON.parse(readFileSync(`${folder}/graph.json`));
  const file = readFileSync(`${folder}/model.safetensors`);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const weightSpecs = [];
  const parts = [];
  for (const [tensor, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (tensor === "__metadata__") continue;
    weightSpecs.push({ name: tensor, shape, dtype: dtype === "I32" ? "int32" : "float32" });
    parts.push(file.subarray(8 + length + data_offsets[0], 8 + length + data_offsets[1]));
  }
  const together = Buffer.concat(parts);
  const weightData = together.buffer.slice(together.byteOffset, together.byteOffset + together.byteLength);
  const artifacts = { modelTopology: model.modelTopology, signature: model.signature, weightSpecs, weightData };
  return loadGraphModel({ load: async () => artifacts });
}

const networks = {};
for (const [name, shape, offset, scale] of [
  ["nanodet-g", [1, 3, 416, 416], -2, 4],
  ["face-mesh", [2, 192, 192, 3], 0, 1],
  ["face-iris", [1, 64, 64, 3], 0, 1],
  ["nsfwjs-mobilenet-v2", [1, 224, 224, 3], 0, 1],
  ["movenet-lightning", [1, 192, 192, 3], 0, 255],
]) {
  const model = await load(name);
  const [input] = model.inputs;
  const count = shape.reduce((a, b) => a * b, 1);
  const integral = input.dtype === "int32";
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const value = offset + (scale * ((i * 7919) % 1021)) / 1020;
    values[i] = integral ? Math.trunc(value) : value;
  }
  const data = integral ? tf.tensor(Int32Array.from(values), shape, "int32") : tf.tensor(values, shape);
  const made = await model.executeAsync(data, model.outputNodes);
  const outputs = {};
  for (const [index, tensor] of (Array.isArray(made) ? made : [made]).entries()) {
    const flat = tensor.dataSync();
    const at = [...new Set(Array.from({ length: KEPT }, (_, k) => Math.floor((k * (flat.length - 1)) / (KEPT - 1))))];
    const output = Object.entries(model.modelSignature?.outputs ?? {}).find(
      ([, { name }]) => name === model.outputNodes[index] || name === `${model.outputNodes[index]}:0`,
    );
    const key = (output?.[0] ?? model.outputNodes[index]).replace(/:0$/, "");
    outputs[key] = { shape: tensor.shape, at, values: at.map((i) => Number(flat[i].toFixed(8))) };
  }
  networks[name] = { input: input.name.replace(/:0$/, ""), shape, offset, scale, integral, outputs };
}
console.log(JSON.stringify({ reference: `tfjs ${tf.version_core}`, networks }));
