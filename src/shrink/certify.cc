// SPDX-License-Identifier: Apache-2.0
#include "shrink/certify.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/sha256.h"
#include "base/version.h"
#include "cost/machine.h"
#include "engine/identity.h"
#include "io/imatrix.h"
#include "kernels/ops.h"

namespace paring::shrink {

namespace {

api::CertificateSpeed speed_of(const measure::BenchResult& speed) {
  return {speed.prefill.tokens_per_second, speed.prefill.limit_share,
          speed.decode.tokens_per_second, speed.decode.limit_share,
          std::min(speed.prefill.own_share, speed.decode.own_share)};
}

api::CertificateBytes bytes_of(const ModelFigures& figures) {
  return {figures.file_bytes, figures.weight_bytes, figures.memory_bytes};
}

}  // namespace

api::Certificate make_certificate(const engine::LoadedModel& original, const RunTexts& texts,
                                  const OptimizeResult& result, const std::string& original_sha256,
                                  const std::string& weights_sha256) {
  api::Certificate certificate;
  const io::Metadata& metadata = original.file.metadata();
  if (const auto name = metadata.string_or("general.name", ""); name.has_value()) {
    certificate.original_name = *name;
  }
  certificate.original_sha256 = original_sha256;
  certificate.variant = {.weights_sha256 = weights_sha256,
                         .tokenizer_sha256 = engine::tokenizer_sha256(metadata),
                         .chat_template_sha256 = engine::chat_template_sha256(metadata),
                         .numerics = "served",
                         .kv_type = "q8",
                         .isa_family = result.isa,
                         .adapters = {},
                         .prompt_version = {},
                         .index_version = {}};
  const measure::Windows& calibration = texts.calibration;
  certificate.texts = {
      {"calibration", calibration.name, calibration.sha256,
       texts.statistics.windows.size() * kContext},
      {"search", calibration.name, calibration.sha256, texts.candidates.scored_tokens()},
      {"holdout", texts.holdout.name, texts.holdout.sha256, texts.holdout.scored_tokens()}};
  if (result.importance.matrices != 0) {
    const GivenImportance& given = result.importance;
    certificate.texts.push_back({"importance", given.text_name, given.sha256, given.tokens});
  }
  certificate.served = result.served;
  certificate.weights_only = result.weights;
  certificate.perplexity = {result.served.base.value, result.served.model.value,
                            std::exp(result.served.log_ratio),
                            result.served.log_ratio_standard_error};
  certificate.bytes_before = bytes_of(result.before);
  certificate.bytes_after = bytes_of(result.after);
  certificate.host = {result.cpu, result.isa, result.threads};
  certificate.speed_before = speed_of(result.before.speed);
  certificate.speed_after = speed_of(result.after.speed);
  const Budget& budget = result.budget;
  certificate.budget = {budget.file_bytes, budget.memory_bytes, budget.speedup, budget.kl_max,
                        budget.context_tokens};
  const SearchTime& time = result.time;
  certificate.search = {time.limit_seconds,     time.search_seconds, result.candidates.size(),
                        time.probes_measured,   time.probes_wanted,  time.refinements_measured,
                        time.refinements_wanted};
  for (const MatrixPlan& plan : result.plans) {
    certificate.recipe.push_back({plan.name, dtype_name(plan.chosen)});
  }
  certificate.tool_version = version();
  certificate.date = format_utc(system_clock().wall_seconds());
  return certificate;
}

Result<std::uint64_t> certificate_bytes_max(const engine::LoadedModel& original,
                                            const OptimizeOptions& options) {
  constexpr DType kLongestName = DType::kIQ4_XS;
  const std::string hash(2 * sizeof(Sha256Digest), 'f');
  OptimizeResult result;
  result.isa = kernels::kernels().isa;
  result.cpu = cost::read_machine().cpu;
  RunTexts texts;
  texts.calibration.name =
      options.calibration_path.empty() ? kBuiltinCalibrationName : options.calibration_path;
  texts.holdout.name = kBuiltinHoldoutName;
  texts.calibration.sha256 = texts.holdout.sha256 = hash;
  if (!options.imatrix_path.empty()) {
    PARING_TRY(const io::Imatrix imatrix, io::read_imatrix(options.imatrix_path));
    result.importance = {imatrix.datasets.empty() ? options.imatrix_path : imatrix.datasets.front(),
                         hash, 1, 1};
  }
  for (std::size_t i = 0; i < original.model->matrix_count(); ++i) {
    MatrixPlan plan;
    plan.name = original.model->slot(i).name;
    plan.chosen = kLongestName;
    result.plans.push_back(std::move(plan));
  }
  return make_certificate(original, texts, result, hash, hash).json_bytes_max();
}

}  // namespace paring::shrink
