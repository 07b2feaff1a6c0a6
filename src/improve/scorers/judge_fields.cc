// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/judge_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "improve/scorers/judge.h"
#include "improve/scorers/judge_model.h"

namespace paring::improve {

namespace {

constexpr std::size_t kRubricBytesMax = 16384;
constexpr double kAnswerTokensMost = 8192;
constexpr double kParallelMost = 64;
constexpr double kTriesMost = 10;
constexpr double kSecondsMost = 3600;

Result<void> read_scale(Fields& fields, JudgeOptions& options) {
  const auto text = fields.text("scale");
  if (!text) return {};
  const char* const end = text->data() + text->size();
  const auto [dash, error] = std::from_chars(text->data(), end, options.least);
  const bool has_dash = error == std::errc() && dash != end && *dash == '-';
  const auto [stop, second] = std::from_chars(has_dash ? dash + 1 : end, end, options.most);
  if (has_dash && second == std::errc() && stop == end && options.least >= 0 &&
      options.least < options.most && options.most <= kScaleMost) {
    return {};
  }
  return fields.wrong("scale",
                      fmt::format("it takes two whole numbers up to {}, worst first", kScaleMost),
                      "such as 1-5 or 0-1");
}

Result<std::shared_ptr<JudgeModel>> open_http(Fields& fields, const ScorerTools& tools,
                                              const std::string& url, std::size_t answer_tokens) {
  HttpJudgeOptions options;
  options.url = url;
  options.answer_tokens = answer_tokens;
  PARING_TRY(options.model, fields.needed("model"));
  PARING_TRY(const std::string format,
             fields.word("format", {"json_schema", "json_object", "none"}));
  options.format = format == "json_schema"   ? JudgeFormat::kSchema
                   : format == "json_object" ? JudgeFormat::kObject
                                             : JudgeFormat::kNone;
  PARING_TRY(const auto parallel, fields.number("parallel", 1, kParallelMost));
  PARING_TRY(const auto tries, fields.number("tries", 1, kTriesMost));
  PARING_TRY(const auto seconds, fields.number("seconds", 0.001, kSecondsMost));
  options.parallel = static_cast<std::size_t>(parallel.value_or(4));
  options.tries = static_cast<std::size_t>(tries.value_or(3));
  options.seconds = seconds.value_or(60);
  if (const auto name = fields.text("key_env")) {
    const auto key = tools.variable ? tools.variable(*name) : std::nullopt;
    if (!key || key->empty()) return fields.wrong("key_env", "no such variable is set");
    options.key = *key;
  }
  auto judge = make_http_judge(options);
  if (!judge) return fields.wrong("url", judge.error().message, judge.error().hint);
  return std::shared_ptr<JudgeModel>(std::move(judge).value());
}

}  // namespace

Result<std::unique_ptr<Scorer>> make_judge(Fields& fields, const ScorerTools& tools) {
  JudgeOptions options;
  PARING_TRY(options.rubric, fields.needed("rubric"));
  if (options.rubric.size() > kRubricBytesMax) {
    return fields.wrong("rubric", fmt::format("it takes at most {} bytes", kRubricBytesMax));
  }
  PARING_TRY(const std::string compare, fields.word("compare", {"none", "reference"}));
  options.is_pairwise = compare == "reference";
  PARING_TRY_VOID(read_scale(fields, options));
  PARING_TRY(const auto tokens, fields.number("answer_tokens", 16, kAnswerTokensMost));
  const auto answer_tokens = static_cast<std::size_t>(tokens.value_or(512));
  std::shared_ptr<JudgeModel> model;
  if (const auto url = fields.text("url")) {
    PARING_TRY(model, open_http(fields, tools, *url, answer_tokens));
  } else {
    PARING_TRY(const std::string name, fields.needed("model"));
    if (!tools.open_judge) return fields.wrong("model", "no model can be opened here");
    PARING_TRY(model, tools.open_judge(name, answer_tokens));
  }
  return make_judge_scorer(options, std::move(model));
}

}  // namespace paring::improve
