// Plays the window, the marked stretch, or what is seen: band-passed and slowed down if asked.

import { address } from "./api.js";
import { find } from "./dom.js";
import { frozen } from "./frozen.js";
import { fail } from "./status.js";
import { on, state } from "./store.js";
import { view } from "./viewer.js";
import { clock, say } from "./words.js";

const audio = new Audio();
audio.preload = "none";
let playing = null; // {start_s, end_s, slower, marked}

export function startPlayer() {
  audio.id = "audio";
  document.body.append(audio);
  find("play").addEventListener("click", toggle);
  find("play-seen").addEventListener("click", () => play({ start_s: view.start_s, end_s: view.end_s }));
  find("slower").addEventListener("change", again);
  find("band-low").addEventListener("change", again);
  find("band-high").addEventListener("change", again);
  find("loop").addEventListener("click", () => {
    audio.loop = !audio.loop;
    find("loop").setAttribute("aria-pressed", audio.loop);
  });
  find("viewer").addEventListener("seek", ({ detail: time_s }) =>
    play({ start_s: time_s, end_s: view.end_s }),
  );
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, showButton);
  audio.addEventListener("play", () => requestAnimationFrame(follow));
  audio.addEventListener("error", () => audio.getAttribute("src") && explain(audio.src));
  on("current", () => {
    stop();
    if (state.current && find("auto").checked) toggle();
  });
  showButton();
}

/** Plays what is marked, or else the current window; pauses if something plays. */
export function toggle() {
  if (!audio.paused) return audio.pause();
  if (state.current)
    play(state.stretch ?? state.current, state.stretch);
}

export function stop() {
  audio.pause();
  audio.removeAttribute("src");
  find("play-time").textContent = "";
  playing = null;
}

function band(marked) {
  const given = (id) => (find(id).value === "" ? undefined : 1000 * Number(find(id).value));
  return { low_hz: given("band-low") ?? marked?.low_hz, high_hz: given("band-high") ?? marked?.high_hz };
}

/** Plays a part of the recording; in the band that was marked, if the part is what is marked. */
function play({ start_s, end_s }, marked = null) {
  const { low_hz, high_hz } = band(marked);
  const recording = state.current.recording;
  const slower = Number(find("slower").value);
  const { duration_s = end_s, content } = state.opened?.id === recording ? state.opened : {};
  playing = { start_s, end_s: Math.min(end_s, duration_s), slower, marked };
  audio.src = frozen
    ? (frozen.windows[state.current.row]?.sound ?? "")
    : address(`recording/${recording}/sound.wav`, {
        start_s,
        end_s: playing.end_s,
        low_hz,
        high_hz,
        content,
        slower: slower === 1 ? undefined : slower,
      });
  audio.play().catch((error) => error.name === "AbortError" || error.name === "NotSupportedError" || fail(error));
}

/** Plays what is played from its beginning, at another speed or in another band. */
function again() {
  if (!audio.paused && playing) play(playing, playing.marked);
}

/** Moves the line in the spectrogram along with the sound. */
function follow() {
  const line = find("playhead");
  if (!playing) return line?.setAttribute("visibility", "hidden");
  const time_s = playing.start_s + audio.currentTime / playing.slower;
  const left = (find("overlay").clientWidth * (time_s - view.start_s)) / (view.end_s - view.start_s);
  if (line)
    for (const [name, value] of [
      ["x1", left],
      ["x2", left],
      ["visibility", "visible"],
    ])
      line.setAttribute(name, value);
  find("play-time").textContent = clock(time_s);
  if (!audio.paused) requestAnimationFrame(follow);
}

function showButton() {
  find("play").setAttribute("aria-label", say(audio.paused ? "sound.play" : "sound.pause"));
  find("play").classList.toggle("playing", !audio.paused);
}

/** Asks the server why a sound could not be played. */
async function explain(source) {
  const answer = await fetch(source).catch(() => null);
  if (answer && !answer.ok) fail(new Error((await answer.json()).error));
}
