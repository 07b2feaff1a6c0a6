// SPDX-License-Identifier: Apache-2.0
#include "cli/advice_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "api/certificate.h"
#include "cli/output.h"
#include "engine/loaded_model.h"
#include "engine/open_model.h"
#include "model/architecture.h"
#include "model/kv_cache.h"
#include "quant/format.h"
#include "shrink/type_choice.h"

namespace paring::cli {

namespace {

constexpr std::size_t kPromptTokens = 512;
constexpr double kDepthMax = 4096;

// What a file's certificate says about its quality.
std::string loss_of(const io::ModelFile& file) {
  if (!file.metadata().has(api::kCertificateKey)) {
    return "not known: the file has no certificate; paring eval --against the original measures it";
  }
  const auto text = file.metadata().get_string(api::kCertificateKey);
  if (!text) return "not known";
  const auto certificate = api::Certificate::from_json(*text);
  if (!certificate) return "not known: its certificate cannot be read";
  const api::CertificateDivergence& loss = certificate->served;
  if (!std::isfinite(loss.kl_mean)) return "not measured when it was made";
  return fmt::format(
      "KL {:.4f} against its original, the likeliest token the same {:.1f} % of the "
      "time (its certificate; paring inspect shows it)",
      loss.kl_mean, 100 * loss.top1);
}

shrink::TypeMap types_of(const io::ModelFile& file, std::span<const model::MatrixSlot> slots) {
  shrink::TypeMap types;
  for (const model::MatrixSlot& slot : slots) {
    const io::TensorInfo* const tensor = file.find(slot.name);
    types.push_back(tensor == nullptr ? DType::kF32 : tensor->type);
  }
  return types;
}

// Times candidates against the model that is served.
class Weights {
 public:
  Weights(const advise::TrafficSample& sample, model::Numerics numerics, double free_bytes,
          Executor& executor, engine::LoadedModel served)
      : facts_(sample.facts),
        depth_(static_cast<std::size_t>(std::clamp(advise::mean_depth(sample), 1.0, kDepthMax))),
        numerics_(numerics),
        free_bytes_(free_bytes),
        executor_(executor),
        served_(std::move(served)) {
    // Unless somebody chose one, the type of keys and values follows the weights.
    const kernels::KvType usual = engine::served_kv_type(served_.file);
    kv_type_ = kernels::find_kv_type(facts_.kv_type).value_or(usual);
    kv_follows_ = kv_type_ == usual;
  }

  // Nothing when the model has this type already.
  Result<std::optional<advise::WeightCandidate>> of_type(DType type) {
    const std::span<const model::MatrixSlot> slots = served_.model->slots();
    PARING_TRY(const shrink::TypeChoice choice, shrink::choose_types(slots, type, DType::kQ8_0));
    if (choice.types == types_of(served_.file, slots)) {
      return std::optional<advise::WeightCandidate>();
    }
    double bytes = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      PARING_TRY(const std::size_t packed,
                 kernels::packed_bytes(choice.types[i], slots[i].rows, slots[i].cols));
      bytes += static_cast<double>(packed);
    }
    PARING_TRY_VOID(check_room(bytes));
    PARING_TRY(const std::shared_ptr<const model::Model> other,
               advise::random_weights(*served_.model, choice.types));
    PARING_TRY(advise::WeightCandidate candidate,
               time(*other, dtype_info(type).block_values > 1 ? kernels::KvType::kQ8
                                                              : kernels::KvType::kF16));
    candidate.name = dtype_name(type);
    candidate.weight_bytes = bytes;
    candidate.loss = "paring quantize measures it against the model, and writes it into the file";
    return std::optional(std::move(candidate));
  }

  Result<advise::WeightCandidate> of_file(const std::string& path) {
    PARING_TRY(const io::ModelFile file, engine::open_model(path));
    PARING_TRY_VOID(check_room(static_cast<double>(engine::packed_weight_bytes(file))));
    PARING_TRY(const engine::LoadedModel other, engine::LoadedModel::load(path, executor_, {}));
    PARING_TRY(advise::WeightCandidate candidate,
               time(*other.model, engine::served_kv_type(other.file)));
    candidate.name = std::filesystem::path(path).filename().string();
    candidate.path = path;
    candidate.weight_bytes = static_cast<double>(other.model->weight_bytes());
    candidate.loss = loss_of(other.file);
    return candidate;
  }

 private:
  Result<void> check_room(double bytes) const {
    if (free_bytes_ <= 0 || bytes < free_bytes_) return {};
    return exhausted(fmt::format("timing it takes {:.0f} MB of memory, {:.0f} MB are free",
                                 bytes / 1e6, free_bytes_ / 1e6),
                     "stop what else runs here, or measure on a machine like it");
  }

  Result<advise::WeightCandidate> time(const model::Model& model, kernels::KvType usual) {
    const kernels::KvType kv_type = kv_follows_ ? usual : kv_type_;
    advise::WeightCandidate candidate;
    candidate.kv_bytes_per_token =
        static_cast<double>(model::KvPool::bytes_per_token(model.spec(), kv_type));
    const std::size_t sequences = std::clamp<std::size_t>(facts_.engine.sequences_max, 1, 16);
    PARING_TRY(candidate.steps,
               advise::compare_steps({*served_.model, kv_type_}, {model, kv_type}, executor_,
                                     {.numerics = numerics_,
                                      .sequences_max = sequences,
                                      .prompt_tokens_max = std::clamp<std::size_t>(
                                          facts_.engine.step_tokens, 1, kPromptTokens),
                                      .depth_tokens = depth_}));
    return candidate;
  }

  const advise::EngineFacts& facts_;
  std::size_t depth_;
  model::Numerics numerics_;
  double free_bytes_;
  Executor& executor_;
  engine::LoadedModel served_;
  kernels::KvType kv_type_ = kernels::KvType::kQ8;
  bool kv_follows_ = true;
};

}  // namespace

Result<std::vector<advise::WeightCandidate>> weight_candidates(Context& context,
                                                               const advise::TrafficSample& sample,
                                                               double free_bytes,
                                                               const WeightChoices& choices) {
  std::vector<DType> types;
  for (const std::string& name : choices.types) {
    PARING_TRY(const DType type, quant::writable_type(name));
    types.push_back(type);
  }
  std::vector<std::string> paths;
  for (const std::string& name : choices.candidates) {
    PARING_TRY(std::string path, context.resolve(name));
    paths.push_back(std::move(path));
  }
  const advise::EngineFacts& facts = sample.facts;
  std::vector<advise::WeightCandidate> candidates;
  const auto note = [](const std::string& what, const Error& error) {
    print_note(fmt::format("weights in {} are not predicted: {}", what, error.message));
  };
  if (types.empty() && paths.empty()) return candidates;
  PARING_TRY(const std::unique_ptr<Executor> executor,
             Executor::create({.threads = facts.threads}));
  Result<engine::LoadedModel> served = engine::LoadedModel::load(facts.path, *executor, {});
  if (!served) {
    note("other types", served.error());
    return candidates;
  }
  if (!facts.isa.empty() && facts.isa != kernels::kernels().isa) {
    print_note(
        fmt::format("the server computed with {}, this machine computes with {}: other "
                    "weights are predicted by how they do here",
                    facts.isa, kernels::kernels().isa));
  }
  Weights weights(sample, context.numerics(), free_bytes, *executor, std::move(*served));
  for (const DType type : types) {
    Result<std::optional<advise::WeightCandidate>> candidate = weights.of_type(type);
    if (!candidate) {
      note(dtype_name(type), candidate.error());
    } else if (*candidate) {
      candidates.push_back(std::move(**candidate));
    }
  }
  for (const std::string& path : paths) {
    Result<advise::WeightCandidate> candidate = weights.of_file(path);
    if (!candidate) return std::move(candidate.error());
    candidates.push_back(std::move(*candidate));
  }
  return candidates;
}

}  // namespace paring::cli
