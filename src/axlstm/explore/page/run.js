// Runs a classifier over all recordings, says what it heard, and gives the files of it.

import { read } from "./api.js";
import { find, make, put } from "./dom.js";
import { runJob } from "./jobs.js";
import { fail, working } from "./status.js";
import { on, state } from "./store.js";
import { reread } from "./viewer.js";
import { number, say } from "./words.js";

export function startRun() {
  find("run").addEventListener("click", () => working(find("run"), run));
  on("classifier", able);
  on("about", () => listFiles().catch(fail));
  able();
}

function able() {
  find("run").disabled = !state.classifier;
  find("run").textContent = state.classifier ? say("run.button", { name: state.classifier }) : say("run.none");
}

async function run() {
  const result = await runJob("detect", { classifier: state.classifier, format: find("run-format").value });
  if (!result) return;
  const heads = ["run.label", "run.detections", "run.recordings"].map((key) =>
    make("th", { scope: "col", text: say(key) }),
  );
  const rows = result.findings.map(({ label, detections, recordings }) =>
    make(
      "tr",
      {},
      [label, number(detections), number(recordings)].map((text) => make("td", { text })),
    ),
  );
  put(
    find("run-result"),
    make("p", { class: "figures", role: "status", text: say("run.scored", result) }),
    make("table", {}, [make("thead", {}, [make("tr", {}, heads)]), make("tbody", {}, rows)]),
    make("p", { class: "hint", text: say("run.merged") }),
    ...result.skipped.map(([path, reason]) => make("p", { class: "warn", text: say("run.skipped", { path, reason }) })),
  );
  await Promise.all([reread(), listFiles()]);
}

/** Lists the files that were written, each as a link. */
async function listFiles() {
  const files = await read("exports");
  put(
    find("run-files"),
    ...files.map(({ name, bytes }) =>
      make("li", {}, [
        make("a", { href: `/api/exports/${encodeURIComponent(name)}`, download: name, text: name }),
        make("small", { class: "muted", text: say("run.size", { kilobytes: Math.ceil(bytes / 1000) }) }),
      ]),
    ),
  );
  find("run-files-title").hidden = !files.length;
}
