// SPDX-License-Identifier: Apache-2.0
// Numbers in words, and elements of the page. Nothing here becomes markup: texts are text nodes.

const kSvg = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== "") node.append(child);
  }
  return node;
}
export const el = (name, attributes = {}, ...children) =>
  filled(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS(kSvg, name), attributes, children);

const kNothing = "\u2013"; // not known is not 0

export function seconds(value) {
  if (value === null || value === undefined) return kNothing;
  if (value === 0) return "0 s";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} \u00b5s`;
  if (value < 1) return `${Number((value * 1000).toPrecision(3))} ms`;
  return value < 120 ? `${value.toPrecision(3)} s` : `${(value / 60).toFixed(1)} min`;
}
export function count(value) {
  if (value === null || value === undefined) return kNothing;
  const size = Math.abs(value);
  for (const [unit, factor] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (size >= factor) return `${(value / (unit === "k" ? 1e3 : factor)).toPrecision(3)}${unit}`;
  }
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}
export const share = (part, whole) => (whole ? `${(100 * part / whole).toPrecision(3)} %` : kNothing);
export const bytes = (value) => (value ? `${count(value)}B` : kNothing);
export const joules = (value) => (value >= 3.6e6 ? `${(value / 3.6e6).toPrecision(3)} kWh` : `${count(value)} J`);
export function amount(value) {
  return value === 0 ? "0" : Math.abs(value) < 0.01 ? value.toPrecision(2) : value.toFixed(2);
}
export const moneySum = (money) => money.hardware + money.energy + money.tokens;
// "1.20 EUR + 3.00 USD": currencies are not added.
export function money(list) {
  const said = list.filter((each) => each.currency && moneySum(each));
  return said.length ? said.map((each) => `${amount(moneySum(each))} ${each.currency}`).join(" + ") : "no price book";
}
// Measured and estimated energy stand apart wherever they stand.
export function energy(sums) {
  const parts = [];
  if (sums.joules_measured) parts.push(`${joules(sums.joules_measured)} measured`);
  if (sums.joules_estimated) parts.push(`${joules(sums.joules_estimated)} estimated`);
  return parts.join(", ") || "not known";
}
export function when(value, range = 0) {
  const date = new Date(value * 1000);
  const two = (n) => String(n).padStart(2, "0");
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  if (range && range <= 86400) return clock;
  return range ? `${day.slice(5)} ${clock}` : `${day} ${clock}:${two(date.getSeconds())}`;
}
export const answerTokens = (sums) => sums.answer_visible + sums.answer_reasoning;
export const promptTokens = (sums) => sums.prompt_fresh + sums.prompt_cached;

export const tile = (title, value, note = "") => el("section", { class: "tile" }, el("h3", {}, title),
  el("p", { class: "value" }, value), el("p", { class: "note" }, note));
export const tiles = (...all) => el("div", { class: "tiles" }, ...all);
export const field = (label, input, more = {}) => el("label", more, label, input);

// `columns`: [title, isNumber]; `rows`: lists of texts or nodes.
export function table(columns, rows, caption = "") {
  const kind = (i) => (columns[i][1] ? { class: "number" } : {});
  // What scrolls can be reached by keyboard.
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption || "Table" }, el("table", {},
    el("thead", {}, el("tr", {}, columns.map(([title], i) => el("th", { scope: "col", ...kind(i) }, title)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el("td", kind(i), cell)))))));
}
export const empty = (...children) => el("div", { class: "empty" }, ...children);
