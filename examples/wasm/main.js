// Runs build/lenet5.wasm on one image: node main.js [FILE of 784 bytes]
// The structs are those of the C header, with pointers of 4 bytes.
"use strict";
const fs = require("fs");
const path = require("path");

const folder = path.join(__dirname, "build");
const description = JSON.parse(fs.readFileSync(path.join(folder, "lenet5.json"), "utf8"));

async function main() {
  const memory = new WebAssembly.Memory({ initial: 64 });
  const wasm = fs.readFileSync(path.join(folder, "lenet5.wasm"));
  const { instance } = await WebAssembly.instantiate(wasm, { env: { memory } });
  const view = new DataView(memory.buffer);
  let next = instance.exports.__heap_base.value;
  const take = (bytes) => {
    const start = (next + 63) & ~63;
    next = start + bytes;
    return start;
  };

  const N = 1;
  const x = take(N * 784 * 4), logits = take(N * 10 * 4);
  const inputs = take(16), outputs = take(8), context = take(40);
  const pixels = process.argv[2] ? fs.readFileSync(process.argv[2]) : seven();
  new Float32Array(memory.buffer, x, 784).set(Array.from(pixels, (p) => p / 255));
  view.setUint32(inputs, x, true);
  view.setBigInt64(inputs + 8, BigInt(N), true);
  view.setUint32(outputs, logits, true);
  const bytes = instance.exports.lenet5_workspace_needed(inputs, 1n);
  const workspace = take(Number(bytes));
  view.setUint32(context, 40, true); // sizeof(sg_context)
  view.setBigInt64(context + 16, 1n, true); // threads
  view.setBigUint64(context + 32, bytes, true); // workspace_bytes

  const code = instance.exports.lenet5_run(inputs, outputs, workspace, context);
  if (code !== 0) {
    const error = description.errors.find((e) => e.code === code);
    throw new Error(error ? error.message : `code ${code}`);
  }
  const result = Array.from(new Float32Array(memory.buffer, logits, 10));
  console.log(result.map((v) => v.toFixed(4)).join(" "));
  console.log(`digit ${result.indexOf(Math.max(...result))}`);
}

// A drawn seven.
function seven() {
  const image = new Uint8Array(784);
  for (let i = 6; i < 22; i++) image[6 * 28 + i] = image[7 * 28 + i] = 255;
  for (let i = 8; i < 23; i++) image[i * 28 + 25 - Math.floor(i / 1.5)] = 255;
  return image;
}

main();
