// SPDX-License-Identifier: Apache-2.0
#include "shrink/check.h"

#include <cstring>

namespace paring::shrink {

namespace {

bool same_bytes(const kernels::Plane& a, const kernels::Plane& b) {
  return a.bytes() == b.bytes() &&
         (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

bool same_matrix(const kernels::PackedMatrix& a, const kernels::PackedMatrix& b) {
  return a.type == b.type && a.rows == b.rows && a.cols == b.cols && same_bytes(a.codes, b.codes) &&
         same_bytes(a.high, b.high) && same_bytes(a.scales, b.scales) &&
         same_bytes(a.mins, b.mins) && same_bytes(a.subs, b.subs);
}

}  // namespace

double upper_kl(const measure::Divergence& divergence) {
  constexpr double kOneSided95 = 1.645;  // of the normal distribution
  return divergence.kl_mean + kOneSided95 * divergence.kl_standard_error;
}

Result<CheckedFile> Check::load(const std::string& path, const model::ModelView& expected) {
  PARING_TRY(engine::LoadedModel loaded, engine::LoadedModel::load(path, executor_, {}));
  CheckedFile file{std::move(loaded), 0, {}, {}, {}};
  file.weight_bytes = file.model.model->weight_bytes();
  const model::Model& model = *file.model.model;
  for (std::size_t i = 0; i < model.matrix_count(); ++i) {
    if (!same_matrix(model.matrix(i), expected.matrix(i))) {
      return Error{ErrorCode::kInternal,
                   path + ": matrix '" + model.slot(i).name + "' is not the one that was measured",
                   "the disk may be failing; do not use the file"};
    }
  }
  return file;
}

Result<void> Check::measure_loss(CheckedFile& file) {
  const auto called = [&](const char* what) { return prefixed_progress(progress_, what); };
  if (base_ == nullptr) {
    PARING_TRY(measure::BaseRun base,
               measure::BaseRun::create(evaluator_, view_, holdout_, measure::kExactOptions,
                                        *called("check")));
    base_ = std::make_unique<measure::BaseRun>(std::move(base));
    PARING_TRY(original_served_, measure::compare(evaluator_, *base_, view_, {},
                                                  *called("check of the original as served")));
  }
  const model::ModelView view(*file.model.model);
  PARING_TRY(file.served, measure::compare(evaluator_, *base_, view, {},
                                           *called("check of the result as served")));
  PARING_TRY(file.weights, measure::compare(evaluator_, *base_, view, measure::kExactOptions,
                                            *called("check of the result's weights")));
  return {};
}

Result<bool> Check::measure_speed(CheckedFile& file, const TimePlan& time, double publish_seconds) {
  const model::ModelView view(*file.model.model);
  const measure::BenchOptions full;
  // A little of both phases tells what all of it would take.
  measure::BenchOptions some = full;
  some.repetitions = 1;
  some.busy_repetitions = 0;
  some.prefill_tokens = 32;
  some.decode_tokens = 4;
  double round = 0;
  for (const model::ModelView* each : {&view, static_cast<const model::ModelView*>(&view_)}) {
    PARING_TRY(const measure::BenchResult pilot, measure::bench(*each, executor_, probes_, some));
    round += static_cast<double>(full.prefill_tokens) / pilot.prefill.tokens_per_second +
             static_cast<double>(full.decode_tokens) / pilot.decode.tokens_per_second;
  }
  const measure::BenchOptions options = time.speed_options(full, round, publish_seconds);
  PARING_TRY(file.speed, measure::bench(view, executor_, probes_, options));
  PARING_TRY(original_speed_, measure::bench(view_, executor_, probes_, options));
  return options.repetitions < full.repetitions || options.decode_tokens < full.decode_tokens;
}

}  // namespace paring::shrink
