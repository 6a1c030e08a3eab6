// Runs one model in ONNX Runtime: node run_onnxruntime.js FOLDER. FOLDER/job.json holds {"module", "model", "threads",
// "optimize", "inputs": [{"name", "type", "dims"}]}; input i lies raw in FOLDER/input_<i>.bin. Output i goes to
// FOLDER/output_<i>.bin and {"outputs": [{"name", "type", "dims"}]} to FOLDER/result.json.
'use strict';
const fs = require('fs');
const path = require('path');

const arrays = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array,
  bool: Uint8Array,
};

async function main(folder) {
  const job = JSON.parse(fs.readFileSync(path.join(folder, 'job.json'), 'utf8'));
  const runtime = require(job.module);
  const session = await runtime.InferenceSession.create(job.model, {
    intraOpNumThreads: job.threads, interOpNumThreads: 1, logSeverityLevel: 3,
    graphOptimizationLevel: job.optimize ? 'all' : 'disabled',
  });
  const feeds = {};
  job.inputs.forEach((input, i) => {
    const raw = fs.readFileSync(path.join(folder, `input_${i}.bin`));
    const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength);
    feeds[input.name] = new runtime.Tensor(input.type, new arrays[input.type](bytes), input.dims);
  });
  const results = await session.run(feeds);
  const outputs = session.outputNames.map((name, i) => {
    const tensor = results[name];
    const data = tensor.data;
    fs.writeFileSync(path.join(folder, `output_${i}.bin`), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return {name, type: tensor.type, dims: tensor.dims};
  });
  fs.writeFileSync(path.join(folder, 'result.json'), JSON.stringify({outputs}));
}

main(process.argv[2]).catch((error) => {
  console.error(error.message || error);
  process.exit(1);
});
