// SPDX-License-Identifier: Apache-2.0
// Generates text for one request at a time: prompt in chunks, then token by token. Owns the step
// buffers and the key/value pool. Confined to one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "api/request.h"
#include "base/executor.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "model/forward.h"

namespace paring::engine {

struct GeneratorOptions {
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  std::size_t context_tokens = 2048;
};

// Longest prompt part that one step computes.
inline constexpr std::size_t kPrefillChunkTokens = 512;

// Called with each piece of text; false cancels the request.
using TextCallback = std::function<bool(std::string_view)>;

class Generator {
 public:
  // `loaded` and `executor` must outlive the result.
  static Result<std::unique_ptr<Generator>> create(const LoadedModel& loaded, Executor& executor,
                                                   const GeneratorOptions& options);

  // InvalidArgument for an empty or over-long prompt and bad sampling settings; Cancelled when the
  // callback said so. Stop strings are cut from the text.
  Result<api::Completion> generate(const api::Request& request, const TextCallback& on_text);

  // Bytes of cache and buffers that create() will take.
  static std::size_t bytes_for(const model::BlockSpec& spec, const GeneratorOptions& options,
                               std::size_t threads);

 private:
  Generator(const LoadedModel& loaded, const GeneratorOptions& options)
      : loaded_(loaded), view_(*loaded.model), options_(options) {}
  // Corrupt when a logit is not a finite number.
  Result<void> step(model::KvSequence& sequence, std::span<const std::int32_t> tokens,
                    bool wants_logits);
  const LoadedModel& loaded_;
  model::ModelView view_;
  GeneratorOptions options_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<model::KvPool> pool_;
  std::vector<float> logits_;
};

}  // namespace paring::engine
