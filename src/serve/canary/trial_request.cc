// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/trial_request.h"

#include <numeric>
#include <string_view>

#include "serve/traffic_row.h"

namespace paring::serve {

namespace {

constexpr int kFirstError = 400;
constexpr double kMicrosecond = 1e-6;

// Refused for who asks, whichever side they were on.
bool is_about_the_key(int status) {
  constexpr int kUnauthorized = 401;
  constexpr int kForbidden = 403;
  constexpr int kTooMany = 429;
  return status == kUnauthorized || status == kForbidden || status == kTooMany;
}

}  // namespace

std::optional<TrialRequest> trial_request(const RequestFacts& facts,
                                          const store::TrafficRequest& row) {
  TrialRequest request;
  request.has_failed = !facts.error_code.empty() || facts.end.status >= kFirstError;
  if (request.has_failed && !is_about_the_key(facts.end.status)) return request;
  const bool is_computed = !facts.is_given_again || facts.trial.reads_cache.has_value();
  const bool is_whole = facts.usage.has_value() && is_computed && !request.has_failed &&
                        std::string_view(facts.ending) != "cancelled";
  if (!is_whole) return std::nullopt;
  request.first_token_seconds = facts.first_token_seconds;
  const auto& gaps = facts.usage->gap_microseconds;
  if (!facts.is_given_again && !gaps.empty()) {
    const auto sum = static_cast<double>(std::reduce(gaps.begin(), gaps.end()));
    request.gap_seconds = sum * kMicrosecond / static_cast<double>(gaps.size());
  }
  request.total_seconds = facts.seconds;
  request.work_seconds = work_seconds(facts);
  request.answer_tokens = static_cast<double>(facts.usage->completion_tokens);
  request.joules = row.joules;
  request.money = row.money.hardware + row.money.energy + row.money.tokens;
  return request;
}

void note_trial(Canaries& canaries, const RequestFacts& facts, const store::TrafficRequest& row) {
  if (const auto request = trial_request(facts, row))
    canaries.note(facts.trial, facts.id, *request);
}

}  // namespace paring::serve
