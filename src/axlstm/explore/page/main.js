// Starts the page: reads what the collection has, puts the parts to work, and shows what to do first.

import { change, nameTable, onOtherWindows, read, readBytes } from "./api.js";
import { startChanges } from "./changes.js";
import { choices, find } from "./dom.js";
import { startExports } from "./exports.js";
import { startFind } from "./find.js";
import { frozen, frozenColumns } from "./frozen.js";
import { onEnd, startJobs } from "./jobs.js";
import { startKeys } from "./keys.js";
import { readHistory, startLabels } from "./labels.js";
import { placeLists, startList } from "./list.js";
import { startLive } from "./live.js";
import { parseMap } from "./map-data.js";
import { startColours, startMap } from "./map-view.js";
import { startPlayer } from "./player.js";
import { forgetRows } from "./rows.js";
import { startRun } from "./run.js";
import { showStart, startStart } from "./start.js";
import { fail, notice } from "./status.js";
import { encoderShown, set, state } from "./store.js";
import { startSuggest } from "./suggest.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { startTrain } from "./train.js";
import { startViewer } from "./viewer.js";
import { startViewerInput } from "./viewer-input.js";
import { finder, place, translator } from "./windows.js";
import { loadWords, number, putWords, say } from "./words.js";

const PARTS = [
  ...[startMap, startColours, startList, startViewer, startViewerInput, startPlayer, startFind, startLabels],
  ...[startSuggest, startTrain, startRun, startExports, startLive, startKeys],
];

/** Reads what the collection has, and its map. What is shown, listed and chosen stays, as far as it is there. */
async function reload() {
  const [about, early] = await Promise.all([read("about"), readBytes("map").catch(() => null)]);
  const bytes = early ?? (about.map.points ? await readBytes("map") : null); // drawn in between, or why it is not given
  const map = bytes && parseMap(bytes);
  nameTable(map?.table ?? about.table);
  if (frozen) frozenColumns(map.columns);
  forgetRows();
  const { lost, ...kept } = keep(map);
  set({ about, map, ...kept });
  if (lost) notice(say("windows.gone", { count: lost }), "plain");
  showHead(about);
  showStart();
}

/** Finds again in a map what is shown, listed and chosen. @returns {object} What changes of the state, and how much is not there. */
function keep(map) {
  const [now, where] = [translator(state.map, map), finder(map)];
  const chosen = state.chosen.map(now).filter((row) => row !== undefined);
  const verdicts = new Map([...state.verdicts].map(([row, said]) => [now(row), said]));
  verdicts.delete(undefined);
  const lost = state.chosen.length - chosen.length + placeLists(where, now);
  const { current } = state;
  if (current) place(current, where);
  const there = !current || !map || map.columns.recording.values.includes(current.recording);
  return { chosen, verdicts, lost, ...(!there && { current: null, stretch: null }) };
}

function showHead(about) {
  document.title = say("title", { name: about.name });
  find("name").textContent = about.name;
  find("name").title = about.folder;
  find("facts").textContent = [
    about.windows
      ? say("head.facts", { ...about, window_s: encoderShown().window_s })
      : say("head.facts.none"),
    frozen && say("frozen"),
  ]
    .filter(Boolean)
    .join(" · ");
  find("facts").title = about.windows ? say("head.windows", encoderShown()) : "";
  choices(
    find("encoder"),
    about.encoders.map(({ name }) => [name, name]),
    about.encoder,
  );
  find("encoder-box").hidden = about.encoders.length < 2;
  choices(find("find-site"), [["", say("find.anywhere")], ...about.sites.map((site) => [site, site])]);
  find("find-site-box").hidden = !about.sites.length;
  find("find-hours-box").hidden = !about.has_times;
  find("author").placeholder = about.author;
}

function startPanels() {
  for (const row of document.querySelectorAll("[role=tablist]"))
    startTabs(row, (tab) => {
      if (tab.dataset.view) document.body.dataset.view = tab.dataset.view;
      if (tab.dataset.list) set({ list: tab.dataset.list });
    });
  find("encoder").addEventListener("change", () =>
    change("encoder", { encoder: find("encoder").value })
      .then(reload)
      .catch(fail),
  );
}

/** Reads what a job has changed. */
function after({ kind }) {
  const again = kind === "map" || kind === "index" ? reload() : read("about").then((about) => set({ about }));
  again.catch(fail);
}

async function start() {
  await loadWords();
  document.body.classList.toggle("frozen", Boolean(frozen));
  putWords(document);
  startTheme();
  startPanels();
  for (const startPart of PARTS) startPart();
  startStart();
  await reload();
  onOtherWindows(reload);
  startJobs();
  onEnd(after);
  document.body.dataset.ready = number(state.about.windows);
  readHistory().catch(fail);
  if (!frozen) startChanges(reload);
}

start().catch((error) => {
  document.body.dataset.ready = "failed";
  fail(error);
});
