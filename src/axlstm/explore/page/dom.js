// Makes and finds elements. Texts become text and nothing else: names of files and labels may hold anything.

/** @returns {HTMLElement} The element with this id. */
export const find = (id) => document.getElementById(id);

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {Object<string, any>} [properties] `class`, `text`, `on` (listeners by name), `style` (CSS variables and properties); else attributes.
 * @param {(Node | null)[]} [children]
 */
export function make(tag, properties = {}, children = []) {
  return fill(document.createElement(tag), properties, children);
}

/** Makes an element of SVG. */
export function draw(tag, properties = {}, children = []) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on")
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "style")
      for (const [key, setting] of Object.entries(value)) element.style.setProperty(key, setting);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

/** Puts these children in place of those that are there. What has the focus among them leaves it to the one in its place. */
export function put(element, ...children) {
  const at = element.contains(document.activeElement) ? stops(element).indexOf(document.activeElement) : -1;
  element.replaceChildren(...children.filter(Boolean));
  if (at >= 0) stops(element).slice(0, at + 1).at(-1)?.focus({ preventScroll: true });
}

const stops = (element) => [...element.querySelectorAll("button, input, select, summary, a, [tabindex]")];

/** Fills a list of choices; keeps what was chosen if it is still there. */
export function choices(select, options, chosen = select.value) {
  put(select, ...options.map(([value, text]) => make("option", { value, text })));
  select.value = options.some(([value]) => value === chosen) ? chosen : (options[0]?.[0] ?? "");
}

/** Calls `work` once calls have paused for `pause_ms`. */
export function later(work, pause_ms) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), pause_ms);
  };
}
