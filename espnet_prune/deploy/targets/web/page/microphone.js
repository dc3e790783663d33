// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// What is spoken, as a file.

import { wavOf } from "./audio.js";
import { Problem } from "./download.js";

const REFUSED = {
  NotAllowedError: "The microphone is not allowed; allow it in the address bar",
  NotFoundError: "There is no microphone",
  NotReadableError: "The microphone is in use elsewhere",
};

/**
 * Listen until it is stopped.
 *
 * @param {(level: number, seconds: number) => void} told Called while listening, with
 *   the loudness from 0 to 1.
 * @returns {Promise<() => Promise<Blob>>} Stops, and returns what was heard.
 * @throws {Problem} There is no microphone, or it is not allowed.
 */
export async function listen(told) {
  if (!navigator.mediaDevices) {
    throw new Problem("The microphone needs https, or a server on this machine");
  }
  // models know speech as it is: what calls need would change it
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((error) => {
    const why = REFUSED[error.name] ?? `The microphone fails: ${error.message}`;
    throw new Problem(`${why}, or choose a file`);
  });
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const blocks = [];
  let count = 0;
  recorder.port.onmessage = ({ data }) => {
    blocks.push(data);
    count += data.length;
    const loudest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    told(Math.sqrt(loudest), count / context.sampleRate);
  };
  context.createMediaStreamSource(stream).connect(recorder);
  return async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    return wavOf(blocks, context.sampleRate);
  };
}
