// SPDX-License-Identifier: Apache-2.0
#include "engine/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/batch_engine.h"
#include "engine/model_drafter.h"
#include "engine/ngram_drafter.h"
#include "engine/stop_filter.h"

namespace paring::engine {

namespace {

// Turns the tokens of one request into its text.
class TextListener : public SequenceListener {
 public:
  TextListener(const LoadedModel& loaded, const api::Request& request, const TextCallback& on_text)
      : loaded_(loaded), on_text_(on_text), decoder_(loaded.tokenizer), filter_(request.stop) {}

  bool on_token(std::size_t, std::int32_t token) override {
    if (loaded_.tokenizer->is_end(token)) {
      completion_.reason = api::FinishReason::kEndOfText;
      return false;
    }
    completion_.tokens.push_back(token);
    emit(filter_.push(decoder_.push(token)));
    if (filter_.is_stopped()) completion_.reason = api::FinishReason::kStopString;
    return !filter_.is_stopped() && !is_cancelled_;
  }

  void on_end(std::size_t, const SequenceResult& result) override {
    if (!filter_.is_stopped()) emit(filter_.push(decoder_.finish()));
    if (!filter_.is_stopped()) emit(filter_.finish());
    if (result.end == SequenceEnd::kMaxTokens) completion_.reason = api::FinishReason::kMaxTokens;
    if (result.end == SequenceEnd::kContextFull) {
      completion_.reason = api::FinishReason::kContextFull;
    }
    if (result.end == SequenceEnd::kFailed) error_ = result.error;
    completion_.usage = result.usage;
    completion_.usage.generated_tokens = completion_.tokens.size();
  }

  Result<api::Completion> take() {
    if (error_) return std::move(*error_).with_context(loaded_.path);
    if (is_cancelled_) return Error{ErrorCode::kCancelled, "the request was cancelled"};
    return std::move(completion_);
  }

 private:
  void emit(const std::string& piece) {
    if (piece.empty() || is_cancelled_) return;
    completion_.text += piece;
    is_cancelled_ = on_text_ && !on_text_(piece);
  }

  const LoadedModel& loaded_;
  const TextCallback& on_text_;
  text::StreamDecoder decoder_;
  StopFilter filter_;
  api::Completion completion_;
  std::optional<Error> error_;
  bool is_cancelled_ = false;
};

BatchOptions batch_options(const GeneratorOptions& options) {
  return {
      .numerics = options.numerics,
      .kv_type = options.kv_type,
      .context_tokens = options.context_tokens,
      .cache_tokens = options.context_tokens,
      .step_tokens = std::min(kPrefillChunkTokens, options.context_tokens),
      .sequences_max = 1,
      .waiting_max = 1,
      .lora_rank = options.adapter == nullptr ? options.lora_rank : options.adapter->rank_max()};
}

ModelDrafterOptions drafter_options(const GeneratorOptions& options) {
  return {.numerics = options.numerics,
          .kv_type = options.kv_type,
          .context_tokens = options.context_tokens,
          .cache_tokens = options.context_tokens,
          .sequences_max = 1,
          .tokens_max = options.speculation.tokens_max};
}

// Null when nobody guesses.
Result<std::unique_ptr<Speculator>> make_speculator(const LoadedModel& loaded, Executor& executor,
                                                    const GeneratorOptions& options) {
  std::vector<std::unique_ptr<Drafter>> drafters;
  if (options.uses_ngrams) drafters.push_back(std::make_unique<NgramDrafter>());
  if (const LoadedModel* draft = options.draft_model; draft != nullptr) {
    auto same = check_same_vocabulary(*loaded.tokenizer, *draft->tokenizer);
    if (!same) return std::move(same.error()).with_context(draft->path);
    PARING_TRY(
        std::unique_ptr<ModelDrafter> drafter,
        ModelDrafter::create(*draft->model, *loaded.model, executor, drafter_options(options)));
    drafters.push_back(std::move(drafter));
  }
  if (drafters.empty()) return std::unique_ptr<Speculator>();
  return std::make_unique<Speculator>(std::move(drafters), options.speculation);
}

}  // namespace

std::size_t Generator::draft_bytes_for(const model::BlockSpec& draft,
                                       const GeneratorOptions& options, std::size_t threads) {
  return ModelDrafter::bytes_for(draft, drafter_options(options), threads);
}

std::size_t Generator::bytes_for(const model::BlockSpec& spec, const GeneratorOptions& options,
                                 std::size_t threads) {
  return BatchEngine::bytes_for(spec, batch_options(options), threads);
}

Result<std::unique_ptr<Generator>> Generator::create(const LoadedModel& loaded, Executor& executor,
                                                     const GeneratorOptions& options) {
  std::unique_ptr<Generator> generator(new Generator(loaded));
  generator->adapter_ = options.adapter;
  PARING_TRY(std::unique_ptr<Speculator> speculator, make_speculator(loaded, executor, options));
  PARING_TRY(
      generator->engine_,
      BatchEngine::create(*loaded.model, executor, batch_options(options), std::move(speculator)));
  return generator;
}

Result<api::Completion> Generator::generate(
    const api::Request& request, const TextCallback& on_text,
    const std::function<std::unique_ptr<TokenConstraint>(std::size_t)>& constraint) {
  if (request.kind != api::RequestKind::kGenerate) {
    return unsupported("this engine answers requests of kind 'generate' only",
                       "ask for text with kind 'generate'");
  }
  TextListener listener(loaded_, request, on_text);
  PARING_TRY_VOID(engine_->submit({.id = request.id,
                                   .prompt = request.prompt,
                                   .max_tokens = request.max_tokens,
                                   .sampling = request.sampling,
                                   .constraint = constraint,
                                   .adapter = adapter_},
                                  listener));
  while (engine_->step()) {
  }
  return listener.take();
}

}  // namespace paring::engine
