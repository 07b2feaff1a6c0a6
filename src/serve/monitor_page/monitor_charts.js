// SPDX-License-Identifier: Apache-2.0
// Charts. Series differ by dash and mark, bars by pattern, heat by darkness, so that no chart needs
// colour. Each has its figures as a table, and arrow keys move through it.
import { count, el, svg, table, when } from "./monitor_words.js";

const kHeight = 170;
const kLeft = 56;
const kRight = 10;
const kTop = 8;
const kBottom = 22;
const kDashes = ["", "7 4", "2 3", "10 3 2 3"];
let made = 0; // for ids of patterns

// Of a drawing in one of the columns that .charts of the style sheet has, so that its text keeps its size.
export function widthOf(place) {
  const [narrowest, gap, frames] = [384, 12, 18];
  const width = place.clientWidth || 360;
  const columns = Math.max(1, Math.floor((width + gap) / (narrowest + gap)));
  return Math.max(260, (width - gap * (columns - 1)) / columns - frames);
}

export function markOf(kind, x, y, size = 3) {
  const colour = `f${kind}`;
  if (kind === 0) return svg("circle", { cx: x, cy: y, r: size, class: colour });
  if (kind === 1) return svg("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, class: colour });
  const d = kind === 2 ? `M${x} ${y - size - 1}L${x + size + 1} ${y + size}H${x - size - 1}Z`
                       : `M${x} ${y - size - 1}L${x + size + 1} ${y}L${x} ${y + size + 1}L${x - size - 1} ${y}Z`;
  return svg("path", { d, class: colour });
}

// A round number at or above `value`.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= value * 0.999) * power;
}

function frame(width, top, words, times, range) {
  const height = kHeight - kTop - kBottom;
  const group = svg("g");
  for (const part of [0, 0.5, 1]) {
    const y = kTop + height * (1 - part);
    group.append(svg("line", { x1: kLeft, x2: width - kRight, y1: y, y2: y, class: "grid" }),
                 svg("text", { x: kLeft - 4, y: y + 4, "text-anchor": "end" }, words(top * part)));
  }
  for (const [part, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const at = times[0] + part * (times.at(-1) - times[0]);
    group.append(svg("text", { x: kLeft + part * (width - kLeft - kRight), y: kHeight - 6, "text-anchor": anchor },
                     when(at, range)));
  }
  return group;
}

// Texture of a kind of bar: plain, slanted, dotted, crossed.
function patterns() {
  const id = `p${made++}`;
  const shapes = [
    () => [svg("rect", { width: 6, height: 6, class: "f0" })],
    () => [svg("path", { d: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5", class: "s1", "stroke-width": 2 })],
    () => [svg("circle", { cx: 3, cy: 3, r: 1.6, class: "f2" })],
    () => [svg("path", { d: "M0 3H6M3 0V6", class: "s3", "stroke-width": 1.2 })],
  ];
  const defs = svg("defs", {}, shapes.map((shape, i) => svg("pattern",
    { id: `${id}-${i}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, shape())));
  return { defs, fill: (i) => `url(#${id}-${i % shapes.length})` };
}

export function legend(names, sample) {
  return el("ul", { class: "legend" }, names.map((name, i) =>
    el("li", {}, svg("svg", { viewBox: "0 0 34 12", "aria-hidden": "true" }, sample(i)), name)));
}

// The figure with what a cursor reads. `read(i)` is the text of place i.
function figure(title, drawing, width, places, read, parts) {
  const output = el("output", { "aria-live": "polite" });
  const cursor = svg("line", { class: "cursor", y1: kTop, y2: kHeight - kBottom, visibility: "hidden" });
  drawing.append(cursor);
  let at = places;
  const show = (next) => {
    at = Math.max(0, Math.min(places - 1, next));
    const x = kLeft + (places > 1 ? at / (places - 1) : 0) * (width - kLeft - kRight);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    output.textContent = read(at);
  };
  drawing.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(Number.isFinite(step) ? at + step : step > 0 ? places - 1 : 0);
  });
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const x = (event.clientX - box.left) * width / box.width;
    show(Math.round((x - kLeft) / (width - kLeft - kRight) * (places - 1)));
  });
  return el("figure", {}, el("figcaption", {}, title), drawing, parts.legend, output,
    el("details", {}, el("summary", {}, "As a table"), parts.table));
}

function drawingOf(width, label) {
  return svg("svg", { viewBox: `0 0 ${width} ${kHeight}`, role: "img", tabindex: "0",
                      "aria-label": `${label}. Arrow keys read the values.` });
}

function readable(times, all, words, range) {
  return {
    read: (i) => `${when(times[i], range)}: ${all.map((one) => `${one.name} ${words(one.values[i])}`).join(", ")}`,
    table: () => table([["Time"], ...all.map((one) => [one.name, true])],
      times.map((time, i) => [when(time, range), ...all.map((one) => words(one.values[i]))])
        .filter((_, i) => all.some((one) => one.values[i] !== null))),
  };
}

// `all`: [{name, values}], a value or null for each of `times`.
export function lines(place, { title, times, range, all, words = count }) {
  const width = widthOf(place);
  const drawing = drawingOf(width, title);
  const top = ceiling(Math.max(0, ...all.flatMap((one) => one.values.filter((v) => v !== null))));
  const x = (i) => kLeft + (times.length > 1 ? i / (times.length - 1) : 0) * (width - kLeft - kRight);
  const y = (v) => kTop + (kHeight - kTop - kBottom) * (1 - v / top);
  drawing.append(frame(width, top, words, times, range));
  all.forEach((one, kind) => {
    let path = "";
    let isOpen = false;
    one.values.forEach((value, i) => {
      if (value !== null) path += `${isOpen ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
      isOpen = value !== null;
    });
    drawing.append(svg("path", { d: path || "M0 0", class: `line s${kind}`, "stroke-dasharray": kDashes[kind] }));
    const shown = Math.max(1, Math.ceil(times.length / 12));
    one.values.forEach((value, i) => {
      const isAlone = value !== null && one.values[i - 1] == null && one.values[i + 1] == null;
      if (value !== null && (isAlone || (i + kind * 2) % shown === 0)) drawing.append(markOf(kind, x(i), y(value)));
    });
  });
  const { read, table: rows } = readable(times, all, words, range);
  return figure(title, drawing, width, times.length, read, { table: rows(), legend: legend(all.map((one) => one.name),
    (i) => [svg("line", { x1: 0, x2: 34, y1: 6, y2: 6, class: `s${i}`, "stroke-width": 2, "stroke-dasharray": kDashes[i] }),
            markOf(i, 17, 6)]) });
}

// The same on top of each other.
export function stacked(place, { title, times, range, all, words = count }) {
  const width = widthOf(place);
  const drawing = drawingOf(width, title);
  const sums = times.map((_, i) => all.reduce((sum, one) => sum + (one.values[i] || 0), 0));
  const top = ceiling(Math.max(0, ...sums));
  const { defs, fill } = patterns();
  drawing.append(defs, frame(width, top, words, times, range));
  const step = (width - kLeft - kRight) / times.length;
  times.forEach((_, i) => {
    let below = 0;
    all.forEach((one, kind) => {
      const tall = (kHeight - kTop - kBottom) * (one.values[i] || 0) / top;
      if (tall > 0) {
        drawing.append(svg("rect", { x: kLeft + i * step, y: kHeight - kBottom - below - tall, height: tall,
                                     width: Math.max(1, step - 1), fill: fill(kind), class: "bar" }));
      }
      below += tall;
    });
  });
  const { read, table: rows } = readable(times, all, words, range);
  return figure(title, drawing, width, times.length, read, { table: rows(), legend: legend(all.map((one) => one.name),
    (i) => [svg("rect", { x: 8, y: 0.5, width: 20, height: 11, fill: fill(i), class: "bar" })]) });
}

// `rows[t][c]`: how many of time t are in class c, whose upper bounds are `bounds`.
export function heat(place, { title, times, range, rows, bounds, words }) {
  const width = widthOf(place);
  const drawing = drawingOf(width, title);
  const used = bounds.map((_, c) => c).concat(bounds.length).filter((c) => rows.some((row) => row && row[c]));
  const first = used.length ? used[0] : 0;
  const last = used.length ? used.at(-1) : 0;
  const most = Math.max(1, ...rows.flatMap((row) => row || []));
  const name = (c) => (c < bounds.length ? `\u2264 ${words(bounds[c])}` : `> ${words(bounds.at(-1))}`);
  const tall = (kHeight - kTop - kBottom) / (last - first + 1);
  const wide = (width - kLeft - kRight) / times.length;
  drawing.append(frame(width, 1, () => "", times, range));
  for (let c = first; c <= last; ++c) {
    const y = kTop + (last - c) * tall;
    if ((c - first) % Math.ceil(14 / tall) === 0) {
      drawing.append(svg("text", { x: kLeft - 4, y: y + tall / 2 + 4, "text-anchor": "end" }, name(c)));
    }
    rows.forEach((row, t) => {
      if (!row || !row[c]) return;
      drawing.append(svg("rect", { x: kLeft + t * wide, y, width: Math.max(1, wide), height: tall, class: "cell",
                                   "fill-opacity": (0.12 + 0.88 * Math.sqrt(row[c] / most)).toFixed(2) }));
    });
  }
  const cells = (t) => (rows[t] || []).map((n, c) => (n ? `${name(c)}: ${n}` : "")).filter(Boolean).join(", ");
  return figure(title, drawing, width, times.length, (t) => `${when(times[t], range)}: ${cells(t) || "none"}`, {
    legend: el("p", { class: "legend" }, `The darker, the more; the darkest is ${count(most)}.`),
    table: table([["Time"], ["How many took so long"]], times.map((time, t) => [when(time, range), cells(t)])
      .filter((row) => row[1])),
  });
}

// One request: phases of its time, each [name, begin, end] in seconds; `marks`: [name, second].
export function timeline(place, phases, marks, end, words) {
  const width = widthOf(place);
  const rows = phases.length + 1;
  const height = kTop + rows * 24 + 20;
  const { defs, fill } = patterns();
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Timeline: ${phases.map(([name, a, b]) => `${name} ${words(b - a)}`).join(", ")}` }, defs);
  const left = 78;
  const x = (second) => left + (end > 0 ? second / end : 0) * (width - left - 70);
  phases.forEach(([name, begin, stop], i) => {
    const y = kTop + i * 24;
    drawing.append(svg("text", { x: left - 6, y: y + 14, "text-anchor": "end" }, name),
      svg("rect", { x: x(begin), y: y + 2, width: Math.max(1.5, x(stop) - x(begin)), height: 16, fill: fill(i), class: "bar" }),
      svg("text", { x: x(stop) + 4, y: y + 14 }, words(stop - begin)));
  });
  const y = kTop + phases.length * 24;
  drawing.append(svg("line", { x1: left, x2: x(end), y1: y + 4, y2: y + 4, class: "grid" }));
  marks.forEach(([name, second], i) => drawing.append(
    svg("line", { x1: x(second), x2: x(second), y1: kTop, y2: y + 10, class: "cursor" }),
    svg("text", { x: x(second), y: y + 20, "text-anchor": i ? "end" : x(second) > width / 2 ? "end" : "start" },
        `${name} ${words(second)}`)));
  return el("figure", {}, el("figcaption", {}, "Timeline"), drawing);
}

// A bar for each gap between tokens.
export function gapBars(place, gaps, words) {
  const width = widthOf(place);
  const drawing = drawingOf(width, "Time between tokens");
  const top = ceiling(Math.max(...gaps));
  for (const part of [0, 0.5, 1]) {
    const y = kTop + (kHeight - kTop - kBottom) * (1 - part);
    drawing.append(svg("line", { x1: kLeft, x2: width - kRight, y1: y, y2: y, class: "grid" }),
      svg("text", { x: kLeft - 4, y: y + 4, "text-anchor": "end" }, words(top * part)));
  }
  const step = (width - kLeft - kRight) / gaps.length;
  // Of more gaps than fit, the longest of each place.
  const places = Math.min(gaps.length, Math.floor(width - kLeft - kRight));
  for (let i = 0; i < places; ++i) {
    const begin = Math.floor(i * gaps.length / places);
    const value = Math.max(...gaps.slice(begin, Math.floor((i + 1) * gaps.length / places)));
    const tall = (kHeight - kTop - kBottom) * value / top;
    drawing.append(svg("rect", { x: kLeft + begin * step, y: kHeight - kBottom - tall, height: tall, class: "f0",
                                 width: Math.max(1, (width - kLeft - kRight) / places - 1) }));
  }
  drawing.append(svg("text", { x: kLeft, y: kHeight - 6 }, "token 2"),
    svg("text", { x: width - kRight, y: kHeight - 6, "text-anchor": "end" }, `token ${gaps.length + 1}`));
  return figure("Time between tokens", drawing, width, gaps.length, (i) => `before token ${i + 2}: ${words(gaps[i])}`, {
    legend: "", table: table([["Token", true], ["Time before it", true]], gaps.map((gap, i) => [String(i + 2), words(gap)])) });
}
