// SPDX-License-Identifier: Apache-2.0
#include "text/byte_level_pipeline.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
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

// The ids around a text; false when post-processing is of another kind.
bool read_around(const TokenizerFile& file, std::vector<std::int32_t>& before,
                 std::vector<std::int32_t>& after) {
  bool has_template = false;
  for (const PipelineStep& step : file.post_processor) {
    if (step.type == "ByteLevel") continue;
    if (step.type != "TemplateProcessing" || has_template) return false;
    has_template = true;
    const Json fields = Json::parse(step.fields, nullptr, false);
    bool is_behind = false;
    for (const Json& piece : fields.at("single")) {
      if (piece.contains("Sequence")) {
        if (is_behind || piece["Sequence"].at("id") != "A") return false;
        is_behind = true;
        continue;
      }
      const std::string name = piece.at("SpecialToken").at("id").get<std::string>();
      for (const Json& id : fields.at("special_tokens").at(name).at("ids")) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= file.tokens.size()) return false;
        (is_behind ? after : before).push_back(id.get<std::int32_t>());
      }
    }
    if (!is_behind) return false;
  }
  return true;
}

// Names by which text can become a token: added tokens have others, which no bytes spell.
std::optional<std::vector<std::string>> names_of_text(const TokenizerFile& file) {
  std::vector<std::string> names = file.tokens;
  std::vector<bool> is_special(names.size());
  for (const AddedToken& token : file.added) {
    is_special[static_cast<std::size_t>(token.id)] = token.is_special;
  }
  std::unordered_set<std::string_view> seen;
  for (std::size_t id = 0; id < names.size(); ++id) {
    const bool is_text = id < file.is_in_model.size() && file.is_in_model[id] && !is_special[id];
    if (!is_text) names[id] = "\u2400" + std::to_string(id);
    if (!seen.insert(names[id]).second) return std::nullopt;
  }
  // All bytes: otherwise there would be unknown ones.
  std::vector<bool> has_byte(256);
  for (const std::string& name : names) {
    const auto bytes = byte_level_decoded(name);
    if (bytes && bytes->size() == 1) has_byte[static_cast<unsigned char>(bytes->front())] = true;
  }
  if (std::find(has_byte.begin(), has_byte.end(), false) != has_byte.end()) return std::nullopt;
  return names;
}

// As pairs of ids. nullopt when one makes or takes a token that text must not become.
std::optional<std::vector<std::uint32_t>> merges_of(const TokenizerFile& file,
                                                    const std::vector<std::string>& names) {
  std::unordered_map<std::string_view, std::uint32_t> ids;
  for (std::size_t id = 0; id < names.size(); ++id) {
    ids.emplace(names[id], static_cast<std::uint32_t>(id));
  }
  std::vector<std::uint32_t> pairs;
  pairs.reserve(file.merges.size() * 2);
  for (const auto& [left, right] : file.merges) {
    const auto a = ids.find(left);
    const auto b = ids.find(right);
    if (a == ids.end() || b == ids.end() || !ids.contains(left + right)) return std::nullopt;
    pairs.push_back(a->second);
    pairs.push_back(b->second);
  }
  return pairs;
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

Result<std::unique_ptr<const ByteLevelPipeline>> ByteLevelPipeline::create(
    const TokenizerFile& file) {
  using Made = std::unique_ptr<const ByteLevelPipeline>;
  const bool has_nfc = !file.normalizer.empty();
  if (!is_known_model(file) || !are_known(file.added, has_nfc)) return Made();
  std::vector<std::int32_t> before, after;
  std::optional<Splitter> splitter;
  try {
    splitter = read_splitter(file.pre_tokenizer);
    if (!splitter || !read_around(file, before, after)) return Made();
  } catch (const Json::exception&) {
    return Made();  // the crate says what is wrong with it
  }
  const auto names = names_of_text(file);
  if (!names) return Made();
  const auto merges = merges_of(file, *names);
  if (!merges) return Made();
  PARING_TRY(BpeHandle bpe, make_bpe(*names, *merges, file.ignore_merges));
  auto made = std::make_unique<ByteLevelPipeline>(Key(), *std::move(splitter), std::move(bpe));
  made->plain_ = make_finder(file.added, false);
  made->normalized_ = make_finder(file.added, true);
  made->has_nfc_ = has_nfc;
  made->before_ = std::move(before);
  made->after_ = std::move(after);
  return Made(std::move(made));
}

ByteLevelPipeline::Finder ByteLevelPipeline::make_finder(const std::vector<AddedToken>& added,
                                                         bool is_normalized) {
  // What is listed twice has the last properties.
  std::map<std::string, AddedToken> by_content;
  for (const AddedToken& token : added) by_content.insert_or_assign(token.content, token);
  Finder finder;
  for (const auto& [content, token] : by_content) {
    if (token.is_normalized == is_normalized && !content.empty()) finder.tokens.push_back(token);
  }
  std::vector<std::pair<std::string_view, std::int32_t>> texts;
  for (std::size_t i = 0; i < finder.tokens.size(); ++i) {
    texts.emplace_back(finder.tokens[i].content, static_cast<std::int32_t>(i));
  }
  finder.trie = TokenTrie(std::move(texts));
  return finder;
}

void ByteLevelPipeline::find(const Finder& finder, std::string_view text, bool parse_special,
                             std::vector<Stretch>& stretches) {
  std::size_t begin = 0;  // of what is not cut yet
  for (std::size_t at = 0; at < text.size();) {
    std::int32_t best = -1;
    std::uint32_t node = TokenTrie::kRoot;
    for (std::size_t end = at; end < text.size(); ++end) {
      node = finder.trie.next(node, text[end]);
      if (node == TokenTrie::kNone) break;
      if (finder.trie.token(node) >= 0) best = finder.trie.token(node);
    }
    if (best < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = finder.tokens[static_cast<std::size_t>(best)];
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

Result<std::optional<std::vector<std::int32_t>>> ByteLevelPipeline::encode(
    std::string_view utf8, EncodeOptions options) const {
  std::string repaired;
  if (!is_well_formed_utf8(utf8)) {
    repaired = repaired_utf8(utf8);
    utf8 = repaired;
  }
  if (is_for_the_crate(utf8)) return std::optional<std::vector<std::int32_t>>();
  std::vector<std::int32_t> ids;
  if (options.add_special) ids = before_;
  std::vector<Stretch> stretches;
  find(plain_, utf8, options.parse_special, stretches);
  std::vector<Stretch> inner;
  for (const Stretch& stretch : stretches) {
    inner.clear();
    if (stretch.token >= 0) {
      inner.push_back(stretch);
    } else {
      find(normalized_, stretch.text, options.parse_special, inner);
    }
    for (const Stretch& part : inner) {
      if (part.token >= 0) {
        ids.push_back(part.token);
      } else {
        PARING_TRY_VOID(append_words(bpe_, splitter_, part.text, ids));
      }
    }
  }
  if (options.add_special) ids.insert(ids.end(), after_.begin(), after_.end());
  return std::optional(std::move(ids));
}

}  // namespace paring::text
