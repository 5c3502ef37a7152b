// Draws into the spectrogram: axes, window boundaries, labels, detections, the marked stretch.

import { timeTicks, ticks } from "./axes.js";
import { draw, put } from "./dom.js";
import { clock, pitch, say } from "./words.js";

const MOST_WINDOWS = 120; // boundaries that are drawn; of more, none is told from the next
const LANE_PX = 15;
const SIGNS = { yes: "✓", no: "✕", unsure: "?" };

/** @param {SVGElement} svg @param {typeof import("./viewer.js").view} view @param {object} shown The recording. @param {typeof import("./store.js").state} state */
export function drawOverlay(svg, view, shown, state) {
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  const x = (time_s) => (width * (time_s - view.start_s)) / (view.end_s - view.start_s);
  const y = (hz) => (height * (view.high_hz - hz)) / (view.high_hz - view.low_hz);
  const seen = ({ start_s, end_s }) => end_s > view.start_s && start_s < view.end_s;
  put(
    svg,
    ...windows(shown, seen, x, height),
    ...current(state.current, x, height),
    ...timeAxis(view, x, width, height),
    ...pitchAxis(view, y, height),
    ...lanes(shown, seen, x, width, height),
    ...marked(state.stretch, x, y, height),
    draw("line", { id: "playhead", class: "playhead", y1: 0, y2: height, x1: -9, x2: -9 }),
  );
}

function windows(shown, seen, x, height) {
  const there = shown.start_s.map((start_s, at) => ({ start_s, end_s: shown.end_s[at] })).filter(seen);
  if (there.length > MOST_WINDOWS) return [];
  return there.flatMap(({ start_s, end_s }) => [
    draw("line", { class: "boundary", x1: x(start_s), x2: x(start_s), y1: height - 7, y2: height }),
    draw("line", { class: "boundary", x1: x(end_s), x2: x(end_s), y1: height - 7, y2: height }),
  ]);
}

function current(item, x, height) {
  if (!item) return [];
  const [left, right] = [x(item.start_s), x(item.end_s)];
  return [
    draw("path", { class: "window", d: `M ${left} 0 V ${height} M ${right} 0 V ${height}` }),
    draw("rect", { class: "window-top", x: left, width: Math.max(1, right - left), y: 0, height: 3 }),
  ];
}

/** Labels from the top down, detections from the bottom up, each in a lane where it covers no other. */
function lanes(shown, seen, x, width, height) {
  const labels = stack(shown.labels.filter(seen)).map(([mark, lane]) =>
    tag(mark, `${SIGNS[mark.verdict]} ${mark.label}`, `label ${mark.verdict}`, x, width, 6 + lane * LANE_PX),
  );
  const heard = stack(shown.detections.filter(seen)).map(([mark, lane]) =>
    tag(mark, `${mark.label} ${mark.score.toFixed(2)}`, "detection", x, width, height - 40 - lane * LANE_PX),
  );
  return [...labels, ...heard].slice(0, 300);
}

function stack(marks) {
  const ends = [];
  return [...marks]
    .sort((one, other) => one.start_s - other.start_s)
    .map((mark) => {
      let lane = ends.findIndex((end_s) => end_s <= mark.start_s);
      if (lane < 0) lane = ends.length;
      ends[lane] = mark.end_s;
      return [mark, lane];
    })
    .filter(([, lane]) => lane < 6);
}

function tag(mark, text, kind, x, width, top) {
  const left = Math.max(0, x(mark.start_s));
  const right = Math.min(width, x(mark.end_s));
  const long = right - left > 7 * text.length;
  return draw("g", { class: `tag ${kind}` }, [
    draw("title", { text: `${text}, ${clock(mark.start_s, 0.01)}–${clock(mark.end_s, 0.01)}` }),
    draw("rect", { x: left, y: top, width: Math.max(2, right - left), height: LANE_PX - 2, rx: 2 }),
    right - left > 12
      ? draw("text", {
          x: left + 4,
          y: top + 10,
          text: long ? text : text.slice(0, Math.max(1, Math.floor((right - left) / 7))),
        })
      : null,
  ]);
}

function marked(stretch, x, y, height) {
  if (!stretch) return [];
  const [top, bottom] = stretch.high_hz ? [y(stretch.high_hz), y(stretch.low_hz)] : [0, height];
  return [
    draw("rect", {
      class: "stretch",
      x: x(stretch.start_s),
      width: Math.max(1, x(stretch.end_s) - x(stretch.start_s)),
      y: top,
      height: Math.max(1, bottom - top),
    }),
  ];
}

function timeAxis(view, x, width, height) {
  const { ticks: times, step } = timeTicks(view.start_s, view.end_s, width / 90);
  return times
    .filter((time_s) => x(time_s) > 18 && x(time_s) < width - 18)
    .map((time_s) => text(x(time_s), height - 10, clock(time_s, step), "middle"));
}

function pitchAxis(view, y, height) {
  const { ticks: pitches } = ticks(view.low_hz, view.high_hz, height / 45);
  return pitches.filter((hz) => y(hz) > 30 && y(hz) < height - 24).map((hz) => text(5, y(hz) + 4, pitch(hz), "start"));
}

function text(left, top, words, anchor) {
  return draw("text", { class: "axis", x: left, y: top, "text-anchor": anchor, text: words });
}

/** Draws what part of the recording is seen, and where in it labels and detections lie. */
export function drawStrip(svg, view, shown, state) {
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  if (!height) return;
  const x = (time_s) => (width * time_s) / shown.duration_s;
  const bar = (mark, kind, top) =>
    draw("rect", {
      class: `bar ${kind}`,
      x: x(mark.start_s),
      width: Math.max(2, x(mark.end_s - mark.start_s)),
      y: top,
      height: 4,
    });
  const seen = draw("rect", {
    class: "seen",
    x: x(view.start_s),
    width: Math.max(3, x(view.end_s - view.start_s)),
    y: 0.5,
    height: height - 1,
  });
  const item =
    state.current &&
    draw("line", { class: "window", x1: x(state.current.start_s), x2: x(state.current.start_s), y1: 0, y2: height });
  put(
    svg,
    ...shown.labels.slice(0, 1000).map((mark) => bar(mark, mark.verdict, 1)),
    ...shown.detections.slice(0, 1000).map((mark) => bar(mark, "detection", height - 5)),
    seen,
    item,
  );
  svg.setAttribute(
    "aria-label",
    say("sound.strip", { from: clock(view.start_s), to: clock(view.end_s), duration: clock(shown.duration_s) }),
  );
}
