// Runs a classifier over all recordings, and says what it heard.

import { find, make, put } from "./dom.js";
import { runJob } from "./jobs.js";
import { working } from "./status.js";
import { on, state } from "./store.js";
import { reread } from "./viewer.js";
import { number, say } from "./words.js";

export function startRun() {
  find("run").addEventListener("click", () => working(find("run"), run));
  on("classifier", able);
  able();
}

function able() {
  find("run").disabled = !state.classifier;
  find("run").textContent = state.classifier ? say("run.button", { name: state.classifier }) : say("run.none");
}

async function run() {
  const result = await runJob("detect", { classifier: state.classifier });
  if (!result) return;
  const heard = result.labels ?? [];
  put(find("run-result"), make("p", { class: "figures", text: say("run.scored", { recordings: result.scored ?? 0, windows: result.windows ?? 0 }) }),
    make("table", {}, [make("thead", {}, [make("tr", {}, [head("run.label"), head("run.detections"), head("run.highest")])]), make("tbody", {}, heard.map(({ label, detections, highest }) =>
      make("tr", {}, [make("td", { text: label }), make("td", { text: number(detections) }), make("td", { text: highest === null ? "–" : highest.toFixed(2) })])))]),
    ...(result.notes ?? []).map((note) => make("p", { class: "hint", text: note })));
  await reread();
}

const head = (key) => make("th", { scope: "col", text: say(key) });
