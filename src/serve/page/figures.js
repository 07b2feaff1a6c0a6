// SPDX-License-Identifier: Apache-2.0
// What an answer took, in words. Only figures that the server told or the page measured: without a
// price there is none, but tokens and seconds of computing.

function seconds(value) {
  return value < 0.1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(2)} s`;
}

function tokens(count) {
  return `${count} token${count === 1 ? "" : "s"}`;
}

// `answer` of streamAnswer().
export function figuresOf(answer) {
  const parts = [];
  const { usage, timings } = answer;
  const isGivenAgain = answer.cache.startsWith("exact");
  if (timings && timings.predicted_n > 1 && !isGivenAgain) {
    parts.push(`${timings.predicted_per_second.toFixed(1)} tokens/s`);
  }
  if (answer.firstSeconds !== null) parts.push(`first token after ${seconds(answer.firstSeconds)}`);
  if (usage) {
    const cached = usage.prompt_tokens_details?.cached_tokens || 0;
    parts.push(`prompt ${tokens(usage.prompt_tokens)}, ${cached} cached`);
    const reasoning = usage.completion_tokens_details?.reasoning_tokens || 0;
    parts.push(`answer ${tokens(usage.completion_tokens)}` +
               (reasoning ? `, ${reasoning} of reasoning` : ""));
  }
  if (isGivenAgain) {
    parts.push("given before: nothing was computed");
  } else if (timings) {
    const computed = (timings.prompt_ms + timings.predicted_ms) / 1000;
    parts.push(`${seconds(computed)} of computing`);
    if (timings.queue_ms >= 100) parts.push(`${seconds(timings.queue_ms / 1000)} of waiting`);
  }
  if (answer.finish === "length") parts.push("cut at the longest answer");
  return parts.join(" \u00b7 ");
}
