// SPDX-License-Identifier: Apache-2.0
#include "serve/prompt_marks.h"

#include <algorithm>
#include <span>

#include "serve/cache/response_cache.h"

namespace paring::serve {

namespace {

std::uint64_t pair_of(std::int32_t first, std::int32_t second) {
  return std::uint64_t{static_cast<std::uint32_t>(first)} |
         std::uint64_t{static_cast<std::uint32_t>(second)} << 32;
}

void add_tokens(SipHash& hash, std::span<const std::int32_t> tokens) {
  std::size_t at = 0;
  for (; at + 1 < tokens.size(); at += 2) hash.add(pair_of(tokens[at], tokens[at + 1]));
  if (at < tokens.size()) hash.add(pair_of(tokens[at], 0));
}

}  // namespace

store::TrafficPromptMarks marks_of(const SipKey& key, const std::string& tenant,
                                   const AnswerPlan& plan) {
  store::TrafficPromptMarks marks;
  if (plan.sequences.empty()) return marks;
  SipHash all(key);
  all.add_text(response_settings(tenant, plan));
  for (const engine::SequenceRequest& sequence : plan.sequences) {
    all.add(sequence.prompt.size());
    all.add(sequence.max_tokens);
    add_tokens(all, sequence.prompt);
  }
  marks.key = std::max<std::uint64_t>(all.digest(), 1);
  marks.is_repeatable = plan.is_reproducible;

  const engine::SequenceRequest& first = plan.sequences.front();
  SipHash prefix(key);
  prefix.add(first.prefix_scope);
  prefix.add(first.adapter == nullptr ? 0 : first.adapter->id());
  std::span<const std::int32_t> rest = first.prompt;
  const std::size_t blocks =
      std::min(rest.size() / store::kTrafficBlockTokens, store::kTrafficBlocksMax);
  marks.blocks.reserve(blocks * store::kTrafficBlockBytes);
  for (std::size_t block = 0; block < blocks; ++block) {
    add_tokens(prefix, rest.first(store::kTrafficBlockTokens));
    rest = rest.subspan(store::kTrafficBlockTokens);
    const std::uint64_t value = prefix.digest();
    for (std::size_t byte = 0; byte < store::kTrafficBlockBytes; ++byte) {
      marks.blocks.push_back(static_cast<std::uint8_t>(value >> (8 * byte) & 0xff));
    }
  }
  return marks;
}

}  // namespace paring::serve
