// Looks up windows by their rows, and keeps them.

import { read } from "./api.js";
import { state } from "./store.js";
import { translator } from "./windows.js";

const MOST = 100; // rows of one request
/** @type {Map<number, import("./store.js").Item>} */
const known = new Map();

/**
 * @param {number[]} rows Of the map that is shown. If another one comes meanwhile, they are found again in it.
 * @returns {Promise<import("./store.js").Item[]>} Without those that are not there any more.
 */
export async function rowItems(rows) {
  const asked = state.map;
  const now = () => rows.map(translator(asked)).filter((row) => row !== undefined);
  const lacking = () => now().filter((row) => !known.has(row));
  while (lacking().length)
    for (const item of await read("rows", () => ({ rows: lacking().slice(0, MOST).join(",") })))
      known.set(item.row, item);
  return now().map((row) => known.get(row));
}

/** Forgets what was looked up: labels have changed, or the windows have. */
export function forgetRows() {
  known.clear();
}
