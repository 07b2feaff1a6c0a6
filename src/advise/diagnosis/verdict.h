// SPDX-License-Identifier: Apache-2.0
// From the replays of a case to a verdict: signals, a rule of two logistic functions that was
// fitted on one half of seeded faults and frozen (rule_weights.inc, made by bench/diagnosis.py),
// and what exactly is wrong on an axis. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace paring::advise {

// enumerator, name in reports, what is asked
#define PARING_REPLAY_KINDS(X)                                            \
  X(kAsSent, "as sent", "the prompt as it was")                           \
  X(kEvidence, "better context", "its context replaced by the evidence")  \
  X(kPlain, "plain prompt", "a plain instruction, the context as it was") \
  X(kBoth, "both", "a plain instruction and the evidence alone")          \
  X(kClosedBook, "no context", "a plain instruction and the question alone")

enum class ReplayKind : std::uint8_t {
#define PARING_X(name, text, what) name,
  PARING_REPLAY_KINDS(PARING_X)
#undef PARING_X
};
inline constexpr std::size_t kReplayKinds = 5;
const char* replay_kind_name(ReplayKind kind) noexcept;

// What the rule looks at: names in reports. Log-probabilities are of the reference, nats a token,
// not below kLeastLogProbability; "right" is 0 or 1. Those of an original are zero without one.
#define PARING_SIGNALS(X)                                                                    \
  X(grounded)              /* the reference stands in the context that was sent */           \
  X(overlap)               /* share of the evidence that stands in it */                     \
  X(served_right_sent)     /* the served model, as sent */                                   \
  X(served_right_evidence) /* with better context */                                         \
  X(served_right_plain)    /* asked plainly */                                               \
  X(served_right_both)                                                                       \
  X(served_logp_both)                                                                        \
  X(served_gain_evidence) /* log-probability with the evidence less as sent */               \
  X(served_gain_plain)                                                                       \
  X(served_gain_both)                                                                        \
  X(served_use_of_context) /* plain prompt with the context as sent less without any */      \
  X(steady)                /* as sent and with both it says the same, not the reference */   \
  X(helpless)              /* no change makes the served model right */                      \
  X(original_right_sent)                                                                     \
  X(original_right_evidence)                                                                 \
  X(original_right_plain)                                                                    \
  X(original_right_both)                                                                     \
  X(original_logp_both)                                                                      \
  X(original_gain_evidence)                                                                  \
  X(original_gain_plain)                                                                     \
  X(original_gain_both)                                                                      \
  X(model_gain_sent) /* log-probability of the original less of the served model, as sent */ \
  X(model_gain_both)                                                                         \
  X(agreed)    /* both models with both say the same, and not the reference */               \
  X(hopeless)  /* no change makes either model right */                                      \
  X(recovered) /* a change makes the original right that was wrong as sent */

struct Signals {
#define PARING_X(name) double name = 0;
  PARING_SIGNALS(PARING_X)
#undef PARING_X
  bool has_original = false;
  bool has_evidence = false;
};
inline constexpr double kLeastLogProbability = -8;

enum class Cause : std::uint8_t {
  kMissingDocument,  // nothing to answer from
  kWrongDocument,    // something else
  kCutDocument,      // the right one without the part that answers
  kLostInContext,    // it stands there among too much else
  kPrompt,           // the instruction asks for something else or in another way
  kShrinking,        // the original could do it
  kTooSmall,         // neither could
  kModel,            // no original was given to tell which
  kBoth,
  kNeither,  // the answer as served is right, or the reference is not: label or judge
};
const char* cause_name(Cause cause) noexcept;

enum class Axis : std::uint8_t { kContext, kModel, kBoth, kNeither };
inline constexpr std::size_t kAxes = 4;
const char* axis_name(Axis axis) noexcept;

struct Verdict {
  std::array<double, kAxes> probabilities{};  // by Axis
  double context_probability() const;         // that the context, or the prompt, was bad
  double model_probability() const;           // that the model was
  Axis axis = Axis::kNeither;
  Cause cause = Cause::kNeither;
  Cause context_cause = Cause::kNeither;  // of kBoth: what it is on each axis
  Cause model_cause = Cause::kNeither;
  double confidence = 0;  // the probability of the axis
};

// `has_context`: the prompt had some.
Verdict judge(const Signals& signals, bool has_context);

}  // namespace paring::advise
