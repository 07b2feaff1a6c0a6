// SPDX-License-Identifier: Apache-2.0
// SentencePiece Unigram: normalize the text, then the segmentation whose token scores add up to the
// most (Viterbi), as llama.cpp computes it for tokenizer.ggml.model "t5".
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "text/encoder.h"
#include "text/token_trie.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

// What an unknown character costs more than the worst token; SentencePiece's kUnkPenalty.
constexpr double kUnknownPenalty = 10.0;

// SentencePiece's compiled replacements: a double array (Kanda 2018, XOR-compressed) from byte
// sequences to positions in a list of NUL-terminated texts.
//   bits 0-7 and 31 of a unit: the byte that leads to it; bit 8: a value follows; bits 10-30 (and
//   9 as a factor of 256): the offset that the next byte is XORed to; of a value: bits 0-30.
class Replacements {
 public:
  struct Match {
    std::size_t size = 0;  // bytes of the text, 0: none
    std::string_view replacement;
  };

  Replacements() = default;
  static Result<Replacements> create(const std::string& compiled) {
    Replacements made;
    if (compiled.empty()) return made;
    std::uint32_t units_bytes = 0;
    if (compiled.size() < sizeof(units_bytes)) return cut_short(compiled.size());
    std::memcpy(&units_bytes, compiled.data(), sizeof(units_bytes));
    if (units_bytes % sizeof(std::uint32_t) != 0 ||
        units_bytes >= compiled.size() - sizeof(units_bytes)) {
      return cut_short(compiled.size());
    }
    made.units_.resize(units_bytes / sizeof(std::uint32_t));
    std::memcpy(made.units_.data(), compiled.data() + sizeof(units_bytes), units_bytes);
    made.texts_ = compiled.substr(sizeof(units_bytes) + units_bytes);
    if (made.texts_.back() != '\0') return corrupt("precompiled_charsmap does not end in NUL");
    return made;
  }

  // The longest sequence at the beginning of `text` that has a replacement. Positions outside the
  // table end the search.
  Match longest(std::string_view text) const {
    Match best;
    if (units_.empty()) return best;
    std::uint32_t node = offset(units_[0]);
    for (std::size_t i = 0; i < text.size() && text[i] != '\0'; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      node ^= byte;
      if (node >= units_.size() || (units_[node] & 0x800000FFU) != byte) break;
      const bool has_value = ((units_[node] >> 8U) & 1U) != 0;
      node ^= offset(units_[node]);
      if (!has_value) continue;
      if (node >= units_.size()) break;
      const std::size_t position = units_[node] & 0x7FFFFFFFU;
      if (position >= texts_.size()) break;
      best = {i + 1, std::string_view(texts_.c_str() + position)};
    }
    return best;
  }

 private:
  static Error cut_short(std::size_t size) {
    return corrupt("precompiled_charsmap of " + std::to_string(size) +
                   " bytes is shorter than its table");
  }
  static std::uint32_t offset(std::uint32_t unit) {
    return (unit >> 10U) << ((unit & (1U << 9U)) >> 6U);
  }

  std::vector<std::uint32_t> units_;
  std::string texts_;
};

class Unigram final : public Encoder {
 public:
  Unigram(const TokenizerSpec& spec, const Vocabulary& vocabulary, Replacements replacements)
      : replacements_(std::move(replacements)),
        unknown_(*spec.unk),
        add_space_prefix_(spec.add_space_prefix),
        merge_spaces_(spec.remove_extra_whitespaces) {
    std::vector<std::pair<std::string_view, std::int32_t>> texts;
    float worst = std::numeric_limits<float>::max();
    scores_.resize(vocabulary.tokens.size());
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      const TokenKind& kind = vocabulary.kinds[id];
      // User-defined tokens win over what they are made of.
      scores_[id] = kind.is_user_defined ? 0.0 : static_cast<double>(spec.scores[id]);
      if (kind.is_normal) worst = std::min(worst, spec.scores[id]);
      if (kind.is_normal || kind.is_user_defined || is_unused(spec, id)) {
        texts.emplace_back(vocabulary.tokens[id], static_cast<std::int32_t>(id));
      }
    }
    unknown_score_ = static_cast<double>(worst) - kUnknownPenalty;
    trie_ = TokenTrie(std::move(texts));
  }

  Result<void> encode(std::string_view text, bool /*begins*/,
                      std::vector<std::int32_t>& ids) const override {
    const std::string normalized = normalize(text);
    if (normalized.empty()) return {};
    const std::vector<Step> best = search(normalized);
    const std::size_t first = ids.size();
    bool after_unknown = false;
    for (std::size_t at = normalized.size(); at > 0; at = best[at].begin) {
      const bool is_unknown = best[at].token == unknown_;
      if (!is_unknown || !after_unknown) ids.push_back(best[at].token);
      after_unknown = is_unknown;
    }
    std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
    return {};
  }

 private:
  // The best way to end at a position.
  struct Step {
    double score = -std::numeric_limits<double>::max();
    std::uint32_t begin = 0;
    std::int32_t token = -1;
  };

  static bool is_unused(const TokenizerSpec& spec, std::size_t id) {
    return !spec.token_types.empty() && spec.token_types[id] == kTokenUnused;
  }

  // Replacements, then spaces: escaped, merged where the file says so, one put in front.
  std::string normalize(std::string_view text) const {
    std::string out;
    out.reserve(text.size() + text.size() / 4 + kEscapedSpace.size());
    bool is_prefix_done = false;
    bool is_in_word = false;
    const auto put = [&](std::string_view part) {
      for (const char c : part) {
        if (c == ' ') {
          is_in_word = false;
          if (!merge_spaces_) out += kEscapedSpace;
          continue;
        }
        if (!is_in_word) {
          is_in_word = true;
          if ((add_space_prefix_ && !is_prefix_done) || merge_spaces_) {
            out += kEscapedSpace;
            is_prefix_done = true;
          }
        }
        out += c;
      }
    };
    for (std::size_t at = 0; at < text.size();) {
      if (const auto match = replacements_.longest(text.substr(at)); match.size != 0) {
        put(match.replacement);
        at += match.size;
        continue;
      }
      const Utf8Step step = utf8_step(text, at);
      if (step.kind == Utf8Step::Kind::kCharacter) {
        put(text.substr(at, step.size));
        at += step.size;
      } else {
        put(kReplacement);
        ++at;
      }
    }
    return out;
  }

  // Well-formed up to cut replacements, so a lead byte tells the size of its character.
  static std::size_t character_size(std::string_view text, std::size_t at) {
    return std::max<std::size_t>(1, utf8_step(text, at).size);
  }

  std::vector<Step> search(std::string_view text) const {
    std::vector<Step> best(text.size() + 1);
    best[0].score = 0;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t size = character_size(text, begin);
      const double so_far = best[begin].score;
      const auto offer = [&](std::size_t end, std::int32_t token, double score) {
        if (so_far + score > best[end].score) {
          best[end] = {so_far + score, static_cast<std::uint32_t>(begin), token};
        }
      };
      bool is_character_known = false;
      std::uint32_t node = TokenTrie::kRoot;
      for (std::size_t end = begin; end < text.size();) {
        node = trie_.next(node, text[end++]);
        if (node == TokenTrie::kNone) break;
        const std::int32_t token = trie_.token(node);
        if (token < 0) continue;
        is_character_known = is_character_known || end - begin == size;
        offer(end, token, scores_[static_cast<std::size_t>(token)]);
      }
      if (!is_character_known) offer(begin + size, unknown_, unknown_score_);
      begin += size;
    }
    return best;
  }

  Replacements replacements_;
  TokenTrie trie_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  std::int32_t unknown_;
  bool add_space_prefix_;
  bool merge_spaces_;
};

}  // namespace

Result<std::unique_ptr<const Encoder>> make_unigram(const TokenizerSpec& spec,
                                                    const Vocabulary& vocabulary) {
  if (!spec.unk) return corrupt("a Unigram vocabulary needs an unknown token, none is named");
  static_assert(std::endian::native == std::endian::little,
                "precompiled_charsmap is read as it is");
  PARING_TRY(Replacements replacements, Replacements::create(spec.precompiled_charsmap));
  return std::unique_ptr<const Encoder>(
      std::make_unique<Unigram>(spec, vocabulary, std::move(replacements)));
}

}  // namespace paring::text
