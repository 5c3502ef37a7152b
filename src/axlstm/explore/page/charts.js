// Draws curves: lines with their bands, a marker, and axes from 0 to 1.

import { draw, make } from "./dom.js";
import { number } from "./words.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [300, 190, 46, 30];

/**
 * @typedef {object} Curve
 * @property {[number, number][]} points
 * @property {"line" | "faint" | "dots"} [kind]
 */

/**
 * @param {string} title @param {string} across What runs along the bottom. @param {string} up What runs up.
 * @param {Curve[]} curves @param {{most?: number, band?: [number, number, number][], marker?: [number, number]}} [more] `most` is the end of the
 *   axis along the bottom; `band` has x, low and high; `marker` is a point.
 */
export function chart(title, across, up, curves, { most = 1, band = [], marker } = {}) {
  const x = (value) => LEFT + ((WIDTH - LEFT - 8) * value) / most;
  const y = (value) => 8 + (HEIGHT - BOTTOM - 8) * (1 - Math.min(1, Math.max(0, value)));
  const path = (points) =>
    points.map(([px, py], at) => `${at ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    draw("line", { class: "grid", x1: x(0), x2: x(most), y1: y(share), y2: y(share) }),
    draw("text", { class: "tick", x: LEFT - 5, y: y(share) + 4, "text-anchor": "end", text: number(share) }),
    draw("text", {
      class: "tick",
      x: x(share * most),
      y: HEIGHT - BOTTOM + 15,
      "text-anchor": "middle",
      text: number(most === 1 ? share : Math.round(share * most)),
    }),
  ]);
  const area =
    band.length > 1 &&
    draw("path", {
      class: "band",
      d: `${path(band.map(([px, , high]) => [px, high]))}L${path([...band].reverse().map(([px, low]) => [px, low])).slice(1)}Z`,
    });
  const lines = curves.flatMap(({ points, kind = "line" }) =>
    kind === "dots"
      ? points.map(([px, py]) => draw("circle", { class: "dot", cx: x(px), cy: y(py), r: 3.5 }))
      : [draw("path", { class: kind, d: path(points) })],
  );
  const point =
    marker &&
    draw("g", { class: "marker" }, [
      draw("line", { x1: x(marker[0]), x2: x(marker[0]), y1: y(0), y2: y(1) }),
      draw("circle", { cx: x(marker[0]), cy: y(marker[1]), r: 5 }),
    ]);
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title }, [
    ...grid,
    area,
    ...lines,
    point,
    draw("text", { class: "name", x: x(most), y: HEIGHT - 2, "text-anchor": "end", text: across }),
    draw("text", {
      class: "name",
      x: 0,
      y: 0,
      transform: `translate(10 ${y(1)}) rotate(-90)`,
      "text-anchor": "end",
      text: up,
    }),
  ]);
  return make("figure", {}, [make("figcaption", { text: title }), svg]);
}

/** Draws how often each probability comes: bars of those that are a yes up, of a no down. @param {number[]} yes @param {number[]} no Counts of equal bins. */
export function histogram(title, yes, no, threshold, names) {
  const [width, height, base] = [300, 96, 48];
  const most = Math.max(1, ...yes, ...no);
  const bar = (count, at, kind) => {
    const tall = (44 * count) / most;
    return draw("rect", {
      class: kind,
      x: (width * at) / yes.length + 0.5,
      width: width / yes.length - 1,
      y: kind === "yes" ? base - tall : base,
      height: tall,
    });
  };
  const line = draw("line", { class: "threshold", x1: width * threshold, x2: width * threshold, y1: 0, y2: height });
  return draw(
    "svg",
    { class: "chart histogram", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
    [
      ...yes.map((count, at) => bar(count, at, "yes")),
      ...no.map((count, at) => bar(count, at, "no")),
      draw("line", { class: "grid", x1: 0, x2: width, y1: base, y2: base }),
      line,
      draw("text", { class: "name", x: 2, y: 11, text: names[0] }),
      draw("text", { class: "name", x: 2, y: height - 4, text: names[1] }),
    ],
  );
}
