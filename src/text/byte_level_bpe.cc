// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE: repair UTF-8, split into words (ours), merge each word (bridge).
#include <utility>

#include "text/bridge_calls.h"
#include "text/byte_level_bpe.h"
#include "text/encoder.h"
#include "text/pre_tokenizer.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

// Merges as pairs of ids. A merge is "left right"; the left part has at least one byte, so that a
// blank can be the first byte of it.
Result<std::vector<std::uint32_t>> read_merges(const std::vector<std::string>& merges,
                                               const TokenIds& ids) {
  std::vector<std::uint32_t> pairs;
  pairs.reserve(merges.size() * 2);
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const std::size_t blank = merge.find(' ', 1);
    if (blank == std::string_view::npos || blank + 1 == merge.size()) {
      return corrupt("merge " + std::to_string(rank) + " is not two tokens with a blank between");
    }
    for (const std::string_view part : {merge.substr(0, blank), merge.substr(blank + 1)}) {
      const auto found = ids.find(part);
      if (found == ids.end()) {
        return corrupt("merge " + std::to_string(rank) + " names \"" +
                       repaired_utf8(part.substr(0, 64)) + "\", which is not a token");
      }
      pairs.push_back(static_cast<std::uint32_t>(found->second));
    }
  }
  return pairs;
}

}  // namespace

Result<BpeHandle> make_bpe(const std::vector<std::string>& tokens,
                           const std::vector<std::uint32_t>& merges, bool ignore_merges) {
  std::vector<paring_bridge_slice> slices;
  slices.reserve(tokens.size());
  for (const std::string& token : tokens) slices.push_back(bridge_slice(token));
  const paring_bridge_bpe_spec spec{slices.data(), slices.size(), merges.data(), merges.size() / 2,
                                    ignore_merges};
  paring_bridge_bpe* bpe = nullptr;
  PARING_TRY_VOID(bridge_result(paring_bridge_bpe_create(&spec, &bpe)));
  return BpeHandle(bpe);
}

Result<void> append_words(const BpeHandle& bpe, const Splitter& splitter, std::string_view text,
                          std::vector<std::int32_t>& ids) {
  const std::vector<std::size_t> words = splitter.split(text);
  paring_bridge_ids encoded{};
  PARING_TRY_VOID(bridge_result(paring_bridge_bpe_encode(bpe.get(), bridge_slice(text),
                                                         words.data(), words.size(), &encoded)));
  ids.insert(ids.end(), encoded.data, encoded.data + encoded.size);
  paring_bridge_ids_free(encoded);
  return {};
}

namespace {

class ByteLevelBpe final : public Encoder {
 public:
  ByteLevelBpe(Splitter splitter, BpeHandle bpe)
      : splitter_(std::move(splitter)), bpe_(std::move(bpe)) {}

  Result<void> encode(std::string_view text, bool /*begins*/,
                      std::vector<std::int32_t>& ids) const override {
    return append_words(bpe_, splitter_, repaired_utf8(text), ids);
  }

 private:
  Splitter splitter_;
  BpeHandle bpe_;
};

}  // namespace

Result<std::unique_ptr<const Encoder>> make_byte_level_bpe(const TokenizerSpec& spec,
                                                           const Vocabulary& vocabulary) {
  PARING_TRY(const PreTokenizer pre_tokenizer, find_pre_tokenizer(spec.pre_tokenizer));
  PARING_TRY(Splitter splitter, Splitter::create(spec.pre_tokenizer));
  PARING_TRY(const std::vector<std::uint32_t> merges, read_merges(spec.merges, vocabulary.ids));
  PARING_TRY(BpeHandle bpe, make_bpe(vocabulary.tokens, merges, pre_tokenizer.ignore_merges));
  return std::unique_ptr<const Encoder>(
      std::make_unique<ByteLevelBpe>(std::move(splitter), std::move(bpe)));
}

}  // namespace paring::text
