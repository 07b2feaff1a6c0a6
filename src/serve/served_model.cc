// SPDX-License-Identifier: Apache-2.0
#include "serve/served_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "api/certificate.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "engine/identity.h"
#include "engine/ngram_drafter.h"
#include "engine/open_model.h"
#include "engine/variant_of.h"
#include "model/architecture.h"

namespace paring::serve {

namespace {

constexpr std::size_t kStepTokens = 512;
constexpr std::size_t kEncodeJobsMax = 1024;

engine::BatchOptions batch_options(const ModelPlan& plan) {
  const ServedModelOptions& options = plan.options;
  return {.numerics = options.numerics,
          .kv_type = plan.kv_type,
          .context_tokens = options.context_tokens,
          .cache_tokens = options.cache_tokens,
          .step_tokens = std::max(kStepTokens, options.sequences_max),
          .mixed_step_ratio = options.mixed_step_ratio,
          .sequences_max = options.sequences_max,
          .waiting_max = options.waiting_max,
          .waiting_tokens_max = options.waiting_tokens_max,
          .lora_rank = plan.lora_rank,
          .has_prefix_cache = options.has_prefix_cache};
}

// What advice must know of an engine, as JSON.
std::string engine_facts(const ModelPlan& plan, std::size_t threads) {
  const engine::BatchOptions options = batch_options(plan);
  const nlohmann::json facts = {
      {"path", plan.path},
      {"weight_bytes", plan.weight_bytes},
      {"extra_bytes", plan.extra_bytes},
      {"kv_type", kernels::kv_type_name(plan.kv_type)},
      {"kv_bytes_per_token", model::KvPool::bytes_per_token(plan.spec, plan.kv_type)},
      {"numerics", model::numerics_name(options.numerics)},
      {"isa", kernels::kernels().isa},
      {"threads", threads},
      {"context_tokens", options.context_tokens},
      {"cache_tokens", options.cache_tokens},
      {"sequences_max", options.sequences_max},
      {"step_tokens", options.step_tokens},
      {"mixed_prompt_tokens", options.mixed_prompt_tokens},
      {"mixed_step_ratio", options.mixed_step_ratio},
      {"has_prefix_cache", options.has_prefix_cache},
      {"has_speculation", plan.options.guesses_ngrams},
      {"adapters", plan.adapters.size()}};
  return facts.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::size_t auto_cache_tokens(const model::BlockSpec& spec, kernels::KvType kv_type,
                              std::size_t context_tokens, std::optional<std::uint64_t> free_bytes) {
  const std::size_t wanted = std::min(8 * context_tokens, kAutoCacheTokensMax);
  const std::size_t token_bytes = model::KvPool::bytes_per_token(spec, kv_type);
  const std::size_t fitting = free_bytes ? *free_bytes / 8 / token_bytes : wanted;
  return std::max(context_tokens, std::min(wanted, fitting));
}

StepKind kind_of(const api::StepRecord& step) noexcept {
  if (step.prefill_tokens == 0) return StepKind::kDecode;
  return step.decode_tokens == 0 ? StepKind::kPrefill : StepKind::kMixed;
}

std::unique_ptr<engine::Speculator> make_speculator(const ServedModelOptions& options) {
  if (!options.guesses_ngrams) return nullptr;
  std::vector<std::unique_ptr<engine::Drafter>> drafters;
  drafters.push_back(std::make_unique<engine::NgramDrafter>());
  return std::make_unique<engine::Speculator>(std::move(drafters), engine::SpeculatorOptions{});
}

std::int64_t modified_at(const std::string& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  if (error) return 0;
  const auto system = std::chrono::file_clock::to_sys(time);
  return std::chrono::duration_cast<std::chrono::seconds>(system.time_since_epoch()).count();
}

// Text that cannot fit a context, whatever it says: no token stands for more bytes than the longest
// one. A normalizer makes text shorter before that: composed characters have a third of the bytes
// of their parts (Hangul), which is the most that is known.
constexpr std::size_t kNormalizerShrinksMax = 3;
// Encoded in a fraction of a second: no reason to refuse it unseen.
constexpr std::size_t kQuicklyEncodedBytes = std::size_t{1} << 20;

std::size_t text_bytes_of(const text::Tokenizer& tokenizer, std::size_t tokens) {
  std::size_t longest = 1;
  for (std::size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    longest = std::max(longest, tokenizer.token_bytes(static_cast<std::int32_t>(id)).size());
  }
  return std::max(kQuicklyEncodedBytes, kNormalizerShrinksMax * longest * tokens);
}

}  // namespace

ServedModel::ServedModel(std::string name, ServedModelOptions options)
    : name_(std::move(name)),
      options_(std::move(options)),
      opened_seconds_(system_clock().monotonic_seconds()) {}
ServedModel::~ServedModel() = default;

double ServedModel::loaded_seconds() const noexcept {
  return system_clock().monotonic_seconds() - opened_seconds_;
}

Result<ModelPlan> ServedModel::plan(const std::string& path, const ServedModelOptions& options,
                                    std::size_t threads, std::optional<std::uint64_t> free_bytes) {
  ModelPlan plan;
  plan.path = path;
  plan.options = options;
  PARING_TRY(const io::ModelFile file, engine::open_model(path));
  PARING_TRY(plan.spec, model::read_block_spec(file));
  ServedModelOptions& mine = plan.options;
  mine.context_tokens = std::min(mine.context_tokens, plan.spec.context_max);
  plan.kv_type = engine::served_kv_type(file);
  if (mine.numerics == model::Numerics::kExact) plan.kv_type = kernels::KvType::kF32;
  if (mine.kv_type) plan.kv_type = *mine.kv_type;
  plan.weight_bytes = engine::packed_weight_bytes(file);
  for (const AdapterSource& source : mine.adapters) {
    PARING_TRY(model::AdapterFile adapter, model::AdapterFile::open(source.path, plan.spec));
    plan.lora_rank = std::max(plan.lora_rank, adapter.rank_max());
    plan.weight_bytes += adapter.memory_bytes();
    plan.adapters.push_back(std::move(adapter));
  }
  if (plan.spec.encoder) {
    plan.extra_bytes = engine::TextEncoder::bytes_for(plan.spec, mine.context_tokens, threads);
    return plan;
  }
  if (mine.cache_tokens == 0) {
    mine.cache_tokens = auto_cache_tokens(plan.spec, plan.kv_type, mine.context_tokens, free_bytes);
  }
  mine.cache_tokens = std::max(mine.cache_tokens, mine.context_tokens);
  plan.extra_bytes = engine::BatchEngine::bytes_for(plan.spec, batch_options(plan), threads);
  return plan;
}

Result<std::shared_ptr<ServedModel>> ServedModel::open(const std::string& name, ModelPlan plan,
                                                       Executor& loader, Executor& executor) {
  std::shared_ptr<ServedModel> served(new ServedModel(name, plan.options));
  const ServedModelOptions& mine = served->options_;
  std::uint64_t adapter_bytes = 0;
  for (const model::AdapterFile& adapter : plan.adapters) adapter_bytes += adapter.memory_bytes();
  auto loaded = engine::LoadedModel::load(plan.path, loader,
                                          {.kind = engine::ModelKind::kAny,
                                           .extra_bytes = plan.extra_bytes + adapter_bytes,
                                           .locks_memory = mine.locks_memory});
  if (!loaded) return std::move(loaded.error());
  served->loaded_ = std::make_unique<engine::LoadedModel>(std::move(loaded).value());
  const engine::LoadedModel& model = *served->loaded_;
  if (model.model->spec().encoder) {
    engine::TextEncoderOptions encoder;
    encoder.numerics = mine.numerics;
    encoder.tokens_max = mine.context_tokens;
    PARING_TRY(served->encoder_, engine::TextEncoder::create(model, executor, encoder));
  } else {
    PARING_TRY(served->engine_,
               engine::BatchEngine::create(*model.model, executor, batch_options(plan),
                                           make_speculator(mine)));
  }
  served->prompt_bytes_max_ = text_bytes_of(*model.tokenizer, mine.context_tokens);
  if (model.chat_template != nullptr) {
    served->chat_prompt_.emplace(model.tokenizer, model.chat_template, model.add_bos);
    if (const auto source = model.file.metadata().get_string("tokenizer.chat_template")) {
      served->answer_format_ = text::answer_format_of(*source);
    }
  }
  const api::Variant variant =
      engine::variant_of(model, model::numerics_name(mine.numerics),
                         kernels::kv_type_name(plan.kv_type), kernels::kernels().isa);
  served->variant_ = variant.id();
  served->weights_sha256_ = variant.weights_sha256;
  PARING_TRY_VOID(served->load_adapters(plan.adapters, variant));
  if (model.file.metadata().has(api::kCertificateKey)) {
    PARING_TRY(served->certificate_, model.file.metadata().get_string(api::kCertificateKey));
    // What is shown to clients must be one.
    if (!api::Certificate::from_json(served->certificate_)) served->certificate_.clear();
  }
  served->created_ = modified_at(plan.path);
  if (served->engine_ != nullptr) {
    served->step_recorder_ = std::make_shared<StepRecorder>(name, served->variant_,
                                                            engine_facts(plan, executor.threads()),
                                                            system_clock().wall_seconds());
  }
  return served;
}

Result<void> ServedModel::load_adapters(const std::vector<model::AdapterFile>& files,
                                        api::Variant variant) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    const AdapterSource& source = options_.adapters[i];
    const auto adapter = std::make_shared<ServedAdapter>();
    PARING_TRY(adapter->lora, model::Lora::load(files[i], *loaded_->model, source.scale));
    variant.adapters = {engine::adapter_sha256(files[i], source.scale)};
    adapter->name = source.name;
    adapter->variant = variant.id();
    adapter->created = modified_at(source.path);
    adapters_.push_back(adapter);
  }
  return {};
}

Result<const engine::ChatPrompt*> ServedModel::chat_prompt() const {
  if (chat_prompt_) return &*chat_prompt_;
  if (loaded_->chat_template_error) return *loaded_->chat_template_error;
  return unsupported("this model has no chat template: it continues texts",
                     "use /v1/completions, or a model that was tuned for conversations");
}

Result<std::vector<std::int32_t>> ServedModel::encode_chat(const text::ChatInput& chat) const {
  PARING_TRY(const engine::ChatPrompt* const prompt, chat_prompt());
  return prompt->encode(chat);
}

Result<std::optional<std::vector<std::int32_t>>> ServedModel::encode_chat_that_may_fit(
    const text::ChatInput& chat) const {
  PARING_TRY(const engine::ChatPrompt* const prompt, chat_prompt());
  return prompt->encode_within(chat, prompt_bytes_max_);
}

Result<std::shared_ptr<const text::ConstraintFactory>> ServedModel::constraints() const {
  const std::lock_guard lock(constraints_mutex_);
  if (constraints_ == nullptr) {
    PARING_TRY(constraints_, text::ConstraintFactory::create(loaded_->tokenizer));
  }
  return constraints_;
}

EngineLoad ServedModel::load() const noexcept {
  return {.running = running_.load(std::memory_order_relaxed),
          .waiting = waiting_.load(std::memory_order_relaxed),
          .waiting_tokens = waiting_tokens_.load(std::memory_order_relaxed),
          .cache_usage = cache_usage_.load(std::memory_order_relaxed)};
}

ModelTotals ServedModel::totals() const noexcept {
  return {.seconds = seconds_.load(std::memory_order_relaxed),
          .operations = operations_.load(std::memory_order_relaxed),
          .bytes = bytes_.load(std::memory_order_relaxed)};
}

// On the engine's thread, which alone writes them.
void ServedModel::count(StepKind kind, const StepTotals& step) {
  const auto grow = [](std::atomic<double>& total, double amount) {
    total.store(total.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  };
  grow(seconds_, step.seconds);
  grow(operations_, step.operations);
  grow(bytes_, step.bytes);
  history_.add(system_clock().wall_seconds(), kind, step);
}

void ServedModel::publish() {
  if (engine_ == nullptr) {
    waiting_.store(jobs_.size(), std::memory_order_relaxed);
    return;
  }
  running_.store(engine_->running(), std::memory_order_relaxed);
  waiting_.store(engine_->waiting(), std::memory_order_relaxed);
  waiting_tokens_.store(engine_->waiting_tokens(), std::memory_order_relaxed);
  const model::KvPool& pool = engine_->pool();
  double usage = 0;
  for (std::size_t c = 0; c < pool.class_count(); ++c) {
    const auto all = static_cast<double>(pool.page_count(c));
    usage = std::max(usage, 1 - static_cast<double>(pool.pages_free(c)) / all);
  }
  cache_usage_.store(usage, std::memory_order_relaxed);
}

Result<void> ServedModel::submit(EncodeJob job) {
  const std::size_t jobs_max = job.priority < 0 ? kEncodeJobsMax / 2 : kEncodeJobsMax;
  if (jobs_.size() >= jobs_max) {
    return exhausted(fmt::format("{} requests wait for this model already", jobs_.size()),
                     "try again later");
  }
  const auto place = std::upper_bound(
      jobs_.begin(), jobs_.end(), job.priority,
      [](int priority, const EncodeJob& waiting) { return priority > waiting.priority; });
  jobs_.insert(place, std::move(job));
  publish();
  return {};
}

bool ServedModel::step() {
  const double begin = system_clock().monotonic_seconds();
  const bool has_worked = engine_ != nullptr ? engine_->step() : step_encoder();
  if (engine_ != nullptr) {
    // A call that only ended sequences leaves the step before as it was.
    const api::StepRecord& last = engine_->last_step();
    if (last.start_seconds > counted_step_) {
      const std::size_t computed = last.prefill_tokens + last.decode_tokens + last.draft_tokens;
      const auto tokens = static_cast<double>(computed);
      count(kind_of(last), {.steps = 1,
                            .tokens = static_cast<std::int64_t>(computed),
                            .seconds = last.seconds,
                            .waited_seconds = engine_->waiting() > 0 ? last.seconds : 0,
                            .operations = last.operations,
                            .bytes = last.bytes});
      // Planning the step and taking its tokens belong to it.
      step_recorder_->add({.tokens = tokens,
                           .rows = static_cast<double>(last.rows),
                           .decode_positions = last.decode_positions,
                           .prefill_positions = last.prefill_positions},
                          system_clock().monotonic_seconds() - begin);
    }
    counted_step_ = std::max(counted_step_, last.start_seconds);
  }
  publish();
  return has_worked;
}

// A step's time is its texts', by their operations; what it was goes to the metrics of all steps.
void ServedModel::meter(std::vector<api::Work>& works, double seconds, std::size_t tokens) {
  api::Work total;
  for (const api::Work& work : works) total += work;
  for (api::Work& work : works) {
    work.seconds = total.operations > 0 ? seconds * work.operations / total.operations : 0;
  }
  metrics().step_seconds.observe(seconds);
  metrics().prompt_tokens.add(tokens);
  metrics().operations.add(static_cast<std::uint64_t>(total.operations));
  metrics().read_bytes.add(static_cast<std::uint64_t>(total.bytes));
  // What the step took is not among the jobs any more.
  count(StepKind::kEncode, {.steps = 1,
                            .tokens = static_cast<std::int64_t>(tokens),
                            .seconds = seconds,
                            .waited_seconds = jobs_.empty() ? 0 : seconds,
                            .operations = total.operations,
                            .bytes = total.bytes});
}

// As many jobs of one kind as fit a step, so that small requests share it.
bool ServedModel::step_encoder() {
  if (jobs_.empty()) return false;
  std::vector<EncodeJob> batch;
  std::vector<engine::EncodedText> texts;
  std::size_t tokens = 0;
  while (!jobs_.empty() && (batch.empty() || (jobs_.front().kind == batch.front().kind &&
                                              tokens < encoder_->step_tokens_max()))) {
    EncodeJob job = std::move(jobs_.front());
    jobs_.pop_front();
    if (job.cancelled != nullptr && job.cancelled->load()) {
      job.done(Error{ErrorCode::kCancelled, "the request was cancelled", ""}, {});
      continue;
    }
    for (const engine::EncodedText& text : job.texts) {
      tokens += text.tokens.size();
      texts.push_back(text);
    }
    batch.push_back(std::move(job));
  }
  if (batch.empty()) return true;
  const double start = system_clock().monotonic_seconds();
  const std::vector<float> values = batch.front().kind == EncodeJob::Kind::kEmbed
                                        ? encoder_->embed(texts)
                                        : encoder_->classify(texts);
  const double seconds = system_clock().monotonic_seconds() - start;
  std::vector<api::Work> works = encoder_->work_of(texts);
  meter(works, seconds, tokens);
  const std::size_t width = texts.empty() ? 0 : values.size() / texts.size();
  std::size_t text = 0;
  for (const EncodeJob& job : batch) {
    const auto at = [&](std::size_t index) {
      return values.begin() + static_cast<std::ptrdiff_t>(index * width);
    };
    api::Work work;
    for (std::size_t i = 0; i < job.texts.size(); ++i) work += works[text + i];
    std::vector<float> mine(at(text), at(text + job.texts.size()));
    text += job.texts.size();
    const bool is_finite =
        std::all_of(mine.begin(), mine.end(), [](float v) { return std::isfinite(v); });
    if (is_finite) {
      job.done(std::move(mine), work);
    } else {
      job.done(corrupt("the model's output holds values that are not finite numbers",
                       "its weights are damaged or out of range; get the file again"),
               work);
    }
  }
  return true;
}

}  // namespace paring::serve
