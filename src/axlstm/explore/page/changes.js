// Asks every two seconds what others have changed: other tabs, the command line.

import { read, tableShown } from "./api.js";
import { showJob } from "./jobs.js";
import { afterwards, fromOthers } from "./labels.js";
import { fail, notice } from "./status.js";
import { state } from "./store.js";
import { say } from "./words.js";

const PAUSE_MS = 2000;
let mark = null;
let gone = false;

/** @param {() => Promise<void>} reload Reads the map and all else again. */
export function startChanges(reload) {
  mark = state.about.mark;
  setTimeout(function ask() {
    look(reload).finally(() => setTimeout(ask, document.hidden ? 5 * PAUSE_MS : PAUSE_MS));
  }, PAUSE_MS);
}

async function look(reload) {
  try {
    const told = await read("changes", { since: mark });
    if (gone) notice(say("server.back"));
    gone = false;
    mark = told.mark;
    if (told.job) showJob(told.job);
    if (told.table !== tableShown() && told.job?.state !== "running") await reload();
    else if (fromOthers(told.labels)) await afterwards();
  } catch (error) {
    if (!gone) fail(error);
    gone = true;
  }
}
