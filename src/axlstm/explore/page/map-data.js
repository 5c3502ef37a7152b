// Reads the map as the server sends it: a JSON header, and a column of numbers for each fact about a window.

/**
 * @typedef {object} MapData
 * @property {number} count Windows.
 * @property {string} table What the server calls these windows.
 * @property {string} drawing What tells the drawing from another one.
 * @property {Uint16Array} places x and y in turns, 0 to 65535. (count, 2)
 * @property {Object<string, {values: ArrayLike<number>, names: string[] | null}>} columns By name: site, hour, density, recording.
 */

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

/** @param {ArrayBuffer} bytes @returns {MapData} */
export function parseMap(bytes) {
  const { header, columns } = parseColumns(bytes);
  const [places, drawing] = [pairs(columns.x.values, columns.y.values), `${header.encoder} ${header.about?.digest}`];
  return { count: header.n, table: header.table, drawing, places, columns };
}

/** Reads columns behind a header, as the server packs them (`pack_columns`). @param {ArrayBuffer} bytes */
export function parseColumns(bytes) {
  const length = new DataView(bytes).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const columns = {};
  for (const { name, dtype, offset, values } of header.columns) {
    columns[name] = { values: new TYPES[dtype](bytes, 4 + length + offset, header.n), names: values ?? null };
  }
  return { header, columns };
}

function pairs(x, y) {
  const places = new Uint16Array(2 * x.length);
  for (let at = 0; at < x.length; at++) {
    places[2 * at] = x[at];
    places[2 * at + 1] = y[at];
  }
  return places;
}

/** @returns {[number, number]} The place of a window, 0 to 1 across and up. */
export function placeOf(map, row) {
  return [map.places[2 * row] / 65535, map.places[2 * row + 1] / 65535];
}

/** @returns {number} The window nearest to a place, or -1 if none is within `reach` across and up. `hidden` says which are not seen. */
export function nearest(map, [x, y], reach, hidden = () => false) {
  const { places } = map;
  const [left, up] = [x * 65535, y * 65535];
  const [wide, high] = reach.map((far) => 1 / (far * 65535));
  let [best, distance] = [-1, 1];
  for (let row = 0, at = 0; row < map.count; row++, at += 2) {
    const away = ((places[at] - left) * wide) ** 2 + ((places[at + 1] - up) * high) ** 2;
    if (away < distance && !hidden(row)) [best, distance] = [row, away];
  }
  return best;
}

/** @returns {number[]} The `count` windows nearest to one, itself first. */
export function around(map, row, count) {
  const [x, y] = placeOf(map, row);
  const away = Float64Array.from({ length: map.count }, (_, at) => {
    const place = placeOf(map, at);
    return (place[0] - x) ** 2 + (place[1] - y) ** 2;
  });
  return Array.from({ length: map.count }, (_, at) => at)
    .sort((one, other) => away[one] - away[other])
    .slice(0, count);
}

/** @returns {number} The nearest window in a direction (dx, dy), within 45 degrees of it, or -1. */
export function towards(map, row, dx, dy) {
  const [x, y] = placeOf(map, row);
  let [best, distance] = [-1, Infinity];
  for (let other = 0; other < map.count; other++) {
    const [ox, oy] = placeOf(map, other);
    const [along, across] = [(ox - x) * dx + (oy - y) * dy, Math.abs((ox - x) * dy - (oy - y) * dx)];
    if (along > 0 && across <= along && along + 2 * across < distance) [best, distance] = [other, along + 2 * across];
  }
  return best;
}

/** @returns {number[]} The windows inside of a polygon of places. */
export function inside(map, polygon) {
  const [xs, ys] = [polygon.map(([x]) => x), polygon.map(([, y]) => y)];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const rows = [];
  for (let row = 0; row < map.count; row++) {
    const [x, y] = placeOf(map, row);
    if (x < 1 && x >= left && x <= right && y >= low && y <= high && holds(polygon, x, y)) rows.push(row);
  }
  return rows;
}

function holds(polygon, x, y) {
  let within = false;
  for (let at = 0, before = polygon.length - 1; at < polygon.length; before = at++) {
    const [[ax, ay], [bx, by]] = [polygon[at], polygon[before]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}
