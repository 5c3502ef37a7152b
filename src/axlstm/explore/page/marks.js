// Draws what stands out on the map: labelled windows by shape, what is listed, the lasso, and the current window.

import { placeOf } from "./map-data.js";

const MOST_SHAPES = 1500; // of more that are seen, the colours of the points are enough
const SHAPES = { yes: disc, no: cross, unsure: triangle };

/**
 * @param {CanvasRenderingContext2D} pen @param {import("./scatter.js").Scatter} scatter
 * @param {typeof import("./store.js").state} state @param {{line: string, ground: string, verdict: Object<string, string>}} colours
 * @param {[number, number][]} lasso In CSS pixels.
 */
export function drawMarks(pen, scatter, state, colours, lasso) {
  const { clientWidth: width, clientHeight: height } = scatter.canvas;
  const at = (row) => scatter.toCanvas(...placeOf(state.map, row));
  for (const item of state.items)
    if (item.row !== undefined && item.row < state.map.count) ring(pen, at(item.row), 5.5, colours, 1.2);
  let room = MOST_SHAPES;
  for (const [row, verdict] of state.verdicts) {
    const [x, y] = row < state.map.count ? at(row) : [-1, -1];
    if (x < 0 || y < 0 || x > width || y > height) continue;
    if (room-- < 0) break;
    shape(pen, [x, y], verdict, colours);
  }
  if (state.current?.row !== undefined && state.current.row < state.map.count)
    ring(pen, at(state.current.row), 9, colours, 2.5);
  outline(pen, lasso, colours);
}

function shape(pen, [x, y], verdict, colours) {
  pen.save();
  pen.translate(x, y);
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
  pen.restore();
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

function ring(pen, [x, y], radius, colours, width) {
  for (const [thick, colour] of [
    [width + 2.5, colours.ground],
    [width, colours.line],
  ]) {
    Object.assign(pen, { lineWidth: thick, strokeStyle: colour });
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function outline(pen, lasso, colours) {
  if (lasso.length < 2) return;
  Object.assign(pen, { lineWidth: 1.5, strokeStyle: colours.line });
  pen.setLineDash([5, 4]);
  pen.beginPath();
  lasso.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
  pen.stroke();
  pen.setLineDash([]);
}
