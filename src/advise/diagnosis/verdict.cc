// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/verdict.h"

#include <algorithm>
#include <cmath>

namespace paring::advise {

namespace {

// Of one axis: its score is a weighted sum of the signals.
struct Weights {
  double bias = 0;
#define PARING_X(name) double name = 0;
  PARING_SIGNALS(PARING_X)
#undef PARING_X
};

#include "advise/diagnosis/rule_weights.inc"

using Rule = std::array<Weights, kAxes>;

double score(const Weights& weights, const Signals& signals) {
  double sum = weights.bias;
#define PARING_X(name) sum += weights.name * signals.name;
  PARING_SIGNALS(PARING_X)
#undef PARING_X
  return sum;
}

std::array<double, kAxes> probabilities_of(const Rule& rule, const Signals& signals) {
  std::array<double, kAxes> values{};
  for (std::size_t i = 0; i < kAxes; ++i) values[i] = score(rule[i], signals);
  const double most = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) sum += value = std::exp(value - most);
  for (double& value : values) value /= sum;
  return values;
}

// The first that explains it: what a plain prompt repairs was the prompt, and so on.
Cause context_cause(const Signals& s, bool has_context) {
  constexpr double kSameDocument = 0.3;  // so much of the evidence: it was cut, not another one
  const bool plain_repairs = s.served_right_plain + s.original_right_plain > 0;
  if (plain_repairs) return Cause::kPrompt;
  if (!has_context) return Cause::kMissingDocument;
  if (s.grounded > 0 && s.overlap > kSameDocument) return Cause::kLostInContext;
  return s.overlap > kSameDocument ? Cause::kCutDocument : Cause::kWrongDocument;
}

Cause model_cause(const Signals& s) {
  if (!s.has_original) return Cause::kModel;
  const bool original_can = s.original_right_both + s.original_right_evidence +
                                s.original_right_plain + s.original_right_sent >
                            0;
  return original_can ? Cause::kShrinking : Cause::kTooSmall;
}

}  // namespace

const char* replay_kind_name(ReplayKind kind) noexcept {
  switch (kind) {
#define PARING_X(name, text, what) \
  case ReplayKind::name:           \
    return text;
    PARING_REPLAY_KINDS(PARING_X)
#undef PARING_X
  }
  return "";
}

const char* cause_name(Cause cause) noexcept {
  switch (cause) {
    case Cause::kMissingDocument:
      return "missing document";
    case Cause::kWrongDocument:
      return "wrong document";
    case Cause::kCutDocument:
      return "document cut short";
    case Cause::kLostInContext:
      return "lost in a long context";
    case Cause::kPrompt:
      return "prompt";
    case Cause::kShrinking:
      return "shrinking";
    case Cause::kTooSmall:
      return "model too small or not tuned for this";
    case Cause::kModel:
      return "model";
    case Cause::kBoth:
      return "context and model";
    case Cause::kNeither:
      return "label or judge";
  }
  return "";
}

const char* axis_name(Axis axis) noexcept {
  switch (axis) {
    case Axis::kContext:
      return "context";
    case Axis::kModel:
      return "model";
    case Axis::kBoth:
      return "both";
    case Axis::kNeither:
      return "neither";
  }
  return "";
}

double Verdict::context_probability() const {
  return probabilities[static_cast<std::size_t>(Axis::kContext)] +
         probabilities[static_cast<std::size_t>(Axis::kBoth)];
}

double Verdict::model_probability() const {
  return probabilities[static_cast<std::size_t>(Axis::kModel)] +
         probabilities[static_cast<std::size_t>(Axis::kBoth)];
}

Verdict judge(const Signals& signals, bool has_context) {
  const Rule with_original = {kContextWithOriginal, kModelWithOriginal, kBothWithOriginal,
                              kNeitherWithOriginal};
  const Rule alone = {kContextAlone, kModelAlone, kBothAlone, kNeitherAlone};
  Verdict verdict;
  verdict.probabilities = probabilities_of(signals.has_original ? with_original : alone, signals);
  const auto likeliest =
      std::max_element(verdict.probabilities.begin(), verdict.probabilities.end());
  verdict.axis = static_cast<Axis>(likeliest - verdict.probabilities.begin());
  verdict.confidence = *likeliest;
  const bool is_both = verdict.axis == Axis::kBoth;
  if (is_both || verdict.axis == Axis::kContext) {
    verdict.cause = verdict.context_cause = context_cause(signals, has_context);
  }
  if (is_both || verdict.axis == Axis::kModel) {
    verdict.cause = verdict.model_cause = model_cause(signals);
  }
  if (is_both) verdict.cause = Cause::kBoth;
  return verdict;
}

}  // namespace paring::advise
