// SPDX-License-Identifier: Apache-2.0
// The pages Overview and Cost.
import { alerts, gauges, series, summary, users } from "./monitor_api.js";
import { heat, lines, stacked } from "./monitor_charts.js";
import { answerTokens, count, el, empty, energy, field, joules, money, moneySum, promptTokens, seconds, share, table,
         tile, tiles, when } from "./monitor_words.js";

const kBuckets = [60, 300, 900, 1800, 3600, 7200, 21600, 43200];
const kBucketsShown = 96;

// The time that is asked for, in whole buckets up to now.
export function spanOf(range) {
  const bucket = kBuckets.find((each) => range / each <= kBucketsShown) || 86400;
  const now = Math.floor(Date.now() / 1000);
  const to = Math.ceil((now + 1) / bucket) * bucket;
  const from = to - Math.ceil(range / bucket) * bucket;
  const times = [];
  for (let time = from; time < to; time += bucket) times.push(time);
  // Seconds of each bucket that are over: rates of the last one are of what there is.
  return { from, to, bucket, times, lasted: (time) => Math.max(1, Math.min(bucket, now - time)) };
}

// A value of each bucket; null where there was no request, which is not 0.
export function valuesOf(span, data, value) {
  const found = new Map(data.map((each) => [each.start, each]));
  return span.times.map((time) => {
    const sums = found.get(time);
    if (!sums) return null;
    const said = value(sums, span.lasted(time));
    return said === null || said === undefined || Number.isNaN(said) ? null : said;
  });
}
const orZero = (values) => values.map((value) => value ?? 0);

export const noTraffic = () => empty(
  el("p", {}, "No request in this time. Choose a longer time above, or ask the server for something:"),
  el("p", {}, el("code", {}, `curl ${location.origin}/v1/chat/completions -H 'content-type: application/json' ` +
    "-d '{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'")),
  el("p", {}, el("a", { href: "./" }, "or open the chat page"), "."));

// --- SLO ---

const kSlo = [
  ["slo_first", "first_token", "first_token_within_microseconds", "First token within, ms"],
  ["slo_total", "total", "total_within_microseconds", "All of it within, ms"],
  ["slo_gap", "gap", "gap_within_microseconds", "Each next token within, ms"],
];
function sloOf(context) {
  const asked = {};
  for (const [name, , parameter] of kSlo) {
    const value = Number(context.value(name));
    if (context.value(name) && value >= 0) asked[parameter] = Math.round(value * 1000);
  }
  return asked;
}
function sloForm(context) {
  const inputs = kSlo.map(([name, , , label]) => [name, label,
    el("input", { id: name, type: "number", min: "0", max: "86400000", step: "any", value: context.value(name) })]);
  return el("form", { class: "fields", "aria-label": "SLO", onsubmit: (event) => {
    event.preventDefault();
    context.set(Object.fromEntries(inputs.map(([name, , input]) => [name, input.value])));
  } }, inputs.map(([, label, input]) => field(label, input, { class: "slo" })), el("button", {}, "Set the SLO"));
}
// The least share says how good it can be at best, and what the shares leave together how good it is at least. Gaps are
// of tokens, not of requests: they stand apart.
function goodput(sums, span) {
  const parts = kSlo.map(([, name, , label]) => [name, label.split(",")[0], sums[name]])
    .filter(([, , figures]) => figures.within !== undefined && figures.count);
  if (!parts.length) return tile("Goodput", "\u2013", "set an SLO below");
  const note = parts.map(([name, label, figures]) =>
    `${label}: ${share(figures.within, figures.count)}${name === "gap" ? " of tokens" : ""}`).join("; ");
  const shares = parts.filter(([name]) => name !== "gap").map(([, , figures]) => figures.within / figures.count);
  if (!shares.length) return tile("Goodput", "\u2013", note);
  const least = Math.max(0, 1 - shares.reduce((sum, each) => sum + 1 - each, 0));
  const most = Math.min(...shares);
  const percent = (value) => (100 * value).toPrecision(3);
  const rate = sums.requests * least / (span.to - span.from);
  return tile("Goodput", percent(least) === percent(most) ? `${percent(most)} %` : `${percent(least)} to ${percent(most)} %`,
    `${note}; at least ${count(rate)} requests/s`);
}

// --- Overview ---

// How the server's own objectives stand, where it has some: those of goodput each, the others by what fires.
function objectiveTiles(objectives) {
  if (!objectives.length) return [];
  const firing = objectives.filter((each) => each.alerts.some((alert) => alert.state === "firing"));
  const names = firing.map((each) => each.name).join(", ");
  return [tile("Alerts firing", count(firing.length), names || `of ${objectives.length} objectives`),
    ...objectives.filter((each) => each.kind === "goodput" && each.ratio !== undefined).map((each) =>
      tile(`Goodput: ${each.name}`, share(each.ratio, 1),
           `${share(each.target, 1)} wanted; ${share(each.error_budget_remaining, 1)} of the error budget left`))];
}

function nowTiles(values, objectives) {
  const usage = values["vllm:kv_cache_usage_perc"];
  return tiles(
    tile("Running now", count(values["vllm:num_requests_running"] || 0), "requests"),
    tile("Waiting now", count(values["vllm:num_requests_waiting"] || 0), "requests"),
    tile("KV pages in use", usage === undefined ? "\u2013" : `${(100 * usage).toPrecision(3)} %`, "of the cache, all models"),
    objectiveTiles(objectives));
}

function sumTiles(sums, span) {
  const percentiles = (figures) => `p50 ${seconds(figures.p50)}, p99 ${seconds(figures.p99)}, n ${count(figures.count)}`;
  const ran = span.to - span.from;
  return tiles(
    tile("Requests", count(sums.requests), `${count(sums.requests / ran)}/s over the time`),
    tile("Answer tokens", count(answerTokens(sums)), sums.decode_seconds
      ? `${count(answerTokens(sums) / sums.decode_seconds)}/s in a request` : ""),
    tile("First token p95", seconds(sums.first_token.p95), percentiles(sums.first_token)),
    tile("Between tokens p95", seconds(sums.gap.p95), percentiles(sums.gap)),
    tile("Total p95", seconds(sums.total.p95), percentiles(sums.total)),
    tile("Errors", count(sums.errors), `${share(sums.errors, sums.requests)}; cancelled ${count(sums.cancelled)}`),
    tile("Answers from caches", share(sums.cached, sums.requests), `${count(sums.cached)} of ${count(sums.requests)}`),
    tile("Prompt tokens cached", share(sums.prompt_cached, promptTokens(sums)),
         `${count(sums.prompt_cached)} of ${count(promptTokens(sums))}`),
    tile("Speculation right", share(sums.accepted, sums.drafted), `${count(sums.drafted)} guesses`),
    tile("Cost", money(sums.money), ""),
    tile("Energy", energy(sums), sums.joules_measured + sums.joules_estimated
      ? `${count((sums.joules_measured + sums.joules_estimated) / Math.max(1, answerTokens(sums)))} J a token` : "no counter"),
    goodput(sums, span));
}

function overviewCharts(context, span, data, bounds) {
  const { place } = context;
  const range = span.to - span.from;
  const values = (value) => valuesOf(span, data, value);
  const rate = (value) => orZero(values((sums, lasted) => value(sums) / lasted));
  const chart = (draw, title, all, words) => draw(place, { title, times: span.times, range, all, words });
  const percentiles = (name) => ["p50", "p95", "p99"].map((p) => ({ name: p, values: values((s) => s[name][p]) }));
  const mean = (name) => values((s) => s[name] / s.requests);
  const heatOf = (title, name) => heat(place, { title, times: span.times, range, bounds, words: seconds,
    rows: valuesOf(span, data, (s) => s[name].histogram) });
  const currencies = [...new Set(data.flatMap((s) => s.money.filter(moneySum).map((m) => m.currency)))].slice(0, 4);
  const all = [
    chart(lines, "Requests a second", [
      { name: "all", values: rate((s) => s.requests) }, { name: "errors", values: rate((s) => s.errors) },
      { name: "cancelled", values: rate((s) => s.cancelled) }, { name: "from a cache", values: rate((s) => s.cached) }]),
    chart(lines, "Tokens a second", [
      { name: "answer", values: rate(answerTokens) }, { name: "prompt, computed", values: rate((s) => s.prompt_fresh) },
      { name: "prompt, cached", values: rate((s) => s.prompt_cached) }]),
    chart(lines, "Time to the first token", percentiles("first_token"), seconds),
    chart(lines, "Time between tokens", percentiles("gap"), seconds),
    heatOf("Time to the first token, all requests", "first_token"),
    heatOf("Time between tokens, all tokens", "gap"),
    chart(stacked, "Where a request's time goes, mean", [
      { name: "queue", values: mean("queue_seconds") }, { name: "prefill", values: mean("prefill_seconds") },
      { name: "decode", values: mean("decode_seconds") }], seconds),
    chart(stacked, "Energy", [
      { name: "measured", values: values((s) => s.joules_measured) },
      { name: "estimated", values: values((s) => s.joules_estimated) }], joules),
  ];
  if (currencies.length) {
    all.push(chart(stacked, "Cost", currencies.map((currency) => ({ name: currency, values: values((s) =>
      s.money.filter((m) => m.currency === currency).reduce((sum, m) => sum + moneySum(m), 0)) }))));
  }
  return el("div", { class: "charts" }, all);
}

export async function overviewPage(context) {
  const span = spanOf(context.range());
  const filter = { from: span.from, to: span.to, ...sloOf(context) };
  const [sums, over, live, { objectives }] = await Promise.all([summary(filter, context.signal),
    series({ ...filter, bucket_seconds: span.bucket }, context.signal), gauges(context.signal),
    alerts(context.signal)]);
  if (!sums.requests) return [el("h2", {}, "Now"), nowTiles(live, objectives), el("h2", {}, "In this time"), noTraffic(), sloForm(context)];
  return [el("h2", {}, "Now"), nowTiles(live, objectives), el("h2", {}, "In this time"), sumTiles(sums, span), sloForm(context),
          overviewCharts(context, span, over.data, over.histogram_seconds)];
}

// --- Cost ---

const kBy = [["key_id", "Key"], ["model", "Model"], ["tenant", "Tenant"], ["variant", "Variant"], ["route", "Route"],
             ["cache", "Cache"], ["user", "User"]];

// Sums by user have fewer figures, of whole hours.
async function userCosts(context, span, form) {
  const found = await users({ from: span.from, to: span.to, limit: 200 }, context.signal);
  if (!found.data.length) {
    return [el("h2", {}, "Cost"), form, empty("No request in this time named its user. Clients do so by the field ",
      el("code", {}, "user"), " of a request.")];
  }
  const rows = found.data.map((user) => [user.user, user.tenant, count(user.requests), count(user.errors),
    count(promptTokens(user)), count(user.prompt_cached), count(user.answer), money(user.money),
    user.joules_measured ? joules(user.joules_measured) : "\u2013",
    user.joules_estimated ? joules(user.joules_estimated) : "\u2013"]);
  return [el("h2", {}, "Cost"), form, table([["User"], ["Tenant"], ["Requests", true], ["Errors", true],
    ["Prompt tokens", true], ["of them cached", true], ["Answer tokens", true], ["Money", true], ["Energy, measured", true],
    ["Energy, estimated", true]], rows, "Cost by User"),
  el("p", {}, `Requests that named a user, in whole hours from ${when(found.from)} to ${when(found.to)}.` +
    (found.left_out ? ` ${found.left_out} more users had fewer tokens.` : ""))];
}

export async function costPage(context) {
  const span = spanOf(context.range());
  const by = kBy.some(([name]) => name === context.value("by")) ? context.value("by") : "key_id";
  const choose = el("select", { id: "by", onchange: () => context.set({ by: choose.value }) },
    kBy.map(([name, title]) => el("option", { value: name, selected: name === by }, title)));
  const form = el("div", { class: "fields" }, field("Apart by", choose));
  if (by === "user") return userCosts(context, span, form);
  const sums = await summary({ from: span.from, to: span.to, by }, context.signal);
  if (!sums.requests) return [el("h2", {}, "Cost"), form, noTraffic()];
  const weight = (group) => group.money.reduce((sum, each) => sum + moneySum(each), 0) ||
    group.joules_measured + group.joules_estimated || promptTokens(group) + answerTokens(group);
  const groups = [...sums.groups].sort((a, b) => weight(b) - weight(a));
  const heaviest = Math.max(1e-12, ...groups.map(weight));
  const meter = (group) => {
    const bar = el("span", { class: "meter", "aria-hidden": "true" });
    bar.style.width = `${(5 * weight(group) / heaviest).toFixed(2)}rem`;
    return bar;
  };
  const row = (name, group) => [name, count(group.requests), count(promptTokens(group)), count(group.prompt_cached),
    count(answerTokens(group)), money(group.money), group.joules_measured ? joules(group.joules_measured) : "\u2013",
    group.joules_estimated ? joules(group.joules_estimated) : "\u2013", count(group.operations), count(group.bytes_read)];
  const title = kBy.find(([name]) => name === by)[1];
  const rows = groups.map((group) => [...row(el("a", { href: context.link("requests", { [by]: group.name }) },
    group.name || "(none)"), group), meter(group)]);
  rows.push([...row(el("strong", {}, "All"), sums), ""]);
  const notes = [];
  if (!sums.money.some(moneySum)) {
    notes.push("No price book is set, so that nothing has a price yet: tokens, energy and work are shown instead.");
  }
  if (!sums.joules_measured && !sums.joules_estimated) notes.push("This machine has no energy counter that the server can read.");
  return [el("h2", {}, "Cost"), form, table([[title], ["Requests", true], ["Prompt tokens", true], ["of them cached", true],
    ["Answer tokens", true], ["Money", true], ["Energy, measured", true], ["Energy, estimated", true], ["Operations", true],
    ["Bytes read", true], ["Share"]], rows, `Cost by ${title}`), notes.map((note) => el("p", {}, note))];
}
