// SPDX-License-Identifier: Apache-2.0
#include "serve/access/key_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "serve/access/api_key.h"
#include "store/audit.h"

namespace paring::serve {

namespace {

constexpr std::size_t kNameLettersMax = 64;
constexpr std::size_t kIdLetters = 16;
// Far above any machine, far below what arithmetic bears.
constexpr std::int64_t kLimitMax = std::int64_t{1} << 40;
constexpr std::int64_t kWeightMax = 10'000;

bool is_plain(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

bool is_name_letter(char c) noexcept { return is_plain(c) || c == ' ' || c == '@'; }

Result<void> check_text(const char* what, const std::string& text, bool (*is_allowed)(char)) {
  if (!text.empty() && text.size() <= kNameLettersMax &&
      std::all_of(text.begin(), text.end(), is_allowed)) {
    return {};
  }
  return invalid_argument(
      fmt::format("'{}' is no {}", escape_control(text.substr(0, kNameLettersMax)), what),
      fmt::format("1 to {} letters, digits, '.', '-' and '_'", kNameLettersMax));
}

Result<void> check_limit(const char* what, std::optional<std::int64_t> limit,
                         std::int64_t largest) {
  if (!limit || (*limit >= 1 && *limit <= largest)) return {};
  return invalid_argument(fmt::format("{} of {} are not within 1 to {}", what, *limit, largest));
}

}  // namespace

Result<void> check_key_spec(const KeySpec& spec) {
  PARING_TRY_VOID(check_text("name of a key", spec.name, is_name_letter));
  PARING_TRY_VOID(check_text("name of a tenant", spec.tenant, is_plain));
  if (spec.scopes.is_empty()) return invalid_argument("a key needs a scope");
  const store::KeyLimits& limits = spec.limits;
  PARING_TRY_VOID(check_limit("requests a minute", limits.requests_per_minute, kLimitMax));
  PARING_TRY_VOID(check_limit("tokens a minute", limits.tokens_per_minute, kLimitMax));
  PARING_TRY_VOID(check_limit("concurrent requests", limits.concurrent_requests, kLimitMax));
  PARING_TRY_VOID(check_limit("shares", limits.weight, kWeightMax));
  std::set<store::BudgetPeriod> periods;
  for (const store::Budget& budget : limits.budgets) {
    PARING_TRY_VOID(check_limit("tokens of a budget", budget.tokens, kLimitMax));
    if (!periods.insert(budget.period).second) {
      return invalid_argument(
          fmt::format("two budgets for one {}", store::budget_period_name(budget.period)));
    }
  }
  // A hundred years.
  constexpr double kLifetimeMax = 100.0 * 365 * 86400;
  if (spec.lifetime_seconds &&
      !(*spec.lifetime_seconds >= 1 && *spec.lifetime_seconds < kLifetimeMax)) {
    return invalid_argument(
        fmt::format("a lifetime of {} s is not within 1 s and 100 years", *spec.lifetime_seconds));
  }
  return {};
}

std::int64_t KeyAdmin::now_s() const noexcept {
  return static_cast<std::int64_t>(clock_.wall_seconds());
}

Result<void> KeyAdmin::audit(const char* action, const std::string& object, const char* result,
                             std::string detail) const {
  return store::AuditLog(control_).append(
      {0, now_s(), actor_, action, object, result, std::move(detail)});
}

Result<CreatedKey> KeyAdmin::create(const KeySpec& spec) const {
  PARING_TRY_VOID(check_key_spec(spec));
  PARING_TRY(const std::vector<store::KeyRow> keys, list());
  for (const store::KeyRow& other : keys) {
    const bool has_ended = other.revoked_s || (other.expires_s && *other.expires_s <= now_s());
    if (other.name != spec.name || has_ended) continue;
    return invalid_argument(fmt::format("a key is called '{}' already ({})", spec.name, other.id),
                            "choose another name, or revoke that one first");
  }
  PARING_TRY(const ApiKey key, make_api_key());
  PARING_TRY(const std::string id, random_letters(kIdLetters));
  CreatedKey created;
  created.text = key.text;
  created.row.id = "key_" + id;
  created.row.tenant = spec.tenant;
  created.row.name = spec.name;
  created.row.lookup = key.lookup;
  created.row.hash = key.hash;
  created.row.scopes = spec.scopes.text();
  created.row.created_s = now_s();
  if (spec.lifetime_seconds) {
    created.row.expires_s = now_s() + static_cast<std::int64_t>(*spec.lifetime_seconds);
  }
  created.row.limits = spec.limits;
  PARING_TRY_VOID(store::Keys(control_).insert(created.row));
  PARING_TRY_VOID(audit(
      "key.create", created.row.id, "ok",
      fmt::format("name '{}', tenant {}, scopes {}", spec.name, spec.tenant, created.row.scopes)));
  return created;
}

Result<store::KeyRow> KeyAdmin::find(std::string_view which) const {
  PARING_TRY(const std::vector<store::KeyRow> keys, list());
  const std::string_view letters = which.starts_with("pk-") ? which.substr(3) : which;
  const store::KeyRow* found = nullptr;
  for (const store::KeyRow& key : keys) {
    // A whole key is taken as well: its owner has it, and nothing else at hand.
    if (key.id == which || letters.substr(0, key.lookup.size()) == key.lookup) return key;
    if (key.name != which) continue;
    // Of several the one that still holds is meant; there is one at most.
    if (found != nullptr && found->revoked_s.has_value() != key.revoked_s.has_value()) {
      if (found->revoked_s) found = &key;
      continue;
    }
    if (found != nullptr) {
      return invalid_argument(fmt::format("several keys are called '{}'", key.name),
                              "give the id; 'paring keys list' shows it");
    }
    found = &key;
  }
  if (found != nullptr) return *found;
  // What was given may be a secret: it is not repeated.
  return not_found("there is no such key", "'paring keys list' shows ids and names");
}

Result<bool> KeyAdmin::revoke(std::string_view id) const {
  PARING_TRY(const bool is_new, store::Keys(control_).revoke(id, now_s()));
  PARING_TRY_VOID(audit("key.revoke", std::string(id), is_new ? "ok" : "revoked before", ""));
  return is_new;
}

}  // namespace paring::serve
