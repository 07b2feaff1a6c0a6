// SPDX-License-Identifier: Apache-2.0
// The page of requests, and that of one.
import { request, requests, scores } from "./monitor_api.js";
import { gapBars, timeline } from "./monitor_charts.js";
import { spanOf, noTraffic } from "./monitor_overview.js";
import { amount, answerTokens, count, el, empty, field, joules, moneySum, promptTokens, seconds, table, when } from
  "./monitor_words.js";

const kPageRows = 50;
const kFilters = [
  ["model", "Model"], ["variant", "Variant"], ["key_id", "Key"], ["tenant", "Tenant"], ["route", "Route"],
];
const kChoices = [
  ["status_class", "Status", [["", "any"], ["2", "2xx answered"], ["4", "4xx refused"], ["5", "5xx failed"]]],
  ["cache", "Cache", [["", "any"], ["none", "none"], ["exact", "exact"], ["semantic", "semantic"], ["joined", "joined"]]],
];

function filterForm(context) {
  const inputs = [
    ...kFilters.map(([name, label]) => [name, label,
      el("input", { id: `f-${name}`, value: context.value(name), autocomplete: "off", spellcheck: "false" })]),
    ...kChoices.map(([name, label, options]) => [name, label, el("select", { id: `f-${name}` }, options.map(
      ([value, text]) => el("option", { value, selected: value === context.value(name) }, text)))]),
    ["min_milliseconds", "At least, ms", el("input", { id: "f-min_milliseconds", type: "number", min: "0", max: "86400000",
      step: "1", value: context.value("min_milliseconds") })],
  ];
  const said = () => Object.fromEntries(inputs.map(([name, , input]) => [name, input.value.trim()]));
  return el("form", { class: "fields", "aria-label": "Filters", onsubmit: (event) => {
    event.preventDefault();
    context.set({ ...said(), after: "" });
  } }, inputs.map(([, label, input]) => field(label, input)), el("button", {}, "Filter"),
  el("button", { type: "button", onclick: () =>
    context.set(Object.fromEntries([...inputs.map(([name]) => [name, ""]), ["after", ""]])) }, "All"));
}

// Told by words and outline, not by colour.
function statusOf(row) {
  if (row.end === "cancelled") return el("span", { class: "mark dashed" }, `${row.status} cancelled`);
  if (row.status >= 400 || row.end === "error") {
    return el("span", { class: "mark bad" }, `${row.status} ${row.error_code || "error"}`);
  }
  return `${row.status}${row.is_complete ? "" : " incomplete"}`;
}

export async function requestsPage(context) {
  const span = spanOf(context.range());
  const filter = { from: span.from, to: span.to, limit: kPageRows, after: context.value("after") };
  for (const name of [...kFilters, ...kChoices].map(([each]) => each).concat("min_milliseconds")) {
    filter[name] = context.value(name);
  }
  const page = await requests(filter, context.signal);
  const head = [el("h2", {}, "Requests"), filterForm(context)];
  const isFiltered = [...kFilters, ...kChoices].some(([name]) => context.value(name)) || context.value("min_milliseconds");
  if (!page.data.length) {
    return [...head, isFiltered ? empty("No request in this time matches: take a filter away or choose a longer time.")
                                : noTraffic()];
  }
  const rows = page.data.map((row) => [
    el("a", { href: context.link("request", { id: row.id }), title: row.id }, when(row.started_at)), statusOf(row), row.model,
    row.route, row.cache, count(promptTokens(row.tokens)), count(answerTokens(row.tokens)), seconds(row.first_token_seconds),
    seconds(row.total_seconds), row.key_id, row.user]);
  return [...head, table([["Begun"], ["Status"], ["Model"], ["Route"], ["Cache"], ["Prompt", true], ["Answer", true],
    ["First token", true], ["Total", true], ["Key"], ["User"]], rows, "Requests, newest first"),
  el("div", { class: "pager" },
    context.value("after") ? el("button", { type: "button", id: "newest", onclick: () => context.set({ after: "" }) },
      "Newest") : "",
    page.has_more ? el("button", { type: "button", id: "older", onclick: () => context.set({ after: page.next }) },
      "Older") : el("span", {}, "These are the oldest of this time."))];
}

function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== "").map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function phasesOf(row) {
  const phases = [];
  let begin = 0;
  for (const [name, length] of [["queue", row.queue_seconds], ["prefill", row.prefill_seconds], ["decode", row.decode_seconds]]) {
    if (length === null) continue;
    phases.push([name, begin, begin + length]);
    begin += length;
  }
  return phases;
}

function timeOf(context, row) {
  const phases = phasesOf(row);
  const end = Math.max(row.total_seconds || 0, ...phases.map(([, , stop]) => stop), 1e-9);
  const marks = row.first_token_seconds === null ? [] : [["first token", row.first_token_seconds]];
  const parts = [];
  if (phases.length) parts.push(timeline(context.place, phases, marks, end, seconds));
  else parts.push(empty(row.cache === "none" ? "It was not computed: it has no phases." :
    `It was answered by the ${row.cache} cache: nothing was computed.`));
  if (row.gap_microseconds.length) {
    parts.push(gapBars(context.place, row.gap_microseconds.map((gap) => gap / 1e6), seconds));
  }
  return el("div", { class: "charts" }, parts);
}

// A message's content is a text or a list of parts.
function textOf(content) {
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map((part) => part.text ?? JSON.stringify(part)).join("\n");
  return content === null || content === undefined ? "" : JSON.stringify(content);
}

function messageOf(message) {
  const parts = [el("h3", {}, String(message.role ?? "message"), message.name ? ` ${message.name}` : "")];
  if (message.reasoning_content) parts.push(el("p", { class: "note" }, "Reasoning"),
    el("pre", { tabindex: "0" }, textOf(message.reasoning_content)));
  const text = textOf(message.content);
  if (text) parts.push(el("pre", { tabindex: "0" }, text));
  for (const call of message.tool_calls ?? []) {
    parts.push(el("p", { class: "note" }, `Calls ${call.function?.name ?? "a tool"}`),
      el("pre", { tabindex: "0" }, textOf(call.function?.arguments)));
  }
  return el("section", { class: "message" }, parts);
}

// What is kept is JSON: messages, one message, or a text.
function contentOf(json) {
  let value;
  try {
    value = JSON.parse(json);
  } catch {
    value = json;
  }
  if (typeof value === "string") return el("pre", { tabindex: "0" }, value);
  return (Array.isArray(value) ? value : [value]).map(messageOf);
}

function oneRequest(context, row) {
  const link = (page, name, value) => (value ? el("a", { href: context.link(page, { [name]: value }) }, value) : "");
  const { tokens } = row;
  return el("section", {}, facts([
    ["Id", row.id], ["Begun", when(row.started_at)], ["Status", statusOf(row)], ["End", row.end],
    ["Model", link("requests", "model", row.model)], ["Variant", link("requests", "variant", row.variant)],
    ["Route", row.route], ["Key", link("requests", "key_id", row.key_id)], ["Tenant", row.tenant], ["User", row.user],
    ["Session", row.session], ["Prompt version", row.prompt_version], ["Cache", row.cache], ["First token", seconds(row.first_token_seconds)],
    ["Total", seconds(row.total_seconds)],
    ["Prompt tokens", `${tokens.prompt_fresh} computed, ${tokens.prompt_cached} cached`],
    ["Answer tokens", `${tokens.answer_visible} visible, ${tokens.answer_reasoning} of reasoning`],
    ["Speculation", tokens.drafted ? `${tokens.accepted} of ${tokens.drafted} guesses right` : ""],
    ["Operations", count(row.operations)], ["Bytes read", count(row.bytes_read)],
    ["Energy", row.joules_kind === "none" ? "not known" : `${joules(row.joules)} ${row.joules_kind}`],
    ["Cost", row.money.currency ? `${amount(moneySum(row.money))} ${row.money.currency}` : "no price book"],
    ["Set back", count(row.preemptions)], ["KV pages at most", count(row.peak_pages)],
    ["Trace", row.trace_id], ["Span", row.span_id], ["Parent", row.parent_id],
  ]), timeOf(context, row),
  row.prompt !== undefined ? [el("h2", {}, "Prompt"), contentOf(row.prompt), el("h2", {}, "Answer"), contentOf(row.answer)]
    : el("p", { class: "note" }, "Prompt and answer are not kept (", el("code", {}, "--content"),
      "), or this key may not read them (scope ", el("code", {}, "content"), ")."));
}

export async function requestPage(context) {
  const id = context.value("id");
  const back = el("p", {}, el("a", { href: context.link("requests") }, "All requests"));
  if (!id) return [back, empty("Choose a request from the list.")];
  const rows = await request(id, context.signal);
  let judged = [];
  try {
    judged = (await scores({ response_id: id }, 100, context.signal)).scores;
  } catch (problem) {
    if (problem.name === "AbortError" || ![401, 403, 501].includes(problem.status)) throw problem;
  }
  return [back, el("h2", {}, rows.length > 1 ? `${rows.length} requests of one id` : "Request"),
    rows.map((row) => oneRequest(context, row)), el("h2", {}, "Feedback"),
    judged.length ? table([["Name"], ["Value"], ["Source"], ["Comment"]],
      judged.map((score) => [score.name, String(score.value), score.source, score.comment]), "Feedback")
      : empty("Nobody judged this answer. ", el("code", {}, `POST /v1/feedback {"response_id": "${id}", "value": true}`))];
}
