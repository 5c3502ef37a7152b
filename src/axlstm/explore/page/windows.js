// Finds windows again where the collection has others than before: by their recording and beginning, since rows change.

import { state } from "./store.js";

const NEAR_MS = 1; // beginnings are rounded to milliseconds, here and in the map

/** Lists where each recording's windows lie in a map: by its number, its first row, and the row behind its last one. */
function spansOf({ count, columns }) {
  const recordings = columns.recording.values;
  const spans = new Map();
  for (let first = 0, row = 1; row <= count; row++) {
    if (row < count && recordings[row] === recordings[first]) continue;
    spans.set(recordings[first], [first, row]);
    first = row;
  }
  return spans;
}

/** @returns {number} The first row from `low` to `high` whose window begins at a time or later. */
function firstFrom(starts, low, high, start_ms) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] < start_ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @returns {number | undefined} The last window of a recording that begins before a time, if the map has any of it. */
export function windowAt(map, recording, time_s) {
  const [first, end] = (map && spansOf(map).get(recording)) ?? [0, 0];
  const behind = end && firstFrom(map.columns.start_ms.values, first, end, 1000 * time_s);
  return end ? Math.max(first, behind - 1) : undefined;
}

/**
 * Makes what finds windows in a map.
 *
 * @param {import("./map-data.js").MapData | null} map
 * @returns {(recording: number, start_ms: number) => number | undefined} The row of a window, if it is there.
 */
export function finder(map) {
  if (!map) return () => undefined;
  const [spans, starts] = [spansOf(map), map.columns.start_ms.values];
  return (recording, start_ms) => {
    const [first, end] = spans.get(recording) ?? [0, 0];
    const row = firstFrom(starts, first, end, start_ms - NEAR_MS);
    return row < end && starts[row] <= start_ms + NEAR_MS ? row : undefined;
  };
}

/**
 * Makes what says which row of the map that is shown now a row of an earlier one is.
 *
 * @param {import("./map-data.js").MapData | null} before @param {import("./map-data.js").MapData | null} [now]
 * @returns {(row: number) => number | undefined}
 */
export function translator(before, now = state.map) {
  if (before === now) return (row) => row;
  if (!before) return () => undefined;
  const [find, { recording, start_ms: start }] = [finder(now), before.columns];
  return (row) => find(recording.values[row], start.values[row]);
}

/** Gives an item the row that it has in a map; without one there, it becomes a stretch. @param {import("./store.js").Item} item */
export function place(item, find) {
  const row = find(item.recording, Math.round(1000 * item.start_s));
  if (row === undefined) delete item.row;
  else item.row = row;
  return row !== undefined;
}
