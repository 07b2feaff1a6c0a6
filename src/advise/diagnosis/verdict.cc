// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/verdict.h"

#include <cmath>

namespace paring::advise {

namespace {

// A logistic function of the signals.
struct Weights {
  double bias = 0;
#define PARING_X(name) double name = 0;
  PARING_SIGNALS(PARING_X)
#undef PARING_X
};

#include "advise/diagnosis/rule_weights.inc"

double probability(const Weights& weights, const Signals& signals) {
  double sum = weights.bias;
#define PARING_X(name) sum += weights.name * signals.name;
  PARING_SIGNALS(PARING_X)
#undef PARING_X
  return 1 / (1 + std::exp(-sum));
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

Verdict judge(const Signals& signals, bool has_context) {
  const bool knows_original = signals.has_original;
  Verdict verdict;
  verdict.context_probability =
      probability(knows_original ? kContextWithOriginal : kContextAlone, signals);
  verdict.model_probability =
      probability(knows_original ? kModelWithOriginal : kModelAlone, signals);
  const bool context = verdict.context_probability > 0.5, model = verdict.model_probability > 0.5;
  const double p = context ? verdict.context_probability : 1 - verdict.context_probability;
  const double q = model ? verdict.model_probability : 1 - verdict.model_probability;
  verdict.confidence = p * q;
  if (context) verdict.context_cause = context_cause(signals, has_context);
  if (model) verdict.model_cause = model_cause(signals);
  verdict.axis =
      context ? (model ? Axis::kBoth : Axis::kContext) : (model ? Axis::kModel : Axis::kNeither);
  verdict.cause = context ? (model ? Cause::kBoth : verdict.context_cause) : verdict.model_cause;
  return verdict;
}

}  // namespace paring::advise
