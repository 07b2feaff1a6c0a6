// SPDX-License-Identifier: Apache-2.0
#include "cli/answer_figures.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace paring::cli {

namespace {

double per_second(std::size_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
}

// The first generated token comes from the prompt's last logits, so decoding made one step less.
std::size_t decode_steps(const api::Usage& usage) {
  return usage.generated_tokens == 0 ? 0 : usage.generated_tokens - 1;
}

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0.0; }

struct SpeculationFigures {
  double acceptance = 0;     // of the drafted tokens
  double accepted_mean = 0;  // tokens of a draft
  double gain = 1;           // of the speed, against what plain decoding was expected to take
};

SpeculationFigures speculation_figures(const api::Usage& usage) {
  const api::Speculation& counts = usage.speculation;
  const auto accepted = static_cast<double>(counts.accepted_tokens);
  return {ratio(accepted, static_cast<double>(counts.drafted_tokens)),
          ratio(accepted, static_cast<double>(counts.drafts)),
          counts.drafts == 0 ? 1 : ratio(counts.plain_seconds, usage.decode_seconds)};
}

void print_speculation(const api::Usage& usage) {
  const api::Speculation& counts = usage.speculation;
  if (counts.drafts == 0) return;
  const SpeculationFigures figures = speculation_figures(usage);
  print_note(fmt::format(
      "speculation: {} drafts of {} tokens, {} accepted ({:.0f} %, {:.1f} a draft); about {:.2f} "
      "times the speed without",
      counts.drafts, counts.drafted_tokens, counts.accepted_tokens, 100 * figures.acceptance,
      figures.accepted_mean, figures.gain));
}

Json speculation_json(const api::Usage& usage) {
  const api::Speculation& counts = usage.speculation;
  const SpeculationFigures figures = speculation_figures(usage);
  return {{"steps", counts.steps},
          {"drafts", counts.drafts},
          {"drafted_tokens", counts.drafted_tokens},
          {"accepted_tokens", counts.accepted_tokens},
          {"acceptance_rate", figures.acceptance},
          {"accepted_tokens_mean", figures.accepted_mean},
          {"predicted_gain", figures.gain}};
}

}  // namespace

void print_answer_figures(const std::optional<api::Completion>& completion) {
  if (!completion) {
    print_note("interrupted");
    return;
  }
  const api::Usage& usage = completion->usage;
  print_note(
      fmt::format("prompt {} tokens, {:.1f} tokens/s; answer {} tokens, {:.1f} tokens/s ({})",
                  usage.prompt_tokens, per_second(usage.prompt_tokens, usage.prefill_seconds),
                  usage.generated_tokens, per_second(decode_steps(usage), usage.decode_seconds),
                  api::finish_reason_name(completion->reason)));
  print_speculation(usage);
}

Json answer_json(const std::string& text, const std::optional<api::Completion>& completion) {
  Json json;
  json["text"] = text;
  if (!completion) {
    json["finish_reason"] = "interrupted";
    return json;
  }
  const api::Usage& usage = completion->usage;
  json["finish_reason"] = api::finish_reason_name(completion->reason);
  json["prompt_tokens"] = usage.prompt_tokens;
  json["generated_tokens"] = usage.generated_tokens;
  json["prefill"] = {{"seconds", usage.prefill_seconds},
                     {"tokens_per_second", per_second(usage.prompt_tokens, usage.prefill_seconds)}};
  json["decode"] = {{"seconds", usage.decode_seconds},
                    {"tokens_per_second", per_second(decode_steps(usage), usage.decode_seconds)}};
  if (usage.speculation.steps > 0) json["speculation"] = speculation_json(usage);
  return json;
}

}  // namespace paring::cli
