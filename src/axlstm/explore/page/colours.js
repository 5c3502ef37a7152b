// Chooses the colours of the map: by label, score, site, hour or density.

import { say, number } from "./words.js";

const UNKNOWN = 255;
const RAMP = {
  light: ["#cfd8da", "#8fc0b5", "#0b7a68", "#06302a"],
  dark: ["#2d3a42", "#2b7f70", "#63d3b8", "#effff9"],
};
const HOURS = ["#3a4f9e", "#4f86c6", "#e0935f", "#e3b93c", "#d9a03a", "#c4577c", "#7a4a9a", "#3a4f9e"];
const KINDS = {
  light: ["#0072b2", "#c44e00", "#00805e", "#b3588c", "#806300", "#2b8cc4", "#6a51a3", "#5f6b6b", "#9c2f2f", "#3f7f1f"],
  dark: ["#5ab0e8", "#f28a45", "#35c79b", "#e39ac5", "#e0c14a", "#9ad3f5", "#b6a2e6", "#a9b4b4", "#ef8a8a", "#9dd06f"],
};
const PLAIN = { light: "#9aa8a6", dark: "#5d6b72" };
export const VERDICT = {
  light: { yes: "#00765c", no: "#b8400e", unsure: "#8a6500" },
  dark: { yes: "#3fd0a4", no: "#ff9264", unsure: "#efc84a" },
};

/**
 * @typedef {object} Colouring
 * @property {Uint8Array} codes A colour for each window.
 * @property {string[]} colours Of each code.
 * @property {{code: number, text: string}[]} kinds What the legend lists, if the codes are kinds.
 * @property {[string, string] | null} ends What the legend says at the ends of a ramp.
 */

/**
 * @param {import("./map-data.js").MapData} map @param {string} by label, score, site, hour or density
 * @param {"light" | "dark"} theme @param {{verdicts: Map<number, string>, scores: ArrayLike<number> | null}} known
 * @returns {Colouring}
 */
export function colouring(map, by, theme, { verdicts, scores }) {
  if (by === "score")
    return measured(
      Uint8Array.from(scores, (score) => (Number.isNaN(score) ? UNKNOWN : Math.round(score * 254))),
      spread(RAMP[theme], 255),
      theme,
      [number(0), number(1)],
    );
  if (by === "density") return ramp(map.columns.density.values, RAMP[theme], [say("map.sparse"), say("map.crowded")]);
  if (by === "hour") return measured(map.columns.hour.values, spread(HOURS, 25).slice(0, 24), theme, ["0 h", "24 h"]);
  if (by === "site") return sites(map.columns.site, theme);
  return labels(map.count, verdicts, theme);
}

function ramp(codes, stops, ends) {
  return { codes, colours: spread(stops, 256), kinds: [], ends };
}

/** Colours a ramp of which some windows have no value: these are plain, and the legend says so. */
function measured(codes, colours, theme, ends) {
  const kinds = codes.includes(UNKNOWN) ? [{ code: UNKNOWN, text: say("map.unknown") }] : [];
  return { codes, colours: Object.assign([...colours], { [UNKNOWN]: PLAIN[theme] }), kinds, ends };
}

function sites({ values, names }, theme) {
  const colours = names.map((_, site) => (site ? KINDS[theme][(site - 1) % KINDS[theme].length] : PLAIN[theme])); // 0 is of no site
  const used = new Set(values);
  const kinds = names
    .map((text, code) => ({ code, text: text || say("map.unknown") }))
    .filter(({ code }) => used.has(code));
  return { codes: values, colours, kinds, ends: null };
}

function labels(count, verdicts, theme) {
  const codes = new Uint8Array(count);
  const order = ["yes", "no", "unsure"];
  for (const [row, verdict] of verdicts) if (row < count) codes[row] = 1 + order.indexOf(verdict);
  const kinds = [
    { code: 0, text: say("verdict.none") },
    ...order.map((verdict, at) => ({ code: at + 1, text: say(`verdict.${verdict}`), verdict })),
  ];
  return { codes, colours: [PLAIN[theme], ...order.map((verdict) => VERDICT[theme][verdict])], kinds, ends: null };
}

/** @returns {Int32Array} The colours as pixels, 0 for the hidden ones. */
export function palette(colours, hidden) {
  const pixels = new Int32Array(256);
  colours.forEach((colour, code) => {
    if (!hidden.has(code)) pixels[code] = pixel(colour);
  });
  return pixels;
}

/** @returns {number} A colour such as #0b7a68 as a pixel, 0xAABBGGRR. */
export function pixel(colour) {
  const [red, green, blue] = parts(colour);
  return (255 << 24) | (blue << 16) | (green << 8) | red;
}

function parts(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** @returns {string[]} `count` colours, evenly between the stops. */
export function spread(stops, count) {
  return Array.from({ length: count }, (_, at) => {
    const along = (at / (count - 1)) * (stops.length - 1);
    const [first, second] = [parts(stops[Math.floor(along)]), parts(stops[Math.ceil(along)])];
    const share = along - Math.floor(along);
    return `#${first
      .map((part, channel) =>
        Math.round(part + share * (second[channel] - part))
          .toString(16)
          .padStart(2, "0"),
      )
      .join("")}`;
  });
}
