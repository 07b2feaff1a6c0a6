// SPDX-License-Identifier: Apache-2.0
#include "text/constraint.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/sha256.h"
#include "text/bridge_calls.h"
#include "text/constraint_grammar.h"

namespace paring::text {
namespace {

using SharedTokenizer = std::shared_ptr<const Tokenizer>;

// Called by the bridge from any thread, never after release_tokenizer().
std::size_t tokenize(const void* context, paring_bridge_slice text, std::uint32_t* ids,
                     std::size_t capacity) noexcept {
  const Tokenizer& tokenizer = **static_cast<const SharedTokenizer*>(context);
  const std::string_view bytes(static_cast<const char*>(static_cast<const void*>(text.data)),
                               text.size);
  const auto encoded = tokenizer.encode(bytes, {});
  if (!encoded || encoded->size() > capacity) return capacity + 1;
  std::copy(encoded->begin(), encoded->end(), ids);
  return encoded->size();
}

void release_tokenizer(const void* context) noexcept {
  const std::unique_ptr<const SharedTokenizer> owned(static_cast<const SharedTokenizer*>(context));
}

constexpr paring_bridge_grammar_limits kLimits = {
    .schema_bytes = kConstraintBytesMax,
    .schema_depth = kSchemaDepthMax,
    .schema_refs = kSchemaRefsMax,
    .regex_bytes = kRegexBytesMax,
    .properties = kSchemaPropertiesMax,
    .enum_values = kSchemaEnumValuesMax,
    .repeat = kSchemaRepeatMax,
    .grammar_symbols = kGrammarSymbolsMax,
    .compile_fuel = kCompileFuel,
    .mask_fuel = kMaskFuel,
    .mask_items = kMaskItemsMax,
    .lexer_states = kLexerStatesMax,
    .compile_time_ms = kCompileTimeMsMax,
};

Result<GrammarFactoryHandle> make_factory(const SharedTokenizer& tokenizer) {
  const std::size_t count = tokenizer->vocab_size();
  std::vector<paring_bridge_slice> tokens;
  std::vector<std::uint8_t> kinds;
  std::vector<std::uint32_t> ends;
  tokens.reserve(count);
  kinds.reserve(count);
  for (std::int32_t id = 0; std::cmp_less(id, count); ++id) {
    const bool is_special = tokenizer->is_special(id) || tokenizer->is_end(id);
    const std::string_view text = is_special ? tokenizer->spelling(id) : tokenizer->token_bytes(id);
    tokens.push_back(bridge_slice(text));
    kinds.push_back(is_special     ? PARING_BRIDGE_TOKEN_SPECIAL
                    : text.empty() ? PARING_BRIDGE_TOKEN_UNUSED
                                   : PARING_BRIDGE_TOKEN_TEXT);
    if (tokenizer->is_end(id)) ends.push_back(static_cast<std::uint32_t>(id));
  }
  if (ends.empty()) {
    return invalid_argument("the tokenizer has no token that ends a generation",
                            "constraints need one");
  }
  const paring_bridge_vocabulary vocabulary = {
      .tokens = tokens.data(),
      .kinds = kinds.data(),
      .token_count = count,
      .ends = ends.data(),
      .end_count = ends.size(),
      .tokenize = &tokenize,
      .release = &release_tokenizer,
      .context = std::make_unique<const SharedTokenizer>(tokenizer).release(),
  };
  paring_bridge_grammar_factory* factory = nullptr;
  PARING_TRY_VOID(
      bridge_result(paring_bridge_grammar_factory_create(&vocabulary, &kLimits, &factory)));
  return GrammarFactoryHandle(factory);
}

// Everything that decides what is compiled; lengths keep the fields apart.
std::string key_of(const std::vector<GrammarPart>& parts, JsonSpace space) {
  std::string text = std::to_string(static_cast<int>(space));
  for (const GrammarPart& part : parts) {
    text += ";" + std::to_string(part.name.size()) + "," + std::to_string(part.source.size()) +
            (part.is_schema    ? "s"
             : part.is_foreign ? "f"
                               : "l") +
            part.name + part.source;
  }
  return sha256_hex(text);
}

}  // namespace

struct CompiledConstraint::State {
  GrammarHandle grammar;
  std::size_t mask_words = 0;
};

CompiledConstraint::CompiledConstraint(std::unique_ptr<State> state) : state_(std::move(state)) {}
CompiledConstraint::~CompiledConstraint() = default;

struct ConstraintFactory::State {
  using Entry = std::pair<std::string, std::shared_ptr<const CompiledConstraint>>;

  SharedTokenizer tokenizer;
  GrammarFactoryHandle factory;
  std::size_t mask_words = 0;
  std::size_t cached_max = 0;

  std::mutex mutex;         // guards what follows
  std::list<Entry> recent;  // the last used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key;

  std::shared_ptr<const CompiledConstraint> find(const std::string& key) {
    const std::lock_guard lock(mutex);
    const auto found = by_key.find(key);
    if (found == by_key.end()) return nullptr;
    recent.splice(recent.begin(), recent, found->second);
    return found->second->second;
  }

  void keep(const std::string& key, std::shared_ptr<const CompiledConstraint> constraint) {
    const std::lock_guard lock(mutex);
    if (cached_max == 0 || by_key.contains(key)) return;
    recent.emplace_front(key, std::move(constraint));
    by_key.emplace(key, recent.begin());
    if (recent.size() <= cached_max) return;
    by_key.erase(recent.back().first);
    recent.pop_back();
  }
};

ConstraintFactory::ConstraintFactory(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConstraintFactory::~ConstraintFactory() = default;

Result<std::shared_ptr<const ConstraintFactory>> ConstraintFactory::create(
    std::shared_ptr<const Tokenizer> tokenizer, ConstraintFactoryOptions options) {
  auto state = std::make_unique<State>();
  PARING_TRY(state->factory, make_factory(tokenizer));
  state->mask_words = (tokenizer->vocab_size() + 31) / 32;
  state->tokenizer = std::move(tokenizer);
  state->cached_max = options.cached_constraints;
  return std::shared_ptr<const ConstraintFactory>(new ConstraintFactory(std::move(state)));
}

std::size_t ConstraintFactory::mask_words() const noexcept { return state_->mask_words; }

Result<std::shared_ptr<const CompiledConstraint>> ConstraintFactory::compile(
    const ConstraintSpec& spec) const {
  PARING_TRY(const std::vector<GrammarPart> parts, grammar_parts(spec, *state_->tokenizer));
  const std::string key = key_of(parts, spec.space);
  if (auto found = state_->find(key)) return found;
  std::vector<paring_bridge_grammar_part> given;
  given.reserve(parts.size());
  for (const GrammarPart& part : parts) {
    given.push_back({.name = bridge_slice(part.name),
                     .source = bridge_slice(part.source),
                     .is_schema = part.is_schema,
                     .is_compact = spec.space == JsonSpace::kCompact,
                     .is_foreign = part.is_foreign});
  }
  paring_bridge_grammar* grammar = nullptr;
  PARING_TRY_VOID(bridge_result(
      paring_bridge_grammar_compile(state_->factory.get(), given.data(), given.size(), &grammar)));
  auto state = std::make_unique<CompiledConstraint::State>();
  state->grammar.reset(grammar);
  state->mask_words = state_->mask_words;
  std::shared_ptr<const CompiledConstraint> compiled(new CompiledConstraint(std::move(state)));
  state_->keep(key, compiled);
  return compiled;
}

struct ConstraintState::State {
  MatcherHandle matcher;
  std::size_t mask_words = 0;
};

ConstraintState::ConstraintState(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConstraintState::~ConstraintState() = default;
ConstraintState::ConstraintState(ConstraintState&&) noexcept = default;
ConstraintState& ConstraintState::operator=(ConstraintState&&) noexcept = default;

Result<ConstraintState> ConstraintState::start(
    std::shared_ptr<const CompiledConstraint> constraint) {
  paring_bridge_matcher* matcher = nullptr;
  PARING_TRY_VOID(
      bridge_result(paring_bridge_matcher_create(constraint->state_->grammar.get(), &matcher)));
  auto state = std::make_unique<State>();
  state->matcher.reset(matcher);
  state->mask_words = constraint->state_->mask_words;
  return ConstraintState(std::move(state));
}

Result<void> ConstraintState::mask(std::span<std::uint32_t> bits) {
  PARING_CHECK(bits.size() == state_->mask_words, "a mask of another vocabulary");
  return bridge_result(paring_bridge_matcher_mask(state_->matcher.get(), bits.data(), bits.size()));
}

Result<void> ConstraintState::accept(std::int32_t token) {
  return bridge_result(
      paring_bridge_matcher_accept(state_->matcher.get(), static_cast<std::uint32_t>(token)));
}

Result<std::size_t> ConstraintState::acceptable(std::span<const std::int32_t> tokens) {
  const std::vector<std::uint32_t> ids(tokens.begin(), tokens.end());
  std::size_t count = 0;
  PARING_TRY_VOID(bridge_result(
      paring_bridge_matcher_validate(state_->matcher.get(), ids.data(), ids.size(), &count)));
  return count;
}

Result<std::vector<std::int32_t>> ConstraintState::forced() {
  paring_bridge_ids ids = {};
  PARING_TRY_VOID(bridge_result(paring_bridge_matcher_forced(state_->matcher.get(), &ids)));
  std::vector<std::int32_t> tokens(ids.data, ids.data + ids.size);
  paring_bridge_ids_free(ids);
  return tokens;
}

Result<void> ConstraintState::rollback(std::size_t tokens) {
  return bridge_result(paring_bridge_matcher_rollback(state_->matcher.get(), tokens));
}

Result<bool> ConstraintState::is_done() {
  bool is_done = false;
  bool may_end = false;
  PARING_TRY_VOID(
      bridge_result(paring_bridge_matcher_state(state_->matcher.get(), &is_done, &may_end)));
  return is_done;
}

Result<bool> ConstraintState::may_end() {
  bool is_done = false;
  bool may_end = false;
  PARING_TRY_VOID(
      bridge_result(paring_bridge_matcher_state(state_->matcher.get(), &is_done, &may_end)));
  return may_end;
}

Result<ConstraintState> ConstraintState::fork() const {
  paring_bridge_matcher* matcher = nullptr;
  PARING_TRY_VOID(bridge_result(paring_bridge_matcher_fork(state_->matcher.get(), &matcher)));
  auto state = std::make_unique<State>();
  state->matcher.reset(matcher);
  state->mask_words = state_->mask_words;
  return ConstraintState(std::move(state));
}

}  // namespace paring::text
