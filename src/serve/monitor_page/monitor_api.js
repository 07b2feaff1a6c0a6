// SPDX-License-Identifier: Apache-2.0
// What the monitor asks of the server. Paths are relative, so that it works behind a proxy's prefix.

const kKeyName = "paring-key"; // the chat page's: one key for both

export class Problem extends Error {
  constructor(message, status = 0, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const storedKey = () => sessionStorage.getItem(kKeyName) || "";
export function keepKey(key) {
  if (key) sessionStorage.setItem(kKeyName, key);
  else sessionStorage.removeItem(kKeyName);
}

// Names with values that are said: not "", null or undefined.
function query(values) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && value !== null && value !== undefined) words.set(name, value);
  }
  const text = words.toString();
  return text ? `?${text}` : "";
}

async function ask(path, values = {}, signal) {
  const key = storedKey();
  let response;
  try {
    response = await fetch(path + query(values), {
      credentials: "omit", redirect: "error", signal,
      headers: key ? { authorization: `Bearer ${key}` } : {},
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server cannot be reached.");
  }
  if (response.ok) return response;
  let said = {};
  try {
    said = (await response.json()).error || {};
  } catch {
    // Not the server's own words, a proxy's for example: the status has to do.
  }
  throw new Problem(said.message || `The request failed (${response.status}).`, response.status, said.code);
}

const json = async (...request) => (await ask(...request)).json();

export const summary = (filter, signal) => json("v1/traffic/summary", filter, signal);
export const series = (filter, signal) => json("v1/traffic/series", filter, signal);
export const requests = (filter, signal) => json("v1/traffic", filter, signal);
export const request = async (id, signal) =>
  (await json(`v1/traffic/requests/${encodeURIComponent(id)}`, {}, signal)).data;
export const users = (filter, signal) => json("v1/traffic/users", filter, signal);
export const liveQuality = async (signal) => (await json("v1/quality", {}, signal)).data;
export const advice = (values, signal) => json("v1/advice", values, signal);
export const adviceLedger = (page, signal) => json("v1/advice/ledger", page, signal);
export const roofline = (filter, signal) => json("v1/roofline", filter, signal);
export const alerts = (signal) => json("v1/alerts", {}, signal);
export const weights = (model, signal) => json(`v1/models/${encodeURIComponent(model)}/weights`, {}, signal);
export const models = async (signal) => (await json("v1/models", {}, signal)).data;

// The newest scores, `most` of them at most; {scores, hasMore}.
export async function scores(filter, most, signal) {
  const found = [];
  let after = "";
  for (;;) {
    const page = await json("v1/feedback", { ...filter, limit: Math.min(1000, most), after }, signal);
    found.push(...page.data);
    if (!page.has_more || found.length >= most || !page.data.length) {
      return { scores: found, hasMore: page.has_more };
    }
    after = page.data.at(-1).id;
  }
}

// Sums of the gauges of /metrics by their names.
export async function gauges(signal) {
  const sums = {};
  for (const line of (await (await ask("metrics", {}, signal)).text()).split("\n")) {
    const found = /^([\w:]+)(?:\{[^}]*\})? (\S+)$/.exec(line);
    if (found) sums[found[1]] = (sums[found[1]] || 0) + Number(found[2]);
  }
  return sums;
}
