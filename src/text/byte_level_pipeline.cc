// SPDX-License-Identifier: Apache-2.0
#include "text/byte_level_pipeline.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/byte_level.h"
#include "text/unicode.h"
#include "text/unicode_forms.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

// The pattern of ByteLevel itself.
constexpr std::string_view kByteLevelPattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

// The stages of the pre-tokenizer; nullopt when it is of another kind.
std::optional<Splitter> read_splitter(const std::vector<PipelineStep>& steps) {
  std::vector<std::string> patterns;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Json fields = Json::parse(steps[i].fields, nullptr, false);
    const bool is_last = i + 1 == steps.size();
    if (steps[i].type == "ByteLevel" && is_last && !fields.value("add_prefix_space", true)) {
      if (fields.value("use_regex", true)) patterns.emplace_back(kByteLevelPattern);
    } else if (steps[i].type == "Digits" && !is_last) {
      patterns.emplace_back(fields.value("individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else if (steps[i].type == "Split" && !is_last && !fields.value("invert", false) &&
               fields.value("behavior", "") == "Isolated" && fields.contains("pattern") &&
               fields["pattern"].contains("Regex")) {
      patterns.push_back(fields["pattern"]["Regex"].get<std::string>());
    } else {
      return std::nullopt;
    }
  }
  if (steps.empty()) return std::nullopt;
  std::vector<SplitStage> stages;
  for (const std::string& pattern : patterns) {
    stages.push_back({SplitStage::Kind::kPattern, pattern});
  }
  Result<Splitter> splitter = Splitter::create(stages, {});
  if (!splitter) return std::nullopt;
  return std::move(splitter).value();
}

bool is_known_model(const TokenizerFile& file) {
  const bool has_known_normalizer =
      file.normalizer.empty() || (file.normalizer.size() == 1 && file.normalizer[0].type == "NFC");
  return file.model == "BPE" && !file.byte_fallback && !file.has_dropout &&
         file.continuing_prefix.empty() && file.end_of_word_suffix.empty() && has_known_normalizer;
}

bool are_known(const std::vector<AddedToken>& added, bool has_nfc) {
  return std::none_of(added.begin(), added.end(), [&](const AddedToken& token) {
    return token.is_single_word ||
           (token.is_normalized && has_nfc && !is_surely_nfc(token.content));
  });
}

}  // namespace

std::unique_ptr<const ByteLevelPipeline> ByteLevelPipeline::create(const TokenizerFile& file,
                                                                   const Vocabulary& vocabulary) {
  const bool has_nfc = !file.normalizer.empty();
  if (!is_known_model(file) || !are_known(file.added, has_nfc)) return nullptr;
  std::optional<TextSurroundings> around;
  std::optional<Splitter> splitter;
  try {
    splitter = read_splitter(file.pre_tokenizer);
    around = read_surroundings(file);
    if (!splitter || !around) return nullptr;
  } catch (const Json::exception&) {
    return nullptr;  // the crate says what is wrong with it
  }
  auto is_text = tokens_of_text(file, vocabulary);
  if (!is_text) return nullptr;
  const std::vector<TextMerge> merges(file.merges.begin(), file.merges.end());
  auto bpe = ByteBpe::create({&vocabulary.ids, *std::move(is_text)}, merges, file.ignore_merges);
  // A merge that makes a token of another kind, or is broken; unknown bytes: the crate knows.
  if (!bpe || !bpe->spells_every_byte()) return nullptr;
  auto made = std::make_unique<ByteLevelPipeline>(Key(), *std::move(splitter), *std::move(bpe));
  made->plain_ = AddedTokenFinder(file.added, /*is_normalized=*/false);
  made->normalized_ = AddedTokenFinder(file.added, /*is_normalized=*/true);
  made->has_nfc_ = has_nfc;
  made->around_ = *std::move(around);
  return made;
}

bool ByteLevelPipeline::is_for_the_crate(std::string_view text) const {
  if (has_nfc_ && !is_surely_nfc(text)) return true;
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const Utf8Step step = utf8_step(text, at);
    if (char_category(step.code_point) == CharCategory::kUnassigned) return true;
    at += step.size;
  }
  return false;
}

std::optional<std::vector<std::int32_t>> ByteLevelPipeline::encode(std::string_view utf8,
                                                                   EncodeOptions options) const {
  std::string repaired;
  if (!is_well_formed_utf8(utf8)) {
    repaired = repaired_utf8(utf8);
    utf8 = repaired;
  }
  if (is_for_the_crate(utf8)) return std::nullopt;
  std::vector<std::int32_t> ids;
  if (options.add_special) ids = around_.before;
  std::vector<Stretch> stretches;
  plain_.cut(utf8, options.parse_special, stretches);
  std::vector<Stretch> inner;
  for (const Stretch& stretch : stretches) {
    inner.clear();
    if (stretch.token >= 0) {
      inner.push_back(stretch);
    } else {
      normalized_.cut(stretch.text, options.parse_special, inner);
    }
    for (const Stretch& part : inner) {
      if (part.token >= 0) {
        ids.push_back(part.token);
      } else {
        bpe_.append_words(splitter_, part.text, ids);
      }
    }
  }
  if (options.add_special) ids.insert(ids.end(), around_.after.begin(), around_.after.end());
  return ids;
}

}  // namespace paring::text
