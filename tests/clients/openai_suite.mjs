// SPDX-License-Identifier: Apache-2.0
// What test_serve_clients.py has OpenAI's client for Node do: prints one JSON object of what it got.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0, timeout: 120000 });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const question = { model: "smol", messages, temperature: 0, max_tokens: 16 };
const found = { errors: {} };

found.chat = (await client.chat.completions.create(question)).choices[0].message.content;

found.stream = "";
const stream = await client.chat.completions.create({
  ...question,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  found.stream += chunk.choices[0]?.delta?.content ?? "";
  found.usage_chunk = chunk;
}

found.helper = (await client.chat.completions.stream(question).finalChatCompletion()).choices[0].message.content;

found.models = [];
for await (const model of client.models.list()) found.models.push(model.id);

async function fails(name, request, options) {
  try {
    await client.chat.completions.create(request, options);
    found.errors[name] = ["none"];
  } catch (error) {
    found.errors[name] = [error.constructor.name, name === "model" ? error.code : null];
  }
}
const endless = { ...question, max_tokens: 900, ignore_eos: true };
await fails("model", { ...question, model: "other" });
await fails("temperature", { ...question, temperature: 9 });
await fails("timeout", endless, { timeout: 300 });

const aborted = await client.chat.completions.create({ ...endless, stream: true });
for await (const chunk of aborted) {
  if (chunk.choices[0].delta.content) aborted.controller.abort();
}

console.log(JSON.stringify(found));
