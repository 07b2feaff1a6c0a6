// SPDX-License-Identifier: Apache-2.0
#include "cli/agreement_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cli/table.h"

namespace paring::cli {

namespace {

void set(Json& json, const char* name, const std::optional<double>& value) {
  if (value) json[name] = *value;
}

std::string kappa_text(const std::optional<double>& kappa, const std::optional<double>& low,
                       const std::optional<double>& high) {
  if (!kappa) return "cannot be told: chance explains all agreement";
  if (!low || !high) return fmt::format("{:.3f}", *kappa);
  return fmt::format("{:.3f} (95 %: {:.3f} to {:.3f})", *kappa, *low, *high);
}

}  // namespace

Json agreement_json(const improve::RatingPairs& pairs, const improve::Agreement& agreement) {
  Json json = {{"count", agreement.count},
               {"enough", agreement.is_enough()},
               {"least", improve::kAgreementPairsMin},
               {"judged", pairs.judged},
               {"mixed", pairs.mixed}};
  if (agreement.count > 0) json["equal"] = agreement.equal;
  set(json, "kappa", agreement.kappa);
  if (agreement.low) json["kappa_interval"] = {*agreement.low, *agreement.high};
  set(json, "weighted_kappa", agreement.weighted_kappa);
  if (agreement.weighted_low) {
    json["weighted_kappa_interval"] = {*agreement.weighted_low, *agreement.weighted_high};
  }
  set(json, "true_good", agreement.true_good);
  set(json, "true_bad", agreement.true_bad);
  set(json, "corrected_share", improve::corrected_share(pairs, agreement));
  json["ratings"] = agreement.ratings;
  json["table"] = agreement.table;
  return json;
}

std::string agreement_text(const std::string& judge, const improve::RatingPairs& pairs,
                           const improve::Agreement& agreement) {
  Facts facts;
  facts.add("judge", judge);
  facts.add("answers", fmt::format("{} by both, {} by the judge", group_digits(agreement.count),
                                   group_digits(static_cast<std::uint64_t>(pairs.judged))));
  if (pairs.mixed > 0) {
    facts.add("left out", fmt::format("{} with feedback that contradicts itself", pairs.mixed));
  }
  if (!agreement.is_enough()) {
    facts.add("too few labels", fmt::format("{} of at least {}; rate more answers, or judge more",
                                            agreement.count, improve::kAgreementPairsMin));
  }
  if (agreement.count == 0) return facts.render();
  facts.add("equal", fmt::format("{:.1f} %", 100 * agreement.equal));
  facts.add("kappa", kappa_text(agreement.kappa, agreement.low, agreement.high));
  if (agreement.weighted_kappa) {
    facts.add("weighted kappa", kappa_text(agreement.weighted_kappa, agreement.weighted_low,
                                           agreement.weighted_high));
  }
  const auto share = [&](const char* name, const std::optional<double>& value) {
    if (value) facts.add(name, fmt::format("{:.1f} %", 100 * *value));
  };
  share("good called good", agreement.true_good);
  share("bad called bad", agreement.true_bad);
  share("good ones, corrected", improve::corrected_share(pairs, agreement));
  std::vector<Column> columns = {{"people \\ judge"}};
  for (const double rating : agreement.ratings) {
    columns.push_back({fmt::format("{}", rating), Align::kRight});
  }
  Table table(std::move(columns));
  for (std::size_t h = 0; h < agreement.ratings.size(); ++h) {
    std::vector<std::string> cells = {fmt::format("{}", agreement.ratings[h])};
    for (const std::size_t count : agreement.table[h]) cells.push_back(group_digits(count));
    table.add(std::move(cells));
  }
  return facts.render() + table.render();
}

}  // namespace paring::cli
