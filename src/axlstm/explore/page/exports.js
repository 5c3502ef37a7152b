// Takes labels, lists and clips out of the page, as files for other programs.

import { download } from "./api.js";
import { choices, find } from "./dom.js";
import { notice, working } from "./status.js";
import { on, state } from "./store.js";
import { say } from "./words.js";

const FORMATS = {
  labels: ["csv", "raven", "audacity", "kaleidoscope", "folders"],
  hits: ["csv", "json", "raven", "audacity"],
  clips: ["wav"],
};

export function startExports() {
  find("export-what").addEventListener("change", formats);
  find("export").addEventListener("click", () => working(find("export"), save));
  on("listed about", able);
  formats();
}

function formats() {
  const what = find("export-what").value;
  choices(
    find("export-format"),
    FORMATS[what].map((format) => [format, say(`format.${format}`)]),
  );
  able();
}

function able() {
  const what = find("export-what").value;
  const count =
    what === "labels"
      ? (state.about?.labels ?? []).reduce((sum, { yes, no, unsure }) => sum + yes + no + unsure, 0)
      : state.listed.length;
  const none = what === "labels" && !count;
  find("export-said").textContent = none ? say("export.none") : say(`export.${what}.said`, { count });
  find("export").disabled = !count;
}

async function save() {
  const { name, notes } = await download("export", body);
  notice([say("export.done", { name }), notes].filter(Boolean).join(" "), notes ? "bad" : "good");
}

function body() {
  const what = find("export-what").value;
  const body = { what };
  if (what !== "clips") body.format = find("export-format").value;
  if (what !== "labels") body.rows = state.listed;
  const scores = state.items.map(({ score }) => score);
  if (what === "hits" && scores.length === state.listed.length && !scores.includes(undefined)) body.scores = scores;
  return body;
}
