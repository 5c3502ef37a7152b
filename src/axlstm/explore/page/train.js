// Trains classifiers, and shows the one that is chosen: how good it is, and where its threshold lies.

import { read } from "./api.js";
import { showCard } from "./card.js";
import { choices, find, make, put } from "./dom.js";
import { runJob } from "./jobs.js";
import { loadScores } from "./scores.js";
import { fail, notice, working } from "./status.js";
import { on, set, state } from "./store.js";
import { say } from "./words.js";

export function startTrain() {
  find("train").addEventListener("click", train);
  find("train-mode").addEventListener("change", able);
  find("classifier").addEventListener("change", () => choose(find("classifier").value));
  on("about label", showLabels);
  on("about map", showClassifiers);
}

let scored = null; // the map whose windows the scores are of
let touched = false; // whether somebody has chosen labels; else it is the current one

/** Lists the labels that can be trained: those with a yes. The current one is ticked at first. */
function showLabels() {
  const ready = (state.about?.labels ?? []).filter(({ yes }) => yes > 0);
  const before = new Set(touched ? ticked() : []);
  const box = find("train-labels");
  put(
    box,
    box.querySelector("legend"),
    ...ready.map(({ label: name, yes, no }) => {
      const tick = make("input", {
        type: "checkbox",
        value: name,
        on: {
          change: () => {
            touched = true;
            able();
          },
        },
      });
      tick.checked = before.size ? before.has(name) : name === state.label;
      return make("label", { class: "check" }, [
        tick,
        make("span", { text: name }),
        make("small", { class: "muted", text: say("train.counts", { yes, no }) }),
      ]);
    }),
  );
  box.hidden = !ready.length;
  find("train-mode-box").hidden = ready.length < 2 && find("train-mode").value === "multilabel";
  able();
}

const ticked = () => [...find("train-labels").querySelectorAll("input:checked")].map((tick) => tick.value);

function able() {
  const counts = (state.about?.labels ?? []).filter(({ label }) => ticked().includes(label));
  const lacks = counts.find(({ no }) => !no);
  const text = !counts.length
    ? say("train.first")
    : lacks && find("train-mode").value === "multilabel"
      ? say("train.no-no", { label: lacks.label })
      : "";
  find("train-needs").textContent = text;
  find("train-needs").hidden = !text;
  find("train").disabled = Boolean(text);
}

function train() {
  return working(find("train"), async () => {
    const group = find("train-group").value;
    const result = await runJob("train", { labels: ticked(), mode: find("train-mode").value, ...(group && { group }) });
    if (!result) return;
    set({ about: await read("about") });
    notice(say("train.done", { name: result.classifier }));
    await choose(result.classifier);
  });
}

function showClassifiers() {
  const names = state.about.classifiers.map(({ name }) => name);
  choices(
    find("classifier"),
    names.map((name) => [name, name]),
    state.classifier,
  );
  find("classifier-box").hidden = !names.length;
  const others = scored !== state.map; // scores are in the order of the map's windows
  scored = state.map;
  if (others) set({ scores: null });
  if (names.length && (others || !names.includes(state.classifier)))
    choose(names.includes(state.classifier) ? state.classifier : names.at(-1));
}

/** Makes a classifier the current one: its card, its scores on the map. */
async function choose(name) {
  const box = find("classifier-card");
  if (name !== state.classifier) put(box); // a threshold of another one is not kept below this name
  set({ classifier: name, scores: null });
  find("classifier").value = name;
  const { map } = state;
  try {
    const card = await read(`classifier/${encodeURIComponent(name)}`);
    const scores = state.map && card.encoder === state.about.encoder ? await loadScores(name, card.labels) : null;
    if (state.classifier !== name || state.map !== map) return; // where the map is another one, they are read again
    set({ scores });
    showCard(box, card);
  } catch (error) {
    if (state.classifier === name) put(box, make("p", { class: "warn", text: error.message }));
    fail(error);
  }
}
