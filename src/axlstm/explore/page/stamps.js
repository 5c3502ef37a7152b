// Makes small pictures that are put into the pixels of the map, and mixes colours.

const REACH = 16; // CSS pixels from the middle of a stamp to its edge

/**
 * @typedef {object} Stamp The pixels of a small picture that are not empty.
 * @property {Int32Array} right From the middle.
 * @property {Int32Array} down
 * @property {Int32Array} colours 0xAABBGGRR, of which the alpha does not count.
 * @property {Float32Array} shares How much of each pixel is covered.
 */

/** @param {number} ratio Pixels for a CSS pixel. @param {(pen: CanvasRenderingContext2D) => void} draw Around 0, 0. @returns {Stamp} */
export function makeStamp(ratio, draw) {
  const size = Math.ceil(2 * REACH * ratio);
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.translate(size / 2, size / 2);
  pen.scale(ratio, ratio);
  draw(pen);
  const { data } = pen.getImageData(0, 0, size, size);
  const pixels = new Int32Array(data.buffer);
  const there = Array.from(pixels.keys()).filter((at) => data[4 * at + 3] > 0);
  return {
    right: Int32Array.from(there, (at) => (at % size) - (size >> 1)),
    down: Int32Array.from(there, (at) => Math.floor(at / size) - (size >> 1)),
    colours: Int32Array.from(there, (at) => pixels[at]),
    shares: Float32Array.from(there, (at) => data[4 * at + 3] / 255),
  };
}

/** @returns {number} A pixel that a colour covers by a share. */
export function mix(there, colour, share) {
  if (share === 1) return colour;
  let mixed = 0xff;
  for (const shift of [16, 8, 0]) {
    const before = (there >>> shift) & 255;
    mixed = (mixed << 8) | Math.round(before + share * (((colour >>> shift) & 255) - before));
  }
  return mixed | 0;
}
