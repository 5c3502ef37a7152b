// Shows what a classifier makes of the microphone, as it hears it.

import { address } from "./api.js";
import { find, make, put } from "./dom.js";
import { listenTo } from "./microphone.js";
import { notice } from "./status.js";
import { on, state } from "./store.js";
import { say } from "./words.js";

const KEPT = 40; // windows that are shown
let stop = null;

export function startLive() {
  find("live").addEventListener("click", () => (stop ? stop() : begin()));
  on("classifier", () => (find("live").disabled = !state.classifier));
  find("live").disabled = true;
}

async function begin() {
  const socket = new WebSocket(address("live", { classifier: state.classifier }).replace(/^/, location.origin.replace(/^http/, "ws")));
  const stopped = new Promise((end) => (stop = end));
  const heard = new Map(); // label -> its latest scores
  show(true);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => took(JSON.parse(data), heard);
  socket.onclose = () => stop?.();
  try {
    let begun = false;
    await listenTo(stopped, (block, rate_hz) => {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (!begun) socket.send(JSON.stringify({ rate: rate_hz }));
      begun = true;
      socket.send(block.buffer);
      find("live-level").value = Math.max(...block.map(Math.abs));
    });
  } catch (error) {
    notice(["NotAllowedError", "NotFoundError"].includes(error.name) ? say("microphone.none") : error.message, "bad");
  } finally {
    stop = null;
    socket.close();
    show(false);
  }
}

function took(told, heard) {
  if (told.error) return notice(told.error, "bad");
  for (const [label, score] of Object.entries(told.scores)) heard.set(label, [...(heard.get(label) ?? []), score].slice(-KEPT));
  put(find("live-scores"), ...[...heard].map(([label, scores]) => row(label, scores, told.thresholds?.[label] ?? 0.5)));
}

function row(label, scores, threshold) {
  const now = scores.at(-1);
  const bars = scores.map((score) => make("i", { class: score >= threshold ? "over" : "", style: { height: `${Math.max(3, 100 * score)}%` } }));
  return make("div", { class: "heard" }, [make("span", { class: "name", text: label }), make("span", { class: "score", text: now.toFixed(2) }), make("span", { class: "said", text: now >= threshold ? say("live.heard") : "" }), make("div", { class: "bars", "aria-hidden": "true" }, bars)]);
}

function show(on_) {
  find("live").setAttribute("aria-pressed", on_);
  find("live").textContent = say(on_ ? "live.end" : "live.begin");
  find("live-level").hidden = !on_;
  if (on_) put(find("live-scores"), make("p", { class: "hint", text: say("live.waiting") }));
}
