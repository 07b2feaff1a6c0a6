// SPDX-License-Identifier: Apache-2.0
// Generates text for one request at a time: a batch engine of one sequence, with tokens turned into
// text. What a prompt shares with earlier ones is not computed again. Confined to one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "api/request.h"
#include "base/executor.h"
#include "base/result.h"
#include "engine/batch_engine.h"
#include "engine/loaded_model.h"
#include "engine/speculator.h"
#include "model/forward.h"

namespace paring::engine {

struct GeneratorOptions {
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  std::size_t context_tokens = 2048;
  std::shared_ptr<const model::Lora> adapter = nullptr;  // of every request; null: none
  std::size_t lora_rank = 0;  // for bytes_for() before the adapter is loaded; its rank_max()
  // Who guesses tokens, which changes the speed of a text and nothing else (speculator.h): what it
  // said before, and a smaller model of the same vocabulary, which must outlive the generator.
  bool uses_ngrams = false;
  const LoadedModel* draft_model = nullptr;
  SpeculatorOptions speculation = {};
};

// Longest prompt part that one step computes.
inline constexpr std::size_t kPrefillChunkTokens = 512;

// Called with each piece of text; false cancels the request.
using TextCallback = std::function<bool(std::string_view)>;

class Generator {
 public:
  // `loaded` and `executor` must outlive the result. InvalidArgument for a draft model with another
  // vocabulary.
  static Result<std::unique_ptr<Generator>> create(const LoadedModel& loaded, Executor& executor,
                                                   const GeneratorOptions& options);

  // InvalidArgument for an empty or over-long prompt and bad sampling settings; Cancelled when the
  // callback said so. Stop strings are cut from the text.
  // `constraint`: of SequenceRequest; what limits the tokens.
  Result<api::Completion> generate(
      const api::Request& request, const TextCallback& on_text,
      const std::function<std::unique_ptr<TokenConstraint>(std::size_t)>& constraint = nullptr);

  // Bytes of cache and buffers that create() will take, those of a draft model not counted.
  static std::size_t bytes_for(const model::BlockSpec& spec, const GeneratorOptions& options,
                               std::size_t threads);
  // Bytes that a draft model's cache and buffers add.
  static std::size_t draft_bytes_for(const model::BlockSpec& draft, const GeneratorOptions& options,
                                     std::size_t threads);

 private:
  explicit Generator(const LoadedModel& loaded) : loaded_(loaded) {}
  const LoadedModel& loaded_;
  std::shared_ptr<const model::Lora> adapter_;
  std::unique_ptr<BatchEngine> engine_;
};

}  // namespace paring::engine
