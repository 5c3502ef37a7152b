// Reads the texts of the page from strings.json and puts them in place.

import { frozen } from "./frozen.js";

let strings = {};

export async function loadWords() {
  strings = frozen?.strings ?? (await (await fetch("/page/strings.json")).json());
}

/**
 * Says a text. `{name}` in it is replaced by the value; `{count|window|windows}` chooses by the number `count`.
 *
 * @param {string} key @param {Object<string, any>} [values]
 */
export function say(key, values = {}) {
  const text = strings[key] ?? key;
  return text
    .replace(/\{(\w+)\|([^|}]*)\|([^}]*)\}/g, (_, name, one, many) => (Number(values[name]) === 1 ? one : many))
    .replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/** Puts texts into all elements below `root` that name one: data-say, data-say-label, data-say-title, data-say-hint. */
export function putWords(root) {
  const places = {
    say: (e, t) => (e.textContent = t),
    sayLabel: (e, t) => e.setAttribute("aria-label", t),
    sayTitle: (e, t) => (e.title = t),
    sayHint: (e, t) => e.setAttribute("placeholder", t),
  };
  for (const [name, put] of Object.entries(places)) {
    const attribute = `data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    for (const element of root.querySelectorAll(`[${attribute}]`)) put(element, say(element.dataset[name]));
  }
}

function shown(value) {
  return typeof value === "number" ? number(value) : String(value ?? "");
}

/** @returns {string} A number with its thousands apart, such as 12,345. */
export function number(value) {
  return value.toLocaleString("en", { maximumFractionDigits: 2 });
}

/** @returns {string} A time in a recording, such as 1:02:03.5. `step_s` is what the reader should be able to tell apart. */
export function clock(time_s, step_s = 0.1) {
  const digits = step_s >= 1 ? 0 : step_s >= 0.1 ? 1 : step_s >= 0.01 ? 2 : 3;
  const rounded = Number(Math.max(0, time_s).toFixed(digits));
  const [hours, minutes] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60];
  const seconds = (rounded % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}

/** @returns {string} A frequency, such as 8 kHz. */
export function pitch(frequency_hz) {
  return frequency_hz >= 1000
    ? `${number(Number((frequency_hz / 1000).toFixed(2)))} kHz`
    : `${Math.round(frequency_hz)} Hz`;
}
