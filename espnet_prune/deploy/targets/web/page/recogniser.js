// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// What the page asks of the worker that recognises.

import { Problem } from "./download.js";

const waiting = new Map(); // calls without an answer, by number
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
let last = 0;
let broken = null; // why there is no worker

worker.onmessage = ({ data: { id, share, value, error } }) => {
  const { resolve, reject, told } = waiting.get(id);
  if (share !== undefined) return told(share);
  waiting.delete(id);
  if (error) reject(new Problem(error));
  else resolve(value);
};

worker.onerror = () => {
  broken = new Problem("A script is missing; copy the directory again");
  for (const { reject } of waiting.values()) reject(broken);
};

/**
 * Ask the worker.
 *
 * @param {"open" | "close" | "recognise"} call
 * @param {object} given
 * @param {(share: number) => void} told Called with the share that is done.
 * @throws {Problem} It cannot be done.
 */
export function ask(call, given, told = () => {}) {
  return new Promise((resolve, reject) => {
    if (broken) return reject(broken);
    waiting.set(++last, { resolve, reject, told });
    worker.postMessage({ id: last, call, given });
  });
}
