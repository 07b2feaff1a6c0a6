// SPDX-License-Identifier: Apache-2.0
// WordPiece as GGUF files hold it (tokenizer.ggml.model "bert"): BERT's normalization, then the
// longest tokens from the left. A token that begins a word is spelled with U+2581 in front.
#include <algorithm>

#include "text/encoder.h"
#include "text/token_trie.h"
#include "text/unicode.h"
#include "text/unicode_forms.h"

namespace paring::text {
namespace {

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// A word by itself: punctuation, ASCII symbols, Chinese characters.
bool stands_alone(char32_t c, CharClass of) {
  static constexpr std::string_view kSymbols = "$+<=>^`|~";
  return of == CharClass::kPunctuation || is_chinese(c) ||
         (c < 0x7F && kSymbols.find(static_cast<char>(c)) != std::string_view::npos);
}

class WordPiece final : public Encoder {
 public:
  WordPiece(const TokenizerSpec& spec, const Vocabulary& vocabulary)
      : unknown_(*spec.unk), lowercase_(spec.lowercase), strip_accents_(spec.strip_accents) {
    std::vector<std::pair<std::string_view, std::int32_t>> texts;
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      if (!vocabulary.is_text(id)) continue;
      texts.emplace_back(vocabulary.tokens[id], static_cast<std::int32_t>(id));
    }
    trie_ = TokenTrie(std::move(texts));
  }

  Result<void> encode(std::string_view text, bool /*begins*/,
                      std::vector<std::int32_t>& ids) const override {
    std::string word;
    const auto finish = [&] {
      if (!word.empty()) append_word(word, ids);
      word.clear();
    };
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_step(text, at);
      // Each byte of broken text counts as U+FFFD, which BERT leaves out.
      if (step.kind != Utf8Step::Kind::kCharacter) {
        ++at;
        continue;
      }
      at += step.size;
      const char32_t c = strip_accents_ ? decomposed_base(step.code_point) : step.code_point;
      const CharClass of = char_class(c);
      if (of == CharClass::kSpace) {
        finish();
        continue;
      }
      if (c == 0 || c == 0xFFFD || is_control(c) || (strip_accents_ && is_mark(c))) continue;
      const char32_t folded = lowercase_ ? lower_case(c) : c;
      if (!stands_alone(c, of)) {
        append_utf8(folded, word);
        continue;
      }
      finish();
      append_utf8(folded, word);
      finish();
    }
    finish();
    return {};
  }

 private:
  // One unknown token for a word that the vocabulary cannot spell to its end.
  void append_word(std::string_view word, std::vector<std::int32_t>& ids) const {
    const std::string spelled = std::string(kEscapedSpace).append(word);
    const std::size_t first = ids.size();
    for (std::size_t begin = 0; begin < spelled.size();) {
      std::uint32_t node = TokenTrie::kRoot;
      std::size_t best_end = begin;
      std::int32_t best = -1;
      for (std::size_t end = begin; end < spelled.size();) {
        node = trie_.next(node, spelled[end++]);
        if (node == TokenTrie::kNone) break;
        if (trie_.token(node) < 0) continue;
        best = trie_.token(node);
        best_end = end;
      }
      if (best < 0) {
        ids.resize(first);
        ids.push_back(unknown_);
        return;
      }
      ids.push_back(best);
      begin = best_end;
    }
  }

  TokenTrie trie_;
  std::int32_t unknown_;
  bool lowercase_;
  bool strip_accents_;
};

}  // namespace

Result<std::unique_ptr<const Encoder>> make_word_piece(const TokenizerSpec& spec,
                                                       const Vocabulary& vocabulary) {
  if (!spec.unk) return corrupt("a WordPiece vocabulary needs an unknown token, none is named");
  return std::unique_ptr<const Encoder>(std::make_unique<WordPiece>(spec, vocabulary));
}

}  // namespace paring::text
