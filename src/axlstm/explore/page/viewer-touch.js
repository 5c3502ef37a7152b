// Moves and zooms the spectrogram by fingers: what lies under a finger stays there. A finger that is held marks.

import { find } from "./dom.js";
import { state } from "./store.js";
import { band, look, view } from "./viewer.js";

const HOLD_MS = 450; // that a finger rests before it marks
const STILL_PX = 10; // that it may move meanwhile
const LEAST_PX = 12; // between two fingers: nearer ones would zoom without an end

/**
 * @typedef {object} Finger
 * @property {number} x From the left of the spectrogram, in CSS pixels.
 * @property {number} y From its top.
 * @property {number} time_s What it was put down on.
 * @property {number} hz
 */

/** @type {Map<number, Finger>} */
const fingers = new Map();
let moved = false;
let marking = false; // whether a finger was held, and marks
let across = false; // whether two fingers lie beside each other: they zoom in time then, else in frequency
let timer = 0;

/**
 * @param {object} mouse What a mouse does; a finger that is held does the same.
 * @param {(event: PointerEvent) => void} mouse.press @param {(event: PointerEvent) => void} mouse.drag
 * @param {(event: PointerEvent) => void} mouse.release
 */
export function startTouch({ press, drag, release }) {
  const box = find("viewer");
  const on = (name, work) => box.addEventListener(name, (event) => event.pointerType === "touch" && work(event));

  const place = (event) => {
    const bounds = box.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  };

  on("pointerdown", (event) => {
    if (!state.opened || marking) return;
    box.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { ...place(event), time_s: 0, hz: 0 });
    putDown();
    clearTimeout(timer);
    moved = fingers.size > 1;
    if (!moved) timer = setTimeout(() => mark(event), HOLD_MS);
  });

  function mark(event) {
    marking = true;
    box.classList.add("marking");
    press(event);
  }

  on("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return undefined;
    if (marking) return drag(event);
    const now = place(event);
    if (!moved && Math.hypot(now.x - finger.x, now.y - finger.y) < STILL_PX) return undefined;
    [moved, finger.x, finger.y] = [true, now.x, now.y];
    clearTimeout(timer);
    return follow();
  });

  function lift(event) {
    if (!fingers.delete(event.pointerId)) return false;
    clearTimeout(timer);
    putDown();
    return true;
  }

  on("pointerup", (event) => {
    if (!lift(event)) return;
    if (!marking && !moved) press(event); // a tap is a click
    if (marking || !moved) release(event);
    end();
  });
  on("pointercancel", (event) => lift(event) && end());
  on("contextmenu", (event) => event.preventDefault());

  function end() {
    if (fingers.size) return;
    marking = false;
    box.classList.remove("marking");
  }
}

/** Notes what lies under the fingers now. */
function putDown() {
  const { clientWidth: wide, clientHeight: high } = find("viewer");
  for (const finger of fingers.values()) {
    finger.time_s = view.start_s + (finger.x / wide) * (view.end_s - view.start_s);
    finger.hz = view.high_hz - (finger.y / high) * (view.high_hz - view.low_hz);
  }
  const [one, other] = fingers.values();
  across = Boolean(other) && Math.abs(one.x - other.x) >= Math.abs(one.y - other.y);
}

/** Moves what is seen to where the fingers are. */
function follow() {
  const { clientWidth: wide, clientHeight: high } = find("viewer");
  const [one, other = one] = fingers.values();
  const [x, y] = [(one.x + other.x) / 2, (one.y + other.y) / 2];
  const [time_s, hz] = [(one.time_s + other.time_s) / 2, (one.hz + other.hz) / 2];
  let each_s = (view.end_s - view.start_s) / wide; // of a pixel
  let each_hz = (view.high_hz - view.low_hz) / high;
  const apart = across ? other.x - one.x : one.y - other.y;
  if (other !== one && Math.abs(apart) < LEAST_PX) return;
  if (other !== one && across) each_s = Math.abs((other.time_s - one.time_s) / apart);
  if (other !== one && !across) each_hz = Math.abs((other.hz - one.hz) / apart);
  look(time_s - x * each_s, time_s + (wide - x) * each_s);
  band(hz - (high - y) * each_hz, hz + y * each_hz);
}
