// SPDX-License-Identifier: Apache-2.0
#include "measure/text_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "io/mapped_file.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace paring::measure {

namespace {

bool is_exact(const EvalOptions& eval) {
  return eval.numerics == kExactOptions.numerics && eval.kv_type == kExactOptions.kv_type;
}

// What is kept of the windows done so far: values of each scored token, in order.
struct Rows {
  std::vector<double> base_losses;  // empty without a base
  RowScores as_asked;               // kl and same_top are empty without a base
  RowScores exact;                  // empty without a base, or when as_asked is exact
};

// Runs windows [first, first + count), a step of each model at a time, and appends to `rows`.
Result<void> run_windows(const TextSide& model, const TextSide* base, const Windows& windows,
                         std::size_t first, std::size_t count, const EvalOptions& eval,
                         Rows& rows) {
  if (base == nullptr) {
    const std::size_t done = rows.as_asked.losses.size();
    rows.as_asked.losses.resize(done + count * windows.scored_rows());
    return window_losses(model.evaluator, model.view, windows, first, count, eval,
                         std::span(rows.as_asked.losses).subspan(done));
  }
  PARING_TRY(const BaseRun run,
             BaseRun::create(base->evaluator, base->view, windows.part(first, count), kExactOptions,
                             silent_progress()));
  rows.base_losses.insert(rows.base_losses.end(), run.losses().begin(), run.losses().end());
  PARING_TRY_VOID(
      compare_windows(model.evaluator, run, 0, count, model.view, eval, {}, rows.as_asked));
  if (is_exact(eval)) return {};
  return compare_windows(model.evaluator, run, 0, count, model.view, kExactOptions, {}, rows.exact);
}

}  // namespace

Result<TextFigures> evaluate_text(const TextSide& model, const TextSide* base,
                                  const Windows& windows, const EvalOptions& eval,
                                  ProgressSink& progress) {
  Rows rows;
  std::size_t per_step = model.evaluator.windows_per_step(windows.context);
  if (base != nullptr) {
    per_step = std::min(per_step, base->evaluator.windows_per_step(windows.context));
  }
  const std::size_t total = windows.windows.size();
  progress.begin(base == nullptr ? "perplexity" : "divergence", total);
  for (std::size_t first = 0; first < total; first += per_step) {
    const std::size_t count = std::min(per_step, total - first);
    PARING_TRY_VOID(run_windows(model, base, windows, first, count, eval, rows));
    progress.advance(count);
  }
  progress.end();
  TextFigures figures;
  figures.perplexity = perplexity_of(rows.as_asked.losses);
  if (base == nullptr) return figures;
  figures.divergence = summarize(rows.base_losses, rows.as_asked);
  figures.weights_only =
      is_exact(eval) ? figures.divergence : summarize(rows.base_losses, rows.exact);
  return figures;
}

Result<std::string> read_text(const std::string& path) {
  PARING_TRY(const io::MappedFile file, io::MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  if (text.size() > text::kTextBytesMax) {
    return invalid_argument(fmt::format("'{}' has {} bytes, the limit for a text is {}", path,
                                        text.size(), text::kTextBytesMax),
                            "cut it; some hundred kilobytes already give a small standard error");
  }
  for (std::size_t at = 0; at < text.size();) {
    const text::Utf8Step step = text::utf8_step(text, at);
    if (step.kind != text::Utf8Step::Kind::kCharacter) {
      return invalid_argument(fmt::format("'{}' is not UTF-8 text: byte {} (0x{:02x}) is not part "
                                          "of a character",
                                          path, at, static_cast<unsigned char>(text[at])),
                              "convert it, for example with iconv -t utf-8");
    }
    at += step.size;
  }
  return std::string(text);
}

}  // namespace paring::measure
