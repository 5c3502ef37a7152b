// Asks which windows to label next, and lists them.

import { change } from "./api.js";
import { find } from "./dom.js";
import { fillList } from "./list.js";
import { working } from "./status.js";
import { on, set, state } from "./store.js";
import { say } from "./words.js";

export function startSuggest() {
  find("suggest").addEventListener("click", suggest);
  on("label about", able);
  able();
}

function able() {
  const yes = state.about?.labels.find(({ label }) => label === state.label)?.yes;
  const text = !state.label ? say("suggest.first") : yes ? "" : say("suggest.yes");
  find("suggest").disabled = Boolean(text);
  find("suggest-needs").textContent = text;
  find("suggest-needs").hidden = !text;
}

function suggest() {
  return working(find("suggest"), async () => {
    const by = find("suggest-by").value;
    const { classifier, label } = state;
    const knows = state.about.classifiers.some(
      ({ name, labels }) => name === classifier && labels.includes(label),
    );
    const { hits, notes = [] } = await change("suggest", {
      label,
      by,
      count: 20,
      ...(knows && { classifier }),
    });
    fillList(
      "next",
      hits,
      [say("suggest.note", { label, by: say(`suggest.${by}`) }), ...notes].join(" · "),
    );
    if (hits.length) set({ current: hits[0], stretch: null });
  });
}
