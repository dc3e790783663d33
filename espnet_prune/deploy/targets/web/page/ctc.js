// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// CTC without a search: the likeliest path.

/**
 * Take the likeliest token of each frame, repetitions as one, without blanks.
 *
 * @param {Float32Array} logProbs (T, V), row by row; rows past `frames` mean nothing.
 * @param {number} frames Rows that count.
 * @param {number} width V.
 * @param {number} blank Token id.
 * @returns {{id: number, frame: number}[]} Tokens, and the frames that they begin in.
 */
export function greedy(logProbs, frames, width, blank) {
  const found = [];
  let before = -1;
  for (let frame = 0; frame < frames; frame++) {
    const at = frame * width;
    let best = 0;
    for (let id = 1; id < width; id++) {
      if (logProbs[at + id] > logProbs[at + best]) best = id;
    }
    if (best !== before && best !== blank) found.push({ id: best, frame });
    before = best;
  }
  return found;
}

/**
 * Return the text of tokens.
 *
 * @param {number[]} ids
 * @param {{tokens: string[], between: string, mark: ?string}} symbols What each token
 *   looks like; what stands between two; what marks the beginning of a word.
 */
export function textOf(ids, { tokens, between, mark }) {
  const text = ids.map((id) => tokens[id]).join(between);
  if (!mark) return text;
  let begin = 0;
  while (text[begin] === mark) begin++;
  return text.slice(begin).replaceAll(mark, " ");
}
