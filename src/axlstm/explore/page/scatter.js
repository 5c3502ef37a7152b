// Draws the points of the map into the pixels of a canvas. A loop over typed arrays draws 200,000 points in a few
// milliseconds, without a graphics card; WebGL drawn by software needs fifty times as long (docs/explore.md).

/**
 * @typedef {object} Camera What part of the map is seen.
 * @property {number} x Middle of the view, 0 to 1 across the map.
 * @property {number} y Middle of the view, 0 to 1 up the map.
 * @property {number} zoom 1 shows the whole map in the shorter side of the canvas.
 */

const FULL = 65535; // places are uint16, and this one means that a window has none

export class Scatter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    /** @type {Camera} */
    this.camera = { x: 0.5, y: 0.5, zoom: 0.92 };
    this.places = new Uint16Array(0); // (points, 2)
    this.codes = new Uint8Array(0); // (points,)
    this.palette = new Uint32Array(256); // ABGR; 0 hides a point
    this.ground = 0xffffffff;
    this.frames = 0;
    this.asked = false;
  }

  /** @param {Uint16Array} places x and y in turns, of all points. */
  setPlaces(places) {
    this.places = places;
    this.codes = new Uint8Array(places.length / 2);
    this.ask();
  }

  /** @param {Uint8Array} codes A colour for each point. @param {Uint32Array} palette 256 colours, 0xAABBGGRR; 0 hides. */
  setColours(codes, palette) {
    this.codes = codes;
    this.palette = palette;
    this.ask();
  }

  /** Draws once in the next frame, however often it is called before. */
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  /** @returns {number} CSS pixels for a side of the whole map. */
  get side() {
    return Math.min(this.canvas.clientWidth, this.canvas.clientHeight) * this.camera.zoom;
  }

  /** @returns {[number, number]} Where a place of the map (0 to 1) lies in the canvas, in CSS pixels from its top left. */
  toCanvas(x, y) {
    const { clientWidth, clientHeight } = this.canvas;
    return [clientWidth / 2 + (x - this.camera.x) * this.side, clientHeight / 2 - (y - this.camera.y) * this.side];
  }

  /** @returns {[number, number]} The place of the map at a point of the canvas. */
  toMap(left, top) {
    const { clientWidth, clientHeight } = this.canvas;
    return [this.camera.x + (left - clientWidth / 2) / this.side, this.camera.y - (top - clientHeight / 2) / this.side];
  }

  /** @returns {number} Size of a point in CSS pixels: small for many points, larger when one looks closer. */
  get pointSize() {
    const crowd = 2 + 16 / Math.max(1, Math.log10(this.codes.length + 10) - 0.5) ** 2;
    return Math.min(12, crowd * Math.max(1, this.camera.zoom) ** 0.35);
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height || !this.image) {
      Object.assign(this.canvas, { width, height });
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.pixels.fill(this.ground);
    this.paint(width, height, ratio);
    this.context.putImageData(this.image, 0, 0);
    this.frames += 1;
    this.drawn?.();
  }

  paint(width, height, ratio) {
    const { places, codes, palette, pixels, camera } = this;
    const scale = (this.side * ratio) / FULL;
    const left = width / 2 - camera.x * this.side * ratio;
    const top = height / 2 + camera.y * this.side * ratio;
    const stamp = disc(Math.max(1, Math.round(this.pointSize * ratio)));
    const offsets = Int32Array.from(stamp.cells, ([x, y]) => y * width + x);
    const [reach, count] = [stamp.reach, offsets.length];
    const crowded = codes.length > 5000;
    for (let point = 0, at = 0; point < codes.length; point++, at += 2) {
      const colour = palette[codes[point]];
      const x = (places[at] * scale + left) | 0;
      const y = (top - places[at + 1] * scale) | 0;
      if (colour === 0 || places[at] === FULL || x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      const middle = y * width + x;
      if (crowded) {
        // The mean of the colour and of what is there, byte by byte: where points crowd, the colour grows full.
        for (let cell = 0; cell < count; cell++) {
          const pixel = middle + offsets[cell];
          const there = pixels[pixel];
          pixels[pixel] = (there & colour) + (((there ^ colour) & 0xfefefefe) >>> 1);
        }
      } else {
        for (let cell = 0; cell < count; cell++) pixels[middle + offsets[cell]] = colour;
      }
    }
  }
}

/** @returns {{cells: [number, number][], reach: number}} The pixels of a disc around its middle, and how far they reach. */
function disc(size) {
  const cells = [];
  const reach = Math.ceil(size / 2);
  const shift = size % 2 ? 0 : 0.5;
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      if (Math.hypot(x + shift, y + shift) <= size / 2 + 0.1) cells.push([x, y]);
    }
  }
  return { cells, reach };
}
