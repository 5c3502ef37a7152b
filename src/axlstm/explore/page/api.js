// Asks the server. Everything that the page knows and does goes through here.

import { frozen, frozenAnswer, frozenMap } from "./frozen.js";

/** An answer of the server that says what was wrong, in words. */
export class Refused extends Error {
  /** @param {string} message @param {number} status 0 if no answer came. */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const OTHER_WINDOWS = 412; // what the server answers to rows of windows that it had before
let server = ""; // which start of the server the page is of; one at the same address may have another collection
let table = "";
let renew = null;
let renewing = null;

/** Names the windows that rows are of; the server refuses rows of others. @param {string} name From the header of the map. */
export function nameTable(name) {
  table = name;
}

/** @returns {string} What the windows are called that the page shows. */
export const tableShown = () => table;

/**
 * Says how the windows are read again where the server has others than the page. What was asked for is asked once more then:
 * what names rows is given as a function, which is called again.
 *
 * @param {() => Promise<void>} work
 */
export function onOtherWindows(work) {
  renew = work;
}

/**
 * Builds the address of a route; parameters without a value are left out.
 *
 * @param {string} path Below /api/, such as `recording/3`.
 * @param {Object<string, any>} [parameters]
 */
export function address(path, parameters = {}) {
  const known = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(known.map(([name, value]) => [name, String(value)]));
  return `/api/${path}${known.length ? `?${query}` : ""}`;
}

/** @returns {Promise<any>} The answer of a route that only reads. */
export async function read(path, parameters, signal) {
  if (frozen) return frozenAnswer(path, valueOf(parameters));
  return (await ask(() => [address(path, valueOf(parameters)), { signal }])).json();
}

/** @returns {Promise<ArrayBuffer>} */
export async function readBytes(path, parameters) {
  if (frozen) return frozenMap();
  return (await ask(() => [address(path, parameters), {}])).arrayBuffer();
}

/** @returns {Promise<any>} The answer of a route that changes something. */
export async function change(path, body = {}) {
  return (await ask(() => [`/api/${path}`, json(valueOf(body))])).json();
}

/** @returns {Promise<any>} The answer to a sound that was dropped, chosen or recorded. */
export async function send(path, parameters, bytes) {
  const headers = { "Content-Type": "application/octet-stream" };
  return (await ask(() => [address(path, parameters), { method: "POST", headers, body: bytes }])).json();
}

/** Saves a file that the server makes. @returns {Promise<{name: string, notes: string}>} Its name, and what is not in it. */
export async function download(path, body) {
  const answer = await ask(() => [`/api/${path}`, json(valueOf(body))]);
  const name = /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "export";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return { name, notes: decodeURIComponent(answer.headers.get("X-Notes") ?? "") };
}

function json(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

const valueOf = (given) => (typeof given === "function" ? given() : given);

/** @param {() => [string, RequestInit]} make Address and options, as they are to be now. */
async function ask(make) {
  let answer = await fetchAnswer(...make());
  if (answer.status === OTHER_WINDOWS && renew) {
    renewing ??= renew().finally(() => (renewing = null));
    await renewing;
    answer = await fetchAnswer(...make());
  }
  if (!answer.ok) throw new Refused(await reason(answer), answer.status);
  return answer;
}

async function fetchAnswer(path, options) {
  try {
    const own = { ...(table && { "X-Table": table }), ...(server && { "X-Server": server }) };
    const headers = { ...options.headers, ...own };
    const answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options, headers });
    server ||= answer.headers.get("X-Server") ?? "";
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("", 0);
  }
}

async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text.slice(0, 400);
  }
}
