// Shows what a classifier makes of the microphone, as it hears it.

import { change, send } from "./api.js";
import { find, make, put } from "./dom.js";
import { listenTo } from "./microphone.js";
import { notice } from "./status.js";
import { on, state } from "./store.js";
import { say } from "./words.js";

const KEPT = 40; // windows that are shown
const CHUNK_S = 0.5;
let stop = null;
let listening = ""; // the classifier that hears

export function startLive() {
  find("live").addEventListener("click", () => (stop ? stop() : begin()));
  on("classifier", able);
  able();
}

function able() {
  if (stop && listening !== state.classifier) stop(); // its scores are not those of the one that is chosen now
  find("live").disabled = !state.classifier;
  find("live-needs").hidden = Boolean(state.classifier);
}

async function begin() {
  const stopped = new Promise((end) => (stop = end));
  listening = state.classifier;
  const stream = { number: null, waiting: [], sending: false, heard: new Map(), thresholds: [] };
  show(true);
  try {
    await listenTo(stopped, (block, rate_hz) => {
      stream.waiting.push(block);
      find("live-level").value = block.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      if (stream.waiting.length * block.length >= CHUNK_S * rate_hz) pass(stream, rate_hz).catch(broken);
    });
  } catch (error) {
    broken(error);
  } finally {
    stop = null;
    show(false);
  }
}

function broken(error) {
  stop?.();
  notice(["NotAllowedError", "NotFoundError"].includes(error.name) ? say("microphone.none") : error.message, "bad");
}

/** Sends what was heard, one piece after the other. */
async function pass(stream, rate_hz) {
  if (stream.sending) return;
  stream.sending = true;
  try {
    if (!stream.number) {
      const begun = await change("live/begin", { classifier: listening, rate_hz });
      Object.assign(stream, { number: begun.stream, thresholds: begun.thresholds });
    }
    const blocks = stream.waiting.splice(0);
    const { windows, labels } = await send("live", { stream: stream.number }, new Blob(blocks));
    for (const { probabilities } of windows)
      labels.forEach((label, at) =>
        stream.heard.set(label, [...(stream.heard.get(label) ?? []), probabilities[at]].slice(-KEPT)),
      );
    if (windows.length)
      put(
        find("live-scores"),
        ...labels.map((label, at) => row(label, stream.heard.get(label), stream.thresholds[at])),
      );
  } finally {
    stream.sending = false;
  }
}

function row(label, scores, threshold) {
  const now = scores.at(-1);
  const bars = scores.map((score) =>
    make("i", { class: score >= threshold ? "over" : "", style: { height: `${Math.max(3, 100 * score)}%` } }),
  );
  return make("div", { class: "heard" }, [
    make("span", { class: "name", text: label }),
    make("span", { class: "score", text: now.toFixed(2) }),
    make("span", { class: "said", text: now >= threshold ? say("live.heard") : "" }),
    make("div", { class: "bars", "aria-hidden": "true" }, bars),
  ]);
}

function show(listening) {
  find("live").setAttribute("aria-pressed", listening);
  find("live").textContent = say(listening ? "live.end" : "live.begin");
  find("live-level").hidden = !listening;
  if (listening) put(find("live-scores"), make("p", { class: "hint", text: say("live.waiting") }));
}
