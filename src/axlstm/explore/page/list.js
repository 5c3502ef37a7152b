// Lists windows: what was found, what to label next, what is chosen, what is labelled; and all recordings.

import { read } from "./api.js";
import { find, later, make, put } from "./dom.js";
import { rowItems } from "./rows.js";
import { fail } from "./status.js";
import { encoderShown, on, set, state } from "./store.js";
import { place } from "./windows.js";
import { clock, number, say } from "./words.js";

const PAGE = 100; // entries that are shown at first, and more each time
const MOST = 500; // recordings of one request
const SIGNS = { yes: "✓", no: "✕", unsure: "?" };

const turns = {}; // how often each list of rows was made: an answer to an earlier one is too late

/** What each list holds: items, how many there are in all, and a note on where they come from. */
const lists = { found: empty(), next: empty(), chosen: empty(), labelled: empty(), recordings: empty() };

function empty() {
  return { items: [], total: 0, note: "", more: null, from: undefined };
}

export function startList() {
  for (const tab of document.querySelectorAll("[data-list]"))
    tab.addEventListener("click", () => set({ list: tab.dataset.list }));
  find("list").addEventListener("keydown", arrow);
  find("recordings-like").addEventListener("input", later(listRecordings, 200));
  on("chosen", listChosen);
  on("verdicts label", listLabelled);
  on("list", show);
  on("items current verdicts", () => paint());
  on("about list", showSkipped);
  on("map", () => {
    listRecordings();
    show();
  });
}

/**
 * Gives what is listed the rows that it has in another map.
 *
 * @returns {number} How many of what was found or suggested are left out, since they are not there.
 */
export function placeLists(find, now) {
  let lost = 0;
  for (const name of ["found", "next", "chosen", "labelled"]) {
    const { items, rows } = lists[name];
    const there = items.filter((item) => place(item, find));
    const left = rows?.map(now).filter((row) => row !== undefined);
    Object.assign(lists[name], { items: there, total: (left ?? there).length, ...(left && { rows: left }) });
    if (!left) lost += items.length - there.length;
  }
  return lost;
}

/**
 * Puts items into a list and shows it.
 *
 * @param {import("./store.js").Item[]} items
 * @param {{from?: import("./store.js").Item}} [options] The window that the items were found from.
 */
export function fillList(name, items, note = "", { from } = {}) {
  lists[name] = { items, note, total: items.length, more: null, from };
  if (state.list === name) show();
  else set({ list: name });
}

function show() {
  const { items, rows, note } = lists[state.list];
  for (const tab of document.querySelectorAll("[data-list]")) {
    const own = tab.dataset.list === state.list;
    tab.setAttribute("aria-selected", own);
    tab.tabIndex = own ? 0 : -1;
    tab.querySelector("b").textContent =
      lists[tab.dataset.list].total && tab.dataset.list !== "recordings" ? number(lists[tab.dataset.list].total) : "";
  }
  find("list").setAttribute("aria-labelledby", `tab-${state.list}`);
  find("recordings-find").hidden = state.list !== "recordings";
  find("list-note").textContent = note;
  const own = items.map(({ row }) => row).filter((row) => row !== undefined && row !== null);
  set({ items: state.list === "recordings" ? [] : items, listed: rows ?? own });
}

function paint() {
  const { items, total, more } = lists[state.list];
  const box = find("list");
  const [scrolled, focused] = [box.scrollTop, box.contains(document.activeElement)];
  const button =
    more &&
    total > items.length &&
    make("button", {
      type: "button",
      class: "more",
      text: say("list.more", { count: Math.min(PAGE, total - items.length) }),
      on: { click: more },
    });
  const first = items.some((item) => same(item, state.current)) ? null : items[0]; // that Tab goes to
  put(box, ...items.map((item) => entry(item, first)), button || null, items.length ? null : hint());
  box.scrollTop = scrolled;
  const own = box.querySelector("[aria-selected=true]");
  own?.scrollIntoView({ block: "nearest" });
  if (focused) (own ?? box).focus({ preventScroll: true });
}

/** Says which files the latest indexing could not use, and why. */
function showSkipped() {
  const { count, some } = state.about?.skipped ?? { count: 0, some: [] };
  find("skipped").hidden = !count || state.list !== "recordings";
  find("skipped-said").textContent = say("list.skipped", { count });
  const more = count - some.length;
  put(
    find("skipped-list"),
    ...some.map(({ path, reason }) => make("li", { text: `${path}: ${reason}` })),
    more > 0
      ? make("li", { text: say("list.skipped.more", { count: more, collection: state.about.folder }) })
      : null,
  );
}

function hint() {
  return make("p", {
    class: "hint",
    text: say(
      state.list === "recordings" && !find("recordings-like").value
        ? "list.recordings.none"
        : `list.${state.list}.empty`,
      { label: state.label || "…" },
    ),
  });
}

function entry(item, first) {
  const own = same(item, state.current);
  const verdict = item.row === undefined ? undefined : state.verdicts.get(item.row);
  const place = item.duration_s
    ? say("list.recording", { duration: clock(item.duration_s, 1), windows: item.windows })
    : `${clock(item.start_s)} – ${clock(item.end_s)}`;
  const facts = [
    place,
    item.site,
    item.time?.slice(0, 16).replace("T", " "),
    item.present === false && say("list.gone"),
  ]
    .filter(Boolean)
    .join(" · ");
  return make(
    "div",
    {
      role: "option",
      class: `entry ${item.present === false ? "gone" : ""}`,
      id: `entry-${item.row ?? `r${item.recording}`}`,
      tabindex: own || item === first ? 0 : -1,
      "aria-selected": String(own),
      on: { click: () => take(item) },
    },
    [
      make("span", {
        class: `verdict ${verdict ?? ""}`,
        text: SIGNS[verdict] ?? "",
        title: verdict && say(`verdict.${verdict}`),
        "aria-hidden": "true",
      }),
      make("span", { class: "name" }, [
        make("span", { text: item.path, title: item.path }),
        make("small", { text: facts }),
      ]),
      verdict ? make("span", { class: "unseen", text: say(`verdict.${verdict}`) }) : null,
      item.score === undefined
        ? null
        : make("span", { class: "score", text: item.score.toFixed(2), title: say("list.score") }),
    ],
  );
}

const same = (one, other) =>
  Boolean(other) &&
  (one.row === undefined ? one.recording === other.recording && one.start_s === other.start_s : one.row === other.row);

function take(item) {
  set({ current: item, stretch: null });
}

const placeInList = () => lists[state.list].items.findIndex((item) => same(item, state.current));

/** Goes on to the next entry if the current window is one, or is what was searched from: else one stays where one is. */
export function advance() {
  if (placeInList() >= 0 || lists[state.list].from === state.current) step(1);
}

/** Goes to the next entry, or the one before. @returns {boolean} Whether there is one. */
export function step(by) {
  const [{ items }, at] = [lists[state.list], placeInList()];
  const next = items[at < 0 ? 0 : at + by];
  if (next) take(next);
  return Boolean(next);
}

function arrow(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by && event.key !== "Enter") return;
  event.preventDefault();
  if (by) step(by);
  if (event.key === "Enter") event.target.click();
}

async function listRows(name, rows, note) {
  const turn = (turns[name] = (turns[name] ?? 0) + 1);
  const upTo = async (count) => {
    try {
      const items = await rowItems(rows.slice(0, count));
      if (turns[name] !== turn) return;
      lists[name] = { items, rows, note, total: rows.length, more: () => upTo(count + PAGE) };
      show();
    } catch (error) {
      fail(error);
    }
  };
  await upTo(PAGE);
}

function listChosen() {
  return listRows(
    "chosen",
    state.chosen,
    state.chosen.length ? say("list.chosen.note", { count: state.chosen.length }) : "",
  );
}

function listLabelled() {
  const rows = [...state.verdicts.keys()].reverse();
  return listRows("labelled", rows, rows.length ? say("list.labelled.note", { label: state.label, count: rows.length }) : "");
}

async function listRecordings() {
  const like = find("recordings-like").value.trim();
  const first = Math.min(MOST, Math.max(PAGE, lists.recordings.items.length)); // as many as are shown
  try {
    const page = async (after, before) => {
      const { recordings, total } = await read("recordings", { after, like, count: after ? PAGE : first });
      const items = [...before, ...recordings.map(recordingItem)];
      lists.recordings = { items, note: "", total, more: () => page(items.at(-1).path, items) };
      show();
    };
    await page("", []);
  } catch (error) {
    fail(error);
  }
}

/** A recording stands for its first window. */
function recordingItem({ id, path, duration_s, site, recorded_at, windows, present }) {
  const first = state.map ? state.map.columns.recording.values.indexOf(id) : -1;
  return {
    ...(first >= 0 && { row: first }),
    recording: id,
    path,
    start_s: 0,
    end_s: Math.min(duration_s ?? Infinity, encoderShown()?.window_s ?? 5),
    duration_s,
    site,
    time: recorded_at ?? undefined,
    windows,
    present,
  };
}
