// SPDX-License-Identifier: Apache-2.0
// Constraints over the vocabulary of SmolLM2 for the tests of this module. Tests only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/constraint.h"
#include "text/fixture_for_test.h"

namespace paring::text {

inline std::shared_ptr<const Tokenizer> smollm2() {
  static const auto tokenizer = Tokenizer::create(smollm2_spec()).value();
  return tokenizer;
}

inline const ConstraintFactory& smollm2_constraints() {
  static const auto factory = ConstraintFactory::create(smollm2()).value();
  return *factory;
}

inline ConstraintState started(const ConstraintSpec& spec) {
  return ConstraintState::start(smollm2_constraints().compile(spec).value()).value();
}

// Whether the grammar takes the whole text, and may end behind it. Text that the grammar forces is
// taken with the tokens that it forces.
inline bool takes(ConstraintState& state, std::string_view text) {
  while (!text.empty()) {
    const auto forced = state.forced();
    if (!forced) return false;
    std::vector<std::int32_t> ids = *forced;
    if (ids.empty()) ids = smollm2()->encode(text, {}).value();
    const std::string_view bytes = smollm2()->token_bytes(ids[0]);
    if (!text.starts_with(bytes) || !state.accept(ids[0])) return false;
    text.remove_prefix(bytes.size());
  }
  return state.may_end().value();
}

inline bool takes(const ConstraintSpec& spec, std::string_view text) {
  ConstraintState state = started(spec);
  return takes(state, text);
}

inline std::vector<std::uint32_t> mask_of(ConstraintState& state) {
  std::vector<std::uint32_t> bits(smollm2_constraints().mask_words());
  state.mask(bits).value();
  return bits;
}

// The tokens of a mask, without those that end a generation.
inline std::vector<std::int32_t> text_tokens(const std::vector<std::uint32_t>& bits) {
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; std::cmp_less(id, smollm2()->vocab_size()); ++id) {
    const bool is_allowed = ((bits[static_cast<std::size_t>(id) / 32] >> (id % 32)) & 1U) != 0;
    if (is_allowed && !smollm2()->is_end(id)) ids.push_back(id);
  }
  return ids;
}

}  // namespace paring::text
