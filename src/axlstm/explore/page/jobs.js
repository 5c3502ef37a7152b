// Shows the long job that runs: its progress, its end, and a button that ends it.

import { change, read } from "./api.js";
import { find } from "./dom.js";
import { fail, notice } from "./status.js";
import { set, state } from "./store.js";
import { say } from "./words.js";

const POLL_MS = 500;
const LEAST_SHARE = 3; // in percent, of a job, before the rest is told
const BY_COMMAND = ["index", "map"]; // kinds of jobs that begin without a page; others are told of where they were begun
let begun = null; // a job as it was first seen, or at the beginning of its latest part
const open = new Set(); // numbers of jobs that were seen to run, and whose end was not told yet
const waiting = new Map(); // number of a job -> what to do with its result

/**
 * Begins a job, and waits for its end.
 *
 * @param {string} path Of the route that begins it. @returns {Promise<any>} Its result; null if it was ended.
 */
export async function runJob(path, body) {
  const { job } = await change(path, body);
  return follow(job);
}

/** Waits for the end of a job. */
export function follow(job) {
  showJob(job);
  return new Promise((resolve, reject) => waiting.set(job.id, { resolve, reject }));
}

export function startJobs() {
  find("job-end").addEventListener("click", () => {
    ending(true);
    change("job/cancel", { number: state.job.id }).catch(fail);
  });
  const { job } = state.about;
  if (!job) return;
  showJob(job);
  if (job.state === "failed" && BY_COMMAND.includes(job.kind)) notice(job.error, "bad"); // before anybody saw it run
}

/** Says how much is done of a job, and about how long the rest takes, once that can be told. */
function left(job, share) {
  if (begun?.id !== job.id || job.share < begun.share) begun = { id: job.id, share: job.share, at: Date.now() };
  const minutes = ((Date.now() - begun.at) * (1 - job.share)) / (job.share - begun.share) / 60_000;
  if (share < LEAST_SHARE || !(job.share > begun.share)) return share ? `${share} %` : "";
  return minutes < 1 ? say("job.left.soon", { share }) : say("job.left", { share, minutes: Math.ceil(minutes) });
}

/** Says that the job is being ended: it stops at the end of the step that it is at. */
function ending(asked) {
  find("job-end").disabled = asked;
  find("job-end").textContent = say(asked ? "job.ending" : "job.end");
}

/** Shows a job as the server told of it, and asks again while it runs. */
export function showJob(job) {
  const before = state.job;
  if (before?.id !== job?.id) ending(false);
  set({ job });
  const running = job?.state === "running";
  find("job").hidden = !running;
  if (running) {
    find("job-title").textContent = say(`job.${job.kind}`);
    find("job-bar").value = job.share;
    find("job-bar").setAttribute("aria-label", say(`job.${job.kind}`));
    const share = Math.floor(100 * job.share);
    find("job-share").textContent = `${share} %`;
    find("job-note").textContent = job.note;
    find("map-work-bar").value = job.share;
    find("map-work-said").textContent = [job.note, left(job, share)].filter(Boolean).join(" · ");
    if (!open.has(job.id)) poll(job.id);
    open.add(job.id);
  } else if (open.delete(job?.id)) ended(job);
}

async function poll(id) {
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  try {
    const { job } = await read("job", { number: id });
    if (state.job?.id === id) showJob(job);
    else if (job.state !== "running" && open.delete(id)) ended(job); // another one is shown by now
    if (job.state === "running") poll(id);
    else settle(job);
  } catch (error) {
    fail(error);
    open.delete(id);
    waiting.get(id)?.reject(error);
    waiting.delete(id);
  }
}

function settle(job) {
  const kept = waiting.get(job.id);
  waiting.delete(job.id);
  if (job.state === "failed") kept?.reject(new Error(job.error));
  else kept?.resolve(job.state === "done" ? job.result : null);
}

function ended(job) {
  if (job.state === "failed" && !waiting.has(job.id)) notice(job.error, "bad");
  if (job.state === "cancelled") notice([say(`job.cancelled.${job.kind}`), job.note].filter(Boolean).join(" "), "plain");
  for (const listener of listeners) listener(job);
}

const listeners = new Set();

/** Calls `listener` with each job that has ended. */
export function onEnd(listener) {
  listeners.add(listener);
}
