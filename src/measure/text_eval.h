// SPDX-License-Identifier: Apache-2.0
// A text read once: perplexity of a model and, with a base, its divergence from it, as it is served
// and by its weights alone. Step by step: the base is run on some windows, then the model twice on
// the same, then all but a few numbers a token is forgotten, so that memory does not grow with the
// text. Not thread-safe.
#pragma once

#include <optional>
#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "measure/compare.h"
#include "measure/journal.h"
#include "measure/windows.h"

namespace paring::measure {

// A model with the buffers that run it. Both must outlive the evaluation.
struct TextSide {
  Evaluator& evaluator;
  const model::ModelView& view;
};

struct TextFigures {
  Perplexity perplexity;                   // of the model, as the options say
  std::optional<Divergence> divergence;    // of the model as the options say, from the base, exact
  std::optional<Divergence> weights_only;  // exact numerics and f32 cache on both sides
  std::size_t resumed_windows = 0;         // taken from the journal
};

// Where results of windows are kept as they come, and under which name: everything that decides
// them, see text_run_key().
struct TextJournal {
  Journal& journal;
  std::string run;
};
// `variant` and `base_variant` (empty: no base) identify the models and how they are computed.
std::string text_run_key(const Windows& windows, const std::string& variant,
                         const std::string& base_variant);

// `base` may be null: no divergence then. When `eval` already is exact, the model is run once and
// both divergences are the same. Windows that the journal holds are not computed again.
// REQUIRES: both models have the vocabulary of `windows`. Corrupt for a journal that holds
// something else under our name.
Result<TextFigures> evaluate_text(const TextSide& model, const TextSide* base,
                                  const Windows& windows, const EvalOptions& eval,
                                  const TextJournal& journal, ProgressSink& progress);

// A text file as it is. InvalidArgument when it is larger than text::kTextBytesMax or not UTF-8
// (which says where); errors of opening as io::MappedFile's.
Result<std::string> read_text(const std::string& path);

}  // namespace paring::measure
