// SPDX-License-Identifier: Apache-2.0
#include "cli/figures.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/process.h"
#include "cli/table.h"

namespace paring::cli {

Json perplexity_json(const measure::Perplexity& perplexity) {
  return {{"value", perplexity.value},
          {"standard_error", perplexity.standard_error},
          {"tokens", perplexity.tokens}};
}

Json divergence_json(const measure::Divergence& d) {
  Json json;
  json["kl"] = {{"mean", d.kl_mean},     {"standard_error", d.kl_standard_error},
                {"median", d.kl_median}, {"p90", d.kl_p90},
                {"p95", d.kl_p95},       {"p99", d.kl_p99},
                {"p99.9", d.kl_p999},    {"max", d.kl_max}};
  json["top1"] = {{"share", d.top1}, {"standard_error", d.top1_standard_error}};
  json["delta_p"] = {{"rms", d.delta_p_rms}, {"rms_standard_error", d.delta_p_rms_standard_error}};
  json["perplexity_base"] = perplexity_json(d.base);
  json["perplexity_model"] = perplexity_json(d.model);
  json["perplexity_ratio"] = {{"value", std::exp(d.log_ratio)},
                              {"log", d.log_ratio},
                              {"log_standard_error", d.log_ratio_standard_error}};
  json["tokens"] = d.tokens;
  return json;
}

Json windows_json(const measure::Windows& windows) {
  return {{"name", windows.name},
          {"sha256", windows.sha256},
          {"protocol", measure::protocol_name(windows.protocol)},
          {"context", windows.context},
          {"windows", windows.windows.size()},
          {"scored_tokens", windows.scored_tokens()}};
}

Json phase_json(const measure::PhaseSpeed& phase) {
  return {{"tokens", phase.tokens},
          {"seconds", phase.seconds},
          {"tokens_per_second", phase.tokens_per_second},
          {"limit_tokens_per_second", phase.limit_tokens_per_second},
          {"limit_share", phase.limit_share},
          {"bytes_per_token", phase.bytes_per_token},
          {"operations_per_token", phase.operations_per_token},
          {"own_time_share", phase.own_share},
          {"is_busy", phase.own_share < kQuietShare}};
}

Json limits_json(const cost::Probes& probes) {
  return {{"read_bytes_per_second", probes.read_bytes_per_second},
          {"f32_operations_per_second", probes.f32_operations_per_second},
          {"int8_operations_per_second", probes.int8_operations_per_second},
          {"bf16_operations_per_second", probes.bf16_operations_per_second},
          {"own_time_share", probes.own_share},
          {"is_busy", probes.own_share < kQuietShare}};
}

std::string format_kl(double kl) { return fmt::format("{:.4g}", kl); }

std::string format_percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

std::string format_rate(double per_second) {
  if (per_second >= 1000) return fmt::format("{:.0f}", per_second);
  return fmt::format("{:.{}f}", per_second, per_second >= 10 ? 1 : 2);
}

std::string format_operations(double operations) {
  constexpr std::array<const char*, 6> kUnits{"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"};
  std::size_t unit = 0;
  for (; operations >= 1000 && unit + 1 < kUnits.size(); ++unit) operations /= 1000;
  return fmt::format("{:.4g} {}", operations, kUnits[unit]);
}

std::string divergence_table(const std::vector<NamedDivergence>& columns,
                             const std::string& protocol) {
  std::vector<Column> titles{{""}};
  for (const NamedDivergence& column : columns) titles.push_back({column.name, Align::kRight});
  Table table(titles);
  const auto add = [&](std::string name, const auto& cell) {
    std::vector<std::string> row{std::move(name)};
    for (const NamedDivergence& column : columns) row.push_back(cell(*column.figures));
    table.add(std::move(row));
  };
  using D = const measure::Divergence&;
  add("KL divergence (nats), mean", [](D d) {
    return fmt::format("{} +- {}", format_kl(d.kl_mean), format_kl(d.kl_standard_error));
  });
  add("  median", [](D d) { return format_kl(d.kl_median); });
  add("  90 %", [](D d) { return format_kl(d.kl_p90); });
  add("  95 %", [](D d) { return format_kl(d.kl_p95); });
  add("  99 %", [](D d) { return format_kl(d.kl_p99); });
  add("  99.9 %", [](D d) { return format_kl(d.kl_p999); });
  add("  maximum", [](D d) { return format_kl(d.kl_max); });
  add("same most likely token", [](D d) {
    return fmt::format("{} +- {}", format_percent(d.top1), format_percent(d.top1_standard_error));
  });
  add("RMS change of a token's probability", [](D d) {
    return fmt::format("{} +- {}", format_percent(d.delta_p_rms),
                       format_percent(d.delta_p_rms_standard_error));
  });
  add(fmt::format("perplexity of the base ({})", protocol),
      [](D d) { return fmt::format("{:.4f} +- {:.4f}", d.base.value, d.base.standard_error); });
  add(fmt::format("perplexity of the model ({})", protocol),
      [](D d) { return fmt::format("{:.4f} +- {:.4f}", d.model.value, d.model.standard_error); });
  add("perplexity ratio", [](D d) {
    const double ratio = std::exp(d.log_ratio);
    return fmt::format("{:.5f} +- {:.5f}", ratio, ratio * d.log_ratio_standard_error);
  });
  return table.render();
}

}  // namespace paring::cli
