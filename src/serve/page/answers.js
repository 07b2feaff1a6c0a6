// SPDX-License-Identifier: Apache-2.0
// What the page asks of the server: models, and answers as they come. Paths are relative, so that
// the page works behind a proxy's prefix.

// An error in words for people. `status` is 0 when there was no answer at all.
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

function headersWith(key, more = {}) {
  return key ? { authorization: `Bearer ${key}`, ...more } : more;
}

function words(status, message, retryAfter) {
  const said = message ? ` The server says: ${message}` : "";
  const later = retryAfter ? ` Try again in ${retryAfter} s.` : "";
  if (status === 401) return `The server needs a valid key.${said}`;
  if (status === 403) return `This key may not do that.${said}`;
  if (status === 404) return `The server does not have that.${said}`;
  if (status === 429) return `A limit is reached.${said}${later}`;
  if (status === 503) return `The server takes no work now.${said}${later}`;
  return `The request failed (${status}).${said}`;
}

async function problemOf(response) {
  let message = "";
  try {
    message = (await response.json()).error.message;
  } catch {
    // Not the server's own words, a proxy's for example: the status has to do.
  }
  return new Problem(words(response.status, message, response.headers.get("retry-after")),
                     response.status);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "omit", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server cannot be reached.");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function listModels(key) {
  const response = await ask("v1/models", { headers: headersWith(key) });
  return (await response.json()).data;
}

// What was thought of an answer; gives what is kept.
export async function giveFeedback(key, body) {
  const response = await ask("v1/feedback", { method: "POST", body: JSON.stringify(body),
                                              headers: headersWith(key, { "content-type": "application/json" }) });
  return response.json();
}

export async function takeFeedbackBack(key, id) {
  const response = await ask(`v1/feedback/${encodeURIComponent(id)}`, { method: "DELETE", headers: headersWith(key) });
  return response.json();
}

// The JSON of each event of a stream, until [DONE].
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Problem("The connection broke before the answer was complete.");
    buffer += value;
    const parts = buffer.split("\n\n");
    buffer = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trim()).join("\n");
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
}

// Streams an answer. `onText(content, reasoning)` is told all there is so far. Returns
// {id, content, reasoning, finish, usage, timings, firstSeconds, cache}; throws Problem, or AbortError
// when `signal` ends it. Ending it closes the connection, and with it the work on the server.
export async function streamAnswer({ key, body, fresh, signal, onText, onId }) {
  const begin = performance.now();
  const headers = headersWith(key, { "content-type": "application/json" });
  if (fresh) headers["cache-control"] = "no-cache";
  let response;
  const answer = { id: "", content: "", reasoning: "", finish: "", usage: null, timings: null,
                   firstSeconds: null, cache: "" };
  try {
    response = await ask("v1/chat/completions", {
      method: "POST", headers, signal,
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    });
    answer.cache = response.headers.get("x-paring-cache") || "";
    for await (const event of events(response.body)) {
      if (event.id && !answer.id) onId(answer.id = event.id);
      if (event.error) throw new Problem(`The answer broke off: ${event.error.message}`);
      if (event.usage) answer.usage = event.usage;
      if (event.timings) answer.timings = event.timings;
      for (const choice of event.choices || []) {
        const delta = choice.delta || {};
        answer.content += delta.content || "";
        answer.reasoning += delta.reasoning_content || "";
        if (choice.finish_reason) answer.finish = choice.finish_reason;
        if (answer.firstSeconds === null && (delta.content || delta.reasoning_content)) {
          answer.firstSeconds = (performance.now() - begin) / 1000;
        }
      }
      onText(answer.content, answer.reasoning);
    }
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem("The connection broke before the answer was complete.");
  }
  return answer;
}
