// SPDX-License-Identifier: Apache-2.0
// The merging half of byte-level BPE, for GGUF files and for tokenizer.json. For the .cc files of
// this module only. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/bridge_calls.h"
#include "text/pre_tokenizer.h"

namespace paring::text {

// `merges` are pairs of ids, best first. Corrupt when tokens repeat or a merge makes none.
Result<BpeHandle> make_bpe(const std::vector<std::string>& tokens,
                           const std::vector<std::uint32_t>& merges, bool ignore_merges);

// Appends the ids of `text`, which is well-formed UTF-8.
Result<void> append_words(const BpeHandle& bpe, const Splitter& splitter, std::string_view text,
                          std::vector<std::int32_t>& ids);

}  // namespace paring::text
