// Shows the long job that runs: its progress, its end, and a button that ends it.

import { change, read } from "./api.js";
import { find } from "./dom.js";
import { fail, notice } from "./status.js";
import { set, state } from "./store.js";
import { say } from "./words.js";

const POLL_MS = 500;
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
    change("job/cancel").catch(fail);
  });
  if (state.about.job) showJob(state.about.job);
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
    find("job-share").textContent = `${Math.floor(100 * job.share)} %`;
    find("job-note").textContent = job.note;
    if (before?.id !== job.id || before.state !== "running") poll(job.id);
  } else if (job && before?.state === "running") ended(job);
}

async function poll(id) {
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  try {
    const { job } = await read("job");
    if (job?.id !== id) return;
    showJob(job);
    if (job.state === "running") poll(id);
    else settle(job);
  } catch (error) {
    fail(error);
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
