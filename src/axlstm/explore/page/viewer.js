// Shows a recording's spectrogram: any stretch and band of it, with what is known about them drawn in.

import { address, read } from "./api.js";
import { find, later, put } from "./dom.js";
import { frozen, frozenRecording } from "./frozen.js";
import { drawOverlay, drawStrip } from "./overlay.js";
import { rowItems } from "./rows.js";
import { on, set, state } from "./store.js";
import { fail } from "./status.js";
import { currentTheme } from "./theme.js";
import { windowAt } from "./windows.js";
import { clock, pitch, say } from "./words.js";

export const LEAST_S = 0.02; // that is shown, or marked
const LEAST_HZ = 50;
const MOST_PIXELS = [2000, 600];

/** What is seen. */
export const view = { start_s: 0, end_s: 1, low_hz: 0, high_hz: 1 };
let asked = 0;
let staying = false; // whether another window is opened without moving to it
let drawn = null; // the stretch and band of the picture that is there

export function startViewer() {
  const box = find("viewer");
  const buttons = {
    "time-in": () => zoomTime(0.5),
    "time-out": () => zoomTime(2),
    "pitch-in": () => zoomPitch(0.5),
    "pitch-out": () => zoomPitch(2),
    "show-window": showWindow,
    "show-whole": showWhole,
    "show-tall": tall,
  };
  for (const [id, work] of Object.entries(buttons)) find(id).addEventListener("click", work);
  new ResizeObserver(refresh).observe(box);
  on("current", open);
  on("map", () => state.current && showTitle(state.current)); // whose row may be another one
  on("stretch", overlay);
  on("theme", () => {
    drawStripPicture();
    refresh();
  });
  on("classifier", () => reread().catch(fail));
}

/** Reads what is known of a recording, and what the classifier hears in it. @returns {Promise<import("./store.js").Opened>} */
async function factsOf(id) {
  if (frozen) return frozenRecording(state.current);
  const { classifier } = state;
  const heard = classifier ? read("detections", { recording: id, classifier }).catch(noneHeard) : [];
  const [facts, detections] = await Promise.all([read(`recording/${id}`), heard]);
  return state.classifier === classifier ? { ...facts, detections } : factsOf(id); // another was chosen meanwhile
}

/** A recording without windows that the classifier can score has no detections; what else goes wrong is told. */
function noneHeard(error) {
  if (error.status !== 400) fail(error);
  return [];
}

/** Opens the recording of the current window, if another one is open. */
async function open() {
  const item = state.current;
  find("sound").classList.toggle("empty", !item);
  const ticket = ++asked;
  if (!item) return close();
  showTitle(item);
  if (state.opened?.id !== item.recording || frozen) {
    close();
    try {
      const facts = await factsOf(item.recording);
      if (ticket !== asked) return;
      state.opened = facts;
      Object.assign(view, { low_hz: 0, high_hz: facts.sample_rate_hz / 2 });
      drawStripPicture();
    } catch (error) {
      if (ticket === asked) missing(error.message);
      return fail(error);
    }
  }
  if (staying) refresh();
  else showWindow();
}

/** Makes the window at a time the current one, and stays at what is seen. */
export async function chooseAt(time_s) {
  const { opened, current, map } = state;
  if (!opened || frozen || (current.start_s <= time_s && time_s < current.end_s)) return;
  const row = windowAt(map, opened.id, time_s);
  const [item] = row === undefined ? [] : await rowItems([row]);
  if (!item || state.opened !== opened) return;
  staying = true;
  set({ current: item });
  staying = false;
}

/** Takes away all that is shown of a recording, so that it does not stand below the name of the next one. */
function close() {
  [state.opened, drawn] = [null, null];
  for (const id of ["picture", "strip-picture"]) find(id).removeAttribute("src");
  for (const id of ["overlay", "strip-overlay"]) put(find(id));
  missing("");
}

function drawStripPicture() {
  const { opened } = state;
  if (opened && !frozen)
    find("strip-picture").src = picture(
      { start_s: 0, end_s: opened.duration_s, low_hz: 0, high_hz: opened.sample_rate_hz / 2 },
      800,
      40,
    );
}

function showTitle({ row, path, start_s, end_s, time, site }) {
  find("sound").dataset.row = row ?? "";
  find("sound-name").textContent = path;
  find("sound-name").title = path;
  find("sound-facts").textContent = [`${clock(start_s)} – ${clock(end_s)}`, time?.replace("T", " "), site]
    .filter(Boolean)
    .join(" · ");
}

/** Reads the recording's labels and detections again. */
export async function reread() {
  if (!state.opened) return;
  const id = state.opened.id;
  const facts = await factsOf(id);
  if (state.opened?.id === id) Object.assign(state.opened, facts);
  overlay();
}

/** Shows the current window with some of what is around it. */
export function showWindow() {
  const { start_s, end_s } = state.current;
  const around_s = frozen ? 0 : Math.max(end_s - start_s, 0.5);
  look(start_s - around_s, end_s + around_s);
}

/** Shows the recording from its beginning to its end. */
export function showWhole() {
  if (state.opened) look(0, state.opened.duration_s);
}

function tall() {
  const now = find("sound").classList.toggle("tall");
  find("show-tall").setAttribute("aria-pressed", now);
}

/** Moves to a stretch, as far as there is sound, and draws. */
export function look(start_s, end_s) {
  if (!state.opened) return;
  const span_s = Math.min(Math.max(LEAST_S, end_s - start_s), state.opened.duration_s);
  view.start_s = Math.min(Math.max(0, start_s), state.opened.duration_s - span_s);
  view.end_s = view.start_s + span_s;
  refresh();
}

export function zoomTime(factor, middle_s = (view.start_s + view.end_s) / 2) {
  if (state.opened) look(middle_s - (middle_s - view.start_s) * factor, middle_s + (view.end_s - middle_s) * factor);
}

export function pan(share) {
  const span_s = view.end_s - view.start_s;
  if (state.opened) look(view.start_s + share * span_s, view.end_s + share * span_s);
}

export function zoomPitch(
  factor,
  middle_hz = factor < 1 ? view.low_hz + (view.high_hz - view.low_hz) / 4 : (view.low_hz + view.high_hz) / 2,
) {
  if (state.opened) band(middle_hz - (middle_hz - view.low_hz) * factor, middle_hz + (view.high_hz - middle_hz) * factor);
}

/** Moves to a band, as far as there are frequencies, and draws. */
export function band(low_hz, high_hz) {
  if (!state.opened) return;
  const top_hz = state.opened.sample_rate_hz / 2;
  const span_hz = Math.min(top_hz, Math.max(LEAST_HZ, high_hz - low_hz));
  view.low_hz = Math.min(Math.max(0, low_hz), top_hz - span_hz);
  view.high_hz = view.low_hz + span_hz;
  refresh();
}

/** @returns {string} The address of a picture. */
function picture(part, width, height) {
  if (frozen) return frozen.windows[state.current.row]?.picture ?? "";
  const { id, content } = state.opened; // by the content, no picture of another recording is taken from the browser's cache
  return address(`recording/${id}/spectrogram.png`, { ...part, width, height, theme: currentTheme(), content });
}

function refresh() {
  if (!state.opened) return;
  place();
  overlay();
  fetchPicture();
}

/** Puts the picture that is there to where it belongs in what is seen now, until the next one comes. */
function place() {
  const image = find("picture");
  if (!drawn) return;
  const [span_s, span_hz] = [view.end_s - view.start_s, view.high_hz - view.low_hz];
  image.style.left = `${(100 * (drawn.start_s - view.start_s)) / span_s}%`;
  image.style.width = `${(100 * (drawn.end_s - drawn.start_s)) / span_s}%`;
  image.style.top = `${(100 * (view.high_hz - drawn.high_hz)) / span_hz}%`;
  image.style.height = `${(100 * (drawn.high_hz - drawn.low_hz)) / span_hz}%`;
}

const fetchPicture = later(async () => {
  const box = find("viewer");
  if (!box.clientWidth || !state.opened) return;
  const ratio = window.devicePixelRatio || 1;
  const [part, id, next] = [{ ...view }, state.opened.id, new Image()];
  const sizes = [box.clientWidth, box.clientHeight].map((size, at) =>
    Math.min(MOST_PIXELS[at], Math.max(16, Math.round(size * ratio))),
  );
  const source = picture(part, ...sizes);
  if (!source) return missing(say("frozen.silent"));
  next.src = source;
  const wanted = () => state.opened?.id === id && Object.keys(part).every((name) => part[name] === view[name]);
  find("sound").setAttribute("aria-busy", "true");
  try {
    await next.decode();
  } catch {
    const reason = await whyNot(next.src);
    if (reason && wanted()) missing(reason);
    return;
  } finally {
    find("sound").removeAttribute("aria-busy");
  }
  if (!wanted()) return;
  missing("");
  const image = find("picture");
  image.src = next.src;
  drawn = part;
  place();
}, 60);

/** @returns {Promise<string>} What the server says of a picture that it does not give. */
async function whyNot(source) {
  const answer = frozen ? null : await fetch(source).catch(() => null);
  return answer && !answer.ok ? (await answer.json()).error : "";
}

/** Says why there is no picture: the recording has moved, or was changed. */
function missing(reason) {
  find("viewer-said").textContent = reason;
  find("viewer-said").hidden = !reason;
  if (reason) find("picture").removeAttribute("src");
}

function hint() {
  const { start_s, end_s } = state.current ?? view;
  if (end_s <= view.start_s || start_s >= view.end_s) return say("sound.unseen", { from: clock(start_s) });
  return say(matchMedia("(pointer: coarse)").matches ? "sound.nostretch.touch" : "sound.nostretch");
}

export function overlay() {
  if (!state.opened) return;
  drawOverlay(find("overlay"), view, state.opened, state);
  drawStrip(find("strip-overlay"), view, state.opened, state);
  const { stretch } = state;
  const band = stretch?.high_hz ? `, ${pitch(stretch.low_hz)}–${pitch(stretch.high_hz)}` : "";
  find("stretch-said").textContent = stretch
    ? say("sound.stretch", { from: clock(stretch.start_s, 0.01), to: clock(stretch.end_s, 0.01) }) + band
    : hint();
  find("stretch-clear").hidden = !stretch;
}
