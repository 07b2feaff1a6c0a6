// SPDX-License-Identifier: Apache-2.0
// The pages Compare and Quality.
import { liveQuality, scores, series, summary } from "./monitor_api.js";
import { lines, stacked } from "./monitor_charts.js";
import { noTraffic, spanOf, valuesOf } from "./monitor_overview.js";
import { answerTokens, count, el, empty, field, joules, money, promptTokens, seconds, share, table, when } from
  "./monitor_words.js";

const kShortName = 16;
const short = (name) => (name.length > kShortName ? `${name.slice(0, kShortName)}\u2026` : name || "(none)");

// [title, value, words, whether less is better; absent: neither]
const kFigures = [
  ["Requests", (s) => s.requests, count],
  ["Errors, share", (s) => s.errors / s.requests, (v) => share(v, 1), true],
  ["First token p50", (s) => s.first_token.p50, seconds, true],
  ["First token p95", (s) => s.first_token.p95, seconds, true],
  ["First token p99", (s) => s.first_token.p99, seconds, true],
  ["Between tokens p50", (s) => s.gap.p50, seconds, true],
  ["Between tokens p95", (s) => s.gap.p95, seconds, true],
  ["Between tokens p99", (s) => s.gap.p99, seconds, true],
  ["Total p95", (s) => s.total.p95, seconds, true],
  ["Answer tokens a second, in a request", (s) => answerTokens(s) / s.decode_seconds, count, false],
  ["Answer tokens a request", (s) => answerTokens(s) / s.requests, count],
  ["Prompt tokens a request", (s) => promptTokens(s) / s.requests, count],
  ["Operations an answer token", (s) => s.operations / answerTokens(s), count, true],
  ["Bytes read an answer token", (s) => s.bytes_read / answerTokens(s), count, true],
  ["Joules an answer token, measured", (s) => s.joules_measured / answerTokens(s), joules, true],
  ["Joules an answer token, estimated", (s) => s.joules_estimated / answerTokens(s), joules, true],
];

function difference(a, b, isLessBetter) {
  if (!Number.isFinite(a) || !Number.isFinite(b) || !a || a === null || b === null) return "\u2013";
  const part = b / a - 1;
  const text = `${part >= 0 ? "+" : "\u2212"}${Math.abs(100 * part).toPrecision(3)} %`;
  if (isLessBetter === undefined || Math.abs(part) < 0.01) return text;
  return `${text} ${(part < 0) === isLessBetter ? "better" : "worse"}`;
}
const said = (value, words) => (Number.isFinite(value) ? words(value) : "\u2013");

export async function comparePage(context) {
  const span = spanOf(context.range());
  const time = { from: span.from, to: span.to };
  const by = context.value("by") === "model" ? "model" : "variant";
  const { groups } = await summary({ ...time, by }, context.signal);
  const head = el("h2", {}, "Compare two");
  const known = groups.filter((group) => group.name).sort((a, b) => b.requests - a.requests);
  const kind = el("select", { id: "by", onchange: () => context.set({ by: kind.value, a: "", b: "" }) },
    [["variant", "Variants"], ["model", "Models"]].map(([value, text]) => el("option", { value, selected: value === by }, text)));
  if (known.length < 2) {
    return [head, el("div", { class: "fields" }, field("Of", kind)), known.length ? empty(
      `There is one ${by} only in this time. Serve another one beside it, a quantized file for example: `,
      el("code", {}, "paring serve a=ORIGINAL.gguf b=SMALLER.gguf"), ", and send requests to both.") : noTraffic()];
  }
  const find = (name, otherwise) => known.find((group) => group.name === context.value(name)) || otherwise;
  const a = find("a", known[0]);
  const b = find("b", known.find((group) => group !== a));
  const choice = (name, chosen) => {
    const select = el("select", { id: `choose-${name}`, onchange: () => context.set({ [name]: select.value }) },
      known.map((group) => el("option", { value: group.name, selected: group === chosen },
                              `${short(group.name)} (${count(group.requests)})`)));
    return field(name.toUpperCase(), select);
  };
  const both = await Promise.all([a, b].map((group) =>
    series({ ...time, bucket_seconds: span.bucket, [by]: group.name }, context.signal)));
  const chart = (title, value, words) => lines(context.place, { title, times: span.times, range: span.to - span.from, words,
    all: both.map((answer, i) => ({ name: `${"AB"[i]}: ${short([a, b][i].name)}`, values: valuesOf(span, answer.data, value) })) });
  const rows = kFigures.map(([title, value, words, isLessBetter]) => [title, said(value(a), words), said(value(b), words),
    difference(value(a), value(b), isLessBetter)]);
  rows.push(["Money", money(a.money), money(b.money), ""]);
  return [head, el("div", { class: "fields" }, field("Of", kind), choice("a", a), choice("b", b)),
    table([["Figure"], ["A", true], ["B", true], ["B against A", true]], rows, "A beside B"),
    el("p", {}, "They answered different requests: look at tokens a request before you trust a difference."),
    el("div", { class: "charts" }, chart("First token p95", (s) => s.first_token.p95, seconds),
      chart("Between tokens p95", (s) => s.gap.p95, seconds), chart("Requests a second", (s, lasted) => s.requests / lasted, count),
      chart("Errors, share", (s) => s.errors / s.requests, (v) => share(v, 1)))];
}

// --- Quality ---

const kScoresMost = 5000;
const kOriginsMost = 1000; // each takes a look at its request

const kApart = [["", "nothing"], ["prompt_version", "Prompt version"], ["variant", "Variant"], ["model", "Model"]];
const kPartsShown = 4; // lines in a chart; the table has all

const isNumber = (score) => score.type === "numeric" || score.type === "boolean";
const meanOf = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

// 95 % of means of as many values lie within, where there are enough of them.
const kEnough = 10;
function marginOf(values) {
  if (values.length < kEnough) return null;
  const mean = meanOf(values);
  const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return 1.96 * Math.sqrt(spread / values.length);
}

// Scores by what made their answers: [[name, scores]], those with most first.
function partsOf(all, by) {
  const parts = new Map();
  for (const score of all) {
    const name = !by ? "mean" : !score.origin ? "(not kept)" : short(score.origin[by]);
    parts.set(name, [...(parts.get(name) || []), score]);
  }
  return [...parts].sort((a, b) => b[1].length - a[1].length);
}

function numbersOf(context, span, name, all, by) {
  const range = span.to - span.from;
  const meansOf = (part) => {
    const buckets = span.times.map(() => []);
    for (const score of part) {
      const place = Math.floor((score.updated_at - span.from) / span.bucket);
      if (place >= 0 && place < buckets.length) buckets[place].push(Number(score.value));
    }
    return buckets.map(meanOf);
  };
  return lines(context.place, { title: `${name}: mean over time`, times: span.times, range,
    all: partsOf(all, by).slice(0, kPartsShown).map(([part, list]) => ({ name: part, values: meansOf(list) })),
    words: (value) => (value === null ? "\u2013" : value.toPrecision(3)) });
}

function wordsOf(context, span, name, all) {
  const tally = new Map();
  for (const score of all) tally.set(String(score.value), (tally.get(String(score.value)) || 0) + 1);
  const most = [...tally].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([word]) => word);
  const values = (word) => span.times.map((time) => all.filter((score) => String(score.value) === word &&
    score.updated_at >= time && score.updated_at < time + span.bucket).length);
  return stacked(context.place, { title: `${name}: how often`, times: span.times, range: span.to - span.from,
    all: most.map((word) => ({ name: short(word), values: values(word) })) });
}

const kDrift = { uncertified: "its file has no certificate to hold it to", learning: "too few answers yet",
  kept: "as near as the certificate promises", drifted: "DRIFTED from what the certificate promises" };

// What the original model says of live answers; "" where there is none.
function liveSection(watched) {
  if (!watched.length) return "";
  const figure = (value) => (value === undefined ? "\u2013" : value.toPrecision(3));
  const between = (mean) => (mean.lower === undefined ? "\u2013" : `${figure(mean.lower)} to ${figure(mean.upper)}`);
  return [el("h2", {}, "Live answers against the original"),
    table([["Model"], ["Original"], ["State"], ["KL, nats a token", true], ["95 % interval", true], ["Certificate", true],
      ["Same top token", true], ["Changed answers", true], ["Scored", true], ["Waiting", true]],
    watched.map((each) => [each.model, each.original, each.drift === "drifted"
      ? el("strong", { class: "mark bad" }, kDrift.drifted) : kDrift[each.drift],
    each.window_answers ? figure(each.kl.mean) : "\u2013", between(each.kl), figure(each.certified_kl),
    each.window_answers ? share(each.top1.mean, 1) : "\u2013", share(each.changed_answers, each.window_answers),
    count(each.answers), count(each.waiting)]), "Live answers against the original")];
}

export async function qualityPage(context) {
  const span = spanOf(context.range());
  const by = kApart.some(([name]) => name === context.value("apart")) ? context.value("apart") : "";
  const [read, watched] = await Promise.all([
    scores(by ? { with: "origin" } : {}, by ? kOriginsMost : kScoresMost, context.signal), liveQuality(context.signal)]);
  const all = read.scores.filter((score) => score.updated_at >= span.from);
  const head = [liveSection(watched), el("h2", {}, "Quality: what answers were worth")];
  if (!all.length) {
    return [head, empty(el("p", {}, "No feedback in this time. Choose a longer time above, press a thumb on the chat page, or send some:"),
      el("p", {}, el("code", {}, `curl ${location.origin}/v1/feedback -H 'content-type: application/json' ` +
        "-d '{\"response_id\":\"ID\",\"name\":\"rating\",\"value\":true}'")))];
  }
  const groups = new Map();
  for (const score of all) {
    const name = `${score.name} (${score.type}, ${score.source})`;
    groups.set(name, [...(groups.get(name) || []), score]);
  }
  const title = kApart.find(([name]) => name === by)[1];
  const rows = [...groups].flatMap(([name, list]) => partsOf(list, by).map(([part, some]) => {
    const values = some.filter(isNumber).map((score) => Number(score.value));
    const margin = marginOf(values);
    return [name, ...(by ? [part] : []), count(some.length), values.length ? meanOf(values).toPrecision(3) : "\u2013",
      margin === null ? "\u2013" : `\u00b1 ${margin.toPrecision(2)}`];
  }));
  const choose = el("select", { id: "apart", onchange: () => context.set({ apart: choose.value }) },
    kApart.map(([name, words]) => el("option", { value: name, selected: name === by }, words)));
  const charts = [...groups].filter(([, list]) => isNumber(list[0]) || list[0].type === "categorical")
    .map(([name, list]) => (isNumber(list[0]) ? numbersOf : wordsOf)(context, span, name, list, by));
  const newest = all.slice(0, 20).map((score) => [when(score.updated_at), score.name, String(score.value).slice(0, 200),
    score.source, score.comment.slice(0, 200), score.response_id
      ? el("a", { href: context.link("request", { id: score.response_id }) }, "request") : ""]);
  return [head, el("div", { class: "fields" }, field("Apart by", choose)),
    read.hasMore ? el("p", {}, `Of the newest ${by ? kOriginsMost : kScoresMost} scores.`) : "",
    table([["Score"], ...(by ? [[title]] : []), ["How many", true], ["Mean", true], ["95 % interval", true]], rows, "Scores"), el("div", { class: "charts" }, charts),
    el("h2", {}, "Newest"), table([["Time"], ["Name"], ["Value"], ["Source"], ["Comment"], ["Answer"]], newest, "Newest feedback")];
}
