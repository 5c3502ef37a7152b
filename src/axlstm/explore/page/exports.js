// Takes what is known out of the page: hits, labels, detections, clips.

import { download } from "./api.js";
import { choices, find } from "./dom.js";
import { notice, working } from "./status.js";
import { on, state } from "./store.js";
import { say } from "./words.js";

const FORMATS = {
  labels: ["csv", "raven", "audacity", "kaleidoscope", "folders"],
  hits: ["csv", "json", "raven", "audacity"],
  detections: ["csv", "parquet", "raven", "audacity", "kaleidoscope"],
  clips: ["wav"],
};

export function startExports() {
  find("export-what").addEventListener("change", formats);
  find("export").addEventListener("click", () => working(find("export"), save));
  on("items label classifier", able);
  formats();
}

function formats() {
  const what = find("export-what").value;
  choices(find("export-format"), FORMATS[what].map((format) => [format, say(`format.${format}`)]));
  able();
}

function rows() {
  return state.items.map(({ row }) => row).filter((row) => row !== undefined && row !== null);
}

function able() {
  const what = find("export-what").value;
  const count = rows().length;
  find("export-said").textContent = say(`export.${what}.said`, { count });
  find("export").disabled = (what === "hits" || what === "clips") && !count;
}

async function save() {
  const what = find("export-what").value;
  const body = { what, format: find("export-format").value };
  if (what === "hits" || what === "clips") body.rows = rows();
  if (what === "detections") body.classifier = state.classifier;
  notice(say("export.done", { name: await download("export", body) }));
}
