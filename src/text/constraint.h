// SPDX-License-Identifier: Apache-2.0
// Constrained decoding: which tokens may come next so that an answer follows a JSON schema, a
// regular expression, a grammar, a list of choices, or calls tools in the form of a model. The work
// is done by llguidance behind the Rust bridge.
// Nothing of a constraint is ever dropped: what cannot be followed to the letter is an error before
// a token is drawn.
//
//   PARING_TRY(auto factory, text::ConstraintFactory::create(tokenizer));       // once a tokenizer
//   PARING_TRY(auto compiled, factory->compile({.kind = kJsonSchema, .source = schema}));
//   PARING_TRY(auto state, text::ConstraintState::start(compiled));             // once a sequence
//   PARING_TRY_VOID(state.mask(bits));  PARING_TRY_VOID(state.accept(token));   // once a token
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace paring::text {

// Of one schema, expression or grammar in bytes, and of all of one ConstraintSpec together.
inline constexpr std::size_t kConstraintBytesMax = std::size_t{1} << 18;
inline constexpr std::size_t kSchemaDepthMax = 48;         // schemas inside one another
inline constexpr std::size_t kSchemaRefsMax = 500;         // $ref
inline constexpr std::size_t kSchemaPropertiesMax = 512;   // of one object
inline constexpr std::size_t kSchemaEnumValuesMax = 4096;  // of one enum
inline constexpr std::uint64_t kSchemaRepeatMax = 4096;    // min/maxItems, min/maxProperties,
                                                           // minLength
inline constexpr std::size_t kRegexBytesMax = 4096;        // of one pattern
inline constexpr std::size_t kChoicesMax = 4096;
inline constexpr std::size_t kToolsMax = 128;
inline constexpr std::size_t kGrammarSymbolsMax = 200'000;  // of a compiled grammar
inline constexpr std::uint64_t kCompileFuel = 1'000'000;    // about 20 ms
inline constexpr std::uint64_t kMaskFuel = 200'000;         // of one mask, about 15 ms
inline constexpr std::size_t kMaskItemsMax = 50'000;        // of one mask, about 3 ms
inline constexpr std::size_t kLexerStatesMax = 40'000;      // of one sequence, 1 to 2 kB each
inline constexpr std::uint64_t kCompileTimeMsMax = 900;     // processor time of one compile()

enum class ConstraintKind : std::uint8_t {
  kJsonSchema,  // `source`: JSON Schema; docs/howto/structured-output.md has the keywords
  kJsonObject,  // any JSON object
  kRegex,       // `source`: the whole answer matches; syntax of Rust's regex crate
  kLark,        // `source`: llguidance's variant of Lark, without special tokens and options
  kChoice,      // the answer is one of `choices`
  kTools,       // `tools`
};

// White space between JSON's tokens.
enum class JsonSpace : std::uint8_t {
  kAny,      // as the model likes it
  kCompact,  // none: fewer tokens, and more of them forced
};

// How a model writes calls of tools:
//   trigger list_begin call_begin "name" call_middle {arguments} call_end ... list_end
// with more calls behind `separator`: inside the list, or each with trigger and list of its own.
// Special tokens that are spelled out in these texts are those tokens.
struct ToolCallForm {
  std::string trigger{};  // text or a special token; empty: the answer is calls from its start, or
                          // text that begins otherwise
  std::string list_begin{};
  std::string call_begin{};   // up to the name, a JSON string
  std::string call_middle{};  // between name and arguments
  std::string call_end{};
  std::string separator{};
  std::string list_end{};
  bool triggers_each_call = false;
  bool quotes_name = true;  // false: as it is, up to call_middle
};

struct ToolChoice {
  std::string name{};
  std::string schema{};  // of the arguments; empty: any object
};

struct ToolCallSpec {
  ToolCallForm form{};
  std::vector<ToolChoice> tools{};  // that may be called
  bool is_required = false;         // no text, at least one call
  bool is_single = false;           // at most one call
};

// What a model writes before its answer, free of the constraint.
struct ReasoningForm {
  std::string begin{};   // "<think>"
  std::string end{};     // "</think>"
  bool is_open = false;  // the prompt ends inside: the answer starts without `begin`
};

struct ConstraintSpec {
  ConstraintKind kind = ConstraintKind::kJsonSchema;
  std::string source{};  // as the client sent it: the order of its properties is the answer's
  std::vector<std::string> choices{};
  ToolCallSpec tools{};
  JsonSpace space = JsonSpace::kAny;
  std::optional<ReasoningForm> reasoning{};  // where there is one, the answer follows behind it
};

// Immutable, shared by sequences and threads.
class CompiledConstraint {
 public:
  ~CompiledConstraint();
  CompiledConstraint(const CompiledConstraint&) = delete;
  CompiledConstraint& operator=(const CompiledConstraint&) = delete;

 private:
  friend class ConstraintFactory;
  friend class ConstraintState;
  struct State;
  explicit CompiledConstraint(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

struct ConstraintFactoryOptions {
  std::size_t cached_constraints = 64;  // compiled ones kept, the least recently used dropped first
};

// One a tokenizer, shared by threads. Holds the vocabulary as tries: about 500 bytes a token.
class ConstraintFactory {
 public:
  // Takes 3 to 5 microseconds a token. InvalidArgument for a tokenizer without an end token.
  static Result<std::shared_ptr<const ConstraintFactory>> create(
      std::shared_ptr<const Tokenizer> tokenizer, ConstraintFactoryOptions options = {});

  ~ConstraintFactory();
  ConstraintFactory(const ConstraintFactory&) = delete;
  ConstraintFactory& operator=(const ConstraintFactory&) = delete;

  // From the cache where the same was compiled before. InvalidArgument for what cannot be compiled,
  // is not supported (with keyword and JSON pointer) or is beyond a limit above. Exhausted when the
  // machine is too busy (five times kCompileTimeMsMax by the clock on the wall), and while others
  // that took too long have not ended. Blocks; not for the engine's thread.
  Result<std::shared_ptr<const CompiledConstraint>> compile(const ConstraintSpec& spec) const;

  // 32-bit words of a mask: one bit a token.
  std::size_t mask_words() const noexcept;

 private:
  struct State;
  explicit ConstraintFactory(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// The place of one sequence in its constraint. One thread at a time, any thread: a mask may be
// computed beside the engine's step. After an Exhausted (a limit of one mask was reached) every
// call fails: end the sequence with that error.
class ConstraintState {
 public:
  static Result<ConstraintState> start(std::shared_ptr<const CompiledConstraint> constraint);

  ~ConstraintState();
  ConstraintState(ConstraintState&&) noexcept;
  ConstraintState& operator=(ConstraintState&&) noexcept;

  // Bit id % 32 of word id / 32 is set when that token may come next; every token that ends a
  // generation is where the text may end. At least one bit is set. REQUIRES: bits has
  // ConstraintFactory::mask_words() words.
  Result<void> mask(std::span<std::uint32_t> bits);

  // The sequence goes on with this token. InvalidArgument, and nothing changes, when it may not
  // come next.
  Result<void> accept(std::int32_t token);

  // How many of the tokens, one after the other, could be accepted. Nothing changes.
  Result<std::size_t> acceptable(std::span<const std::int32_t> tokens);

  // Tokens that come next whatever the model says, cut as it would cut them itself; often none.
  // The mask allows just the first one. Nothing changes: accept() them.
  Result<std::vector<std::int32_t>> forced();

  // Takes back the last tokens, for drafts that were not taken. InvalidArgument for more than were
  // accepted.
  Result<void> rollback(std::size_t tokens);

  // Nothing but an end token may follow.
  Result<bool> is_done();
  // An end token may come next.
  Result<bool> may_end();

  // A second sequence at the same place.
  Result<ConstraintState> fork() const;

 private:
  struct State;
  explicit ConstraintState(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace paring::text
