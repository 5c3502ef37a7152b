// Sets the threshold of a label by ear: how precise it is there, how many windows lie above it, and what those sound like.

import { change } from "./api.js";
import { histogram } from "./charts.js";
import { later, make, put } from "./dom.js";
import { fillList } from "./list.js";
import { rowItems } from "./rows.js";
import { rowsAround } from "./scores.js";
import { fail, tell, working } from "./status.js";
import { set, state } from "./store.js";
import { reread } from "./viewer.js";
import { say } from "./words.js";

const BINS = 20;
const AROUND = 12; // windows that are listed around a threshold

/** @param {object} card @param {string} label @param {{row: number | null, probability: number, is_yes: boolean}[]} windows Judged ones. */
export function thresholdOf(card, label, windows) {
  const id = `threshold-${card.labels.indexOf(label)}`;
  const slider = make("input", { type: "range", id, min: 0, max: 1, step: 0.005, class: "threshold" });
  const shown = make("output", { for: id });
  const said = make("p", { class: "figures", "aria-live": "polite" });
  const picture = make("div");
  const save = make("button", {
    type: "button",
    text: say("threshold.save"),
    on: { click: () => working(save, () => keep(card, label, Number(slider.value), save)) },
  });
  const listen = make("button", {
    type: "button",
    text: say("threshold.listen"),
    on: { click: () => hear(label, Number(slider.value)) },
  });
  slider.value = card.thresholds[label];
  const update = () => {
    const threshold = Number(slider.value);
    shown.textContent = threshold.toFixed(3);
    said.textContent = describe(windows, state.scores?.[label], threshold);
    put(
      picture,
      windows.length
        ? histogram(say("threshold.histogram"), count(windows, true), count(windows, false), threshold, [
            say("verdict.yes"),
            say("verdict.no"),
          ])
        : null,
    );
    save.disabled = Math.abs(threshold - card.thresholds[label]) < 1e-9;
  };
  slider.addEventListener("input", update);
  slider.addEventListener(
    "input",
    later(() => hear(label, Number(slider.value)), 350),
  );
  update();
  return make("div", { class: "box" }, [
    make("label", { class: "inline", for: id }, [make("span", { text: say("threshold") }), shown]),
    slider,
    picture,
    said,
    make("div", { class: "row" }, [listen, save]),
  ]);
}

function count(windows, wanted) {
  const bins = new Array(BINS).fill(0);
  for (const { probability, is_yes: isYes } of windows)
    if (isYes === wanted) bins[Math.min(BINS - 1, Math.floor(probability * BINS))] += 1;
  return bins;
}

function describe(windows, scores, threshold) {
  const above = windows.filter(({ probability }) => probability >= threshold);
  const right = above.filter(({ is_yes: isYes }) => isYes).length;
  const yes = windows.filter(({ is_yes: isYes }) => isYes).length;
  const share = (part, whole) => (whole ? `${Math.round((100 * part) / whole)} %` : "–");
  const texts = windows.length
    ? [say("threshold.judged", { precision: share(right, above.length), recall: share(right, yes) })]
    : [];
  if (scores) {
    const count = scores.reduce((sum, score) => sum + (score >= threshold), 0);
    texts.push(say("threshold.above", { count, all: scores.length }));
    if (2 * count > scores.length) texts.push(say("threshold.most"));
  }
  return texts.join(" · ");
}

/** Lists the windows around a threshold, and opens the one that is nearest to it. */
async function hear(label, threshold) {
  const scores = state.scores?.[label];
  if (!scores) return;
  try {
    const rows = rowsAround(scores, threshold, AROUND);
    const found = await rowItems(rows);
    if (state.scores?.[label] !== scores) return; // of other windows, or another classifier
    const items = found.map((item) => ({ ...item, score: scores[item.row] }));
    fillList("next", items, say("threshold.list", { label, threshold: threshold.toFixed(3) }));
    const nearest = items.reduce(
      (best, item) => (Math.abs(item.score - threshold) < Math.abs(best.score - threshold) ? item : best),
      items[0],
    );
    if (nearest) set({ label, current: nearest, stretch: null });
  } catch (error) {
    fail(error);
  }
}

async function keep(card, label, threshold, button) {
  await change(`classifier/${encodeURIComponent(card.name)}/threshold`, { label, threshold });
  card.thresholds[label] = threshold;
  await reread();
  tell(say("threshold.saved", { label, threshold: threshold.toFixed(3) }), "good");
  setTimeout(() => (button.disabled = true));
}
