// Labels windows and stretches, takes labels back, and says when the server has them.

import { change, read } from "./api.js";
import { find, make, put } from "./dom.js";
import { advance } from "./list.js";
import { forgetRows } from "./rows.js";
import { fail, tell } from "./status.js";
import { on, set, state } from "./store.js";
import { reread } from "./viewer.js";
import { finder, place, translator } from "./windows.js";
import { say } from "./words.js";

const SIGNS = { yes: "✓", no: "✕", unsure: "?" };
let saving = 0;
let turn = Promise.resolve();
let judged = ""; // the label that the verdicts are of
const own = new Set(); // numbers of labels that this tab gave
const told = new Set(); // labels that were taken back, and when: the latest ones are told of again and again
const steps = []; // the steps of this tab, the latest last: the numbers of their labels, and the window that was shown
let author = localStorage.getItem("axlstm-author") ?? "";

export function startLabels() {
  for (const verdict of ["yes", "no", "unsure"]) find(`say-${verdict}`).addEventListener("click", () => judge(verdict));
  find("undo").addEventListener("click", () => undo());
  find("chosen-judge").addEventListener(
    "click",
    (event) => event.target.dataset.verdict && judgeChosen(event.target.dataset.verdict),
  );
  find("label-new").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = find("label-name").value.trim();
    if (name) choose(name);
    find("label-name").value = "";
    (state.current ? find("viewer") : find("list")).focus(); // where y, n and u label
  });
  find("author").addEventListener("change", () =>
    localStorage.setItem("axlstm-author", (author = find("author").value.trim())),
  );
  window.addEventListener("beforeunload", (event) => saving && event.preventDefault());
  on("about label", showLabels);
  on("current stretch label chosen", able);
  on("map label", () => readVerdicts().catch(fail));
  able();
}

/** Chooses the label that is given from now on. */
export function choose(label) {
  localStorage.setItem("axlstm-label", label);
  set({ label });
}

function able() {
  const ready = state.label && state.current;
  for (const id of ["say-yes", "say-no", "say-unsure"]) find(id).disabled = !ready;
  find("say-what").textContent = state.label ? say("label.question", { label: state.label }) : say("label.first");
  find("chosen-judge").hidden = !(state.label && state.chosen.length);
  find("chosen-what").textContent = say("label.chosen", { count: state.chosen.length, label: state.label });
}

/** Says a verdict about the marked stretch, or the current window, and goes on to the next. */
export async function judge(verdict) {
  const { current, stretch, label } = state;
  if (!label) return find("label-name").focus();
  if (!current) return undefined;
  const { start_s, end_s } = stretch ?? current;
  const items = [{ recording: current.recording, start_s, end_s }];
  if (find("advance").checked && !stretch) advance();
  return give(verdict, label, () => items, current);
}

function judgeChosen(verdict) {
  const [asked, { chosen }] = [state.map, state];
  return give(verdict, state.label, () =>
    chosen
      .map(translator(asked))
      .filter((row) => row !== undefined)
      .map((row) => ({ row })),
  );
}

/** Runs pieces of work one after the other, so that an undo comes behind the label that it takes back. */
function inTurn(work) {
  turn = turn.then(work).catch(fail);
  return turn;
}

/**
 * Sends a label; `items` gives what it is for. It counts as saved once the server has answered that it is on the disk.
 *
 * @param {import("./store.js").Item} [shown] The window that undo goes back to.
 */
function give(verdict, label, items, shown) {
  saving += 1;
  tell(say("saved.busy"), "busy");
  return inTurn(async () => {
    try {
      const { ids, new: entered } = await change("labels", () => ({ label, verdict, items: items(), ...(author && { author }) }));
      ids.forEach((id) => own.add(id));
      if (entered.length) steps.push({ taken: entered, shown });
      const values = { count: ids.length, label, verdict: say(`verdict.${verdict}`) };
      tell(say(entered.length ? "saved.done" : "saved.again", values), "good");
    } catch (error) {
      tell(say("saved.not"), "bad");
      throw error;
    } finally {
      saving -= 1;
    }
    await afterwards();
  });
}

/** Takes back the latest step of this tab, and goes back to its window; or takes back the labels with these numbers. */
export function undo(ids) {
  return inTurn(async () => {
    const { taken, shown } = ids ? { taken: ids } : (steps.at(-1) ?? {});
    if (!taken) return tell(say("saved.nothing"), "plain");
    if (shown && place(shown, finder(state.map))) set({ current: shown, stretch: null }); // so that the next key is for it
    try {
      const { undone } = await change("labels/undo", { ids: taken });
      tell(say("saved.undone", { count: undone.length }), "good");
    } catch (error) {
      if (!ids && error.status === 400) steps.pop(); // taken back by somebody else
      throw error;
    }
    if (!ids) steps.pop();
    return afterwards();
  });
}

/** @returns {boolean} Whether somebody else has said or taken back one of these. */
export function fromOthers(labels) {
  const fresh = labels.filter(({ id, undone_at: undone }) => (undone ? !told.has(`${id} ${undone}`) : !own.has(id)));
  for (const { id, undone_at: undone } of labels) if (undone) told.add(`${id} ${undone}`);
  return fresh.length > 0;
}

/** Reads what changed: after a label of this page, of another tab or of the command line. */
export async function afterwards() {
  forgetRows();
  set({ about: await read("about") });
  await Promise.all([readVerdicts(), readHistory(), reread()]);
}

async function readVerdicts() {
  if (!state.map) return;
  const { label } = state;
  if (label !== judged) set({ verdicts: new Map() }); // no verdict on another label is shown as one on this
  judged = label;
  const known = state.about.labels.some((one) => one.label === label);
  const said = known ? await read("labelled", { label }) : [];
  if (label === state.label) set({ verdicts: new Map(said.map(({ row, verdict }) => [row, verdict])) });
}

function showLabels() {
  const there = state.about?.labels ?? [];
  const known =
    there.some(({ label }) => label === state.label) || !state.label
      ? there
      : [...there, { label: state.label, yes: 0, no: 0, unsure: 0 }];
  put(find("labels"), ...known.map(entry));
  find("labels-empty").hidden = known.length > 0;
  const latest = there.find(({ label }) => label === localStorage.getItem("axlstm-label"));
  if (!state.label && there.length) choose((latest ?? there[0]).label);
}

function entry({ label: name, yes, no, unsure }) {
  const counts = { yes, no, unsure };
  return make(
    "button",
    {
      type: "button",
      role: "radio",
      class: "label",
      "aria-checked": String(name === state.label),
      on: { click: () => choose(name) },
    },
    [
      make("span", { class: "name", text: name }),
      ...Object.entries(counts).map(([verdict, count]) =>
        make("span", {
          class: `count ${verdict}`,
          title: say(`verdict.${verdict}`),
          text: `${SIGNS[verdict]} ${count}`,
          "aria-label": `${say(`verdict.${verdict}`)} ${count}`,
        }),
      ),
    ],
  );
}

/** Lists what was said last, each with a button that takes it back. */
export async function readHistory() {
  const said = (await read("labels", { count: 12 })).filter(({ undone_at: undone }) => !undone);
  find("history-title").hidden = !said.length;
  put(
    find("history"),
    ...said.map(({ id, label, verdict, path, author: by }) =>
      make("li", {}, [
        make("span", { class: `verdict ${verdict}`, text: SIGNS[verdict], "aria-label": say(`verdict.${verdict}`) }),
        make("span", { class: "name" }, [
          make("span", { text: label }),
          make("small", { text: `${path} · ${by}`, title: path }),
        ]),
        make("button", {
          type: "button",
          class: "quiet",
          text: say("label.undo"),
          "aria-label": say("label.undo.this", { label }),
          on: { click: () => undo([id]) },
        }),
      ]),
    ),
  );
}
