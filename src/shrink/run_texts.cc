// SPDX-License-Identifier: Apache-2.0
#include "shrink/run_texts.h"

#include <algorithm>

#include "base/file.h"
#include "engine/token_work.h"
#include "measure/builtin_text.h"

namespace paring::shrink {

namespace {

constexpr std::size_t kProbeContext = 128;  // many short windows see more kinds of text
constexpr std::size_t kCalibrationBytesMax = std::size_t{64} << 20;
constexpr std::size_t kLayerInputBytesMax = std::size_t{1} << 30;
// The statistics take about this share of the time on a machine of two slow cores.
constexpr double kStatisticsShare = 0.15;
constexpr double kSlowOperations = 40e9;  // a second
constexpr std::size_t kStatisticsWindowsMin = 16;
constexpr std::size_t kStatisticsWindowsMax = 48;
constexpr double kShortLimitSeconds = 6 * 60;
constexpr std::size_t kCandidateWindows = 10;
constexpr std::size_t kCandidateWindowsShort = 6;
constexpr std::size_t kHoldoutWindowsShort = 12;

bool is_short(double limit_seconds) { return limit_seconds < kShortLimitSeconds; }

}  // namespace

measure::Windows spread(const measure::Windows& all, std::size_t count, double phase) {
  measure::Windows some = all;
  some.windows.clear();
  count = std::min(count, all.windows.size());
  for (std::size_t i = 0; i < count; ++i) {
    const double at = (static_cast<double>(i) + phase) * static_cast<double>(all.windows.size()) /
                      static_cast<double>(count);
    some.windows.push_back(
        all.windows[std::min(static_cast<std::size_t>(at), all.windows.size() - 1)]);
  }
  return some;
}

TextCounts planned_counts(const model::BlockSpec& spec, double limit_seconds) {
  const double each =
      static_cast<double>(kContext) * engine::token_operations(spec, {1, kContext}).matrices;
  const double affordable = kStatisticsShare * limit_seconds * kSlowOperations / each;
  const std::size_t statistics = std::clamp(static_cast<std::size_t>(std::min(affordable, 1e6)),
                                            kStatisticsWindowsMin, kStatisticsWindowsMax);
  return {statistics, is_short(limit_seconds) ? kCandidateWindowsShort : kCandidateWindows};
}

void pick_search_texts(RunTexts& texts, const TextCounts& counts) {
  texts.statistics = spread(texts.calibration, counts.statistics, 0.5);
  texts.candidates = spread(texts.calibration, counts.candidates, 0.75);
}

Result<RunTexts> cut_texts(const engine::LoadedModel& model, const OptimizeOptions& options,
                           const measure::Evaluator& evaluator) {
  std::string text(measure::calibration_text());
  std::string name = kBuiltinCalibrationName;
  if (!options.calibration_path.empty()) {
    PARING_TRY(text, read_small_file(options.calibration_path, kCalibrationBytesMax));
    name = options.calibration_path;
  }
  const auto cut = [&](const std::string& label, std::string_view content, std::size_t context) {
    return measure::cut_windows(*model.tokenizer, model.add_bos, label, content,
                                {.context = context});
  };
  PARING_TRY(const measure::Windows probes, cut(name, text, kProbeContext));
  PARING_TRY(const measure::Windows calibration, cut(name, text, kContext));
  PARING_TRY(const measure::Windows holdout,
             cut(kBuiltinHoldoutName, measure::holdout_text(), kContext));
  const model::BlockSpec& spec = model.model->spec();
  const std::size_t window_bytes = spec.layers * kProbeContext * spec.width * sizeof(float);
  const std::size_t probe_count = std::clamp<std::size_t>(
      kLayerInputBytesMax / window_bytes, 1, evaluator.windows_per_step(kProbeContext));
  RunTexts texts;
  texts.probes = spread(probes, probe_count, 0.25);
  texts.holdout =
      is_short(options.time_limit_seconds) ? spread(holdout, kHoldoutWindowsShort, 0.5) : holdout;
  texts.calibration = calibration;
  return texts;
}

}  // namespace paring::shrink
