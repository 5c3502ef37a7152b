// Finds sounds that are like one: the current one, the chosen ones, a file, what the microphone hears, a label.

import { change, send } from "./api.js";
import { find, make, put } from "./dom.js";
import { fillList } from "./list.js";
import { frozen } from "./frozen.js";
import { record } from "./microphone.js";
import { notice, working } from "./status.js";
import { encoderShown, on, set, state } from "./store.js";
import { say } from "./words.js";

const MOST_ROWS = 5000;

export function startFind() {
  find("find-this").addEventListener("click", findThis);
  find("find-chosen").addEventListener("click", () =>
    run("find-chosen", () => ({ rows: spread(state.chosen) }), say("find.chosen", { count: state.chosen.length })),
  );
  find("find-label").addEventListener("click", () =>
    run("find-label", () => ({ label: state.label }), say("find.label", { label: state.label })),
  );
  find("find-file").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", () => {
    if (find("file").files[0]) findFile(find("file").files[0]);
    find("file").value = "";
  });
  find("find-heard").addEventListener("click", hear);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
  document.addEventListener("drop", drop);
  on("current chosen label about", able);
  able();
}

function able() {
  find("find-this").disabled = !state.current;
  find("find-chosen").disabled = !state.chosen.length;
  find("find-label").disabled = !state.label;
  const encoder = encoderShown();
  const why = encoder && !encoder.available ? encoder.why_not : "";
  for (const id of ["find-file", "find-heard"]) find(id).disabled = Boolean(why);
  find("find-why").textContent = why;
  find("find-why").hidden = !why;
}

/** Finds what is like the marked stretch, or the current window. */
export function findThis() {
  const { current, stretch } = state;
  if (!current) return undefined;
  const { start_s, end_s } = stretch ?? current;
  const query = () => ({ stretches: [{ recording: current.recording, start_s, end_s }] });
  return run("find-this", query, say("find.this", { path: current.path }), current);
}

async function drop(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file && !frozen) await findFile(file);
}

async function findFile(file) {
  await working(find("find-file"), async () => {
    put(find("list-note"), make("span", { class: "busy", text: say("find.sending", { name: file.name }) }));
    const { upload } = await send("upload", { name: file.name }, file);
    await search(() => ({ upload }), say("find.file", { name: file.name }));
  });
}

/** Records until the button is pressed again, and searches with what was heard. */
async function hear() {
  const button = find("find-heard");
  if (button.ending) return button.ending();
  const stopped = new Promise((end) => (button.ending = end));
  button.setAttribute("aria-pressed", "true");
  try {
    const wav = await record(
      stopped,
      (seconds) => (find("list-note").textContent = say("find.hearing", { seconds: seconds.toFixed(0) })),
    );
    const { upload } = await send("upload", { name: "microphone.wav" }, wav);
    await search(() => ({ upload }), say("find.heard"));
  } catch (error) {
    find("list-note").textContent = "";
    notice(
      error.name === "NotAllowedError" || error.name === "NotFoundError" ? say("microphone.none") : error.message,
      "bad",
    );
  } finally {
    button.ending = null;
    button.setAttribute("aria-pressed", "false");
  }
}

async function run(id, query, note, from) {
  await working(find(id), () => search(query, note, from));
}

/**
 * Searches, and opens the best hit: but for a search from the window that is shown, which may still be labelled.
 *
 * @param {() => object} query What is looked for; its rows are those of the map that is shown when it is called.
 * @param {import("./store.js").Item} [from] The window that is looked for.
 */
async function search(query, note, from) {
  const options = {
    count: Number(find("find-count").value),
    one_per_recording: find("find-one").checked,
    filters: filters(),
  };
  put(find("list-note"), make("span", { class: "busy", text: say("find.busy") }));
  try {
    const { hits, compared, notes = [] } = await change("search", () => ({ ...query(), ...options }));
    fillList("found", hits, [note, say("find.compared", { count: hits.length, compared }), ...notes].join(" · "), { from });
    if (!from && hits.length) set({ current: hits[0], stretch: null });
  } catch (error) {
    find("list-note").textContent = "";
    throw error;
  }
}

function filters() {
  const given = {};
  const isKnown = state.about.labels.some(({ label }) => label === state.label);
  if (find("find-new").checked && isKnown) given.not_labelled = [state.label];
  const site = find("find-site").value;
  if (site) given.where = [`site=${site}`];
  const [from, to] = [find("find-from").value, find("find-to").value];
  if (from || to) given.hours = `${from || "00:00"}-${to || "24:00"}`;
  return given;
}

/** @returns {number[]} At most as many rows as a search takes, evenly spread. */
function spread(rows) {
  const step = Math.max(1, rows.length / MOST_ROWS);
  return Array.from({ length: Math.min(rows.length, MOST_ROWS) }, (_, at) => rows[Math.floor(at * step)]);
}
