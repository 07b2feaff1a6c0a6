// SPDX-License-Identifier: Apache-2.0
#include "constraint_target.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "text/constraint.h"
#include "text/tokenizer.h"

namespace paring::fuzz {
namespace {

using Input = std::span<const std::byte>;

// Internal errors are bugs of ours (panics in the bridge among them): no input may lead to one.
template <typename T>
void check_error(const Result<T>& result) {
  PARING_CHECK(!result.error().message.empty(), "an error without a message");
  PARING_CHECK(result.error().code != ErrorCode::kInternal, result.error().text());
}

// Every byte, some words and an end: enough for grammars to work with.
std::shared_ptr<const text::ConstraintFactory> small_constraints() {
  text::TokenizerSpec spec = text::default_spec(text::TokenizerModel::kSpm, "default");
  const auto add = [&spec](std::string token, text::TokenType type) {
    spec.tokens.push_back(std::move(token));
    spec.token_types.push_back(type);
    spec.scores.push_back(0);
  };
  add("<unk>", text::kTokenUnknown);
  add("</s>", text::kTokenControl);
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (std::size_t byte = 0; byte < 256; ++byte) {
    add({'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'}, text::kTokenByte);
  }
  for (const char* word : {"{\"", "\":", "true", "null", "abc", "12", "[]", "\xc3\xa9"}) {
    add(word, text::kTokenNormal);
  }
  spec.bos.reset();
  spec.add_bos = false;
  spec.unk = 0;
  spec.eos = 1;
  text::drop_missing_ids(spec);
  return text::ConstraintFactory::create(text::Tokenizer::create(spec).value()).value();
}

}  // namespace

// The first byte says which kind of constraint follows. A few tokens are drawn from what compiles:
// what a mask allows is accepted, or a limit is reached.
void run_constraint(Input input) {
  if (input.empty()) return;
  static const auto factory = small_constraints();
  constexpr text::ConstraintKind kKinds[] = {
      text::ConstraintKind::kJsonSchema, text::ConstraintKind::kRegex, text::ConstraintKind::kLark};
  const auto kind = kKinds[static_cast<std::size_t>(input[0]) % std::size(kKinds)];
  const Input source = input.subspan(1);
  const auto compiled =
      factory->compile({.kind = kind,
                        .source = std::string(std::string_view(
                            reinterpret_cast<const char*>(source.data()), source.size()))});
  if (!compiled) return check_error(compiled);
  auto state = text::ConstraintState::start(*compiled);
  PARING_CHECK(state.has_value(), "a compiled constraint cannot be started");
  std::vector<std::uint32_t> bits(factory->mask_words());
  for (std::size_t step = 0; step < 12; ++step) {
    if (const auto masked = state->mask(bits); !masked) return check_error(masked);
    std::vector<std::int32_t> allowed;
    for (std::int32_t id = 0; static_cast<std::size_t>(id) < bits.size() * 32; ++id) {
      const std::size_t bit = static_cast<std::size_t>(id);
      if (((bits[bit / 32] >> (bit % 32)) & 1U) != 0) allowed.push_back(id);
    }
    PARING_CHECK(!allowed.empty(), "a mask without a token");
    const std::int32_t token = allowed[(step * 37 + input.size()) % allowed.size()];
    if (const auto accepted = state->accept(token); !accepted) {
      PARING_CHECK(accepted.error().code != ErrorCode::kInvalidArgument,
                   "the mask allows a token that is not accepted");
      return check_error(accepted);
    }
    if (token == 1) return;
  }
  const auto rolled_back = state->rollback(3);
  if (!rolled_back) check_error(rolled_back);
}

}  // namespace paring::fuzz
