// SPDX-License-Identifier: Apache-2.0
// The pages Advice (what to change, and what became of changes) and Alerts.
import { advice, adviceLedger, alerts, Problem } from "./monitor_api.js";
import { changeSections } from "./monitor_changes.js";
import { bytes, count, el, empty, joules, seconds, share, svg, table, tile, tiles, when } from "./monitor_words.js";

const kWords = {
  answer_tokens_per_second: ["Answers at full load", (value) => `${count(value)} tokens/s`],
  inter_token_seconds: ["Between tokens", seconds],
  first_token_seconds: ["To the first token", seconds],
  total_seconds: ["Total", seconds],
  engine_seconds_per_request: ["Engine, a request", seconds],
  joules_per_request: ["Energy, a request", joules],
  money_per_request: ["Money, a request", (value) => value.toPrecision(3)],
  answer_tokens: ["Answer tokens, a request", count],
  memory_bytes: ["Memory", bytes],
};
const titleOf = (metric) => (kWords[metric] || [metric])[0];
const said = (metric, value) => (kWords[metric] || ["", count])[1](value);
const percent = (part) => `${part >= 0 ? "+" : "\u2212"}${Math.abs(100 * part).toFixed(1)} %`;

// An interval on a line with 0 in it: a bar from low to high, a tick at what is expected or measured.
function interval(low, middle, high, most) {
  const width = 160;
  const x = (value) => width / 2 + Math.max(-1, Math.min(1, value / most)) * (width / 2 - 4);
  return svg("svg", { viewBox: `0 0 ${width} 14`, width, height: 14, class: "interval", role: "img",
    "aria-label": `${percent(middle)}, ${percent(low)} to ${percent(high)}` },
  svg("line", { x1: width / 2, x2: width / 2, y1: 0, y2: 14, class: "axis" }),
  svg("rect", { x: x(low), y: 5, width: Math.max(x(high) - x(low), 1), height: 4, class: "bar" }),
  svg("line", { x1: x(middle), x2: x(middle), y1: 1, y2: 13, class: "tick" }));
}

function adviceSection(each) {
  const rows = each.metrics.map((metric) => {
    const change = (value) => (metric.now ? value / metric.now - 1 : 0);
    return [titleOf(metric.metric), said(metric.metric, metric.now), said(metric.metric, metric.expected),
      `${said(metric.metric, metric.low)} to ${said(metric.metric, metric.high)}`,
      interval(change(metric.low), change(metric.expected), change(metric.high), 1)];
  });
  return el("section", { class: "advice" },
    el("h3", {}, `${each.number}. ${each.title}`, each.is_recommended ? "" : el("span", { class: "note" }, " (not recommended)")),
    el("p", {}, each.evidence, "."),
    el("p", {}, el("strong", {}, `${percent(each.gain.expected)} `), `${titleOf(each.gain.metric).toLowerCase()}, `,
      `${percent(each.gain.low)} to ${percent(each.gain.high)} in 9 of 10 cases. Loss: ${each.loss}.`),
    each.caution ? el("p", {}, `But: ${each.caution}.`) : "",
    each.commands.map((command) => el("p", {}, el("code", {}, command))),
    each.change ? el("p", {}, "Tried on a share of the requests: ",
      el("code", {}, `paring advise --apply ${each.number} --url ${location.origin}`)) : "",
    table([["Figure"], ["Now", true], ["Then", true], ["90 %", true], ["Change"]], rows, each.title));
}

const ledgerSection = (ledger) => [el("h2", {}, "Changes that were tried"), changeSections(ledger)];

export async function advicePage(context) {
  const hours = Math.max(1, Math.round(context.range() / 3600));
  const ledger = await adviceLedger({ limit: 5 }, context.signal);
  let report;
  try {
    report = await advice({ hours }, context.signal);
  } catch (problem) {
    if (!(problem instanceof Problem) || ![403, 404].includes(problem.status)) throw problem;
    const why = problem.status === 403 ? "Advice sees all tenants' requests: it takes a key with the scope admin."
      : `${problem.message} Choose a longer time above.`;
    return [el("h2", {}, "What to change"), empty(why, " ", el("code", {}, "paring advise --data-dir FOLDER"),
      " says it on the server."), ledgerSection(ledger)];
  }
  const head = [el("h2", {}, `What to change about ${report.model}`),
    tiles(tile("Requests", count(report.requests), `${share(report.repeated, report.requests)} equal an earlier one`),
      tile("Full load", `${count(report.present.answer_tokens_per_second)} tokens/s`, `${report.clients} clients, by replay`),
      tile("Between tokens", seconds(report.measured.inter_token_seconds), "measured"),
      tile("Engine", seconds(report.measured.engine_seconds), "of work, measured"))];
  const list = report.advice.length ? report.advice.map(adviceSection) : empty("Nothing to change.");
  return [head, el("p", {}, "Other types of weights are timed on the machine by ", el("code", {}, "paring advise"), "."), list,
    ledgerSection(ledger)];
}

// --- Alerts ---

const kStates = { inactive: "well", pending: "pending", firing: "FIRING", resolved: "resolved" };

function standing(objective) {
  if (objective.kind === "budget") return `${count(objective.used || 0)} of ${count(objective.limits.amount)} ${objective.limits.unit}`;
  if (objective.ratio !== undefined) {
    return `${share(objective.ratio, 1)} good${objective.target === undefined ? "" : `, ${share(objective.target, 1)} wanted`}`;
  }
  return objective.mean === undefined ? "nothing yet" : `mean ${objective.mean.toPrecision(3)}`;
}

function worst(objective) {
  const order = ["firing", "pending", "resolved", "inactive"];
  return order.find((state) => objective.alerts.some((alert) => alert.state === state)) || "inactive";
}

export async function alertsPage(context) {
  const read = await alerts(context.signal);
  if (!read.objectives.length) {
    return [el("h2", {}, "Alerts"), empty("This server has no objectives. Write some into a file (",
      el("code", {}, "deploy/slo.yaml"), " is an example) and start it with ", el("code", {}, "paring serve MODEL --slo FILE"), ".")];
  }
  const rows = read.objectives.map((objective) => {
    const state = worst(objective);
    const silent = objective.silenced_until > read.now ? `, silent until ${when(objective.silenced_until)}` : "";
    return [objective.name, objective.kind, state === "firing" ? el("strong", { class: "mark bad" }, kStates.firing, silent)
      : `${kStates[state]}${silent}`, standing(objective), share(objective.error_budget_remaining, 1),
    objective.burn_rates.map((burn) => `${burn.long.toPrecision(2)}/${Number(burn.limit.toPrecision(3))}`).join(" ") || "\u2013", count(objective.requests)];
  });
  const firing = read.objectives.filter((objective) => worst(objective) === "firing").length;
  const history = read.history.map((change) => [when(change.at), change.objective, change.alert,
    `${kStates[change.from]} \u2192 ${kStates[change.to]}`, count(change.value), count(change.limit)]);
  const sinks = read.sinks.map((sink) => [sink.name, sink.is_well ? "well" : "NOT taken", count(sink.waiting)]);
  return [el("h2", {}, "Alerts"),
    tiles(tile("Firing", count(firing), `of ${read.objectives.length} objectives`),
      read.objectives.filter((objective) => objective.ratio !== undefined).map((objective) =>
        tile(objective.name, share(objective.ratio, 1), `${share(objective.target, 1)} wanted, ${objective.kind}`))),
    table([["Objective"], ["About"], ["State"], ["Stands at"], ["Error budget left", true], ["Burn rate / limit", true],
      ["Requests", true]], rows, "Objectives"),
    el("h2", {}, "What happened"), history.length ? table([["Time"], ["Objective"], ["Alert"], ["Change"], ["Value", true],
      ["Limit", true]], history, "Changes of alerts") : empty("Nothing yet."),
    el("h2", {}, "Who is told"), table([["Sink"], ["State"], ["Waiting", true]], sinks, "Sinks")];
}
