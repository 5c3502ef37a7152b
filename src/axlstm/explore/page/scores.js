// Reads what a classifier says about all windows: a probability for each label, in the order of the map.

import { readBytes } from "./api.js";

const NONE = 65535; // a window without a probability

/** @returns {Promise<Object<string, Float32Array>>} Probabilities by label, (windows,) each; NaN where there is none. */
export async function loadScores(classifier, labels) {
  const scores = {};
  for (const label of labels) {
    const levels = new Uint16Array(await readBytes("scores", { classifier, label }));
    scores[label] = Float32Array.from(levels, (level) => (level === NONE ? NaN : level / (NONE - 1)));
  }
  return scores;
}

/** @returns {number[]} The rows whose probability lies nearest to a threshold: `count` of them, the highest first. */
export function rowsAround(scores, threshold, count) {
  return Array.from(scores, (_, row) => row)
    .filter((row) => Number.isFinite(scores[row]))
    .sort((one, other) => Math.abs(scores[one] - threshold) - Math.abs(scores[other] - threshold))
    .slice(0, count)
    .sort((one, other) => scores[other] - scores[one]);
}
