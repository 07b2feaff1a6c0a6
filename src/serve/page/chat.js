// SPDX-License-Identifier: Apache-2.0
// The chat page. A conversation lives in this tab's memory, a key in sessionStorage, and nothing
// anywhere else.
import { listModels, Problem, streamAnswer } from "./answers.js";
import { FeedbackView } from "./feedback.js";
import { figuresOf } from "./figures.js";
import { MarkdownView } from "./markdown.js";

const kKeyName = "paring-key";
const at = (id) => document.getElementById(id);
const page = {
  model: at("model"), newChat: at("new-chat"), settings: at("settings"), system: at("system"),
  temperature: at("temperature"), maxTokens: at("max-tokens"), keyForm: at("key-form"), key: at("key"),
  log: at("log"), status: at("status"), ask: at("ask"), question: at("question"), send: at("send"),
  stop: at("stop"),
};

let turns = []; // {role, content, node}
let running = null; // AbortController of the answer that comes

function say(text, isBad = false) {
  page.status.textContent = text;
  page.status.classList.toggle("bad", isBad);
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(text, onClick) {
  const made = element("button", "", text);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

// navigator.clipboard is there on HTTPS and this machine's own addresses only.
async function copy(text) {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
    } else {
      const area = element("textarea", "unseen");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) throw new Error("refused");
    }
    say("Copied.");
  } catch {
    say("The browser does not let this page copy; select the text instead.", true);
  }
}

// --- key and models ---

const storedKey = () => sessionStorage.getItem(kKeyName) || "";

function askForKey() {
  page.keyForm.hidden = false;
  page.key.focus();
}

async function loadModels() {
  const key = storedKey();
  say("Asking for the models\u2026");
  let models;
  try {
    // Of a model that was not loaded yet nothing is known: it may chat.
    models = (await listModels(key)).filter((model) =>
      !model.capabilities?.length || model.capabilities.includes("completion"));
  } catch (problem) {
    page.model.disabled = true;
    if (problem.status === 401 && !key) {
      say("");
    } else {
      say(problem.message, true);
    }
    if (problem.status === 401 || problem.status === 403) askForKey();
    return;
  }
  const chosen = page.model.value;
  page.model.replaceChildren(...models.map((model) => {
    const option = element("option", "", model.id);
    option.value = model.id;
    return option;
  }));
  if (models.some((model) => model.id === chosen)) page.model.value = chosen;
  page.model.disabled = models.length === 0;
  page.keyForm.hidden = key === "";
  say(models.length === 0 ? "The server has no model." : "");
}

page.keyForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = page.key.value.trim();
  if (key) sessionStorage.setItem(kKeyName, key);
  else sessionStorage.removeItem(kKeyName);
  page.key.value = "";
  await loadModels();
  if (!page.model.disabled) page.question.focus();
});

// --- the conversation ---

function isAtEnd() {
  return page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 40;
}

function addTurn(role, title) {
  const node = element("article", role);
  node.append(element("h2", "", title));
  page.log.append(node);
  page.log.scrollTop = page.log.scrollHeight;
  return node;
}

// Where an answer is shown while it comes.
class AnswerView {
  constructor(title) {
    this.node = addTurn("assistant", title);
    this.reasoning = element("details", "reasoning");
    this.reasoning.append(element("summary", "", "Reasoning"), element("p", ""));
    this.reasoning.hidden = true;
    this.body = element("div", "body");
    this.node.append(this.reasoning, this.body);
    this.markdown = new MarkdownView(this.body, copy);
    this.content = "";
    this.thoughts = "";
    this.id = ""; // unknown to the server: nothing can be said of it
    this.isWaiting = false;
  }

  // Drawn once a frame at most, however fast tokens come.
  update(content, thoughts) {
    this.content = content;
    this.thoughts = thoughts;
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.isWaiting = false;
    const follows = isAtEnd();
    this.markdown.show(this.content);
    this.reasoning.hidden = this.thoughts === "";
    this.reasoning.lastChild.textContent = this.thoughts;
    if (follows) page.log.scrollTop = page.log.scrollHeight;
  }

  end(figures, problem) {
    this.draw();
    if (problem) this.node.append(element("p", "problem", problem));
    const tools = element("div", "tools");
    const feedback = this.id ? new FeedbackView(this.id, () => this.content, { say, keyOf: storedKey }) : null;
    tools.append(element("p", "figures", figures), ...(feedback?.buttons ?? []),
                 button("Copy", () => copy(this.content)), button("Regenerate", regenerate));
    this.node.append(tools, ...(feedback ? [feedback.form] : []));
    page.log.scrollTop = page.log.scrollHeight;
  }
}

function requestBody() {
  const messages = turns.map(({ role, content }) => ({ role, content }));
  const system = page.system.value.trim();
  if (system) messages.unshift({ role: "system", content: system });
  const body = { model: page.model.value, messages };
  if (page.temperature.value !== "") body.temperature = page.temperature.valueAsNumber;
  if (page.maxTokens.value !== "") body.max_tokens = page.maxTokens.valueAsNumber;
  return body;
}

function setRunning(controller) {
  running = controller;
  const isRunning = controller !== null;
  page.send.hidden = isRunning;
  page.stop.hidden = !isRunning;
  page.newChat.disabled = isRunning;
  page.log.setAttribute("aria-busy", String(isRunning));
}

async function answer(fresh) {
  // Only the newest answer can be computed again.
  for (const old of page.log.querySelectorAll("article.assistant .tools button:last-child")) old.remove();
  const body = requestBody();
  const view = new AnswerView(body.model);
  const controller = new AbortController();
  setRunning(controller);
  say("Answering\u2026");
  let figures = "";
  let problem = "";
  try {
    const result = await streamAnswer({
      key: storedKey(), body, fresh, signal: controller.signal,
      onText: (content, reasoning) => view.update(content, reasoning),
      onId: (id) => { view.id = id; },
    });
    figures = figuresOf(result);
    say("");
  } catch (error) {
    if (error.name === "AbortError") {
      figures = "stopped";
      say("Stopped.");
    } else {
      if (!(error instanceof Problem)) throw error;
      problem = error.message;
      say("No complete answer.", true);
      if (error.status === 401) askForKey();
    }
  } finally {
    setRunning(null);
  }
  view.end(figures, problem);
  turns.push({ role: "assistant", content: view.content, node: view.node });
}

function regenerate() {
  if (running || turns.length === 0) return;
  turns.pop().node.remove();
  answer(true);
}

function sendQuestion() {
  const content = page.question.value.trim();
  if (running || content === "") return;
  if (page.model.disabled) {
    say("There is no model to ask yet.", true);
    loadModels();
    return;
  }
  for (const field of [page.temperature, page.maxTokens]) {
    if (field.checkValidity()) continue;
    page.settings.open = true;
    field.reportValidity();
    return;
  }
  // What was refused never became part of the conversation.
  const last = turns[turns.length - 1];
  if (last && last.role === "assistant" && last.content === "") turns.splice(-2);
  const node = addTurn("user", "You");
  node.append(element("div", "text", content));
  turns.push({ role: "user", content, node });
  page.question.value = "";
  page.question.focus();
  answer(false);
}

page.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  sendQuestion();
});
page.question.addEventListener("keydown", (event) => {
  // isComposing: Enter takes a suggestion of an input method then.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sendQuestion();
});
page.stop.addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
page.newChat.addEventListener("click", () => {
  turns = [];
  page.log.replaceChildren();
  say("");
  page.question.focus();
});

page.question.focus();
loadModels();
