// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/traffic_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"

namespace paring::advise {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 10> kBadWords = {
    "bad",  "wrong", "incorrect", "negative",    "poor",
    "down", "no",    "dislike",   "thumbs_down", "unhelpful"};
constexpr std::int64_t kScoresAtOnce = 100;

// The text of an answer as the store has it: a message, or a string of a completion.
std::string answer_text(const std::string& answer) {
  const Json json = Json::parse(answer, nullptr, false);
  if (json.is_string()) return json.get<std::string>();
  if (!json.is_object()) return {};
  const auto content = json.find("content");
  return content != json.end() && content->is_string() ? content->get<std::string>()
                                                       : std::string();
}

Result<Case> case_of_row(const store::TrafficRequest& row) {
  PARING_TRY(Case c, case_of(row.id, row.content->prompt));
  c.answer = answer_text(row.content->answer);
  return c;
}

// The newest corrected answer.
Result<std::string> correction_of(const store::Scores& scores, const std::string& tenant,
                                  const std::string& id) {
  const store::ScoreFilter filter{"response", id, ""};
  PARING_TRY(const auto page, scores.list(tenant, filter, {.after = "", .limit = kScoresAtOnce}));
  for (const store::ScoreRow& score : page.rows) {
    if (score.type == "correction" && score.text) return *score.text;
  }
  return std::string();
}

}  // namespace

bool is_bad(const store::ScoreRow& score) {
  if (score.type == "correction") return true;
  if (score.number) return *score.number < kBadBelow;
  if (score.type != "categorical" || !score.text) return false;
  const std::string word = ascii_lower(*score.text);
  return std::find(kBadWords.begin(), kBadWords.end(), word) != kBadWords.end();
}

Result<Case> case_of_request(const store::TrafficDb& traffic, const store::Scores& scores,
                             const std::string& id) {
  PARING_TRY(const std::vector<store::TrafficRequest> rows, traffic.find(id));
  if (rows.empty()) {
    return not_found(fmt::format("no request '{}' in {}", id, traffic.folder()),
                     "ids are those of x-request-id; requests are kept for --traffic-days");
  }
  const auto row =
      std::find_if(rows.begin(), rows.end(), [](const auto& r) { return r.content.has_value(); });
  if (row == rows.end()) {
    return not_found(fmt::format("the text of request '{}' was not kept", id),
                     "the server keeps prompts and answers only when it is told to");
  }
  PARING_TRY(Case c, case_of_row(*row));
  PARING_TRY(c.reference, correction_of(scores, row->tenant, id));
  return c;
}

Result<BadlyRated> badly_rated_cases(const store::TrafficDb& traffic, const store::Scores& scores,
                                     const std::string& tenant, const std::string& model,
                                     std::size_t limit) {
  BadlyRated found;
  std::set<std::string> seen;
  store::PageRequest request{.after = "", .limit = kScoresAtOnce};
  for (;;) {
    PARING_TRY(const auto page, scores.list(tenant, {"response", "", ""}, request));
    for (const store::ScoreRow& score : page.rows) {
      if (!is_bad(score) || !seen.insert(score.subject_id).second) continue;
      PARING_TRY(const auto rows, traffic.find(score.subject_id));
      const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& r) {
        return r.content.has_value() && r.tenant == tenant && (model.empty() || r.model == model);
      });
      Result<Case> c =
          row == rows.end() ? Result<Case>(not_found(score.subject_id)) : case_of_row(*row);
      // A prompt without a text of a user is as little use as one that was not kept.
      if (!c) {
        ++found.without_text;
        continue;
      }
      PARING_TRY(c->reference, correction_of(scores, tenant, score.subject_id));
      found.cases.push_back(std::move(c).value());
      if (found.cases.size() == limit) return found;
    }
    if (!page.has_more || page.rows.empty()) return found;
    request.after = page.rows.back().id;
  }
}

}  // namespace paring::advise
