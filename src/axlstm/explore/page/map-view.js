// Shows the map: draws it, moves it, picks windows of it, by mouse, touch and keyboard.

import { colouring, palette, pixel, VERDICT } from "./colours.js";
import { find, later } from "./dom.js";
import { listen } from "./gestures.js";
import { showLegend } from "./legend.js";
import { around, inside, nearest, placeOf, towards } from "./map-data.js";
import { drawLasso, stampMarks } from "./marks.js";
import { rowItems } from "./rows.js";
import { Scatter } from "./scatter.js";
import { on, set, state } from "./store.js";
import { currentTheme, ground, ink } from "./theme.js";
import { clock, say } from "./words.js";

const PICK_PX = 14;
let scatter;
let lasso = [];
let lassoing = false;
let by = "label";
let coloured = null;
let hidden = new Set();
let drawing;

export function startMap() {
  scatter = new Scatter(find("map-points"));
  scatter.painted = () => {
    const colours = { line: ink(), ground: ground(), verdict: VERDICT[currentTheme()] };
    if (state.map) stampMarks(scatter, state, colours);
  };
  scatter.drawn = (pen) => drawLasso(pen, lasso, ink());
  listen(find("map"), { lassoing: () => lassoing, move, zoom, lasso: draw, click, hover });
  find("map").addEventListener("keydown", key);
  for (const [id, work] of [
    ["map-in", () => zoom(1.5)],
    ["map-out", () => zoom(1 / 1.5)],
    ["map-all", all],
    ["map-lasso", () => lassoMode(!lassoing)],
  ]) {
    find(id).addEventListener("click", work);
  }
  let wide = 0; // while it is hidden
  new ResizeObserver(() => {
    if (!wide) follow();
    wide = scatter.canvas.clientWidth;
    scatter.ask();
  }).observe(find("map"));
  on("map", () => {
    scatter.setPlaces(state.map?.places ?? new Uint16Array(0));
    if (state.map?.drawing !== drawing) all(); // where it is the same one with other windows, one stays where one is
    drawing = state.map?.drawing;
    recolour();
  });
  on("verdicts", () => (by === "label" ? recolour() : scatter.ask()));
  on("items", () => scatter.ask());
  on("label", () => by === "score" && recolour());
  on("chosen theme", markChosen);
  on("current", () => {
    follow();
    scatter.ask();
  });
  on("theme", recolour);
  window.axlstmMap = { scatter, toCanvas: (row) => scatter.toCanvas(...placeOf(state.map, row)) }; // for tests
}

/** Lets the map be coloured by label, score, site, hour or density: by those that are known. */
export function startColours() {
  const select = find("map-by");
  select.addEventListener("change", () => {
    [by, hidden] = [select.value, new Set()];
    recolour();
  });
  on("about scores", () => {
    const known = { score: state.scores, site: state.about?.sites.length, hour: state.about?.has_times };
    for (const option of select.options) option.disabled = option.value in known && !known[option.value];
    if (by === "score") recolour();
  });
}

function markChosen() {
  const { map, chosen } = state;
  scatter.mark = pixel(ink());
  scatter.chosen = map && chosen.length ? new Uint8Array(map.count) : null;
  if (scatter.chosen) for (const row of chosen) scatter.chosen[row] = 1;
  scatter.ask();
}

function recolour() {
  if (!state.map) return;
  scatter.ground = pixel(ground());
  const scores = by === "score" && state.scores ? (state.scores[state.label] ?? Object.values(state.scores)[0]) : null;
  const known = by !== "score" || scores?.length === state.map.count;
  coloured = colouring(state.map, known ? by : "label", currentTheme(), { verdicts: state.verdicts, scores });
  scatter.setColours(coloured.codes, palette(coloured.colours, hidden));
  showLegend(coloured, hidden, toggle);
}

/** Hides or shows a kind; `alone` hides all others, or shows all again. */
function toggle(code, alone) {
  const others = coloured.kinds.map((kind) => kind.code).filter((kind) => kind !== code);
  if (alone) hidden = hidden.size === others.length && !hidden.has(code) ? new Set() : new Set(others);
  else if (!hidden.delete(code)) hidden.add(code);
  recolour();
}

function move(dx, dy) {
  const [wide, high] = scatter.sides;
  scatter.camera.x -= dx / wide;
  scatter.camera.y += dy / high;
  scatter.ask();
}

function zoom(factor, x = scatter.canvas.clientWidth / 2, y = scatter.canvas.clientHeight / 2) {
  const [before, camera] = [scatter.toMap(x, y), scatter.camera];
  camera.zoom = Math.min(400, Math.max(0.5, camera.zoom * factor));
  const after = scatter.toMap(x, y);
  camera.x += before[0] - after[0];
  camera.y += before[1] - after[1];
  scatter.ask();
}

/** Shows the whole map. */
export function all() {
  scatter.camera = { x: 0.5, y: 0.5, zoom: 0.92 };
  scatter.ask();
}

export function lassoMode(wanted) {
  lassoing = wanted;
  find("map-lasso").setAttribute("aria-pressed", wanted);
  find("map").classList.toggle("lassoing", wanted);
}

function draw(path, done) {
  lasso = done ? [] : path;
  if (done) {
    const rows = inside(
      state.map,
      path.map(([x, y]) => scatter.toMap(x, y)),
    ).filter((row) => !unseen(row));
    choose(rows);
    lassoMode(false);
  }
  scatter.ask();
}

/** Makes these windows the chosen ones, and lists them. */
export function choose(rows) {
  set({ chosen: rows, list: "chosen" });
  find("map-said").textContent = say("map.chosen", { count: rows.length });
}

/** Chooses the current window and those around it; twice as many each time. */
export function grow() {
  if (state.current?.row === undefined || !state.map) return;
  const before = state.chosen.includes(state.current.row) ? state.chosen.length : 0;
  choose(around(state.map, state.current.row, Math.min(state.map.count, Math.max(10, 2 * before))));
}

/** @returns {[number, number]} How far from a point one may click, across and up the map. */
const reach = () => scatter.sides.map((side) => PICK_PX / side);
const unseen = (row) => hidden.has(coloured.codes[row]);

async function click(x, y) {
  find("map").focus({ preventScroll: true });
  if (!state.map) return;
  const row = nearest(state.map, scatter.toMap(x, y), reach(), unseen);
  if (row >= 0) await pick(row);
}

async function pick(row) {
  const [item] = await rowItems([row]);
  if (!item) return;
  set({ current: item, stretch: null });
  find("map-said").textContent = `${item.path} ${clock(item.start_s)}–${clock(item.end_s)}`;
}

const describe = later(async (row, x, y) => {
  const [item] = await rowItems([row]).catch(() => []);
  if (!item || row !== hovered) return; // the pointer has gone on
  const tip = find("map-tip");
  tip.textContent = [item.path, `${clock(item.start_s)}–${clock(item.end_s)}`, item.site, item.time]
    .filter(Boolean)
    .join(" · ");
  tip.hidden = false;
  tip.style.left = `${Math.min(x + 14, scatter.canvas.clientWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.max(6, y - tip.offsetHeight - 10)}px`;
}, 150);

let hovered = -1;
function hover(x, y) {
  const row = state.map && x >= 0 ? nearest(state.map, scatter.toMap(x, y), reach(), unseen) : -1;
  find("map").classList.toggle("over", row >= 0);
  if (row === hovered) return;
  hovered = row;
  find("map-tip").hidden = true;
  if (row >= 0) describe(row, x, y);
}

/** Moves the map if the current window lies outside of what is seen. */
function follow() {
  const row = state.current?.row;
  if (row === undefined || !state.map || row >= state.map.count || !scatter.canvas.clientWidth) return;
  const [x, y] = scatter.toCanvas(...placeOf(state.map, row));
  if (x > 4 && y > 4 && x < scatter.canvas.clientWidth - 4 && y < scatter.canvas.clientHeight - 4) return;
  [scatter.camera.x, scatter.camera.y] = placeOf(state.map, row);
}

function key(event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  const work = { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: all }[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey || !state.map || !(step || work)) return;
  event.preventDefault();
  if (work) return work();
  if (event.shiftKey) return move(-80 * step[0], 80 * step[1]);
  const from = state.current?.row ?? nearest(state.map, [scatter.camera.x, scatter.camera.y], [2, 2], unseen);
  const row = state.current?.row === undefined ? from : towards(state.map, from, ...step);
  if (row >= 0) pick(row);
}
