// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// Long audio: pieces that overlap, and one text of theirs.

// seconds by which a token may be heard earlier or later in the next piece
const NEAR = 0.25;

/**
 * Cut audio into pieces of one size; what is shorter is one piece.
 *
 * @param {Float32Array} samples
 * @param {number} size Samples of a piece.
 * @param {number} overlap Samples that a piece has in common with the next.
 * @param {number} shortest A last piece of fewer samples reaches back further.
 * @yields {{first: number, piece: Float32Array}}
 */
export function* pieces(samples, size, overlap, shortest) {
  let first = 0;
  for (; samples.length - first > size; first += size - overlap) {
    yield { first, piece: samples.subarray(first, first + size) };
  }
  if (first) first = Math.min(first, samples.length - shortest);
  yield { first, piece: samples.subarray(first) };
}

/**
 * Join the tokens of a piece to those of the pieces before it.
 *
 * Of the tokens on which both agree, one after the other, the longest row is taken; up
 * to its middle the first piece is believed, from there on the second. Where they agree
 * on nothing, the middle of the time is where one follows the other.
 *
 * @param {{id: number, time: number}[]} before What was found so far.
 * @param {{id: number, time: number}[]} after What was found in the piece.
 * @param {number} start Second at which the piece begins.
 * @param {number} end Second at which the one before it ends.
 */
export function joined(before, after, start, end) {
  const tail = before.filter((token) => token.time < start - NEAR).length;
  const head = after.filter((token) => token.time < end + NEAR).length;
  const middle = (start + end) / 2;
  const row = agreement(before.slice(tail), after.slice(0, head), middle);
  if (row) return [...before.slice(0, tail + row.left), ...after.slice(row.right)];
  return [
    ...before.filter((token) => token.time < middle),
    ...after.filter((token) => token.time >= middle),
  ];
}

/** Return where in both the middle of the longest row of equal tokens is. */
function agreement(left, right, middle) {
  let longest = 0, nearest = 0, place = null;
  let above = new Array(right.length + 1).fill(0);
  left.forEach((one, i) => {
    const lengths = [0];
    right.forEach((other, j) => {
      const equal = one.id === other.id && Math.abs(one.time - other.time) <= NEAR;
      const length = equal ? above[j] + 1 : 0;
      lengths.push(length);
      if (!length) return;
      const half = Math.floor(length / 2);
      const far = Math.abs(left[i - half].time - middle);
      if (length > longest || (length === longest && far < nearest)) {
        [longest, nearest] = [length, far];
        place = { left: i - half, right: j - half };
      }
    });
    above = lengths;
  });
  return place;
}
