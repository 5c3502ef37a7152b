// Turns what a mouse, a wheel and keys do on the spectrogram into moves, zooms and a marked stretch.

import { find } from "./dom.js";
import { fail } from "./status.js";
import { set, state } from "./store.js";
import { LEAST_S, chooseAt, look, pan, showWhole, view, zoomPitch, zoomTime } from "./viewer.js";
import { startTouch } from "./viewer-touch.js";

let dragged = null;

export function startViewerInput() {
  const [box, strip] = [find("viewer"), find("strip")];
  const mouse = (work) => (event) => event.pointerType !== "touch" && work(event);
  box.addEventListener("pointerdown", mouse(press));
  box.addEventListener("pointermove", mouse(drag));
  box.addEventListener("pointerup", mouse(release));
  startTouch({ press, drag, release });
  box.addEventListener("wheel", wheel, { passive: false });
  box.addEventListener("keydown", key);
  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    slide(event);
  });
  strip.addEventListener("pointermove", (event) => event.buttons && slide(event));
}

/** @returns {{time_s: number, hz: number}} What a point of the picture stands for. */
function meaning(event) {
  const bounds = find("viewer").getBoundingClientRect();
  const across = Math.min(1, Math.max(0, (event.clientX - bounds.left) / bounds.width));
  const down = Math.min(1, Math.max(0, (event.clientY - bounds.top) / bounds.height));
  return {
    time_s: view.start_s + across * (view.end_s - view.start_s),
    hz: view.high_hz - down * (view.high_hz - view.low_hz),
  };
}

function press(event) {
  if (!state.opened || event.button > 0) return;
  find("viewer").setPointerCapture(event.pointerId);
  dragged = { ...meaning(event), left: event.clientX, top: event.clientY };
}

function drag(event) {
  if (!dragged || Math.abs(event.clientX - dragged.left) < 4) return;
  const now = meaning(event);
  const stretch = { start_s: Math.min(dragged.time_s, now.time_s), end_s: Math.max(dragged.time_s, now.time_s) };
  if (Math.abs(event.clientY - dragged.top) > 12)
    Object.assign(stretch, { low_hz: Math.min(dragged.hz, now.hz), high_hz: Math.max(dragged.hz, now.hz) });
  set({ stretch });
}

function release(event) {
  if (dragged && Math.abs(event.clientX - dragged.left) < 4) {
    const { time_s } = dragged;
    set({ stretch: null });
    chooseAt(time_s).then(
      () => find("viewer").dispatchEvent(new CustomEvent("seek", { detail: time_s })),
      fail,
    );
  }
  dragged = null;
}

function slide(event) {
  if (!state.opened) return;
  const bounds = find("strip").getBoundingClientRect();
  const middle_s = ((event.clientX - bounds.left) / bounds.width) * state.opened.duration_s;
  const half_s = (view.end_s - view.start_s) / 2;
  look(middle_s - half_s, middle_s + half_s);
}

function wheel(event) {
  if (!state.opened) return;
  event.preventDefault();
  const factor = Math.exp(event.deltaY * 0.0015);
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / 800);
  else if (event.ctrlKey || event.altKey) zoomPitch(factor, meaning(event).hz);
  else zoomTime(factor, meaning(event).time_s);
}

/** Moves and zooms by arrow keys; with Shift, they move the ends of the marked stretch. */
function key(event) {
  if (!state.opened || event.ctrlKey || event.metaKey || event.altKey) return;
  const plain = {
    ArrowLeft: () => pan(-0.25),
    ArrowRight: () => pan(0.25),
    ArrowUp: () => zoomTime(0.5),
    ArrowDown: () => zoomTime(2),
    "+": () => zoomTime(0.5),
    "=": () => zoomTime(0.5),
    "-": () => zoomTime(2),
    Home: () => look(0, view.end_s - view.start_s),
    End: () => look(state.opened.duration_s, 2 * state.opened.duration_s),
    0: showWhole,
    "<": () => extend(-1, false),
    ">": () => extend(1, false),
  };
  const shifted = {
    ArrowLeft: () => extend(-1, true),
    ArrowRight: () => extend(1, true),
    ArrowUp: () => zoomPitch(0.5),
    ArrowDown: () => zoomPitch(2),
  };
  const work = (event.shiftKey && shifted[event.key]) || plain[event.key];
  if (!work) return;
  event.preventDefault();
  work();
}

/** Moves the beginning or the end of the marked stretch; where none is marked, of the window. */
function extend(direction, end) {
  const step_s = (direction * (view.end_s - view.start_s)) / 40;
  const stretch = state.stretch ?? { start_s: state.current.start_s, end_s: state.current.end_s };
  const [least_s, most_s] = end ? [stretch.start_s + LEAST_S, state.opened.duration_s] : [0, stretch.end_s - LEAST_S];
  const moved_s = Math.min(most_s, Math.max(least_s, stretch[end ? "end_s" : "start_s"] + step_s));
  set({ stretch: { ...stretch, [end ? "end_s" : "start_s"]: moved_s } });
}
