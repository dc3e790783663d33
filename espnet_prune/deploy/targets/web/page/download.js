// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// Files of this page's directory.

/** Something that the person in front of the page is told, in one sentence. */
export class Problem extends Error {}

/**
 * Load a file.
 *
 * @param {string} path Beside the page.
 * @param {number} size Bytes that it must have.
 * @param {(bytes: number) => void} told Called with the bytes that are there.
 * @returns {Promise<Uint8Array>}
 * @throws {Problem} It is missing, incomplete, or the server does not answer.
 */
export async function download(path, size, told = () => {}) {
  const reader = (await opened(path)).body.getReader();
  const bytes = new Uint8Array(size);
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => unreachable(path));
    if (done) break;
    if (count + value.length <= size) bytes.set(value, count);
    count += value.length;
    told(count);
  }
  if (count === size) return bytes;
  throw new Problem(
    `${path} has ${count} bytes instead of ${size}; copy the directory again`,
  );
}

/** Load a file of JSON. */
export async function downloadJson(path) {
  const text = await (await opened(path)).text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem(`${path} is damaged; copy the directory again`);
  }
}

async function opened(path) {
  const response = await fetch(new URL(path, import.meta.url))
    .catch(() => unreachable(path));
  if (response.ok) return response;
  throw new Problem(
    `${path} is missing (${response.status}); copy the directory again, with all files`,
  );
}

function unreachable(path) {
  throw new Problem(`${path} cannot be loaded; is the server still there?`);
}
