// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// Recognition, beside the page, which goes on living: models by onnxruntime, CTC, text.

import { greedy, textOf } from "./ctc.js";
import { download, Problem } from "./download.js";
import { joined, pieces } from "./long.js";

const sessions = new Map(); // of onnxruntime, by number
let opened = 0;
let runtime = null; // promise of onnxruntime
let queue = Promise.resolve(); // one call after the other

/** Load onnxruntime once: one thread needs no headers of a server. */
async function loadRuntime({ script, binary, size }) {
  const ort = await import(new URL(script, import.meta.url)).catch(() => {
    throw new Problem(`${script} cannot be loaded; copy the directory again`);
  });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await download(binary, size);
  return ort;
}

const calls = {
  /** Load a model, and return its number; tells the share that is there. */
  async open({ file, size, shortest, onnxruntime }, told) {
    runtime ??= loadRuntime(onnxruntime);
    runtime.catch(() => (runtime = null)); // the next call tries again
    const bytes = await download(file, size, (count) => told(count / size));
    const ort = await runtime;
    const session = await ort.InferenceSession.create(bytes).catch((error) => {
      throw new Problem(`${file} cannot be opened: ${error.message}`);
    });
    await heard(ort, session, new Float32Array(shortest)); // what is slow only once
    sessions.set(++opened, session);
    return opened;
  },

  /** Free the memory of a model. */
  async close({ number }) {
    await sessions.get(number).release();
    sessions.delete(number);
  },

  /** Return the text of samples, and milliseconds. */
  async recognise({ number, samples, speech }, told) {
    const begin = performance.now();
    const ort = await runtime, session = sessions.get(number);
    const { rate, frame_ms, blank, symbols, piece_size, overlap, shortest } = speech;
    let tokens = [], end = 0;
    for (const { first, piece } of pieces(samples, piece_size, overlap, shortest)) {
      const start = first / rate;
      const { logProbs, frames, width } = await heard(ort, session, piece);
      const after = greedy(logProbs, frames, width, blank).map(({ id, frame }) => (
        { id, time: start + (frame * frame_ms) / 1000 }
      ));
      tokens = first ? joined(tokens, after, start, end) : after;
      end = start + piece.length / rate;
      told((first + piece.length) / samples.length);
    }
    const text = textOf(tokens.map((token) => token.id), symbols);
    return { text, ms: performance.now() - begin };
  },
};

/** Run a model on samples (S,). */
async function heard(ort, session, samples) {
  const feeds = {
    speech: new ort.Tensor("float32", samples, [1, samples.length]),
    lengths: new ort.Tensor("int64", [BigInt(samples.length)], [1]),
  };
  const found = await session.run(feeds, ["log_probs", "out_lengths"]);
  const { data, dims } = found.log_probs;
  return { logProbs: data, width: dims[2], frames: Number(found.out_lengths.data[0]) };
}

async function answer({ id, call, given }) {
  try {
    const value = await calls[call](given, (share) => postMessage({ id, share }));
    postMessage({ id, value });
  } catch (error) {
    const known = error instanceof Problem;
    postMessage({ id, error: known ? error.message : `It failed: ${error.message}` });
  }
}

self.onmessage = ({ data }) => {
  queue = queue.then(() => answer(data));
};
