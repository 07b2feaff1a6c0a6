// SPDX-License-Identifier: Apache-2.0
#include "text/sentence_piece_pipeline.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "text/encoder.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

// The file's normalization: " " to U+2581, perhaps one of those in front. nullopt for any other.
std::optional<bool> read_prepends_space(const TokenizerFile& file) {
  const auto& steps = file.normalizer;
  const bool has_prepend = steps.size() == 2 && steps[0].type == "Prepend";
  if (steps.empty() || steps.size() > (has_prepend ? 2U : 1U)) return std::nullopt;
  if (has_prepend && Json::parse(steps[0].fields).at("prepend") != kEscapedSpace) {
    return std::nullopt;
  }
  const Json replace = Json::parse(steps.back().fields);
  if (steps.back().type != "Replace" || replace.at("pattern").value("String", "") != " " ||
      replace.at("content") != kEscapedSpace) {
    return std::nullopt;
  }
  return has_prepend;
}

// Nothing, or a cut at spaces, of which the normalization has left none.
bool has_no_words(const TokenizerFile& file) {
  if (file.pre_tokenizer.empty()) return true;
  const PipelineStep& step = file.pre_tokenizer[0];
  return file.pre_tokenizer.size() == 1 && step.type == "Split" &&
         Json::parse(step.fields).at("pattern").value("String", "") == " ";
}

bool is_known_model(const TokenizerFile& file) {
  return file.model == "BPE" && file.byte_fallback && !file.has_dropout && !file.ignore_merges &&
         file.continuing_prefix.empty() && file.end_of_word_suffix.empty();
}

// A special token that is one character would be spelled by it.
bool are_known(const std::vector<AddedToken>& added) {
  return std::none_of(added.begin(), added.end(), [](const AddedToken& token) {
    return token.is_single_word || token.is_normalized ||
           (token.is_special && !token.content.empty() &&
            utf8_step(token.content, 0).size == token.content.size());
  });
}

}  // namespace

std::unique_ptr<const SentencePiecePipeline> SentencePiecePipeline::create(
    const TokenizerFile& file, const Vocabulary& vocabulary) {
  if (!is_known_model(file) || !are_known(file.added)) return nullptr;
  auto made = std::make_unique<SentencePiecePipeline>(Key());
  try {
    const std::optional<bool> prepends_space = read_prepends_space(file);
    std::optional<TextSurroundings> around = read_surroundings(file);
    if (!prepends_space || !around || !has_no_words(file)) return nullptr;
    made->prepends_space_ = *prepends_space;
    made->around_ = *std::move(around);
  } catch (const Json::exception&) {
    return nullptr;  // the crate says what is wrong with it
  }
  auto is_text = tokens_of_text(file, vocabulary);
  if (!is_text) return nullptr;
  made->tokens_ = {&vocabulary.ids, *std::move(is_text)};
  const std::vector<TextMerge> merges(file.merges.begin(), file.merges.end());
  auto joins = BpeMerges::create(made->tokens_, merges);
  if (!joins || !made->find_bytes()) return nullptr;
  made->merges_ = *std::move(joins);
  made->words_end_at_space_ =
      std::none_of(merges.begin(), merges.end(), [](const TextMerge& merge) {
        return has_inner_space(std::string(merge.first).append(merge.second));
      });
  made->added_ = AddedTokenFinder(file.added, /*is_normalized=*/false);
  return made;
}

bool SentencePiecePipeline::find_bytes() {
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = tokens_.find(name_of_byte(static_cast<unsigned char>(byte)));
    if (byte_ids_[byte] < 0) return false;
  }
  for (std::size_t c = 0; c < ascii_ids_.size(); ++c) {
    const char text[] = {static_cast<char>(c)};
    ascii_ids_[c] = tokens_.find({text, 1});
  }
  return true;
}

std::optional<std::vector<std::int32_t>> SentencePiecePipeline::encode(
    std::string_view utf8, EncodeOptions options) const {
  std::string repaired;
  if (!is_well_formed_utf8(utf8)) {
    repaired = repaired_utf8(utf8);
    utf8 = repaired;
  }
  std::vector<std::int32_t> ids;
  if (options.add_special) ids = around_.before;
  std::vector<Stretch> stretches;
  added_.cut(utf8, options.parse_special, stretches);
  for (const Stretch& stretch : stretches) {
    if (stretch.token >= 0) {
      ids.push_back(stretch.token);
    } else {
      append_text(stretch.text, ids);
    }
  }
  if (options.add_special) ids.insert(ids.end(), around_.after.begin(), around_.after.end());
  return ids;
}

void SentencePiecePipeline::append_text(std::string_view text,
                                        std::vector<std::int32_t>& ids) const {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 2);
  if (prepends_space_) escaped += kEscapedSpace;
  for (const char c : text) {
    if (c == ' ') {
      escaped += kEscapedSpace;
    } else {
      escaped += c;
    }
  }
  WordMemo memo;
  std::vector<std::int32_t> part;
  for (std::size_t begin = 0; begin < escaped.size();) {
    const std::size_t end = word_end(escaped, begin);
    const std::string_view word = std::string_view(escaped).substr(begin, end - begin);
    begin = end;
    if (memo.append_known(word, ids)) continue;
    const std::size_t first = ids.size();
    append_word(word, part);
    ids.insert(ids.end(), part.begin(), part.end());
    memo.remember(word, ids, first);
  }
}

void SentencePiecePipeline::append_word(std::string_view word,
                                        std::vector<std::int32_t>& part) const {
  part.clear();
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t size = utf8_step(word, at).size;
    const std::int32_t id = size == 1 ? ascii_ids_[static_cast<unsigned char>(word[at])]
                                      : tokens_.find(word.substr(at, size));
    if (id >= 0) {
      part.push_back(id);
    } else {
      for (const char byte : word.substr(at, size)) {
        part.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
      }
    }
    at += size;
  }
  merges_.join(part);
}

std::size_t SentencePiecePipeline::word_end(std::string_view text, std::size_t begin) const {
  if (!words_end_at_space_) return text.size();
  while (text.substr(begin, kEscapedSpace.size()) == kEscapedSpace) begin += kEscapedSpace.size();
  return std::min(text.find(kEscapedSpace, begin), text.size());
}

}  // namespace paring::text
