// SPDX-License-Identifier: Apache-2.0
// What a key may do: the one list of scopes. A route names the scope that it needs. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::serve {

// enumerator, name, what it allows
#define PARING_SCOPES(X)                                                                         \
  X(kInference, "inference", "generate text, count tokens, list models")                         \
  X(kEmbeddings, "embeddings", "embed, score, rerank and classify text")                         \
  X(kBatches, "batches", "upload files, create and read batches")                                \
  X(kAdmin, "admin", "load and unload models, change settings, manage keys, read the audit log") \
  X(kMetrics, "metrics", "read metrics")                                                         \
  X(kContent, "content", "read prompts and answers that are kept of others' requests")

enum class Scope : std::uint8_t {
#define PARING_X(name, text, help) name,
  PARING_SCOPES(PARING_X)
#undef PARING_X
};

const char* scope_name(Scope scope) noexcept;

class ScopeSet {
 public:
  constexpr void add(Scope scope) noexcept { bits_ |= bit(scope); }
  constexpr bool has(Scope scope) const noexcept { return (bits_ & bit(scope)) != 0; }
  constexpr bool is_empty() const noexcept { return bits_ == 0; }
  bool operator==(const ScopeSet&) const = default;
  // "inference,batches", in the order of the list.
  std::string text() const;

 private:
  static constexpr std::uint32_t bit(Scope scope) noexcept {
    return std::uint32_t{1} << static_cast<unsigned>(scope);
  }
  std::uint32_t bits_ = 0;
};

// Names with commas between. InvalidArgument for an unknown one, with the list, and for none.
Result<ScopeSet> parse_scopes(std::string_view text);
// What a key gets when nothing is said: all but admin and metrics.
ScopeSet default_scopes() noexcept;
ScopeSet all_scopes() noexcept;

}  // namespace paring::serve
