// SPDX-License-Identifier: Apache-2.0
#include "text/added_tokens.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "text/unicode.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

std::size_t space_behind(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const Utf8Step step = utf8_step(text, at);
    if (char_category(step.code_point) != CharCategory::kWhiteSpace) break;
    at += step.size;
  }
  return at;
}

// Where the white space in front of `at` begins, `from` at the earliest.
std::size_t space_before(std::string_view text, std::size_t from, std::size_t at) {
  while (at > from) {
    std::size_t begin = at - 1;
    while (begin > from && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U) --begin;
    if (char_category(utf8_step(text, begin).code_point) != CharCategory::kWhiteSpace) break;
    at = begin;
  }
  return at;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(const std::vector<AddedToken>& added, bool is_normalized) {
  // What is listed twice has the last properties.
  std::map<std::string, AddedToken> by_content;
  for (const AddedToken& token : added) by_content.insert_or_assign(token.content, token);
  for (const auto& [content, token] : by_content) {
    if (token.is_normalized == is_normalized && !content.empty()) tokens_.push_back(token);
  }
  std::vector<std::pair<std::string_view, std::int32_t>> texts;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    texts.emplace_back(tokens_[i].content, static_cast<std::int32_t>(i));
  }
  trie_ = TokenTrie(std::move(texts));
}

void AddedTokenFinder::cut(std::string_view text, bool parse_special,
                           std::vector<Stretch>& stretches) const {
  std::size_t begin = 0;  // of what is not cut yet
  for (std::size_t at = 0; at < text.size();) {
    std::int32_t best = -1;
    std::uint32_t node = TokenTrie::kRoot;
    for (std::size_t end = at; end < text.size(); ++end) {
      node = trie_.next(node, text[end]);
      if (node == TokenTrie::kNone) break;
      if (trie_.token(node) >= 0) best = trie_.token(node);
    }
    if (best < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(best)];
    std::size_t first = at;
    at += token.content.size();
    // One that stays text hides what it overlaps all the same.
    if (token.is_special && !parse_special) continue;
    std::size_t behind = at;
    if (token.strips_left) first = space_before(text, std::min(begin, first), first);
    if (token.strips_right) behind = space_behind(text, behind);
    if (first > begin) stretches.push_back({text.substr(begin, first - begin), -1});
    stretches.push_back({{}, token.id});
    begin = behind;
  }
  if (begin < text.size()) stretches.push_back({text.substr(begin), -1});
}

std::optional<TextSurroundings> read_surroundings(const TokenizerFile& file) {
  TextSurroundings around;
  bool has_template = false;
  for (const PipelineStep& step : file.post_processor) {
    if (step.type == "ByteLevel") continue;
    if (step.type != "TemplateProcessing" || has_template) return std::nullopt;
    has_template = true;
    const Json fields = Json::parse(step.fields, nullptr, false);
    bool is_behind = false;
    for (const Json& piece : fields.at("single")) {
      if (piece.contains("Sequence")) {
        if (is_behind || piece["Sequence"].at("id") != "A") return std::nullopt;
        is_behind = true;
        continue;
      }
      const std::string name = piece.at("SpecialToken").at("id").get<std::string>();
      for (const Json& id : fields.at("special_tokens").at(name).at("ids")) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= file.tokens.size())
          return std::nullopt;
        (is_behind ? around.after : around.before).push_back(id.get<std::int32_t>());
      }
    }
    if (!is_behind) return std::nullopt;
  }
  return around;
}

std::optional<std::vector<bool>> tokens_of_text(const TokenizerFile& file,
                                                const Vocabulary& vocabulary) {
  const auto named = std::count(file.is_named.begin(), file.is_named.end(), true);
  if (std::cmp_not_equal(vocabulary.ids.size(), named)) return std::nullopt;
  std::vector<bool> is_text = file.is_in_model;
  is_text.resize(file.tokens.size());
  for (const AddedToken& token : file.added) {
    if (token.is_special) is_text[static_cast<std::size_t>(token.id)] = false;
  }
  return is_text;
}

}  // namespace paring::text
