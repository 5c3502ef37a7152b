// Chooses the ticks of an axis.

/** @returns {{ticks: number[], step: number}} Round values between two ends, about `count` of them. */
export function ticks(low, high, count, steps = [1, 2, 5, 10]) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = steps.map((part) => part * power).find((size) => size >= rough) ?? 10 * power;
  return { ticks: between(low, high, step), step };
}

/** @returns {{ticks: number[], step: number}} Times that a clock has: 1, 2, 5, 10, 15, 30 s, minutes, hours. */
export function timeTicks(low_s, high_s, count) {
  const rough = (high_s - low_s) / Math.max(1, count);
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800].find((size) => size >= rough);
  return rough < 1 || !step ? ticks(low_s, high_s, count) : { ticks: between(low_s, high_s, step), step };
}

function between(low, high, step) {
  const first = Math.ceil(low / step - 1e-9);
  return Array.from(
    { length: Math.max(0, Math.floor(high / step + 1e-9) - first + 1) },
    (_, at) => (first + at) * step,
  );
}
