// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// Runs where audio runs: passes on what the microphone gives, in larger blocks.

const SIZE = 2048; // samples

class Recorder extends AudioWorkletProcessor {
  block = new Float32Array(SIZE);
  count = 0;

  process([[samples]]) {
    for (const value of samples ?? []) {
      this.block[this.count++] = value;
      if (this.count < SIZE) continue;
      this.port.postMessage(this.block);
      this.block = new Float32Array(SIZE);
      this.count = 0;
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
