// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE: repair UTF-8, split into words, merge each word.
#include "text/byte_level_bpe.h"

#include <algorithm>
#include <string>
#include <utility>

#include "text/byte_level.h"
#include "text/encoder.h"
#include "text/unicode.h"

namespace paring::text {

Result<ByteBpe> ByteBpe::create(TextTokens tokens, std::span<const TextMerge> merges,
                                bool ignores_merges) {
  ByteBpe bpe;
  PARING_TRY(bpe.merges_, BpeMerges::create(tokens, merges));
  for (std::size_t byte = 0; byte < bpe.byte_ids_.size(); ++byte) {
    const char bytes[] = {static_cast<char>(byte)};
    bpe.byte_ids_[byte] = tokens.find(byte_level_encoded({bytes, 1}));
  }
  bpe.tokens_ = std::move(tokens);
  bpe.ignores_merges_ = ignores_merges;
  return bpe;
}

bool ByteBpe::spells_every_byte() const {
  return std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
}

void ByteBpe::append_words(const Splitter& splitter, std::string_view text,
                           std::vector<std::int32_t>& ids) const {
  WordMemo memo;
  std::vector<std::int32_t> part;
  std::size_t begin = 0;
  for (const std::size_t end : splitter.split(text)) {
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (memo.append_known(word, ids)) continue;
    const std::size_t first = ids.size();
    append_word(word, part, ids);
    memo.remember(word, ids, first);
  }
}

void ByteBpe::append_word(std::string_view word, std::vector<std::int32_t>& part,
                          std::vector<std::int32_t>& ids) const {
  if (ignores_merges_ && word.size() <= kTokenBytesMax) {
    if (const std::int32_t id = tokens_.find(byte_level_encoded(word)); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  part.clear();
  const auto finish_part = [&] {
    merges_.join(part);
    ids.insert(ids.end(), part.begin(), part.end());
    part.clear();
  };
  for (const char c : word) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0) {
      part.push_back(id);
    } else {
      finish_part();
    }
  }
  finish_part();
}

namespace {

// "left right"; the left part has at least one byte, so that a blank can be the first byte of it.
Result<std::vector<TextMerge>> read_merges(const std::vector<std::string>& merges) {
  std::vector<TextMerge> pairs;
  pairs.reserve(merges.size());
  for (const std::string_view merge : merges) {
    const std::size_t blank = merge.find(' ', 1);
    if (blank == std::string_view::npos || blank + 1 == merge.size()) {
      return bad_merge(pairs.size(), "is not two tokens with a blank between");
    }
    pairs.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
  }
  return pairs;
}

class ByteLevelBpe final : public Encoder {
 public:
  ByteLevelBpe(Splitter splitter, ByteBpe bpe)
      : splitter_(std::move(splitter)), bpe_(std::move(bpe)) {}

  Result<void> encode(std::string_view text, bool /*begins*/,
                      std::vector<std::int32_t>& ids) const override {
    if (is_well_formed_utf8(text)) {
      bpe_.append_words(splitter_, text, ids);
    } else {
      bpe_.append_words(splitter_, repaired_utf8(text), ids);
    }
    return {};
  }

 private:
  Splitter splitter_;
  ByteBpe bpe_;
};

}  // namespace

Result<std::unique_ptr<const Encoder>> make_byte_level_bpe(const TokenizerSpec& spec,
                                                           const Vocabulary& vocabulary) {
  PARING_TRY(const PreTokenizer pre_tokenizer, find_pre_tokenizer(spec.pre_tokenizer));
  PARING_TRY(Splitter splitter, Splitter::create(spec.pre_tokenizer));
  PARING_TRY(const std::vector<TextMerge> merges, read_merges(spec.merges));
  PARING_TRY(ByteBpe bpe,
             ByteBpe::create({&vocabulary.ids, {}}, merges, pre_tokenizer.ignore_merges));
  return std::unique_ptr<const Encoder>(
      std::make_unique<ByteLevelBpe>(std::move(splitter), std::move(bpe)));
}

}  // namespace paring::text
