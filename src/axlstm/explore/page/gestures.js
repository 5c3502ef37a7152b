// Turns what a mouse, a pen, fingers or a wheel do on the map into moves, a lasso, a click.

/**
 * @param {HTMLElement} box
 * @param {object} to What to do. All places are in CSS pixels from the top left of the box.
 * @param {() => boolean} to.lassoing Whether a drag draws a lasso.
 * @param {(dx: number, dy: number) => void} to.move
 * @param {(factor: number, x: number, y: number) => void} to.zoom
 * @param {(path: [number, number][], done: boolean) => void} to.lasso
 * @param {(x: number, y: number) => void} to.click
 * @param {(x: number, y: number) => void} to.hover
 */
export function listen(box, to) {
  /** @type {Map<number, [number, number]>} */
  const fingers = new Map();
  let path = [];
  let travelled = 0;
  let drawing = false;
  const place = (event) => {
    const bounds = box.getBoundingClientRect();
    return [event.clientX - bounds.left, event.clientY - bounds.top];
  };

  box.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    box.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place(event));
    if (fingers.size > 1) return;
    drawing = to.lassoing() || event.shiftKey;
    [travelled, path] = [0, [place(event)]];
  });

  box.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const before = fingers.get(event.pointerId);
    if (!before) return to.hover(x, y);
    if (fingers.size === 2) pinch(event.pointerId, before, [x, y]);
    else if (drawing) to.lasso((path = [...path, [x, y]]), false);
    else to.move(x - before[0], y - before[1]);
    travelled += Math.hypot(x - before[0], y - before[1]);
    fingers.set(event.pointerId, [x, y]);
  });

  function pinch(id, before, now) {
    const other = [...fingers].find(([finger]) => finger !== id)[1];
    const distance = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
    to.zoom(distance(now) / Math.max(1, distance(before)), other[0], other[1]);
  }

  box.addEventListener("pointerup", (event) => {
    if (!fingers.delete(event.pointerId) || fingers.size) return;
    if (travelled < 5) to.click(...place(event));
    else if (drawing) to.lasso(path, true);
    drawing = false;
  });
  box.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  box.addEventListener("pointerleave", () => to.hover(-1, -1));
  box.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      to.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...place(event));
    },
    { passive: false },
  );
}
