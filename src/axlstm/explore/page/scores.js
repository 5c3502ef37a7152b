// Reads what a classifier says about all windows: a probability for each label, in the order of the map.

import { readBytes } from "./api.js";
import { parseColumns } from "./map-data.js";

/** @returns {Promise<Object<string, Float32Array>>} Probabilities by label, (windows,) each. */
export async function loadScores(classifier) {
  const { columns } = parseColumns(await readBytes("scores", { classifier }));
  return Object.fromEntries(Object.entries(columns).map(([label, { values }]) => [label, Float32Array.from(values, (level) => level / 65535)]));
}

/** @returns {number[]} The rows whose probability lies nearest to a threshold: `count` of them, the highest first. */
export function rowsAround(scores, threshold, count) {
  return Array.from(scores, (_, row) => row)
    .filter((row) => Number.isFinite(scores[row]))
    .sort((one, other) => Math.abs(scores[one] - threshold) - Math.abs(scores[other] - threshold))
    .slice(0, count)
    .sort((one, other) => scores[other] - scores[one]);
}
