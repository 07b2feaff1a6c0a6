// SPDX-License-Identifier: Apache-2.0
// The page Changes: what was predicted of each change before it was tried, and what was measured.
import { adviceLedger } from "./monitor_api.js";
import { count, el, empty, seconds, svg, table, when } from "./monitor_words.js";

const kWidth = 320;
const kRow = 18;
const kEdge = 8;

const kStates = { loading: "is being loaded", running: "runs on a share of the requests", ending: "is ending",
  kept: "kept", rolled_back: "taken back", inconclusive: "inconclusive, taken back", failed: "failed, taken back" };
const isBad = (state) => state === "rolled_back" || state === "failed";

const percent = (part) => `${part >= 0 ? "+" : "\u2212"}${Math.abs(100 * part).toPrecision(3)} %`;
const between = (one) => `${percent(one.low)} to ${percent(one.high)}`;

// As parts of what was before; null: there is nothing to relate it to.
function related(base, low, middle, high) {
  return base > 0 ? { low: low / base - 1, middle: middle / base - 1, high: high / base - 1 } : null;
}

// [{metric, predicted, measured, row}] of a change, the goal first.
function compared(change) {
  const predicted = new Map(change.prediction.map((one) => [one.metric, one]));
  const measured = new Map(change.measured.map((one) => [one.metric, one]));
  const goal = change.parameters.goal;
  const names = [...new Set([goal, ...predicted.keys(), ...measured.keys()])];
  return names.map((metric) => {
    const said = predicted.get(metric);
    const found = measured.get(metric);
    return { metric, found,
      predicted: said ? related(said.now, said.low, said.expected, said.high) : null,
      measured: found ? related(found.before, found.low, found.after, found.high) : null };
  });
}

// Two intervals about their middles on one axis with a line at no change.
function bars(one, low, high) {
  const x = (part) => kEdge + (part - low) / (high - low) * (kWidth - 2 * kEdge);
  const drawing = svg("svg", { viewBox: `0 0 ${kWidth} ${2 * kRow + 4}`, role: "img", class: "compared",
    "aria-label": `${one.metric}: predicted ${one.predicted ? between(one.predicted) : "nothing"}, ` +
      `measured ${one.measured ? between(one.measured) : "nothing"}` },
  svg("line", { x1: x(0), x2: x(0), y1: 0, y2: 2 * kRow + 4, class: "grid" }));
  [one.predicted, one.measured].forEach((interval, i) => {
    if (!interval) return;
    const y = 2 + i * kRow;
    const wide = Math.max(2, x(interval.high) - x(interval.low));
    // Predicted is an outline, measured is filled: no colour is needed to tell them apart.
    drawing.append(svg("rect", { x: x(interval.low), y: y + 3, width: wide, height: kRow - 6,
                                 class: i ? "f0 bar" : "outline", "stroke-dasharray": i ? null : "4 2" }),
      svg("line", { x1: x(interval.middle), x2: x(interval.middle), y1: y, y2: y + kRow, class: "middle" }));
  });
  return drawing;
}

const valueOf = (metric, value) => (metric.includes("seconds") && !metric.includes("per_second") ? seconds(value) : count(value));

function section(change, residuals) {
  const rows = compared(change);
  const ends = rows.flatMap((one) => [one.predicted, one.measured]).filter(Boolean).flatMap((one) => [one.low, one.high]);
  const low = Math.min(0, ...ends) - 0.02;
  const high = Math.max(0, ...ends) + 0.02;
  const offBy = new Map(residuals.filter((one) => one.id === change.id).map((one) => [one.metric, one.value]));
  const last = change.events.at(-1);
  const cells = rows.filter((one) => one.predicted || one.found).map((one) => [
    one.metric === change.parameters.goal ? el("strong", {}, `${one.metric} (goal)`) : one.metric,
    one.predicted ? `${percent(one.predicted.middle)} (${between(one.predicted)})` : "\u2013",
    one.measured ? `${percent(one.measured.middle)} (${between(one.measured)})` : "\u2013",
    one.found ? `${valueOf(one.metric, one.found.before)} \u2192 ${valueOf(one.metric, one.found.after)}` : "\u2013",
    one.found ? count(one.found.n) : "\u2013",
    offBy.has(one.metric) ? percent(offBy.get(one.metric)) : "\u2013",
    one.predicted || one.measured ? bars(one, low, high) : ""]);
  const running = change.requests
    ? ` ${count(change.requests.before.count)} requests as before, ${count(change.requests.changed.count)} with the change.` : "";
  const permanent = change.parameters.permanent.filter(Boolean);
  return el("section", { class: "change", "aria-label": `${change.action} of ${change.model}` },
    el("h3", {}, `${change.action} of ${change.model} `,
      el("span", { class: isBad(change.state) ? "mark bad" : "mark" }, kStates[change.state] || change.state)),
    el("p", {}, `${change.id}, begun ${when(change.made_at)} by ${change.made_by}. `, last ? last.detail : "", running),
    el("p", {}, el("code", {}, JSON.stringify(change.parameters.change))),
    change.predicted_loss ? el("p", {}, `Predicted loss of quality: ${change.predicted_loss}.`) : "",
    change.state === "kept" && permanent.length
      ? el("p", {}, "In force until the server ends. For good: ", el("code", {}, `paring serve ${permanent.join(" ")}`)) : "",
    cells.length ? table([["Figure"], ["Predicted"], ["Measured"], ["Before and after"], ["Requests", true], ["Off by", true],
      ["Dashed: predicted; filled: measured (90 %)"]], cells, `${change.action} of ${change.model}`) : "");
}

// The sections of a ledger, or how to get one.
export function changeSections(ledger) {
  if (ledger.data.length) return ledger.data.map((change) => section(change, ledger.residuals));
  return empty(el("p", {}, "No change was tried yet. ", el("code", {}, "paring advise --apply 1"),
    " tries the best advice. Or with a key of the scope admin:"), el("p", {}, el("code", {},
    `curl ${location.origin}/v1/canaries -H 'authorization: Bearer KEY' -H 'content-type: application/json' ` +
    "-d '{\"model\":\"NAME\",\"change\":{\"options\":{\"sequences_max\":16}}}'")));
}

export async function changesPage(context) {
  const after = context.value("after");
  const ledger = await adviceLedger({ limit: 20, after }, context.signal);
  return [el("h2", {}, "Changes: predicted and measured"),
    el("p", {}, "Each change was tried on a share of the requests beside the others. What was predicted was written down before."),
    changeSections(ledger), el("p", { class: "pager" },
      after ? el("button", { type: "button", onclick: () => context.set({ after: "" }) }, "Newest") : "",
      ledger.has_more ? el("button", { type: "button", onclick: () => context.set({ after: ledger.data.at(-1).id }) }, "Older") : "")];
}
