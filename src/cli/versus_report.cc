// SPDX-License-Identifier: Apache-2.0
#include "cli/versus_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/version.h"
#include "cli/context.h"
#include "cli/figures.h"
#include "cli/table.h"

namespace paring::cli {

namespace {

using measure::Agreement;
using measure::VersusRow;

std::string file_name(const VersusReport& report) {
  return std::filesystem::path(report.model).filename().string();
}

// Memory of the peer without what its interpreter takes before it loads a model.
std::uint64_t peer_bytes(const VersusReport& report, const VersusRow& row) {
  return row.peer_peak_bytes - std::min(row.peer_peak_bytes, report.peer.idle_bytes);
}

Json row_json(const VersusReport& report, const VersusRow& row) {
  return {{"case", case_text(row.speed_case)},
          {"title", case_title(row.speed_case)},
          {"tokens", row.speed_case.timed_tokens()},
          {"ratio",
           {{"median", row.ratio.median},
            {"low", row.ratio.low},
            {"high", row.ratio.high},
            {"coverage", row.ratio.coverage},
            {"pairs", row.ratios}}},
          {"paring",
           {{"tokens_per_second", row.ours.tokens_per_second},
            {"limit_tokens_per_second", row.ours.limit_tokens_per_second},
            {"limit_share", row.ours.limit_share},
            {"bytes_per_token", row.ours.bytes_per_token},
            {"operations_per_token", row.ours.operations_per_token},
            {"peak_resident_bytes", row.peak_bytes},
            {"cpus_while_peer_measured", row.own_idle_cpus}}},
          {"peer",
           {{"tokens_per_second", row.peer_tokens_per_second},
            {"flags", row.flags.text()},
            {"flags_tried", row.flags_tried},
            {"flags_known", row.flags_known},
            {"peak_resident_bytes", row.peer_peak_bytes},
            {"peak_resident_bytes_of_model", peer_bytes(report, row)},
            {"cpus_while_paring_measured", row.peer_idle_cpus}}},
          {"pairs_measured", row.pairs_measured},
          {"is_busy", row.is_busy}};
}

Json agreement_json(const Agreement& agreement) {
  Json json = {
      {"peer_flags", agreement.flags.text()}, {"prefix_tokens", agreement.prefix_tokens},
      {"positions", agreement.rows},          {"kl_mean", agreement.kl_mean},
      {"kl_max", agreement.kl_max},           {"top1", agreement.top1},
      {"greedy_tokens", agreement.steps},     {"is_same_text", !agreement.parts_at.has_value()}};
  if (agreement.parts_at) {
    json["parts_at_token"] = *agreement.parts_at;
    json["peer_margin_there"] = agreement.margin;
  }
  return json;
}

std::string agreement_text(const Agreement& agreement) {
  const std::string text =
      agreement.parts_at
          ? fmt::format(
                "greedy texts part at token {} of {}, where {:.2g} logits lie between the "
                "peer's best two",
                *agreement.parts_at + 1, agreement.steps, agreement.margin)
          : fmt::format("the same {} greedy tokens", agreement.steps);
  return fmt::format("KL {} nats (largest {}), top-1 {} over {} positions; {}",
                     format_kl(agreement.kl_mean), format_kl(agreement.kl_max),
                     format_percent(agreement.top1), agreement.rows, text);
}

std::string interval_text(const measure::MedianInterval& ratio) {
  return fmt::format("{:.2f} to {:.2f}", ratio.low, ratio.high);
}

// How many pairs there were, how sure the intervals are, and of what.
std::string interval_note(const VersusReport& report) {
  double least = 1;
  std::size_t most = report.options.pairs;
  for (const VersusRow& row : report.result.rows) {
    least = std::min(least, row.ratio.coverage);
    most = std::max(most, row.ratios.size());
  }
  const std::string more = most > report.options.pairs
                               ? fmt::format(" (up to {} on a busy machine)", most)
                               : std::string();
  return fmt::format(
      "medians of the ratios of {}{}, A B B A; an interval reaches from one of the ratios to "
      "another and holds the true median with a probability of {:.1f} %",
      counted(report.options.pairs, "pair"), more, 100 * least);
}

std::string machine_note(const VersusReport& report) {
  return fmt::format("{}; {}; reads {}/s, f32 {}/s, int8 {}/s", report.machine.label(),
                     counted(report.probes.threads, "thread"),
                     format_bytes(static_cast<std::uint64_t>(report.probes.read_bytes_per_second)),
                     format_operations(report.probes.f32_operations_per_second),
                     format_operations(report.probes.int8_operations_per_second));
}

std::string own_note(const VersusReport& report) {
  return fmt::format("{} ({}), {}, {} numerics, {} cache", version(), version_commit(),
                     report.probes.isa, numerics_name(report.options.numerics),
                     kv_type_name(report.options.kv_type));
}

std::string peer_note(const VersusReport& report) {
  std::string features = report.peer.features;
  // "SSE3 = 1 | AVX2 = 1 |" as "SSE3, AVX2".
  for (std::size_t at = 0; (at = features.find(" = 1")) != std::string::npos;) {
    features.erase(at, 4);
  }
  while (!features.empty() && (features.back() == '|' || features.back() == ' ')) {
    features.pop_back();
  }
  return fmt::format("{}, ggml {}; {}", report.peer.package, report.peer.build, features);
}

std::vector<std::string> busy_rows(const VersusReport& report) {
  std::vector<std::string> names;
  for (const VersusRow& row : report.result.rows) {
    if (row.is_busy) names.push_back(case_text(row.speed_case));
  }
  return names;
}

Table speed_table(const VersusReport& report) {
  Table table({{"case"},
               {"Paring tokens/s", Align::kRight},
               {"of limit", Align::kRight},
               {report.peer.name + " tokens/s", Align::kRight},
               {"ratio", Align::kRight},
               {"interval", Align::kRight},
               {"memory", Align::kRight},
               {report.peer.name + "'s", Align::kRight},
               {report.peer.name + "'s flags"}});
  for (const VersusRow& row : report.result.rows) {
    table.add({case_title(row.speed_case) + (row.is_busy ? " (busy)" : ""),
               format_rate(row.ours.tokens_per_second), format_percent(row.ours.limit_share),
               format_rate(row.peer_tokens_per_second), fmt::format("{:.2f}", row.ratio.median),
               interval_text(row.ratio), format_bytes(row.peak_bytes),
               format_bytes(peer_bytes(report, row)), row.flags.text()});
  }
  return table;
}

Facts notes(const VersusReport& report) {
  Facts facts;
  facts.add("measured", interval_note(report));
  for (const Agreement& agreement : report.result.agreements) {
    facts.add("outputs", agreement_text(agreement));
  }
  facts.add("machine", machine_note(report));
  facts.add("paring", own_note(report));
  facts.add(report.peer.name, peer_note(report));
  if (!report.result.left_out.empty()) {
    facts.add("left out", fmt::format("{}: longer than the model's context",
                                      fmt::join(report.result.left_out, ", ")));
  }
  if (const auto busy = busy_rows(report); !busy.empty()) {
    facts.add("busy", fmt::format("{}: other programs had more than {:.0f} % of the machine; "
                                  "repeat it when nothing else runs",
                                  fmt::join(busy, ", "), 100 * measure::Pair::kForeignMax));
  }
  if (const std::string note = cost::busy_note(report.probes.own_share); !note.empty()) {
    facts.add("limits", note);
  }
  return facts;
}

}  // namespace

Json versus_json(const VersusReport& report) {
  Json json;
  json["model"] = report.model;
  json["model_bytes"] = report.model_bytes;
  json["against"] = report.peer.name;
  json["pairs"] = report.options.pairs;
  json["interval"] = "order statistics of the ratios of pairs";
  json["rows"] = Json::array();
  for (const VersusRow& row : report.result.rows) json["rows"].push_back(row_json(report, row));
  json["agreement"] = Json::array();
  for (const Agreement& agreement : report.result.agreements) {
    json["agreement"].push_back(agreement_json(agreement));
  }
  json["left_out"] = report.result.left_out;
  json["limits"] = limits_json(report.probes);
  json["cpu"] = report.machine.cpu;
  json["cpu_flags"] = report.machine.isa_flags;
  json["cores"] = report.machine.cores;
  json["threads"] = report.probes.threads;
  json["paring"] = {{"version", version()},
                    {"commit", version_commit()},
                    {"isa", report.probes.isa},
                    {"numerics", numerics_name(report.options.numerics)},
                    {"kv_type", kv_type_name(report.options.kv_type)}};
  json["peer"] = {{"package", report.peer.package},
                  {"build", report.peer.build},
                  {"features", report.peer.features},
                  {"resident_bytes_without_model", report.peer.idle_bytes}};
  return json;
}

std::string versus_text(const VersusReport& report) {
  return speed_table(report).render() + "\n" + notes(report).render();
}

std::string versus_markdown(const VersusReport& report) {
  std::string text =
      fmt::format("### {} ({})\n\n{}\n", file_name(report), format_bytes(report.model_bytes),
                  speed_table(report).render_markdown());
  const Facts facts = notes(report);
  for (const auto& [name, value] : facts.lines()) {
    text += fmt::format("- {}: {}\n", name, value);
  }
  return text;
}

}  // namespace paring::cli
