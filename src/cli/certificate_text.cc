// SPDX-License-Identifier: Apache-2.0
#include "cli/certificate_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/text.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "cost/probes.h"

namespace paring::cli {

namespace {

std::string change(double before, double after) {
  if (!(before > 0) || !(after >= 0)) return "";
  return fmt::format("x {:.3f}", after / before);
}

std::string speed(double rate, double share) {
  return fmt::format("{} ({} of limit)", format_rate(rate), format_percent(share));
}

std::string budget_text(const api::CertificateBudget& budget) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (budget.file_bytes != 0) add("file " + format_bytes(budget.file_bytes));
  if (budget.memory_bytes != 0) {
    add(fmt::format("memory {} at {} tokens", format_bytes(budget.memory_bytes),
                    budget.context_tokens));
  }
  if (budget.speedup > 0) add(fmt::format("decode {:g}x", budget.speedup));
  if (budget.kl_max > 0) add("KL " + format_kl(budget.kl_max));
  return text.empty() ? "none" : text;
}

// "Q4_0 120, Q5_1 44": how many matrices of each type.
std::string recipe_text(const std::vector<api::CertificateTensor>& recipe) {
  std::map<std::string, std::size_t> counts;
  for (const api::CertificateTensor& tensor : recipe) ++counts[tensor.type];
  std::string text;
  for (const auto& [type, count] : counts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", type, count);
  }
  return text;
}

Table figures_table(const api::Certificate& c) {
  Table table(
      {{""}, {"before", Align::kRight}, {"after", Align::kRight}, {"change", Align::kRight}});
  const auto add_bytes = [&](const char* name, std::uint64_t before, std::uint64_t after) {
    table.add({name, format_bytes(before), format_bytes(after),
               change(static_cast<double>(before), static_cast<double>(after))});
  };
  add_bytes("file", c.bytes_before.file, c.bytes_after.file);
  add_bytes("weights", c.bytes_before.weights, c.bytes_after.weights);
  add_bytes(c.budget.context_tokens != 0 ? "memory with cache" : "memory", c.bytes_before.memory,
            c.bytes_after.memory);
  const api::CertificateSpeed& before = c.speed_before;
  const api::CertificateSpeed& after = c.speed_after;
  table.add({"prefill, tokens/s",
             speed(before.prefill_tokens_per_second, before.prefill_limit_share),
             speed(after.prefill_tokens_per_second, after.prefill_limit_share),
             change(before.prefill_tokens_per_second, after.prefill_tokens_per_second)});
  table.add({"decode, tokens/s", speed(before.decode_tokens_per_second, before.decode_limit_share),
             speed(after.decode_tokens_per_second, after.decode_limit_share),
             change(before.decode_tokens_per_second, after.decode_tokens_per_second)});
  table.add({"perplexity", fmt::format("{:.4f}", c.perplexity.original),
             fmt::format("{:.4f}", c.perplexity.result),
             fmt::format("x {:.4f}", c.perplexity.ratio)});
  table.add(
      {"KL to the original, as served", "",
       fmt::format("{} +- {}", format_kl(c.served.kl_mean), format_kl(c.served.kl_standard_error)),
       ""});
  table.add({"KL to the original, weights alone", "",
             fmt::format("{} +- {}", format_kl(c.weights_only.kl_mean),
                         format_kl(c.weights_only.kl_standard_error)),
             ""});
  table.add({"same most likely token, as served", "", format_percent(c.served.top1), ""});
  return table;
}

}  // namespace

std::string certificate_text(const api::Certificate& c) {
  Facts facts;
  facts.add("original",
            fmt::format("{} (weights {})", c.original_name.empty() ? "unnamed" : c.original_name,
                        c.original_sha256.substr(0, 12)));
  facts.add("variant", c.variant.id().substr(0, 12));
  facts.add("budget", budget_text(c.budget));
  if (c.search.probes_wanted > 0) {
    facts.add("search", fmt::format("{} candidates in {}, {} of {} sensitivities, {} of {} "
                                    "refinements",
                                    c.search.candidates, format_duration(c.search.seconds),
                                    c.search.probes_measured, c.search.probes_wanted,
                                    c.search.refinements_measured, c.search.refinements_wanted));
  }
  facts.add("matrices by type", recipe_text(c.recipe));
  for (const api::CertificateText& text : c.texts) {
    facts.add(text.role + " text", fmt::format("{} ({} tokens, sha256 {})", text.name, text.tokens,
                                               text.sha256.substr(0, 12)));
  }
  facts.add("measured on", fmt::format("{}, {}, {}; paring {}, {}", c.host.cpu, c.host.isa,
                                       counted(c.host.threads, "thread"), c.tool_version, c.date));
  const std::string busy =
      cost::busy_note(std::min(c.speed_before.own_time_share, c.speed_after.own_time_share));
  if (!busy.empty()) facts.add("speeds", busy);
  return figures_table(c).render() + "\n" + facts.render();
}

}  // namespace paring::cli
