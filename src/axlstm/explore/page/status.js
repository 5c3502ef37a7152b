// Says how things stand: what was saved, and what went wrong.

import { find, make, put } from "./dom.js";
import { say } from "./words.js";

let leaving = 0;

/** Says something in the bar at the top, such as that labels are saved. @param {"busy" | "good" | "plain"} kind */
export function tell(text, kind = "plain") {
  find("saved").textContent = find("saved").title = text;
  find("saved").dataset.kind = kind;
}

/** Shows what went wrong until it is closed, or something else goes wrong. */
export function fail(error) {
  if (error.name === "AbortError") return;
  const text = error.status === 0 ? say("server.gone") : error.status === 401 ? say("server.token") : error.message;
  notice(text, "bad");
}

/** Shows a notice; those that are not bad leave by themselves. */
export function notice(text, kind = "good") {
  const close = make("button", {
    type: "button",
    class: "icon",
    text: "✕",
    "aria-label": say("close"),
    on: { click: () => put(find("notice")) },
  });
  put(find("notice"), make("div", { class: `notice ${kind}` }, [make("span", { text }), close]));
  clearTimeout(leaving);
  if (kind !== "bad") leaving = setTimeout(() => put(find("notice")), 8000);
}

/** Runs work of a button: the button cannot be pressed meanwhile, and what goes wrong is shown. */
export async function working(button, work) {
  button.disabled = true;
  try {
    return await work();
  } catch (error) {
    fail(error);
    return undefined;
  } finally {
    button.disabled = false;
  }
}
