// SPDX-License-Identifier: Apache-2.0
// The page Model: what is served, its certificate, and the bits of its weights layer by layer.
import { models, weights } from "./monitor_api.js";
import { bytes, count, el, empty, svg, table } from "./monitor_words.js";

// --- Bits by layer ---

const kCell = 16; // pixels
const kNames = 112;
const kBitsMost = 16; // as dark as it gets

const bitsOf = (tensor) => 8 * tensor.bytes / tensor.values;

// Matrices by their place: {rows: [name], layers, at: name -> layer -> tensor, others: [tensor]}.
function placesOf(tensors) {
  const at = new Map();
  const others = [];
  let layers = 0;
  for (const tensor of tensors) {
    const found = /^blk\.(\d+)\.(.+)\.weight$/.exec(tensor.name);
    if (!found) {
      if (tensor.name.endsWith(".weight") && !tensor.name.includes("norm")) others.push(tensor);
      continue;
    }
    if (found[2].includes("norm")) continue;
    if (!at.has(found[2])) at.set(found[2], []);
    at.get(found[2])[Number(found[1])] = tensor;
    layers = Math.max(layers, Number(found[1]) + 1);
  }
  return { at, others, layers };
}

// Dark is many bits: a map that is read without colour, with each type in words on the cell.
function bitMap({ at, layers }, name) {
  const width = kNames + layers * kCell;
  const height = (at.size + 1) * kCell;
  const cells = [...at].flatMap(([row, byLayer], y) => [
    svg("text", { x: 0, y: y * kCell + 12 }, row),
    byLayer.map((tensor, layer) => {
      const bits = bitsOf(tensor);
      return svg("rect", { class: "cell bits", x: kNames + layer * kCell + 1, y: y * kCell + 1, width: kCell - 2,
        height: kCell - 2, "fill-opacity": Math.max(0.06, Math.min(1, bits / kBitsMost)).toFixed(3) },
      svg("title", {}, `${tensor.name}: ${tensor.type}, ${bits.toFixed(2)} bits a weight`));
    }),
  ]);
  const scale = [];
  for (let layer = 0; layer < layers; layer += 5) {
    scale.push(svg("text", { x: kNames + layer * kCell + 2, y: at.size * kCell + 12 }, String(layer)));
  }
  const map = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Bits of each matrix of ${name} by layer; the table below has the same` }, cells, scale);
  map.style.width = `${width}px`;
  return map;
}

function rangesOf(byLayer) {
  const parts = [];
  byLayer.forEach((tensor, layer) => {
    const last = parts.at(-1);
    if (last && last.type === tensor.type && last.to === layer - 1) last.to = layer;
    else parts.push({ type: tensor.type, from: layer, to: layer, bits: bitsOf(tensor) });
  });
  return parts.map(({ type, from, to, bits }) =>
    `${type} (${bits.toFixed(2)}) in ${from === to ? from : `${from}\u2013${to}`}`).join(", ");
}

function bitsSection(answer) {
  const places = placesOf(answer.tensors);
  const all = answer.tensors.reduce((sum, tensor) => ({ bytes: sum.bytes + tensor.bytes, values: sum.values + tensor.values }),
    { bytes: 0, values: 0 });
  const rows = [...[...places.at].map(([name, byLayer]) => [name, rangesOf(byLayer),
    bytes(byLayer.reduce((sum, tensor) => sum + tensor.bytes, 0))]),
  ...places.others.map((tensor) => [tensor.name, `${tensor.type} (${bitsOf(tensor).toFixed(2)})`, bytes(tensor.bytes)])];
  return el("figure", { class: "bitmap" },
    el("figcaption", {}, `Bits by layer: ${(8 * all.bytes / all.values).toFixed(2)} a weight, ${bytes(all.bytes)} of ${
      count(all.values)} weights`),
    places.layers ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Bits by layer" },
      bitMap(places, answer.model)) : "",
    el("details", {}, el("summary", {}, "As a table"),
      table([["Matrix"], ["Type (bits) in layers"], ["Size", true]], rows, `Weights of ${answer.model}`)));
}

// --- Model ---

// A certificate's figures as rows: "divergence kl_mean", value.
function figuresIn(value, name = "") {
  if (Array.isArray(value)) return [[name, `${value.length} entries`]];
  if (value === null || typeof value !== "object") {
    return [[name, typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value ?? "\u2013")]];
  }
  return Object.entries(value).flatMap(([key, each]) => figuresIn(each, name ? `${name} ${key}` : key));
}

export async function modelPage(context) {
  const all = await models(context.signal);
  // A file that cannot be read any more has no map; the rest is shown all the same.
  const maps = await Promise.all(all.map((model) => (model.parent ? null
    : weights(model.id, context.signal).then(bitsSection, (problem) => {
      if (problem.name === "AbortError") throw problem;
      return empty(problem.message);
    }))));
  if (!all.length) {
    return [el("h2", {}, "Models"), empty("This server has no model. Start it with one: ",
      el("code", {}, "paring serve NAME=FILE.gguf"), ".")];
  }
  return [el("h2", {}, "Models"), all.map((model, i) => el("section", {}, el("h2", {}, model.id),
    el("dl", { class: "facts" }, [
      ["State", model.state], ["Memory", bytes(model.memory_bytes)],
      ["Context", model.max_model_len ? `${model.max_model_len} tokens` : "not known before it is loaded"],
      ["Can", model.capabilities.join(", ") || "not known before it is loaded"], ["Variant", model.variant || "\u2013"],
      ["Base", model.parent || "\u2013"],
    ].map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    el("p", {}, el("a", { href: context.link("requests", { model: model.id }) }, "Its requests")),
    maps[i],
    model.certificate ? [el("h2", {}, "Certificate: what it lost against its original"),
      table([["Figure"], ["Value", true]], figuresIn(model.certificate), `Certificate of ${model.id}`)]
      : empty("No certificate: nobody measured what this file lost against its original. ",
        el("code", {}, "paring optimize ORIGINAL OUTPUT"), " writes one.")))];
}
