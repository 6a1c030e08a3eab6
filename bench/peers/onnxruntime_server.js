// ONNX Runtime as a long-running process: node onnxruntime_server.js MODULE. One JSON command a line on stdin, one JSON answer
// a line on stdout:
//   {"do":"load","id":1,"model":F,"inputs":[{"name","type","dims","file"}]}  one intra-op thread, all optimizations
//   {"do":"time","id":1,"least_ms":20}  -> {"us": microseconds of processor time of one run}
//   {"do":"outputs","id":1,"folder":D}  -> {"outputs":[{"name","type","dims","file"}]}
//   {"do":"drop","id":1}
// Tensors are raw files.
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const runtime = require(process.argv[2]);

const arrays = {
  float32: Float32Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array, int64: BigInt64Array,
};
const sessions = new Map();

function tensor(input) {
  const raw = fs.readFileSync(input.file);
  const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength);
  return new runtime.Tensor(input.type, new arrays[input.type](bytes), input.dims);
}

const commands = {
  async load(c) {
    const session = await runtime.InferenceSession.create(c.model, {
      intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential', logSeverityLevel: 3,
      graphOptimizationLevel: 'all',
    });
    const feeds = {};
    for (const input of c.inputs) feeds[input.name] = tensor(input);
    await session.run(feeds);
    sessions.set(c.id, {session, feeds});
    return {};
  },
  async time(c) {
    const {session, feeds} = sessions.get(c.id);
    let runs = 0;
    // Processor time: what another job on the core takes does not count.
    const before = process.cpuUsage();
    const end = process.hrtime.bigint() + BigInt(Math.round(1e6 * c.least_ms));
    do {
      await session.run(feeds);
      ++runs;
    } while (process.hrtime.bigint() < end);
    const spent = process.cpuUsage(before);
    return {us: (spent.user + spent.system) / runs};
  },
  async outputs(c) {
    const {session, feeds} = sessions.get(c.id);
    const results = await session.run(feeds);
    return {
      outputs: session.outputNames.map((name, i) => {
        const {data, type, dims} = results[name];
        const file = path.join(c.folder, `output_${i}.bin`);
        fs.writeFileSync(file, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
        return {name, type, dims, file};
      }),
    };
  },
  async drop(c) {
    const {session} = sessions.get(c.id);
    sessions.delete(c.id);
    await session.release();
    return {};
  },
};

(async () => {
  for await (const line of readline.createInterface({input: process.stdin})) {
    let answer;
    try {
      const command = JSON.parse(line);
      answer = await commands[command.do](command);
    } catch (error) {
      answer = {error: String(error.message || error)};
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
})();
