// Light and dark: as the system says, or as it was chosen here.

import { find } from "./dom.js";
import { set } from "./store.js";
import { say } from "./words.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

/** @returns {"light" | "dark"} */
export function currentTheme() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

export function startTheme() {
  const chosen = localStorage.getItem("axlstm-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  find("theme").addEventListener("click", () => {
    const next = currentTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("axlstm-theme", next);
    changed();
  });
  dark.addEventListener("change", () => localStorage.getItem("axlstm-theme") || follow());
  if (!document.documentElement.dataset.theme) follow();
  else changed();
}

function follow() {
  document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
  changed();
}

function changed() {
  find("theme").setAttribute("aria-label", say(currentTheme() === "dark" ? "theme.light" : "theme.dark"));
  set({ theme: currentTheme() });
}

/** @returns {string} What the map is drawn on. */
export const ground = () => getComputedStyle(document.documentElement).getPropertyValue("--ground").trim();

/** @returns {string} What lines are drawn in. */
export const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
