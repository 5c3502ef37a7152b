// Says what to do first: no map yet, nothing indexed yet, recordings that have moved.

import { find } from "./dom.js";
import { runJob } from "./jobs.js";
import { working } from "./status.js";
import { on, state } from "./store.js";
import { say } from "./words.js";

export function startStart() {
  find("map-draw").addEventListener("click", drawMap);
  find("map-redraw").addEventListener("click", drawMap);
  for (const id of ["index-again", "index-more"])
    find(id).addEventListener("click", () => working(find(id), () => runJob("index")));
  on("job about", showStart);
}

/** The map itself is read again when the job ends. */
function drawMap() {
  return working(find("map-draw"), () => runJob("map"));
}

/** Puts the first thing to do in the place of the map. */
export function showStart() {
  const { about, map, job } = state;
  if (!about) return;
  const running = job?.state === "running" ? job.kind : "";
  find("map-empty").hidden = Boolean(map);
  find("map-bar").hidden = !map;
  find("map-hint").textContent = hint(about, running);
  find("map-work").hidden = !running;
  find("index-more").hidden = Boolean(running) || !about.sounds;
  find("index-again").hidden = Boolean(running) || !about.sounds || about.windows > 0;
  find("map-hint-more").textContent = running ? say("start.wait") : about.windows ? say("start.map.more") : "";
  find("map-draw").hidden = Boolean(running) || !about.windows;
  find("map-old").hidden = !(map && about.map.lacking) || Boolean(running);
  find("map-old-said").textContent = say("start.old", { count: about.map.lacking });
  find("moved").hidden = about.root_is_there !== false;
  find("moved-said").textContent = say("start.moved", { folder: about.root, collection: about.folder });
}

function hint(about, running) {
  if (running === "map" || running === "index") return say(`start.${running}.runs`);
  if (about.windows) return say("start.map", { count: about.windows });
  return about.sounds ? say("start.stopped") : say("start.nothing", { collection: about.folder });
}
