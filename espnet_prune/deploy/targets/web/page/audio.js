// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// Recordings as a model wants them: one channel, its rate.

import { Problem } from "./download.js";

/**
 * Return the samples of a recording.
 *
 * @param {Blob} file What the browser decodes.
 * @param {string} name
 * @param {{rate: number, shortest: number}} speech In Hz; samples.
 * @returns {Promise<Float32Array>}
 * @throws {Problem} There is no audio in it, it is too short, or a sample is no number.
 */
export async function samplesOf(file, name, { rate, shortest }) {
  const bytes = await file.arrayBuffer().catch(() => {
    throw new Problem(`${name} cannot be read; choose it again`);
  });
  // decoding brings audio to the rate of the context
  const context = new OfflineAudioContext(1, 1, rate);
  const audio = await context.decodeAudioData(bytes).catch(() => {
    throw new Problem(`${name}: no audio is found in it; give wav, flac, ogg or mp3`);
  });
  const samples = mixed(audio);
  if (samples.length < shortest) {
    throw new Problem(
      `${name}: ${(samples.length / rate).toFixed(3)} s are too short for this model, `
        + `which needs ${(shortest / rate).toFixed(3)} s`,
    );
  }
  if (!samples.every(Number.isFinite)) {
    throw new Problem(`${name}: a sample is no number; write the file again`);
  }
  return samples;
}

/** Return the mean of all channels. */
function mixed(audio) {
  const samples = audio.getChannelData(0);
  for (let channel = 1; channel < audio.numberOfChannels; channel++) {
    audio.getChannelData(channel).forEach((value, i) => (samples[i] += value));
  }
  if (audio.numberOfChannels === 1) return samples;
  return samples.map((value) => value / audio.numberOfChannels);
}

/**
 * Return samples (S,) at a rate in Hz as a file: wav, 32-bit floats.
 *
 * @param {Float32Array[]} blocks
 * @param {number} rate
 */
export function wavOf(blocks, rate) {
  const size = 4 * blocks.reduce((sum, block) => sum + block.length, 0);
  const header = new DataView(new ArrayBuffer(44));
  const write = (at, text) =>
    [...text].forEach((char, i) => header.setUint8(at + i, char.charCodeAt(0)));
  write(0, "RIFF");
  header.setUint32(4, 36 + size, true);
  write(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // bytes of the format that follow
  header.setUint16(20, 3, true); // floats
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 4 * rate, true);
  header.setUint16(32, 4, true);
  header.setUint16(34, 32, true);
  write(36, "data");
  header.setUint32(40, size, true);
  return new Blob([header, ...blocks], { type: "audio/wav" });
}
