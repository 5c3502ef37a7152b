// Shows how good a classifier is: its numbers, curves, worst mistakes, and the threshold of each label.

import { chart } from "./charts.js";
import { make, put } from "./dom.js";
import { rowItems } from "./rows.js";
import { set } from "./store.js";
import { thresholdOf } from "./threshold.js";
import { clock, say } from "./words.js";

/** @param {HTMLElement} box @param {object} card What /api/classifier/NAME says. */
export function showCard(box, card) {
  const thresholds = Object.fromEntries(card.labels.map((label, at) => [label, card.thresholds[at]]));
  const notes = [card.why_not, ...(card.card.notes ?? card.card.warnings ?? [])].filter(Boolean);
  put(
    box,
    ...notes.map((note) => make("p", { class: "warn", text: note })),
    ...card.labels.flatMap((label) => section({ ...card, thresholds }, label)),
  );
}

function section(card, label) {
  const known = card.curves[label] ?? {};
  return [
    make("h2", { text: label }),
    known.average_precision
      ? make("p", { class: "figures", text: figures(known) })
      : make("p", { class: "hint", text: say("card.unknown") }),
    thresholdOf(card, label, known.windows ?? []),
    known.precision_recall
      ? make("details", {}, [
          make("summary", { text: say("card.curves") }),
          make("div", { class: "charts" }, curves(card.grid, known)),
        ])
      : null,
    known.windows ? mistakes(known.windows, card.thresholds[label]) : null,
  ];
}

function figures({ average_precision: average, area_under_roc: area }) {
  return [
    ["card.average", average],
    ["card.area", area],
  ]
    .filter(([, value]) => value)
    .map(([key, [mean, low, high]]) => say(key, { mean: fixed(mean), low: fixed(low), high: fixed(high) }))
    .join(" · ");
}

const fixed = (value) => (value === null ? "–" : value.toFixed(2));

function curves(grid, { precision_recall: precision, roc, bins, learning }) {
  const joined = (curve) => grid.map((x, at) => [x, curve.value[at]]).filter(([, y]) => y !== null);
  const band = (curve) =>
    grid.map((x, at) => [x, curve.low[at], curve.high[at]]).filter(([, low, high]) => low !== null && high !== null);
  const drawn = [
    chart(say("chart.precision"), say("chart.recall"), say("chart.precision.axis"), [{ points: joined(precision) }], {
      band: band(precision),
    }),
    chart(
      say("chart.roc"),
      say("chart.false"),
      say("chart.true"),
      [
        {
          points: [
            [0, 0],
            [1, 1],
          ],
          kind: "faint",
        },
        { points: joined(roc) },
      ],
      { band: band(roc) },
    ),
  ];
  if (bins?.length)
    drawn.push(
      chart(say("chart.calibration"), say("chart.probability"), say("chart.share"), [
        {
          points: [
            [0, 0],
            [1, 1],
          ],
          kind: "faint",
        },
        { points: bins.map(({ probability, share }) => [probability, share[0]]), kind: "dots" },
      ]),
    );
  if (learning) {
    const points = learning.sizes.map((size, at) => [size, learning.averages[at][0]]);
    const most = Math.max(...learning.sizes);
    drawn.push(
      chart(say("chart.learning"), say("chart.windows"), say("chart.average"), [{ points }, { points, kind: "dots" }], {
        most,
        band: learning.sizes
          .map((size, at) => [size, ...learning.averages[at].slice(1)])
          .filter(([, low, high]) => low !== null && high !== null),
      }),
    );
  }
  return drawn;
}

async function open(row) {
  const [item] = await rowItems([row]);
  if (item) set({ current: item, stretch: null });
}

/** Lists the judged windows that the classifier is most wrong about; a click plays. */
function mistakes(windows, threshold) {
  const far = ({ probability, is_yes: isYes }) => Math.abs(probability - Number(isYes));
  const wrong = windows.filter(({ probability, is_yes: isYes }) => probability >= threshold !== isYes);
  const worst = wrong.sort((one, other) => far(other) - far(one)).slice(0, 8);
  if (!worst.length) return make("p", { class: "hint", text: say("card.no-mistakes") });
  return make("details", {}, [
    make("summary", { text: say("card.mistakes", { count: wrong.length }) }),
    make(
      "ul",
      { class: "mistakes" },
      worst.map(({ row, start_s, end_s, probability, is_yes: isYes }) =>
        make("li", {}, [
          make("button", { type: "button", class: "entry", disabled: row === null, on: { click: () => open(row) } }, [
            make("span", {
              class: `verdict ${isYes ? "yes" : "no"}`,
              text: isYes ? "✓" : "✕",
              "aria-label": say(isYes ? "verdict.yes" : "verdict.no"),
            }),
            make("span", {
              text: say(isYes ? "card.missed" : "card.false", { from: clock(start_s), to: clock(end_s) }),
            }),
            make("span", { class: "score", text: probability.toFixed(2) }),
          ]),
        ]),
      ),
    ),
  ]);
}
