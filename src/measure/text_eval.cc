// SPDX-License-Identifier: Apache-2.0
#include "measure/text_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/sha256.h"
#include "base/version.h"
#include "io/mapped_file.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace paring::measure {

namespace {

bool is_exact(const EvalOptions& eval) {
  return eval.numerics == kExactOptions.numerics && eval.kv_type == kExactOptions.kv_type;
}

using Json = nlohmann::json;

// What is kept of the windows done so far: values of each scored token, in order.
struct Rows {
  std::vector<double> base_losses;  // empty without a base
  RowScores as_asked;               // kl and same_top are empty without a base
  RowScores exact;                  // empty without a base, or when as_asked is exact
};

// Rows [begin, begin + count) of a list that may be empty.
template <typename T>
Json some(const std::vector<T>& values, std::size_t begin, std::size_t count) {
  Json list = Json::array();
  for (std::size_t i = begin; i < std::min(values.size(), begin + count); ++i) {
    list.push_back(values[i]);
  }
  return list;
}

Json scores_json(const RowScores& scores, std::size_t begin, std::size_t count) {
  return {{"kl", some(scores.kl, begin, count)},
          {"loss", some(scores.losses, begin, count)},
          {"top", some(scores.same_top, begin, count)}};
}

// Numbers are written such that they are read back bit for bit.
std::string rows_text(const Rows& rows, std::size_t begin, std::size_t count) {
  const Json json = {{"base", some(rows.base_losses, begin, count)},
                     {"asked", scores_json(rows.as_asked, begin, count)},
                     {"exact", scores_json(rows.exact, begin, count)}};
  return json.dump();
}

// Appends a list of `count` numbers, or of none; false for anything else.
template <typename T>
bool append(const Json& list, std::size_t count, std::vector<T>& target) {
  if (!list.is_array() || (list.size() != count && !list.empty())) return false;
  for (const Json& value : list) {
    if (!value.is_number()) return false;
    target.push_back(value.get<T>());
  }
  return true;
}

bool append_scores(const Json& json, std::size_t count, RowScores& scores) {
  return json.is_object() && append(json.value("kl", Json()), count, scores.kl) &&
         append(json.value("loss", Json()), count, scores.losses) &&
         append(json.value("top", Json()), count, scores.same_top);
}

bool append_rows(const std::string& text, std::size_t count, Rows& rows) {
  const Json json = Json::parse(text, nullptr, false);
  return json.is_object() && append(json.value("base", Json()), count, rows.base_losses) &&
         append_scores(json.value("asked", Json()), count, rows.as_asked) &&
         append_scores(json.value("exact", Json()), count, rows.exact);
}

// The windows at the beginning that the journal holds.
Result<std::size_t> resume(const TextJournal& journal, const Windows& windows, Rows& rows) {
  std::size_t done = 0;
  for (; done < windows.windows.size(); ++done) {
    const std::string* stored = journal.journal.find(journal.run, done);
    if (stored == nullptr) break;
    if (!append_rows(*stored, windows.scored_rows(), rows) ||
        rows.as_asked.losses.size() != (done + 1) * windows.scored_rows()) {
      return corrupt(fmt::format("the journal's result of window {} cannot be read", done),
                     "give another --journal");
    }
  }
  return done;
}

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

std::string text_run_key(const Windows& windows, const std::string& variant,
                         const std::string& base_variant) {
  return sha256_hex(fmt::format("paring-text-1\n{} {}\n{}\n{}\n{}\n{}\n{}\n", version(),
                                version_commit(), variant, base_variant,
                                protocol_name(windows.protocol), windows.context, windows.sha256));
}

Result<TextFigures> evaluate_text(const TextSide& model, const TextSide* base,
                                  const Windows& windows, const EvalOptions& eval,
                                  const TextJournal& journal, ProgressSink& progress) {
  Rows rows;
  PARING_TRY(const std::size_t resumed, resume(journal, windows, rows));
  std::size_t per_step = model.evaluator.windows_per_step(windows.context);
  if (base != nullptr) {
    per_step = std::min(per_step, base->evaluator.windows_per_step(windows.context));
  }
  const std::size_t total = windows.windows.size();
  progress.begin(base == nullptr ? "perplexity" : "divergence", total);
  progress.advance(resumed);
  const std::size_t scored = windows.scored_rows();
  for (std::size_t first = resumed; first < total; first += per_step) {
    const std::size_t count = std::min(per_step, total - first);
    PARING_TRY_VOID(run_windows(model, base, windows, first, count, eval, rows));
    for (std::size_t w = first; w < first + count; ++w) {
      PARING_TRY_VOID(journal.journal.append(journal.run, w, rows_text(rows, w * scored, scored)));
    }
    progress.advance(count);
  }
  progress.end();
  TextFigures figures;
  figures.resumed_windows = resumed;
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
