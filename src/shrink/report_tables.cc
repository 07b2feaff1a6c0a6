// SPDX-License-Identifier: Apache-2.0
// The tables of the report.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/text.h"
#include "shrink/report_charts.h"
#include "shrink/report_sections.h"
#include "shrink/report_text.h"

namespace paring::shrink::report {
namespace {

enum class Better { kSmaller, kLarger };

// "2.55x smaller (-60.8 %)" or "1.90x faster (+90.0 %)"; the words carry what the colour says.
std::string change_cell(double source, double target, Better better) {
  const std::string no_change = fmt::format("<td class=\"soft\">{}</td>", kDash);
  if (!(source > 0) || !(target > 0) || !std::isfinite(source) || !std::isfinite(target)) {
    return no_change;
  }
  if (source == target) return "<td class=\"soft\">same</td>";
  constexpr double kWorthWords = 0.005;  // below it the factor would read 1.00
  if (std::abs(target / source - 1) < kWorthWords) {
    return fmt::format("<td class=\"soft\">{}</td>", change(source, target));
  }
  const bool is_larger = target > source;
  const char* word = better == Better::kSmaller ? (is_larger ? "larger" : "smaller")
                                                : (is_larger ? "faster" : "slower");
  const bool is_better = is_larger == (better == Better::kLarger);
  return fmt::format("<td class=\"{}\">{} {} <span class=\"soft\">({})</span></td>",
                     is_better ? "better" : "worse",
                     is_larger ? factor(source, target) : factor(target, source), word,
                     change(source, target));
}

std::string plain_cell(const std::string& markup) {
  return fmt::format("<td class=\"soft\">{}</td>", markup.empty() ? std::string(kDash) : markup);
}

std::string row(std::string_view name, const std::string& before, const std::string& after,
                const std::string& change_markup) {
  return fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td>{}</tr>\n", name, before,
                     after, change_markup);
}

std::string group(std::string_view name) {
  return fmt::format("<tr class=\"group\"><th colspan=\"4\" scope=\"colgroup\">{}</th></tr>\n",
                     name);
}

std::string bytes_row(std::string_view name, std::uint64_t before, std::uint64_t after) {
  return row(
      name, format_bytes(before), format_bytes(after),
      change_cell(static_cast<double>(before), static_cast<double>(after), Better::kSmaller));
}

// Of the memory figure; the bench run's own cache has another length.
std::uint64_t beside_weights(const ModelFigures& figures) {
  return figures.memory_bytes -
         std::min<std::uint64_t>(figures.memory_bytes, figures.speed.weight_bytes);
}

std::string speed_rows(const char* name, const measure::PhaseSpeed& before,
                       const measure::PhaseSpeed& after) {
  const auto speed = [](const measure::PhaseSpeed& phase) {
    return fixed(phase.tokens_per_second, 1) + " tokens/s";
  };
  const auto limit = [](const measure::PhaseSpeed& phase) {
    return phase.limit_tokens_per_second > 0
               ? fmt::format("{} of {}", percent(phase.limit_share, 0),
                             fixed(phase.limit_tokens_per_second, 1))
               : std::string(kNoValue);
  };
  return row(name, speed(before), speed(after),
             change_cell(before.tokens_per_second, after.tokens_per_second, Better::kLarger)) +
         row(fmt::format("{}, share of this machine's limit", name), limit(before), limit(after),
             plain_cell(""));
}

// Both with as many decimals as give the error two digits, or one from 5 on: "0.0358 +- 0.0012".
std::string with_error(double value, double error) {
  if (!std::isfinite(error) || error <= 0 || !std::isfinite(value)) return number(value);
  const double places = 1 - std::floor(std::log10(2 * error));
  if (!(places >= 0 && places <= 7)) return number(value);
  const int decimals = static_cast<int>(places);
  return fmt::format("{} <span class=\"soft\">&#177; {}</span>", fixed(value, decimals),
                     fixed(error, decimals));
}

// A table cell that sorts by `value`; what is not known sorts first.
std::string value_cell(std::optional<double> value, const std::string& markup) {
  const double key = value && std::isfinite(*value) ? *value : -1;
  return fmt::format("<td data-value=\"{:.9g}\">{}</td>", key, markup);
}

std::string type_chip(DType type) {
  const std::size_t shade = bits_class(type);
  return fmt::format("<span class=\"chip b{0} bt{0}\">{1}</span>", shade, dtype_name(type));
}

bool fits_budget(const Candidate& candidate, const OptimizeResult& result) {
  const Budget& budget = result.budget;
  if (budget.file_bytes > 0 && candidate.file_bytes > budget.file_bytes) return false;
  return !(budget.kl_max > 0) || candidate.kl <= budget.kl_max;
}

std::string candidate_row(const OptimizeResult& result, std::size_t index, bool is_on_front) {
  const Candidate& candidate = result.candidates[index];
  const double decode = candidate.decode_tokens_per_second;
  const double ratio = candidate.kl > 0 ? candidate.predicted_kl / candidate.kl : NAN;
  std::string notes;
  const auto note = [&](std::string_view text) {
    if (!notes.empty()) notes += ", ";
    notes += text;
  };
  if (candidate.is_winner) note("<strong>&#9733; chosen</strong>");
  if (is_on_front) note("on the front");
  if (!fits_budget(candidate, result)) note("over budget");
  std::string out = fmt::format("<tr{}>", candidate.is_winner ? " class=\"winner\"" : "");
  out += value_cell(static_cast<double>(index + 1), fmt::format("{}", index + 1));
  out += fmt::format("<td class=\"left\">{}</td>", escape_cut(candidate.name, 120));
  out += value_cell(static_cast<double>(candidate.file_bytes), format_bytes(candidate.file_bytes));
  out += value_cell(candidate.kl, with_error(candidate.kl, candidate.kl_standard_error));
  out += value_cell(candidate.predicted_kl, number(candidate.predicted_kl));
  out += value_cell(ratio, std::isfinite(ratio) ? fixed(ratio, 2) : std::string(kNoValue));
  out += value_cell(decode, decode > 0 ? fixed(decode, 1) : std::string(kDash));
  return out + fmt::format("<td class=\"left tight\">{}</td></tr>\n", notes);
}

std::string recipe_row(const MatrixPlan& plan) {
  const auto as_double = [](std::optional<std::uint64_t> bytes) {
    return bytes ? std::optional(static_cast<double>(*bytes)) : std::nullopt;
  };
  const auto bytes_markup = [](std::optional<std::uint64_t> bytes) {
    return bytes ? format_bytes(*bytes) : std::string(kNoValue);
  };
  const std::optional<std::uint64_t> before = matrix_bytes(plan, plan.original);
  const std::optional<std::uint64_t> after = matrix_bytes(plan, plan.chosen);
  const std::optional<double> kl = chosen_kl(plan);
  const TypeOption* option = chosen_option(plan);
  const double bits = dtype_info(plan.chosen).bits_per_weight();
  std::string kl_source;
  if (option != nullptr) kl_source = option->is_measured ? "measured" : "extrapolated";
  std::string out = fmt::format("<tr><td class=\"mono\">{}</td>", escape_cut(plan.name, 200));
  out += value_cell(static_cast<double>(plan.rows) * static_cast<double>(plan.cols),
                    fmt::format("{} {} {}", plan.rows, kTimes, plan.cols));
  out += fmt::format("<td>{}</td><td>{}</td>", dtype_name(plan.original), type_chip(plan.chosen));
  out += value_cell(bits, number(bits));
  out += value_cell(as_double(before), bytes_markup(before));
  out += value_cell(as_double(after), bytes_markup(after));
  out += value_cell(kl, kl ? number(*kl) : std::string(kNoValue));
  out += fmt::format("<td class=\"left soft\">{}</td>", kl_source);
  const double time = option != nullptr ? option->seconds : 0;
  out +=
      value_cell(time, time > 0 && std::isfinite(time) ? fixed(time * 1e6, 1) : std::string(kDash));
  return out + "</tr>\n";
}

}  // namespace

std::string before_after_table(const OptimizeResult& result) {
  const ModelFigures& before = result.before;
  const ModelFigures& after = result.after;
  std::string out =
      "<table><thead><tr><th scope=\"col\">Figure</th><th scope=\"col\">Before</th>"
      "<th scope=\"col\">After</th><th scope=\"col\">Change</th></tr></thead>\n<tbody>\n";
  out += group("Size");
  out += bytes_row("File", before.file_bytes, after.file_bytes);
  out += bytes_row("Memory while running", before.memory_bytes, after.memory_bytes);
  out += bytes_row("<span class=\"part\">weights</span>", before.speed.weight_bytes,
                   after.speed.weight_bytes);
  out += bytes_row("<span class=\"part\">cache and buffers</span>", beside_weights(before),
                   beside_weights(after));
  out += group("Speed on this machine");
  out += speed_rows("Decode", before.speed.decode, after.speed.decode);
  out += speed_rows("Prefill", before.speed.prefill, after.speed.prefill);
  out += row("Memory read for a decoded token",
             number(before.speed.decode.bytes_per_token / 1e6, 4) + " MB",
             number(after.speed.decode.bytes_per_token / 1e6, 4) + " MB",
             change_cell(before.speed.decode.bytes_per_token, after.speed.decode.bytes_per_token,
                         Better::kSmaller));
  out += group("Quality on held-out text");
  const double perplexity_error = result.served.model.standard_error;
  out += row("Perplexity, as served", fixed(before.perplexity, 2),
             fixed(after.perplexity, 2) +
                 (perplexity_error > 0 ? fmt::format(" <span class=\"soft\">&#177; {}</span>",
                                                     fixed(perplexity_error, 2))
                                       : std::string()),
             plain_cell(change(before.perplexity, after.perplexity)));
  out += row("Mean KL to the original, as served", number(before.kl),
             with_error(after.kl, result.served.kl_standard_error), plain_cell(""));
  out += row("Mean KL, weights only", number(before.kl_weights),
             with_error(after.kl_weights, result.weights.kl_standard_error), plain_cell(""));
  out += row("Same top token as the original, as served", percent(before.top1),
             percent(after.top1) + (result.served.top1_standard_error > 0
                                        ? fmt::format(" <span class=\"soft\">&#177; {}</span>",
                                                      percent(result.served.top1_standard_error))
                                        : std::string()),
             plain_cell(""));
  return out + "</tbody></table>\n";
}

std::string candidates_table(const OptimizeResult& result) {
  if (result.candidates.empty()) return "<p>No candidate was measured.</p>\n";
  const std::vector<std::size_t> front = pareto_front(result.candidates);
  std::string out =
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Candidates\">"
      "<table class=\"sortable\"><thead><tr><th scope=\"col\">#</th>"
      "<th scope=\"col\" class=\"left\">Candidate</th><th scope=\"col\">File</th>"
      "<th scope=\"col\">KL measured</th><th scope=\"col\">KL predicted</th>"
      "<th scope=\"col\">Predicted / measured</th><th scope=\"col\">Decode, tokens/s</th>"
      "<th scope=\"col\" class=\"left\">Notes</th></tr></thead>\n<tbody>\n";
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    out += candidate_row(result, i, std::find(front.begin(), front.end(), i) != front.end());
  }
  return out + "</tbody></table></div>\n";
}

std::string types_table(const OptimizeResult& result) {
  struct Sum {
    std::size_t matrices = 0;
    double weights = 0;
    double bytes = 0;
    double kl = 0;
  };
  // Fewest bits first; types of equal size in the order of their ids.
  std::map<std::pair<double, DType>, Sum> sums;
  double bytes_total = 0;
  double weights_total = 0;
  for (const MatrixPlan& plan : result.plans) {
    Sum& sum = sums[{dtype_info(plan.chosen).bits_per_weight(), plan.chosen}];
    const double weights = static_cast<double>(plan.rows) * static_cast<double>(plan.cols);
    const double bytes = static_cast<double>(matrix_bytes(plan, plan.chosen).value_or(0));
    ++sum.matrices;
    sum.weights += weights;
    sum.bytes += bytes;
    sum.kl += chosen_kl(plan).value_or(0);
    weights_total += weights;
    bytes_total += bytes;
  }
  if (sums.empty()) return "<p>No matrices.</p>\n";
  std::string out =
      "<table><thead><tr><th scope=\"col\">Type</th><th scope=\"col\">Bits a weight</th>"
      "<th scope=\"col\">Matrices</th><th scope=\"col\">Share of weights</th>"
      "<th scope=\"col\">Bytes</th><th scope=\"col\">Share of bytes</th>"
      "<th scope=\"col\">Predicted KL, summed</th></tr></thead>\n<tbody>\n";
  for (const auto& [key, sum] : sums) {
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} "
        "MB</td><td>{}</td><td>{}</td></tr>\n",
        type_chip(key.second), number(key.first), sum.matrices,
        percent(sum.weights / weights_total), fixed(sum.bytes / 1e6, 1),
        percent(sum.bytes / bytes_total), number(sum.kl));
  }
  out += fmt::format(
      "<tr><td>all</td><td>{}</td><td>{}</td><td>100.0&#160;%</td><td>{} MB</td>"
      "<td>100.0&#160;%</td><td></td></tr>\n",
      number(8 * bytes_total / weights_total), result.plans.size(), fixed(bytes_total / 1e6, 1));
  return out + "</tbody></table>\n";
}

std::string recipe_table(const OptimizeResult& result) {
  std::string out =
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Recipe\">"
      "<table class=\"sortable\"><thead><tr><th scope=\"col\">Matrix</th>"
      "<th scope=\"col\">Rows &#215; columns</th><th scope=\"col\">Original</th>"
      "<th scope=\"col\">Chosen</th><th scope=\"col\">Bits a weight</th>"
      "<th scope=\"col\">Bytes before</th><th scope=\"col\">Bytes</th>"
      "<th scope=\"col\">KL alone</th><th scope=\"col\" class=\"left\">KL is</th>"
      "<th scope=\"col\">Time, &#181;s</th></tr></thead>\n<tbody>\n";
  for (const MatrixPlan& plan : result.plans) out += recipe_row(plan);
  return out + "</tbody></table></div>\n";
}

}  // namespace paring::shrink::report
