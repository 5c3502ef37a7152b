// Draws the points of the map into the pixels of a canvas. A loop over typed arrays draws 200,000 points in a few
// milliseconds, without a graphics card; WebGL drawn by software needs fifty times as long (docs/explore.md).

import { mix } from "./stamps.js";

/**
 * @typedef {object} Camera What part of the map is seen.
 * @property {number} x Middle of the view, 0 to 1 across the map.
 * @property {number} y Middle of the view, 0 to 1 up the map.
 * @property {number} zoom 1 shows the whole map in the shorter side of the canvas.
 */

const CROWD = 5000; // points, from which on colours are mixed where they lie on each other, and edges are not smoothed
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
    this.chosen = null; // Uint8Array (points,): 1 is drawn in `mark`
    this.mark = 0;
    this.palette = new Int32Array(256); // 0xAABBGGRR; 0 hides a point
    this.ground = -1;
    this.frames = 0;
    this.asked = false;
  }

  /** @param {Uint16Array} places x and y in turns, of all points. */
  setPlaces(places) {
    this.places = places;
    this.codes = new Uint8Array(places.length / 2);
    this.ask();
  }

  /** @param {Uint8Array} codes A colour for each point. @param {Int32Array} palette 256 colours, 0xAABBGGRR; 0 hides. */
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

  /**
   * @returns {[number, number]} CSS pixels for the width and the height of the whole map. Its axes have no meaning, so that it
   *   may be wider than high, to fill the canvas; but at most twice.
   */
  get sides() {
    const { clientWidth, clientHeight } = this.canvas;
    return [
      Math.min(clientWidth, 2 * clientHeight) * this.camera.zoom,
      Math.min(clientHeight, 2 * clientWidth) * this.camera.zoom,
    ];
  }

  /** @returns {[number, number]} Where a place of the map (0 to 1) lies in the canvas, in CSS pixels from its top left. */
  toCanvas(x, y) {
    const [wide, high] = this.sides;
    return [
      this.canvas.clientWidth / 2 + (x - this.camera.x) * wide,
      this.canvas.clientHeight / 2 - (y - this.camera.y) * high,
    ];
  }

  /** @returns {[number, number]} The place of the map at a point of the canvas. */
  toMap(left, top) {
    const [wide, high] = this.sides;
    return [
      this.camera.x + (left - this.canvas.clientWidth / 2) / wide,
      this.camera.y - (top - this.canvas.clientHeight / 2) / high,
    ];
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
      this.pixels = new Int32Array(this.image.data.buffer); // not Uint32Array, whose values above 2 ** 31 are slow
    }
    this.pixels.fill(this.ground);
    this.paint(width, height, ratio);
    this.painted?.();
    this.context.putImageData(this.image, 0, 0);
    this.frames += 1;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawn?.(this.context);
  }

  /** Puts a stamp at a point of the canvas, in CSS pixels. @returns {boolean} Whether it is seen. */
  stamp({ right, down, colours, shares }, x, y) {
    const { width, height } = this.image;
    const ratio = width / this.canvas.clientWidth;
    const [left, top] = [Math.round(x * ratio), Math.round(y * ratio)];
    if (left < 0 || top < 0 || left >= width || top >= height) return false;
    for (let at = 0; at < right.length; at++) {
      const [column, row] = [left + right[at], top + down[at]];
      if (column < 0 || row < 0 || column >= width || row >= height) continue;
      const pixel = row * width + column;
      this.pixels[pixel] = mix(this.pixels[pixel], colours[at], shares[at]);
    }
    return true;
  }

  paint(width, height, ratio) {
    const { places, codes, palette, pixels, camera, chosen, mark } = this;
    const [wide, high] = this.sides.map((side) => side * ratio);
    const [across, up] = [wide / FULL, high / FULL];
    const left = width / 2 - camera.x * wide;
    const top = height / 2 + camera.y * high;
    const crowded = codes.length > CROWD;
    const stamp = disc(Math.max(1, Math.round(this.pointSize * ratio)), crowded ? 0.6 : 0.1);
    const offsets = Int32Array.from(stamp.cells, ([x, y]) => y * width + x);
    const [reach, count] = [stamp.reach, offsets.length];
    for (let point = 0, at = 0; point < codes.length; point++, at += 2) {
      const colour = chosen !== null && chosen[point] === 1 ? mark : palette[codes[point]];
      const x = (places[at] * across + left) | 0;
      const y = (top - places[at + 1] * up) | 0;
      if (colour === 0 || places[at] === FULL || x < reach || y < reach || x >= width - reach || y >= height - reach)
        continue;
      const middle = y * width + x;
      if (crowded) {
        // The mean of the colour and of what is there, byte by byte: where points crowd, the colour grows full.
        for (let cell = 0; cell < count; cell++) {
          const pixel = middle + offsets[cell];
          const there = pixels[pixel];
          pixels[pixel] = ((there & colour) + (((there ^ colour) & 0x7efefefe) >> 1)) | 0xff000000;
        }
      } else {
        for (let cell = 0; cell < count; cell++)
          pixels[middle + offsets[cell]] = mix(pixels[middle + offsets[cell]], colour, stamp.covered[cell]);
      }
    }
  }
}

/** @returns {{cells: [number, number][], covered: number[], reach: number}} The pixels that a disc covers more than `least` of, how much, and how far they reach. */
function disc(size, least) {
  const cells = [];
  const covered = [];
  const reach = Math.ceil(size / 2);
  const shift = size % 2 ? 0 : 0.5;
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const share = Math.min(1, size / 2 + 0.5 - Math.hypot(x + shift, y + shift));
      if (share > least) {
        cells.push([x, y]);
        covered.push(share);
      }
    }
  }
  return { cells, covered, reach };
}
