// SPDX-License-Identifier: Apache-2.0
// The page Roofline: what steps did against the limits of the machine. Kinds of steps differ by the
// shape of their mark, limits by dash and words; the tables have all that the picture has.
import { roofline } from "./monitor_api.js";
import { legend, markOf, widthOf } from "./monitor_charts.js";
import { count, el, empty, seconds, share, svg, table, tile, tiles, when } from "./monitor_words.js";

const kKinds = [["prefill", "prompts"], ["decode", "answers"], ["mixed", "both"], ["encode", "texts of an encoder"]];
const kindAt = (kind) => kKinds.findIndex(([name]) => name === kind);
const kMostMinutes = 60; // that a server keeps
const kHeight = 300;
const kLeft = 62;
const kRight = 12;
const kTop = 10;
const kBottom = 40;
const kPeaks = [["int8", "8 bits", ""], ["bf16", "BF16", "7 4"], ["f32", "32 bits", "2 3"]];
const perSecond = (value) => `${count(value)}/s`;
const bytesPerSecond = (value) => `${count(value)}B/s`;

// Points that can be drawn: operations a byte, and a second.
const placed = (points, start) => points.filter((each) => each.seconds > 0 && each.bytes_read > 0 && each.operations > 0)
  .map((each) => ({ ...each, start, x: each.operations / each.bytes_read, y: each.operations / each.seconds }));

// The most that can be reached with so many operations a byte.
const roofAt = (machine, x) => Math.min(machine.operations_per_second, machine.read_bytes_per_second * x);

function said(machine, each) {
  const of = machine ? `, ${share(each.y, roofAt(machine, each.x))} of the limit there` : "";
  return `${each.start === undefined ? "all" : when(each.start, 3600)}, ${each.kind}: ${count(each.x)} operations a byte, ${
    perSecond(each.y)}${of}`;
}

function scaleOf(values, from, to) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const powers = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  return { at: (value) => from + (Math.log10(value) - low) / (high - low) * (to - from), low: 10 ** low, high: 10 ** high, powers };
}

function picture(place, model, machine) {
  const sums = placed(model.points);
  const all = [...model.minutes.flatMap((minute) => placed(minute.points, minute.start)), ...sums];
  const width = Math.min(760, Math.max(widthOf(place), (place.clientWidth || 360) - 24));
  const peaks = machine ? kPeaks.filter(([name]) => machine[name] > 0) : [];
  const ridges = peaks.map(([name]) => machine[name] / machine.read_bytes_per_second);
  const x = scaleOf([0.5, 100, ...ridges, ...all.map((each) => each.x)], kLeft, width - kRight);
  const y = scaleOf([...peaks.map(([name]) => machine[name]), ...(machine ? [machine.read_bytes_per_second * x.low] : []),
    ...all.map((each) => each.y)], kHeight - kBottom, kTop);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${kHeight}`, role: "img", tabindex: "0",
    "aria-label": `Roofline of ${model.model}. Arrow keys read the points.` });
  for (const power of x.powers) {
    drawing.append(svg("line", { x1: x.at(power), x2: x.at(power), y1: kTop, y2: kHeight - kBottom, class: "grid" }),
      svg("text", { x: x.at(power), y: kHeight - kBottom + 14, "text-anchor": "middle" }, count(power)));
  }
  y.powers.forEach((power, i) => drawing.append(
    svg("line", { x1: kLeft, x2: width - kRight, y1: y.at(power), y2: y.at(power), class: "grid" }),
    i % Math.ceil(y.powers.length / 8) ? "" : svg("text", { x: kLeft - 4, y: y.at(power) + 4, "text-anchor": "end" }, count(power))));
  drawing.append(svg("text", { x: (kLeft + width - kRight) / 2, y: kHeight - 6, "text-anchor": "middle" },
    "operations for each byte read; upwards: operations a second"));
  if (machine) {
    const bandwidth = machine.read_bytes_per_second;
    const top = Math.max(...ridges);
    drawing.append(svg("path", { class: "line roof", d: `M${x.at(x.low)} ${y.at(bandwidth * x.low)}L${x.at(top)} ${y.at(bandwidth * top)}` }),
      svg("text", { x: x.at(x.low) + 6, y: Math.max(kTop + 12, y.at(bandwidth * x.low * 4) - 8) }, `memory ${bytesPerSecond(bandwidth)}`));
    peaks.forEach(([name, words, dash], i) => {
      const level = y.at(machine[name]);
      drawing.append(svg("path", { class: "line roof", d: `M${x.at(ridges[i])} ${level}H${width - kRight}`, "stroke-dasharray": dash }),
        svg("text", { x: width - kRight, y: level - 4, "text-anchor": "end" }, `${words} ${perSecond(machine[name])}`));
    });
  }
  for (const each of all) {
    const mark = markOf(kindAt(each.kind), x.at(each.x), y.at(each.y), each.start === undefined ? 6 : 2.5);
    mark.classList.add("point");
    if (each.start === undefined) mark.classList.add("sum");
    drawing.append(mark);
  }
  const cursor = svg("circle", { r: 10, class: "ring", visibility: "hidden" });
  drawing.append(cursor);
  const output = el("output", { "aria-live": "polite" });
  let now = -1;
  const show = (next) => {
    if (!all.length) return;
    now = Math.max(0, Math.min(all.length - 1, next));
    cursor.setAttribute("cx", x.at(all[now].x));
    cursor.setAttribute("cy", y.at(all[now].y));
    cursor.setAttribute("visibility", "visible");
    output.textContent = said(machine, all[now]);
  };
  drawing.addEventListener("keydown", (event) => {
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(next);
  });
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const [px, py] = [(event.clientX - box.left) * width / box.width, (event.clientY - box.top) * width / box.width];
    const far = (each) => Math.hypot(x.at(each.x) - px, y.at(each.y) - py);
    const near = all.reduce((best, each, i) => (best < 0 || far(each) < far(all[best]) ? i : best), -1);
    if (near >= 0 && far(all[near]) < 24) show(near);
  });
  const used = kKinds.map(([name], i) => [name, i]).filter(([name]) => all.some((each) => each.kind === name));
  return el("figure", { class: "roofline" }, el("figcaption", {}, `Roofline of ${model.model}`), drawing,
    legend(used.map(([name]) => name), (i) => [markOf(used[i][1], 17, 6)]),
    el("p", { class: "legend" }, "Large marks are sums of the whole time, small ones of a minute. The nearer to a line, the nearer to that limit."),
    output);
}

const kColumns = [["Steps"], ["How many", true], ["Tokens", true], ["Time", true], ["Operations a byte", true],
  ["Operations a second", true], ["Bytes a second", true], ["Of memory", true], ["Of arithmetic", true], ["Requests waited", true]];
function cells(machine, each) {
  return [each.kind, count(each.steps), count(each.tokens), seconds(each.seconds),
    each.bytes_read ? count(each.operations / each.bytes_read) : "\u2013", perSecond(each.operations / each.seconds),
    bytesPerSecond(each.bytes_read / each.seconds),
    machine ? share(each.bytes_read / machine.read_bytes_per_second, each.seconds) : "\u2013",
    machine ? share(each.operations / machine.operations_per_second, each.seconds) : "\u2013",
    share(each.waited_seconds, each.seconds)];
}

function modelSection(context, model, machine) {
  const facts = tiles(tile("What binds", model.binds, "memory, compute, queue, idle or neither"),
    tile("Computing", share(model.busy_share, 1), `of ${seconds(model.elapsed_seconds)}`),
    tile("Of the memory bandwidth", share(model.memory_share ?? null, model.memory_share === undefined ? 0 : 1), "while computing"),
    tile("Of the arithmetic", share(model.compute_share ?? null, model.compute_share === undefined ? 0 : 1), "while computing"),
    tile("Now", `${model.running} running`, `${model.waiting} waiting`));
  const words = [el("h2", {}, model.model), el("p", { class: "verdict" }, el("strong", {}, model.sentence), " ", model.action), facts];
  if (!model.points.length) return el("section", {}, words, empty("No steps in this time: choose a longer one, or send a request."));
  const rows = model.minutes.flatMap((minute) => minute.points.map((each) => [when(minute.start, 3600), ...cells(machine, each)]));
  return el("section", {}, words, picture(context.place, model, machine),
    table(kColumns, model.points.map((each) => cells(machine, each)), `Steps of ${model.model}`),
    el("details", {}, el("summary", {}, "Minute by minute"), table([["Time"], ...kColumns], rows, `Steps of ${model.model} by minute`)));
}

export async function rooflinePage(context) {
  const minutes = Math.max(1, Math.min(kMostMinutes, Math.round(context.range() / 60)));
  const answer = await roofline({ minutes }, context.signal);
  const machine = answer.machine;
  const head = el("h2", {}, `Roofline: steps of the last ${answer.minutes} minutes against the machine's limits`);
  const limits = machine
    ? [el("p", {}, `This machine reads ${bytesPerSecond(machine.read_bytes_per_second)} and does ${
      kPeaks.filter(([name]) => machine[name] > 0).map(([name, words]) => `${perSecond(machine[name])} (${words})`).join(", ")
    } with ${machine.threads} threads (${machine.isa}): steps with fewer than ${
      count(machine.operations_per_second / machine.read_bytes_per_second)} operations a byte wait for memory, others for arithmetic.`),
    machine.own_share < 0.9 ? el("p", {}, `The limits were measured on a busy machine (${share(machine.own_share, 1)
    } of the time was ours): it can do more. Run paring info again when it is quiet.`) : ""]
    : empty(answer.missing);
  if (!answer.data.length) return [head, limits, empty("No model is in memory. A request loads one that is known.")];
  return [head, limits, answer.data.map((model) => modelSection(context, model, machine))];
}
