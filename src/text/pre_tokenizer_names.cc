// SPDX-License-Identifier: Apache-2.0
// The definitions are those of the models' own files; one is compared after it was brought to a
// short form: "Digits", "Split:" and the pattern, "ByteLevel" with its own pattern or "Bytes"
// without.
#include "text/pre_tokenizer_names.h"

#include <nlohmann/json.hpp>

#include "text/pre_tokenizer.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

// Of Llama 3 and Qwen2: the two differ in how many digits are one word.
#define PARING_LLAMA3_PATTERN(digits)                                \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits \
  R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
constexpr std::string_view kLlama3Pattern = PARING_LLAMA3_PATTERN("\\p{N}{1,3}");
constexpr std::string_view kQwen2Pattern = PARING_LLAMA3_PATTERN("\\p{N}");
#undef PARING_LLAMA3_PATTERN
constexpr std::string_view kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Capitals first. llama.cpp's matcher tells letters beyond ASCII not apart by case.
#define PARING_CASED_PATTERN(behind, digits)                                                \
  R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)" behind  \
  R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)" behind \
  "|" digits R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
constexpr std::string_view kGpt4oPattern =
    PARING_CASED_PATTERN("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}");
constexpr std::string_view kTekkenPattern = PARING_CASED_PATTERN("", "\\p{N}");
#undef PARING_CASED_PATTERN

struct Definition {
  std::string_view family;
  bool ignore_merges;
  std::string_view gguf_name;
  std::string_view digits;   // "Digits" or nothing
  std::string_view pattern;  // of a Split before the bytes, or nothing: ByteLevel's own
  bool is_exact = true;      // splits as llama.cpp does for the GGUF name
};
constexpr Definition kDefinitions[] = {
    {"gpt-2", false, "gpt-2", "", ""},
    {"smollm", false, "smollm", "Digits", ""},
    {"llama-bpe", true, "llama-bpe", "", kLlama3Pattern},
    {"llama-bpe", false, "smaug-bpe", "", kLlama3Pattern},
    {"qwen2", false, "qwen2", "", kQwen2Pattern},
    {"qwen35", false, "qwen35", "", kQwen35Pattern},
    {"gpt-4o", false, "gpt-4o", "", kGpt4oPattern, false},
    {"tekken", true, "tekken", "", kTekkenPattern, false},
};

std::string short_form(const Definition& row) {
  std::string form(row.digits);
  if (!form.empty()) form += '\n';
  if (row.pattern.empty()) return form + "ByteLevel";
  return form + "Split:" + std::string(row.pattern) + "\nBytes";
}

// A pattern that keeps what it matches; both ways to say so occur.
bool keeps_matches(const Json& fields) {
  const std::string behavior = fields.value("behavior", "");
  const bool is_inverted = fields.value("invert", false);
  return (behavior == "Isolated" && !is_inverted) || (behavior == "Removed" && is_inverted);
}

std::string short_form(std::span<const PipelineStep> steps) {
  std::string form;
  for (const PipelineStep& step : steps) {
    const Json fields = Json::parse(step.fields, nullptr, false);
    if (!form.empty()) form += '\n';
    if (step.type == "Digits" && fields.value("individual_digits", false)) {
      form += "Digits";
    } else if (step.type == "ByteLevel" && !fields.value("add_prefix_space", true)) {
      form += fields.value("use_regex", true) ? "ByteLevel" : "Bytes";
    } else if (step.type == "Split" && keeps_matches(fields) && fields.contains("pattern") &&
               fields["pattern"].contains("Regex")) {
      form += "Split:" + fields["pattern"]["Regex"].get<std::string>();
    } else {
      form += step.type + step.fields;
    }
  }
  return form;
}

}  // namespace

Result<std::string> pre_tokenizer_name(std::span<const PipelineStep> steps, bool ignore_merges) {
  std::string form;
  try {
    form = short_form(steps);
  } catch (const Json::exception&) {
    return corrupt("tokenizer.json: a field of the pre-tokenizer has a wrong type");
  }
  for (const Definition& row : kDefinitions) {
    if (row.ignore_merges == ignore_merges && short_form(row) == form) {
      return std::string(row.gguf_name);
    }
  }
  if (ignore_merges) form += "\nignore_merges";
  return unsupported("tokenizer.json: GGUF has no name that is known here for the pre-tokenizer " +
                         form.substr(0, 512),
                     "use the Hugging Face folder itself, which needs no name");
}

Result<std::string> pre_tokenizer_json(std::string_view gguf_name) {
  PARING_TRY(const PreTokenizer known, find_pre_tokenizer(gguf_name));
  for (const Definition& row : kDefinitions) {
    if (row.family != known.family || !row.is_exact) continue;
    Json steps = Json::array();
    if (!row.digits.empty()) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    if (!row.pattern.empty()) {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", row.pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
    steps.push_back({{"type", "ByteLevel"},
                     {"add_prefix_space", false},
                     {"trim_offsets", true},
                     {"use_regex", row.pattern.empty()}});
    if (steps.size() == 1) return steps[0].dump();
    return Json{{"type", "Sequence"}, {"pretokenizers", steps}}.dump();
  }
  return unsupported("the pre-tokenizer \"" + std::string(gguf_name) +
                     "\" has no definition for tokenizer.json");
}

}  // namespace paring::text
