// Looks up windows by their rows, and keeps them.

import { read } from "./api.js";

const MOST = 100; // rows of one request
/** @type {Map<number, import("./store.js").Item>} */
const known = new Map();

/** @param {number[]} rows @returns {Promise<import("./store.js").Item[]>} */
export async function rowItems(rows) {
  const wanted = rows.filter((row) => !known.has(row));
  for (let at = 0; at < wanted.length; at += MOST) {
    for (const item of await read("rows", { rows: wanted.slice(at, at + MOST).join(",") })) known.set(item.row, item);
  }
  return rows.map((row) => known.get(row)).filter(Boolean);
}

/** Forgets what was looked up: labels have changed, or the windows have. */
export function forgetRows() {
  known.clear();
}
