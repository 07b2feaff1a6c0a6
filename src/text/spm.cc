// SPDX-License-Identifier: Apache-2.0
// SentencePiece BPE as GGUF files hold it: neighbours are joined while the joined text is a token,
// best score first, leftmost first among equals. What no token spells becomes byte tokens.
#include <algorithm>
#include <array>
#include <limits>
#include <queue>
#include <utility>

#include "text/bpe_merges.h"
#include "text/encoder.h"

namespace paring::text {
namespace {

struct Symbol {
  std::uint32_t begin = 0;
  std::uint32_t size = 0;  // 0: joined to an earlier one
  std::int32_t previous = -1;
  std::int32_t next = -1;
};

struct Candidate {
  float score;
  std::int32_t left;
  std::int32_t right;
  std::uint32_t size;  // of both: tells whether one of them has changed since
};
struct IsWorse {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.score < b.score || (a.score == b.score && a.left > b.left);
  }
};

// How many bytes llama.cpp takes as one character by its first byte; broken text included, so that
// its bytes become the same byte tokens.
std::size_t announced_size(char first) {
  static constexpr std::array<std::uint8_t, 16> kSizes = {1, 1, 1, 1, 1, 1, 1, 1,
                                                          1, 1, 1, 1, 2, 2, 3, 4};
  return kSizes[static_cast<unsigned char>(first) >> 4U];
}

// Joins the symbols of one word. The buffers live through a whole encode call.
class Joiner {
 public:
  Joiner(const TextTokens& tokens, const std::vector<float>& scores, std::size_t token_bytes_max)
      : tokens_(tokens), scores_(scores), token_bytes_max_(token_bytes_max) {}

  // Calls `out(piece)` for each piece that is left, in order.
  template <typename Out>
  void join(std::string_view word, Out out) {
    word_ = word;
    symbols_.clear();
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t size = std::min(announced_size(word[at]), word.size() - at);
      const auto index = static_cast<std::int32_t>(symbols_.size());
      symbols_.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(size),
                          index - 1, at + size == word.size() ? -1 : index + 1});
      at += size;
    }
    for (std::size_t i = 1; i < symbols_.size(); ++i) {
      consider(static_cast<std::int32_t>(i) - 1, static_cast<std::int32_t>(i));
    }
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      apply(best);
    }
    for (std::int32_t i = symbols_.empty() ? -1 : 0; i >= 0; i = at(i).next) {
      out(word.substr(at(i).begin, at(i).size));
    }
  }

 private:
  Symbol& at(std::int32_t index) { return symbols_[static_cast<std::size_t>(index)]; }

  void consider(std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0) return;
    const std::uint32_t size = at(left).size + at(right).size;
    if (size > token_bytes_max_) return;
    const std::int32_t id = tokens_.find(word_.substr(at(left).begin, size));
    if (id < 0) return;
    queue_.push({scores_[static_cast<std::size_t>(id)], left, right, size});
  }

  void apply(const Candidate& candidate) {
    Symbol& left = at(candidate.left);
    Symbol& right = at(candidate.right);
    if (left.size == 0 || right.size == 0 || left.size + right.size != candidate.size) return;
    left.size += right.size;
    right.size = 0;
    left.next = right.next;
    if (right.next >= 0) at(right.next).previous = candidate.left;
    consider(left.previous, candidate.left);
    consider(candidate.left, left.next);
  }

  const TextTokens& tokens_;
  const std::vector<float>& scores_;
  std::size_t token_bytes_max_;
  std::string_view word_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, IsWorse> queue_;
};

class Spm final : public Encoder {
 public:
  Spm(const TokenizerSpec& spec, const Vocabulary& vocabulary)
      : scores_(spec.scores), unknown_(spec.unk), add_space_prefix_(spec.add_space_prefix) {
    byte_ids_.fill(-1);
    tokens_ = {&vocabulary.ids, std::vector<bool>(vocabulary.tokens.size())};
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      const std::string& token = vocabulary.tokens[id];
      if (!vocabulary.is_text(id)) continue;
      tokens_.is_text[id] = true;
      token_bytes_max_ = std::max(token_bytes_max_, token.size());
      words_end_at_space_ = words_end_at_space_ && !has_inner_space(token);
    }
    find_byte_tokens(vocabulary);
  }

  // A byte without a token of its own would be lost without a trace.
  bool spells_every_byte() const {
    return unknown_ || std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  }

  Result<void> encode(std::string_view text, bool begins,
                      std::vector<std::int32_t>& ids) const override {
    std::string escaped;
    escaped.reserve(text.size() + text.size() / 2);
    if (begins && add_space_prefix_) escaped += kEscapedSpace;
    for (const char c : text) {
      if (c == ' ') {
        escaped += kEscapedSpace;
      } else {
        escaped += c;
      }
    }
    Joiner joiner(tokens_, scores_, token_bytes_max_);
    WordMemo memo;
    for (std::size_t begin = 0; begin < escaped.size();) {
      const std::size_t end = word_end(escaped, begin);
      const std::string_view word = std::string_view(escaped).substr(begin, end - begin);
      begin = end;
      if (memo.append_known(word, ids)) continue;
      const std::size_t first = ids.size();
      joiner.join(word, [&](std::string_view piece) { append(piece, ids); });
      memo.remember(word, ids, first);
    }
    return {};
  }

 private:
  // When no token has a space inside, nothing is ever joined across the beginning of a run of
  // spaces: the parts can be encoded one by one, which is faster and gives the same ids. Broken
  // text can hide a space in what counts as a character; then there is one word less.
  std::size_t word_end(std::string_view text, std::size_t begin) const {
    if (!words_end_at_space_) return text.size();
    bool is_in_word = false;
    for (std::size_t at = begin; at < text.size();) {
      const bool is_space = text.substr(at, kEscapedSpace.size()) == kEscapedSpace;
      if (is_space && is_in_word) return at;
      is_in_word = is_in_word || !is_space;
      at += std::min(announced_size(text[at]), text.size() - at);
    }
    return text.size();
  }

  void find_byte_tokens(const Vocabulary& vocabulary) {
    for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
      const std::string name = name_of_byte(static_cast<unsigned char>(byte));
      const std::string itself(1, static_cast<char>(byte));
      for (const std::string& spelling : {name, itself}) {
        const std::int32_t id = vocabulary.ids.find(spelling);
        if (id >= 0 && byte_ids_[byte] < 0) byte_ids_[byte] = id;
      }
    }
  }

  void append(std::string_view piece, std::vector<std::int32_t>& ids) const {
    if (const std::int32_t id = tokens_.find(piece); id >= 0) {
      ids.push_back(id);
      return;
    }
    for (const char c : piece) {
      const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
      ids.push_back(id >= 0 ? id : *unknown_);
    }
  }

  TextTokens tokens_;
  std::vector<float> scores_;
  std::array<std::int32_t, 256> byte_ids_{};
  std::optional<std::int32_t> unknown_;
  std::size_t token_bytes_max_ = 0;
  bool add_space_prefix_;
  bool words_end_at_space_ = true;
};

}  // namespace

Result<std::unique_ptr<const Encoder>> make_spm(const TokenizerSpec& spec,
                                                const Vocabulary& vocabulary) {
  auto spm = std::make_unique<Spm>(spec, vocabulary);
  if (!spm->spells_every_byte()) {
    return corrupt(
        "the SentencePiece vocabulary has neither tokens for all bytes nor one for what "
        "is unknown");
  }
  return std::unique_ptr<const Encoder>(std::move(spm));
}

}  // namespace paring::text
