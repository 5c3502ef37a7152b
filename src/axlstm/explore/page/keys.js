// Works the page by keys, and lists them.

import { find, make, put } from "./dom.js";
import { findThis } from "./find.js";
import { frozen } from "./frozen.js";
import { judge, undo } from "./labels.js";
import { step } from "./list.js";
import { grow, lassoMode } from "./map-view.js";
import { toggle } from "./player.js";
import { set, state } from "./store.js";
import { showWhole, showWindow, zoomPitch, zoomTime } from "./viewer.js";
import { say } from "./words.js";

const LISTS = ["found", "next", "chosen", "labelled", "recordings"];

/** Keys that work wherever one is, but in a field for text. The text of each is `key.NAME`. */
const KEYS = [
  [
    "label",
    [
      ["y", "yes", () => judge("yes")],
      ["n", "no", () => judge("no")],
      ["u", "unsure", () => judge("unsure")],
      ["z", "undo", () => undo()],
    ],
  ],
  [
    "hear",
    [
      [" ", "play", toggle],
      ["j", "next", () => step(1)],
      ["k", "before", () => step(-1)],
      ["w", "window", () => state.current && showWindow()],
      ["W", "whole", () => state.current && showWhole()],
      ["[", "wider", () => zoomTime(2)],
      ["]", "closer", () => zoomTime(0.5)],
      ["{", "pitch-wider", () => zoomPitch(2)],
      ["}", "pitch-closer", () => zoomPitch(0.5)],
      ["Escape", "clear", () => set({ stretch: null })],
    ],
  ],
  [
    "find",
    [
      ["s", "similar", findThis],
      [
        "/",
        "name",
        () => {
          set({ list: "recordings" });
          find("recordings-like").focus();
        },
      ],
      ["l", "lasso", () => lassoMode(true)],
      ["g", "grow", grow],
    ],
  ],
  [
    "go",
    [
      ["m", "map", () => find("map").focus()],
      ["v", "viewer", () => find("viewer").focus()],
      ["1", "lists", () => {}],
      ["?", "help", () => find("help").showModal()],
    ],
  ],
];
const CHANGING = ["y", "n", "u", "z", "s"]; // which need a server
const WORK = new Map(KEYS.flatMap(([, keys]) => keys.map(([key, , work]) => [key, work])));

/** Keys of the map and of the spectrogram, while they have the focus: for the list alone. */
const ELSEWHERE = [
  ["map", ["arrows", "shift-arrows", "plus", "zero"]],
  ["viewer", ["arrows", "up-down", "shift-arrows", "shift-angle", "shift-up", "zero"]],
];

export function startKeys() {
  document.addEventListener("keydown", press);
  find("help-open").addEventListener("click", () => find("help").showModal());
  find("help-close").addEventListener("click", () => find("help").close());
  put(
    find("keys"),
    ...KEYS.map(([name, keys]) =>
      group(
        `keys.${name}`,
        keys.map(([key, text]) => [key === " " ? say("key.space") : text === "lists" ? "1–5" : key, `key.${text}`]),
      ),
    ),
    ...ELSEWHERE.map(([name, keys]) =>
      group(
        `keys.${name}`,
        keys.map((key) => [say(`key.${name}.${key}.key`), `key.${name}.${key}`]),
      ),
    ),
  );
}

function group(title, keys) {
  return make("section", {}, [
    make("h3", { text: say(title) }),
    make(
      "dl",
      {},
      keys.flatMap(([key, text]) => [make("dt", {}, [make("kbd", { text: key })]), make("dd", { text: say(text) })]),
    ),
  ]);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || find("help").open) return;
  const field = event.target.closest("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (field) return event.key === "Escape" && field.blur();
  if (event.key === " " && event.target.closest("button, input, summary, a")) return;
  if (frozen && CHANGING.includes(event.key)) return;
  const list = LISTS[Number(event.key) - 1];
  if (!list && !WORK.has(event.key)) return;
  event.preventDefault();
  if (list) set({ list });
  else WORK.get(event.key)();
}
