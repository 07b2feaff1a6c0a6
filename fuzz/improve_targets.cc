// SPDX-License-Identifier: Apache-2.0
#include "improve_targets.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "improve/dataset/example_line.h"
#include "improve/dataset/near_duplicates.h"
#include "improve/exchange.h"
#include "improve/json_schema.h"
#include "improve/scorers/groundedness.h"
#include "improve/scorers/judge.h"
#include "improve/scorers/refusal.h"
#include "improve/scorers/similarity.h"
#include "improve/scorers/simple.h"

namespace paring::fuzz {

namespace {

std::pair<std::string_view, std::string_view> halves_of(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const std::size_t end = std::min(text.find('\n'), text.size());
  return {text.substr(0, end), text.substr(std::min(end + 1, text.size()))};
}

void check_share(double value) { PARING_CHECK(value >= 0 && value <= 1, "a share beyond 0 to 1"); }

}  // namespace

void run_exchange(std::span<const std::byte> input) {
  const auto [prompt, answer] = halves_of(input);
  const auto exchange = improve::read_exchange({std::string(prompt), std::string(answer)});
  if (!exchange) return;
  const improve::AnswerText said{exchange->answer, exchange->tool_calls};
  for (const std::string& line :
       {improve::sft_line(*exchange, said), improve::dpo_line(*exchange, said, {"worse"}),
        improve::kto_line(*exchange, said, true)}) {
    PARING_CHECK(line.find('\n') == std::string::npos, "a line of two lines");
    PARING_CHECK(nlohmann::json::accept(line), "a line that is no JSON");
  }
  const improve::Judged judged{*exchange};
  const improve::JudgeQuestion question = improve::judge_question({.rubric = "r"}, judged);
  PARING_CHECK(nlohmann::json::accept(question.user), "a question that is no JSON");
  (void)improve::read_judgement({.rubric = "r"}, exchange->answer);
  (void)improve::refusal_in(exchange->answer);
  const std::string context[] = {exchange->prompt};
  const improve::Grounding grounding =
      improve::grounding_of(exchange->answer, improve::question_of(*exchange), context);
  PARING_CHECK(grounding.supported <= grounding.sentences, "more than all sentences are supported");
  check_share(improve::rouge_l(exchange->answer, exchange->prompt));
  const auto runs = improve::word_runs(exchange->answer);
  PARING_CHECK(!runs.empty() && std::ranges::is_sorted(runs), "runs that are not in order");
  check_share(improve::jaccard(runs, improve::word_runs(exchange->prompt)));
}

void run_json_schema(std::span<const std::byte> input) {
  const auto [schema, value] = halves_of(input);
  const auto parsed = improve::JsonSchema::parse(schema);
  if (!parsed) return;
  const auto fault = parsed->fault_in(value);
  if (fault && fault->empty()) PARING_CHECK(nlohmann::json::accept(value), "no JSON, yet valid");
}

}  // namespace paring::fuzz
