// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/simple.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "improve/json_schema.h"
#include "improve/scorers/refusal.h"

namespace paring::improve {

namespace {

constexpr std::size_t kPatternBytesMax = 4096;
constexpr double kLengthMost = 1e9;
constexpr std::string_view kBlanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

Mark yes_or_no(bool is_so, std::string comment = {}) {
  return {is_so ? 1.0 : 0.0, true, std::move(comment)};
}

class RegexScorer final : public Scorer {
 public:
  RegexScorer(std::unique_ptr<const re2::RE2> pattern, bool must_match)
      : pattern_(std::move(pattern)), must_match_(must_match) {}
  Result<std::optional<Mark>> score(const Judged& judged) override {
    const bool matches = re2::RE2::PartialMatch(judged.exchange.answer, *pattern_);
    return std::optional(yes_or_no(matches == must_match_));
  }

 private:
  const std::unique_ptr<const re2::RE2> pattern_;
  const bool must_match_;
};

class JsonScorer final : public Scorer {
 public:
  JsonScorer(bool strips_fence, std::string type, std::optional<JsonSchema> schema)
      : strips_fence_(strips_fence), type_(std::move(type)), schema_(std::move(schema)) {}
  Result<std::optional<Mark>> score(const Judged& judged) override {
    const std::string_view text = json_in(judged.exchange.answer, strips_fence_);
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (json.is_discarded()) return std::optional(yes_or_no(false, "no JSON"));
    const bool is_of_type = type_ == "any" || (type_ == "object" && json.is_object()) ||
                            (type_ == "array" && json.is_array());
    if (is_of_type && schema_) {
      PARING_TRY(std::string fault, schema_->fault_in(text));
      const bool is_valid = fault.empty();
      return std::optional(yes_or_no(is_valid, std::move(fault)));
    }
    return std::optional(yes_or_no(
        is_of_type, is_of_type ? "" : fmt::format("{} in place of {}", json.type_name(), type_)));
  }

 private:
  const bool strips_fence_;
  const std::string type_;
  const std::optional<JsonSchema> schema_;
};

std::size_t characters_in(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  return count;
}

std::size_t words_in(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find_first_not_of(kBlanks, at)) != text.npos; ++count) {
    at = std::min(text.find_first_of(kBlanks, at), text.size());
  }
  return count;
}

class LengthScorer final : public Scorer {
 public:
  LengthScorer(std::string unit, double least, double most)
      : unit_(std::move(unit)), least_(least), most_(most) {}
  Result<std::optional<Mark>> score(const Judged& judged) override {
    const std::string& answer = judged.exchange.answer;
    const std::size_t length = unit_ == "tokens"  ? static_cast<std::size_t>(judged.answer_tokens)
                               : unit_ == "words" ? words_in(answer)
                                                  : characters_in(answer);
    const auto value = static_cast<double>(length);
    return std::optional(
        yes_or_no(value >= least_ && value <= most_, fmt::format("{} {}", length, unit_)));
  }

 private:
  const std::string unit_;
  const double least_;
  const double most_;
};

class RefusalScorer final : public Scorer {
 public:
  Result<std::optional<Mark>> score(const Judged& judged) override {
    std::string words = refusal_in(judged.exchange.answer);
    const bool refuses = !words.empty();
    return std::optional(yes_or_no(refuses, std::move(words)));
  }
};

Result<std::optional<JsonSchema>> read_schema(Fields& fields, const std::string& file) {
  PARING_TRY(const std::string text, fields.file("schema", file, JsonSchema::kBytesMax));
  Result<JsonSchema> schema = JsonSchema::parse(text);
  if (!schema) return fields.wrong("schema", schema.error().message, schema.error().hint);
  return std::optional(std::move(schema).value());
}

}  // namespace

std::string_view json_in(std::string_view answer, bool strips_fence) {
  constexpr std::string_view kFence = "```";
  answer = trimmed(answer);
  if (!strips_fence || !answer.starts_with(kFence) || !answer.ends_with(kFence)) return answer;
  const std::size_t line_end = answer.find('\n');
  if (line_end == std::string_view::npos || line_end + kFence.size() >= answer.size()) {
    return answer;
  }
  answer.remove_prefix(line_end + 1);
  answer.remove_suffix(kFence.size());
  return trimmed(answer);
}

Result<std::unique_ptr<Scorer>> make_regex_scorer(Fields& fields, const ScorerTools&) {
  PARING_TRY(const std::string text, fields.needed("pattern"));
  PARING_TRY(const std::string must, fields.word("must", {"match", "not_match"}));
  if (text.size() > kPatternBytesMax) {
    return fields.wrong("pattern", fmt::format("it takes at most {} bytes", kPatternBytesMax));
  }
  re2::RE2::Options options(re2::RE2::Quiet);
  auto pattern = std::make_unique<const re2::RE2>(text, options);
  if (!pattern->ok()) {
    return fields.wrong("pattern", "that is no regular expression: " + pattern->error(),
                        "the syntax is RE2's: no look-around, no back-references");
  }
  return std::unique_ptr<Scorer>(
      std::make_unique<RegexScorer>(std::move(pattern), must == "match"));
}

Result<std::unique_ptr<Scorer>> make_json_scorer(Fields& fields, const ScorerTools&) {
  PARING_TRY(const std::string fence, fields.word("fence", {"strip", "keep"}));
  PARING_TRY(std::string type, fields.word("type", {"any", "object", "array"}));
  std::optional<JsonSchema> schema;
  if (const auto file = fields.text("schema")) {
    PARING_TRY(schema, read_schema(fields, *file));
  }
  return std::unique_ptr<Scorer>(
      std::make_unique<JsonScorer>(fence == "strip", std::move(type), std::move(schema)));
}

Result<std::unique_ptr<Scorer>> make_length_scorer(Fields& fields, const ScorerTools&) {
  PARING_TRY(std::string unit, fields.word("unit", {"characters", "words", "tokens"}));
  PARING_TRY(const auto least, fields.number("min", 0, kLengthMost));
  PARING_TRY(const auto most, fields.number("max", 0, kLengthMost));
  if (!least && !most) return fields.needed("max").error();
  if (least && most && *least > *most) return fields.wrong("max", "it is below 'min'");
  return std::unique_ptr<Scorer>(std::make_unique<LengthScorer>(
      std::move(unit), least.value_or(0), most.value_or(std::numeric_limits<double>::infinity())));
}

Result<std::unique_ptr<Scorer>> make_refusal_scorer(Fields&, const ScorerTools&) {
  return std::unique_ptr<Scorer>(std::make_unique<RefusalScorer>());
}

}  // namespace paring::improve
