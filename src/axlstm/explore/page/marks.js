// Draws what stands out on the map: labelled windows by shape, what is listed, the current window; and the lasso.
// Shapes are drawn once, and then put into the map's pixels: lines that are drawn anew in each frame are slow.

import { placeOf } from "./map-data.js";
import { makeStamp } from "./stamps.js";

const MOST_SHAPES = 1500; // of more that are seen, the colours of the points are enough
const SHAPES = { yes: disc, no: cross, unsure: triangle };

/**
 * @typedef {object} MarkColours
 * @property {string} line
 * @property {string} ground
 * @property {Object<string, string>} verdict
 */

/** @type {Map<string, import("./stamps.js").Stamp>} */
const stamps = new Map();

/**
 * @param {import("./scatter.js").Scatter} scatter
 * @param {typeof import("./store.js").state} state
 * @param {MarkColours} colours
 */
export function stampMarks(scatter, state, colours) {
  const { count } = state.map;
  const put = (row, stamp) => scatter.stamp(stamp, ...scatter.toCanvas(...placeOf(state.map, row)));
  const known = (row) => row !== undefined && row !== null && row < count;
  const listed = stampOf("listed", colours, (pen) => ring(pen, 5.5, colours, 1.2));
  for (const { row } of state.items) if (known(row)) put(row, listed);
  let room = MOST_SHAPES;
  for (const [row, verdict] of state.verdicts) {
    if (!known(row)) continue;
    if (room === 0) break;
    if (
      put(
        row,
        stampOf(verdict, colours, (pen) => shape(pen, verdict, colours)),
      )
    )
      room -= 1;
  }
  const current = stampOf("current", colours, (pen) => ring(pen, 9, colours, 2.5));
  if (known(state.current?.row)) put(state.current.row, current);
}

function stampOf(name, colours, draw) {
  const ratio = window.devicePixelRatio || 1;
  const key = `${name} ${colours.ground} ${ratio}`;
  if (!stamps.has(key)) stamps.set(key, makeStamp(ratio, draw));
  return stamps.get(key);
}

function shape(pen, verdict, colours) {
  pen.lineJoin = "round";
  for (const [width, colour] of [
    [6, colours.ground],
    [2.5, colours.verdict[verdict]],
  ]) {
    Object.assign(pen, { lineWidth: width, strokeStyle: colour, fillStyle: colours.verdict[verdict] });
    pen.beginPath();
    SHAPES[verdict](pen);
    pen.stroke();
  }
  if (verdict !== "no") pen.fill();
}

function disc(pen) {
  pen.arc(0, 0, 3.5, 0, 2 * Math.PI);
}

function cross(pen) {
  for (const side of [-1, 1]) {
    pen.moveTo(-4, -4 * side);
    pen.lineTo(4, 4 * side);
  }
}

function triangle(pen) {
  pen.moveTo(0, -4.5);
  pen.lineTo(4.5, 3.5);
  pen.lineTo(-4.5, 3.5);
  pen.closePath();
}

function ring(pen, radius, colours, width) {
  for (const [thick, colour] of [
    [width + 2.5, colours.ground],
    [width, colours.line],
  ]) {
    Object.assign(pen, { lineWidth: thick, strokeStyle: colour });
    pen.beginPath();
    pen.arc(0, 0, radius, 0, 2 * Math.PI);
    pen.stroke();
  }
}

/** @param {CanvasRenderingContext2D} pen @param {[number, number][]} lasso In CSS pixels. @param {string} colour */
export function drawLasso(pen, lasso, colour) {
  if (lasso.length < 2) return;
  Object.assign(pen, { lineWidth: 1.5, strokeStyle: colour });
  pen.setLineDash([5, 4]);
  pen.beginPath();
  lasso.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
  pen.stroke();
  pen.setLineDash([]);
}
