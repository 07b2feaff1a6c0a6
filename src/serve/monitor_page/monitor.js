// SPDX-License-Identifier: Apache-2.0
// The monitor: which page is shown, and all that is chosen on it, stands in the address behind '#',
// so that an address shows the same to others. A key lives in sessionStorage, nothing anywhere else.
import { keepKey, Problem, storedKey } from "./monitor_api.js";
import { el, empty } from "./monitor_words.js";
import { changesPage } from "./monitor_changes.js";
import { modelPage } from "./monitor_model.js";
import { costPage, overviewPage } from "./monitor_overview.js";
import { requestPage, requestsPage } from "./monitor_requests.js";
import { advicePage, alertsPage } from "./monitor_advice.js";
import { rooflinePage } from "./monitor_roofline.js";
import { comparePage, qualityPage } from "./monitor_quality.js";

const kPages = [
  ["overview", "Overview", overviewPage], ["requests", "Requests", requestsPage], ["cost", "Cost", costPage],
  ["compare", "Compare", comparePage], ["quality", "Quality", qualityPage], ["model", "Model", modelPage],
  ["roofline", "Roofline", rooflinePage], ["advice", "Advice", advicePage], ["changes", "Changes", changesPage],
  ["alerts", "Alerts", alertsPage],
];
const kHidden = [["request", "Request", requestPage]];
const kEverySeconds = 10;
const at = (id) => document.getElementById(id);

let running = null; // AbortController of what is read now
let shown = ""; // the address whose page is in `main`

export function state() {
  const [page, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { page: page || "overview", values: new URLSearchParams(query) };
}

function address(page, values) {
  const query = values.toString();
  return `#/${page}${query ? `?${query}` : ""}`;
}

const context = {
  // The address of a page with these values beside those that hold everywhere.
  link(page, values = {}) {
    const kept = new URLSearchParams();
    for (const name of ["range", "slo_first", "slo_total", "slo_gap", "live"]) {
      const value = state().values.get(name);
      if (value) kept.set(name, value);
    }
    for (const [name, value] of Object.entries(values)) {
      if (value !== "" && value !== null && value !== undefined) kept.set(name, value);
    }
    return address(page, kept);
  },
  value: (name) => state().values.get(name) || "",
  // Changes values of the page that is shown; "" takes one away.
  set(changes) {
    const { page, values } = state();
    for (const [name, value] of Object.entries(changes)) {
      if (value === "" || value === null) values.delete(name);
      else values.set(name, value);
    }
    const next = address(page, values);
    if (next === location.hash) show();
    else location.hash = next;
  },
  range: () => Number(state().values.get("range")) || 3600,
};

function say(text, isBad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", isBad);
}

function explain(problem) {
  if (problem.status === 401) {
    at("key-form").hidden = false;
    if (storedKey()) say(`The server does not take this key. ${problem.message}`, true);
    else say("The server asks for a key.");
    return empty("Nothing can be shown without a key of this server: give one above. ",
      el("code", {}, "paring keys create --scopes inference,metrics"), " makes one.");
  }
  say(problem.message, true);
  if (problem.status === 403) {
    at("key-form").hidden = false;
    return empty("This page needs a key with the scopes metrics and inference: ",
      el("code", {}, "paring keys create --scopes inference,metrics"), ".");
  }
  if (problem.status === 501) {
    return empty("This server keeps nothing of its requests. Start it with a data folder, and not with traffic off: ",
      el("code", {}, "paring serve MODEL --data-dir FOLDER"), ".");
  }
  return empty("The server did not answer this. Read again, or choose a shorter time.");
}

function controls(page) {
  at("pages").replaceChildren(...kPages.map(([name, title]) => el("a", {
    href: context.link(name), "aria-current": name === page || (name === "requests" && page === "request") ? "page" : null,
  }, title)));
  at("range").value = String(context.range());
  at("live").checked = context.value("live") === "1";
}

async function show(isQuiet = false) {
  const { page } = state();
  const found = [...kPages, ...kHidden].find(([name]) => name === page) || kPages[0];
  running?.abort();
  const mine = new AbortController();
  running = mine;
  controls(found[0]);
  document.title = `${found[1]} \u00b7 Paring monitor`;
  const main = at("main");
  if (!isQuiet) say("Reading\u2026");
  main.setAttribute("aria-busy", "true");
  const begin = performance.now();
  let content;
  let isGood = true;
  try {
    content = await found[2]({ ...context, place: main, signal: mine.signal });
  } catch (problem) {
    if (problem.name === "AbortError") return;
    isGood = false;
    if (!(problem instanceof Problem)) {
      console.error(problem);
      problem = new Problem("This page has an error of its own; the browser's console has it.");
    }
    content = explain(problem);
  }
  if (running !== mine) return;
  // What is written or read just now stays: a form keeps its focus by id.
  const focus = main.contains(document.activeElement) ? document.activeElement.id : "";
  const scroll = location.hash === shown ? window.scrollY : 0;
  main.replaceChildren(...[content].flat(Infinity));
  if (focus) at(focus)?.focus();
  window.scrollTo(0, scroll);
  shown = location.hash;
  main.setAttribute("aria-busy", "false");
  if (isGood) {
    at("key-form").hidden = true;
    say(`Read in ${Math.round(performance.now() - begin)} ms at ${new Date().toLocaleTimeString()}.`);
  }
}

at("range").addEventListener("change", () => context.set({ range: at("range").value, after: "" }));
at("again").addEventListener("click", () => show());
at("live").addEventListener("change", () => context.set({ live: at("live").checked ? "1" : "" }));
at("skip").addEventListener("click", (event) => {
  event.preventDefault(); // '#' is the state's
  at("main").focus();
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(at("key").value.trim());
  at("key").value = "";
  show();
});
window.addEventListener("hashchange", () => show());
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (Math.abs(window.innerWidth - width) < 40) return;
  width = window.innerWidth;
  show(true);
});
// Not while something in a form is being written, nor in a tab that nobody sees.
setInterval(() => {
  const isWriting = at("main").contains(document.activeElement) && document.activeElement.matches("input, select");
  if (context.value("live") === "1" && !document.hidden && !isWriting) show(true);
}, kEverySeconds * 1000);
show();
