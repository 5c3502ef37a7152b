// Says what the colours of the map mean. A kind can be hidden, or shown alone.

import { find, make, put } from "./dom.js";
import { say } from "./words.js";

const SIGNS = { yes: "●", no: "✕", unsure: "▲" };

/** @param {import("./colours.js").Colouring} coloured @param {Set<number>} hidden @param {(code: number, alone: boolean) => void} toggle */
export function showLegend(coloured, hidden, toggle) {
  put(
    find("map-legend"),
    coloured.ends && scale(coloured),
    ...coloured.kinds.map((kind) => button(kind, coloured.colours[kind.code], hidden, toggle)),
  );
}

function scale({ colours, ends }) {
  const stops = colours
    .filter((_, code) => code < 255)
    .filter((_, code, all) => code % Math.ceil(all.length / 12) === 0);
  const bar = make("span", { class: "scale", style: { background: `linear-gradient(to right, ${stops.join(", ")})` } });
  return make("span", { class: "ends" }, [make("span", { text: ends[0] }), bar, make("span", { text: ends[1] })]);
}

function button({ code, text, verdict }, colour, hidden, toggle) {
  const sign = make("span", {
    class: "sign",
    text: SIGNS[verdict] ?? "■",
    style: { color: colour },
    "aria-hidden": "true",
  });
  const shown = !hidden.has(code);
  return make(
    "button",
    {
      type: "button",
      class: "kind",
      "aria-pressed": String(shown),
      title: say("map.toggle"),
      on: { click: (event) => toggle(code, event.shiftKey), dblclick: () => toggle(code, true) },
    },
    [sign, make("span", { text })],
  );
}
