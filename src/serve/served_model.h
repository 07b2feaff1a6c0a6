// SPDX-License-Identifier: Apache-2.0
// ServedModel: a model in memory with what a server needs beside its weights: identity, prompt
// format, and the engine that computes it. The engine's thread alone steps it and submits to it;
// everything else is immutable or a snapshot, thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/variant.h"
#include "base/executor.h"
#include "base/result.h"
#include "engine/batch_engine.h"
#include "engine/chat_prompt.h"
#include "engine/loaded_model.h"
#include "engine/text_encoder.h"
#include "model/adapter_file.h"
#include "model/block_spec.h"
#include "model/lora.h"
#include "serve/engine_loop.h"
#include "serve/model_totals.h"
#include "serve/step_history.h"
#include "serve/step_recorder.h"
#include "text/answer_format.h"
#include "text/constraint.h"

namespace paring::serve {

// A LoRA adapter that requests name as their model.
struct AdapterSource {
  std::string name;
  std::string path;  // what model::AdapterFile opens
  float scale = 1;   // upon the file's own

  bool operator==(const AdapterSource&) const = default;
};

struct ServedAdapter {
  std::string name;
  std::shared_ptr<const model::Lora> lora;
  std::string variant;       // of the model with it
  std::int64_t created = 0;  // seconds since 1970, of the file
};

struct ServedModelOptions {
  model::Numerics numerics = model::Numerics::kServed;
  std::optional<kernels::KvType> kv_type = std::nullopt;  // absent: what suits the weights
  std::size_t context_tokens = 4096;  // of one sequence; the model's own limit holds if lower
  std::size_t cache_tokens = 0;       // of all; 0: see auto_cache_tokens()
  std::size_t sequences_max = 64;
  std::size_t waiting_max = 1024;
  std::size_t waiting_tokens_max = 1 << 18;
  double mixed_step_ratio = 2.0;
  bool guesses_ngrams = true;
  bool has_prefix_cache = true;
  bool locks_memory = false;
  std::vector<AdapterSource> adapters = {};  // names that differ

  bool operator==(const ServedModelOptions&) const = default;
};

// A model's cache when nobody says: room for eight longest sequences, at most this many tokens and
// an eighth of the memory that is free, but never less than one longest sequence.
inline constexpr std::size_t kAutoCacheTokensMax = 65536;

// A model as its file says it would be in memory: nothing of its weights has been read.
struct ModelPlan {
  std::string path;
  ServedModelOptions options;  // with the numbers that will hold
  model::BlockSpec spec;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  std::vector<model::AdapterFile> adapters;
  std::size_t lora_rank = 0;       // of the largest
  std::uint64_t weight_bytes = 0;  // adapters included
  std::uint64_t extra_bytes = 0;   // cache of keys and values, buffers
  std::uint64_t total_bytes() const noexcept { return weight_bytes + extra_bytes; }
};

// Texts for an encoder. `done` is called on the engine's thread with one row of values a text, and
// with what they took.
struct EncodeJob {
  enum class Kind : std::uint8_t { kEmbed, kClassify };
  Kind kind = Kind::kEmbed;
  int priority = 0;  // higher goes first, then who came first
  std::vector<engine::EncodedText> texts;
  std::shared_ptr<const std::atomic<bool>> cancelled;
  std::function<void(Result<std::vector<float>>, const api::Work&)> done;
};

struct EngineLoad {
  std::size_t running = 0;
  std::size_t waiting = 0;
  std::size_t waiting_tokens = 0;
  double cache_usage = 0;  // part of the pages of keys and values that sequences or prefixes hold
};

class ServedModel : public Steppable {
 public:
  // Reads the file's hyper-parameters and those of its adapters. `free_bytes`: memory that it may
  // take, which bounds the cache when the options do not say; absent: not known. Errors of
  // open_model(), read_block_spec() and AdapterFile::open().
  static Result<ModelPlan> plan(const std::string& path, const ServedModelOptions& options,
                                std::size_t threads, std::optional<std::uint64_t> free_bytes);
  // Loads the weights on `loader`, computes on `executor`; the latter must outlive the result.
  // Errors of LoadedModel::load(), BatchEngine::create() and Lora::load(); Exhausted names what
  // memory is needed.
  static Result<std::shared_ptr<ServedModel>> open(const std::string& name, ModelPlan plan,
                                                   Executor& loader, Executor& executor);
  ~ServedModel() override;

  const std::string& name() const noexcept { return name_; }
  const engine::LoadedModel& loaded() const noexcept { return *loaded_; }
  const text::Tokenizer& tokenizer() const noexcept { return *loaded_->tokenizer; }
  bool is_encoder() const noexcept { return encoder_ != nullptr; }
  const ServedModelOptions& options() const noexcept { return options_; }
  std::size_t context_tokens() const noexcept { return options_.context_tokens; }
  // Hash of everything that decides what is computed, without any adapter.
  const std::string& variant() const noexcept { return variant_; }
  const std::vector<std::shared_ptr<const ServedAdapter>>& adapters() const noexcept {
    return adapters_;
  }
  const std::string& weights_sha256() const noexcept { return weights_sha256_; }
  // As JSON text; empty when the file has none.
  const std::string& certificate() const noexcept { return certificate_; }
  std::int64_t created() const noexcept { return created_; }  // seconds since 1970, of the file
  // Token ids of a conversation. Unsupported when the model has no usable chat template.
  Result<std::vector<std::int32_t>> encode_chat(const text::ChatInput& chat) const;
  // Longer texts have more tokens than the context, whatever they say: told without encoding them.
  std::size_t prompt_bytes_max() const noexcept { return prompt_bytes_max_; }
  // nullopt: the conversation is longer than prompt_bytes_max().
  Result<std::optional<std::vector<std::int32_t>>> encode_chat_that_may_fit(
      const text::ChatInput& chat) const;
  // How the model writes calls of tools and reasoning.
  const text::AnswerFormat& answer_format() const noexcept { return answer_format_; }
  // What compiles limits on answers; made at first use.
  Result<std::shared_ptr<const text::ConstraintFactory>> constraints() const;
  const engine::TextEncoder& encoder() const noexcept { return *encoder_; }

  // What its steps take; null for an encoder.
  const std::shared_ptr<StepRecorder>& step_recorder() const noexcept { return step_recorder_; }
  // As of the last step.
  EngineLoad load() const noexcept;
  ModelTotals totals() const noexcept;
  // Of its last minutes.
  const StepHistory& history() const noexcept { return history_; }
  double loaded_seconds() const noexcept;  // since it was opened

  // On the engine's thread. REQUIRES: a decoder, an encoder.
  engine::BatchEngine& engine() noexcept { return *engine_; }
  Result<void> submit(EncodeJob job);
  bool step() override;

 private:
  ServedModel(std::string name, ServedModelOptions options);
  Result<void> load_adapters(const std::vector<model::AdapterFile>& files, api::Variant variant);
  bool step_encoder();
  void meter(std::vector<api::Work>& works, double seconds, std::size_t tokens);
  void count(StepKind kind, const StepTotals& step);
  void publish();

  std::string name_;
  ServedModelOptions options_;
  std::unique_ptr<engine::LoadedModel> loaded_;
  Result<const engine::ChatPrompt*> chat_prompt() const;

  std::optional<engine::ChatPrompt> chat_prompt_;
  std::size_t prompt_bytes_max_ = 0;
  std::unique_ptr<engine::BatchEngine> engine_;
  std::shared_ptr<StepRecorder> step_recorder_;
  std::unique_ptr<engine::TextEncoder> encoder_;
  std::vector<std::shared_ptr<const ServedAdapter>> adapters_;
  text::AnswerFormat answer_format_;
  std::deque<EncodeJob> jobs_;
  mutable std::mutex constraints_mutex_;
  mutable std::shared_ptr<const text::ConstraintFactory> constraints_;  // guarded by the mutex
  std::string variant_;
  std::string weights_sha256_;
  std::string certificate_;
  std::int64_t created_ = 0;
  std::atomic<std::size_t> running_{0};
  std::atomic<std::size_t> waiting_{0};
  std::atomic<std::size_t> waiting_tokens_{0};
  std::atomic<double> cache_usage_{0};
  double counted_step_ = 0;  // when the last one that was counted began
  std::atomic<double> seconds_{0};
  std::atomic<double> operations_{0};
  std::atomic<double> bytes_{0};
  StepHistory history_;
  double opened_seconds_ = 0;  // monotonic
};

}  // namespace paring::serve
