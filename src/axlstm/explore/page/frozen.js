// Answers in place of a server where the page is one file for reading, which `axlstm explore --export` wrote.

const element = document.getElementById("axlstm-data");

/** What the file holds; null if there is a server. */
export const frozen = element ? JSON.parse(element.textContent) : null;

const ANSWERS = {
  about: () => frozen.about,
  labels: () => [],
  exports: () => [],
  labelled: ({ label }) => frozen.labelled[label] ?? [],
  recordings: listed,
  rows,
};

/** @returns {any} What the server would answer. */
export function frozenAnswer(path, parameters) {
  return ANSWERS[path](parameters);
}

/** @returns {ArrayBuffer} The map. */
export function frozenMap() {
  return Uint8Array.from(atob(frozen.map), (letter) => letter.charCodeAt(0)).buffer;
}

let columns = null;

/** Takes the columns of the map, which say where windows are. */
export function frozenColumns(found) {
  columns = found;
}

function rows({ rows: wanted }) {
  return wanted
    .split(",")
    .map(Number)
    .map((row) => {
      const recording = columns.recording.values[row];
      const { path, site, recorded_at: begin } = frozen.recordings[recording];
      const start_s = columns.start_ms.values[row] / 1000;
      const { end_s } = frozen.windows[row] ?? { end_s: start_s + frozen.window_s };
      return { row, recording, path, start_s, end_s, site, time: timeOf(begin, start_s), labels: [] };
    });
}

/** @returns {string | undefined} When a window begins, by the clock that its recording's time is of. */
function timeOf(begin, start_s) {
  const [, clock, zone] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)(.*)$/.exec(begin ?? "") ?? [];
  return clock && new Date(Date.parse(`${clock}Z`) + 1000 * start_s).toISOString().slice(0, -1) + zone;
}

function listed({ like, after, count }) {
  const found = Object.entries(frozen.recordings)
    .map(([id, about]) => ({ id: Number(id), ...about }))
    .filter(({ path }) => path.toLowerCase().includes(like.toLowerCase()) && path > after)
    .sort((one, other) => (one.path < other.path ? -1 : 1));
  return { recordings: found.slice(0, count), total: found.length };
}

/** @returns {import("./store.js").Opened} What is known of the recording of a window: as much as is inside. */
export function frozenRecording(item) {
  const inside = frozen.windows[item.row];
  return {
    id: item.recording,
    duration_s: item.end_s,
    sample_rate_hz: 2 * (inside?.high_hz ?? 12000),
    start_s: [item.start_s],
    end_s: [item.end_s],
    first_row: null,
    labels: [],
    detections: [],
  };
}
