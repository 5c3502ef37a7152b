// Keeps what the parts of the page share, and tells them when it changes.

/**
 * @typedef {object} Item A window of the collection, or a stretch of a recording.
 * @property {number} [row] Its place in the order of the map; a stretch has none.
 * @property {number} recording
 * @property {string} path
 * @property {number} start_s
 * @property {number} end_s
 * @property {number} [score]
 * @property {string} [time]
 * @property {string} [site]
 * @property {{label: string, verdict: string, author: string, id: number}[]} [labels]
 */

/**
 * @typedef {object} Stretch What is marked in the spectrogram.
 * @property {number} start_s
 * @property {number} end_s
 * @property {number} [low_hz]
 * @property {number} [high_hz]
 */

/**
 * @typedef {object} Opened What is known of a recording.
 * @property {number} id
 * @property {number} duration_s
 * @property {number} sample_rate_hz
 * @property {string} content What tells it from other recordings that have its number at another time, or in another collection.
 * @property {number[]} start_s Of its windows, as far as they are given.
 * @property {number[]} end_s
 * @property {number | null} first_row The row of its first window.
 * @property {{label: string, verdict: string, start_s: number, end_s: number}[]} labels
 * @property {{label: string, score: number, start_s: number, end_s: number}[]} detections
 */

export const state = {
  about: null, // what /api/about says
  map: null, // see map-data.js
  /** @type {Item | null} */ current: null,
  /** @type {Opened | null} */ opened: null, // the recording in the spectrogram
  /** @type {Stretch | null} */ stretch: null,
  /** @type {Item[]} */ items: [],
  /** @type {number[]} */ listed: [], // rows of all of the list that is shown, those that are not drawn yet too
  list: "recordings", // which list is shown: found, next, chosen, labelled, recordings
  /** @type {number[]} */ chosen: [], // rows that the lasso holds
  label: "",
  /** @type {Map<number, string>} */ verdicts: new Map(), // row -> verdict of the label
  classifier: "",
  /** @type {Object<string, Float32Array> | null} */ scores: null, // of the classifier, by label
  job: null,
};

const listeners = new Map();

/** Calls `listener` whenever one of these names (separated by spaces) changes. */
export function on(names, listener) {
  for (const name of names.split(" ")) {
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(listener);
  }
}

/** Changes some of the state, and tells each listener once. */
export function set(changes) {
  Object.assign(state, changes);
  const told = new Set(Object.keys(changes).flatMap((name) => [...(listeners.get(name) ?? [])]));
  for (const listener of told) listener(state);
}

/** @returns {object | undefined} What is known of the encoder whose windows are shown. */
export function encoderShown() {
  return state.about?.encoders.find(({ name }) => name === state.about.encoder);
}
