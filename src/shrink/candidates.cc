// SPDX-License-Identifier: Apache-2.0
#include "shrink/candidates.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/sha256.h"
#include "shrink/encode.h"

namespace paring::shrink {

namespace {

// Encodings kept beside those of the last set, as a multiple of the original's matrices.
constexpr double kKeptShare = 1.0;

std::string journal_name(const Recipe& recipe) {
  std::string types;
  for (const DType type : recipe.types) types += std::string(dtype_name(type)) + ",";
  return fmt::format("candidate {} {}{}", sha256_hex(types), rounding_name(recipe.rounding),
                     recipe.with_importance ? "" : " without importance");
}

}  // namespace

Result<const Candidates::Kept*> Candidates::matrix_of(const MatrixPlan& plan, DType type,
                                                      const Recipe& recipe) {
  const Key key{plan.index, type, recipe.rounding, recipe.with_importance};
  if (const auto found = kept_.find(key); found != kept_.end()) {
    found->second.last_use = ++uses_;
    return &found->second;
  }
  Inputs inputs{{}, statistics_.factor(plan.index)};
  if (recipe.with_importance) inputs.importance = statistics_.importance(plan.index);
  PARING_TRY(const Encoding encoding,
             encode_matrix(original_.file, plan.name, type, recipe.rounding, inputs, executor_));
  original_.file.release(*original_.file.find(plan.name));
  PARING_TRY(kernels::PackedMatrix packed,
             kernels::pack(type, encoding.bytes.data(), plan.rows, plan.cols));
  Kept& kept = kept_[key];
  kept = {std::make_shared<const kernels::PackedMatrix>(std::move(packed)), encoding.changed_share,
          ++uses_};
  return &kept;
}

// The longest unused encodings go when they take more than the original does.
void Candidates::forget_old() {
  const double limit = kKeptShare * static_cast<double>(original_.model->weight_bytes());
  double bytes = 0;
  for (const auto& [key, kept] : kept_) bytes += static_cast<double>(kept.matrix->bytes());
  while (bytes > limit && !kept_.empty()) {
    const auto oldest = std::min_element(
        kept_.begin(), kept_.end(),
        [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; });
    bytes -= static_cast<double>(oldest->second.matrix->bytes());
    kept_.erase(oldest);
  }
}

Result<std::shared_ptr<EncodedModel>> Candidates::encode(const std::vector<MatrixPlan>& plans,
                                                         const Recipe& recipe,
                                                         ProgressSink& progress) {
  auto encoded = std::make_shared<EncodedModel>(*original_.model);
  encoded->matrices.resize(original_.model->matrix_count());
  double bytes = 0;
  double changed = 0;
  progress.begin("encoding", plans.size());
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (recipe.types[i] != plans[i].original) {
      const std::size_t slot = plans[i].index;
      PARING_TRY(const Kept* kept, matrix_of(plans[i], recipe.types[i], recipe));
      encoded->matrices[slot] = kept->matrix;
      encoded->view.replace(slot, kept->matrix.get());
      const auto size = static_cast<double>(kept->matrix->bytes());
      bytes += size;
      changed += kept->changed_share * size;
    }
    progress.advance(1);
  }
  progress.end();
  encoded->changed_share = bytes > 0 ? changed / bytes : 0.0;
  forget_old();
  return encoded;
}

Result<std::vector<double>> Candidates::measure(const std::vector<MatrixPlan>& plans,
                                                const Recipe& recipe, const std::string& label) {
  const std::unique_ptr<ProgressSink> progress = prefixed_progress(progress_, label);
  return journal_.recall_or(journal_name(recipe), [&]() -> Result<std::vector<double>> {
    if (base_ == nullptr) {
      view_ = std::make_unique<model::ModelView>(*original_.model);
      PARING_TRY(measure::BaseRun base,
                 measure::BaseRun::create(evaluator_, *view_, windows_, measure::kExactOptions,
                                          *progress));
      base_ = std::make_unique<measure::BaseRun>(std::move(base));
    }
    const double start = system_clock().monotonic_seconds();
    PARING_TRY(const auto encoded, encode(plans, recipe, *progress));
    const double encoded_at = system_clock().monotonic_seconds();
    PARING_TRY(
        const measure::Divergence divergence,
        measure::compare(evaluator_, *base_, encoded->view, measure::kExactOptions, *progress));
    const double end = system_clock().monotonic_seconds();
    last_seconds_ = end - start;
    window_seconds_ = (end - encoded_at) / static_cast<double>(windows_.windows.size());
    return std::vector<double>{divergence.kl_mean, divergence.kl_standard_error};
  });
}

}  // namespace paring::shrink
