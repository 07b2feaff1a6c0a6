// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <utility>

#include "store/detail/traffic_day.h"

namespace paring::store::detail {

namespace {

// Users of a day that are told apart; what the migration to version 2 keeps.
constexpr std::int64_t kUsersMax = 50'000;
constexpr const char* kOther = "(other)";
constexpr int kFirstError = 400;

void add_money(const TrafficMoney& more, std::vector<TrafficMoney>& money) {
  TrafficSums sums;
  sums.money = std::move(money);
  sums.add(more);
  money = std::move(sums.money);
}

}  // namespace

std::int64_t hour_of(double seconds) noexcept {
  constexpr double kHourSeconds = 3600;
  return static_cast<std::int64_t>(std::floor(seconds / kHourSeconds));
}

void add_to_user(const TrafficRequest& request, TrafficUser& user) {
  ++user.requests;
  user.errors += request.status >= kFirstError || request.end == "error" ? 1 : 0;
  user.prompt_fresh += request.tokens.prompt_fresh;
  user.prompt_cached += request.tokens.prompt_cached;
  user.answer += request.tokens.answer_visible + request.tokens.answer_reasoning;
  if (request.joules_kind == JoulesKind::kMeasured) user.joules_measured += request.joules;
  if (request.joules_kind == JoulesKind::kEstimated) user.joules_estimated += request.joules;
  add_money(request.money, user.money);
}

Result<std::int64_t> TrafficDay::user_id(Connection& connection, const std::string& name) {
  if (const auto known = user_ids_.find(name); known != user_ids_.end()) return known->second;
  std::string kept = name;
  PARING_TRY(const std::int64_t users, connection.integer("SELECT count(*) FROM users"));
  if (users >= kUsersMax) {
    PARING_TRY(const std::int64_t known,
               connection.integer("SELECT count(*) FROM users WHERE name = ?1", {name}));
    if (known == 0) kept = kOther;
  }
  PARING_TRY_VOID(as_void(
      connection.execute("INSERT INTO users(name) VALUES(?1) ON CONFLICT DO NOTHING", {kept})));
  PARING_TRY(const std::int64_t id,
             connection.integer("SELECT id FROM users WHERE name = ?1", {kept}));
  if (user_ids_.size() < static_cast<std::size_t>(kUsersMax)) user_ids_.emplace(name, id);
  return id;
}

Result<void> TrafficDay::write_users(Connection& connection, const UserHours& hours) {
  for (const auto& [place, sums] : hours) {
    const auto& [hour, group, name] = place;
    PARING_TRY(const std::int64_t user, user_id(connection, name));
    const TrafficMoney money = sums.money.empty() ? TrafficMoney{} : sums.money.front();
    PARING_TRY_VOID(as_void(connection.execute(
        "INSERT INTO user_hours VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) "
        "ON CONFLICT DO UPDATE SET requests = requests + ?4, errors = errors + ?5, "
        "prompt_fresh = prompt_fresh + ?6, prompt_cached = prompt_cached + ?7, "
        "answer = answer + ?8, joules_measured = joules_measured + ?9, "
        "joules_estimated = joules_estimated + ?10, hardware_cost = hardware_cost + ?11, "
        "energy_cost = energy_cost + ?12, token_cost = token_cost + ?13",
        {hour, group, user, sums.requests, sums.errors, sums.prompt_fresh, sums.prompt_cached,
         sums.answer, sums.joules_measured, sums.joules_estimated, money.hardware, money.energy,
         money.tokens})));
  }
  return {};
}

Result<void> TrafficDay::add_users(const TrafficFilter& filter, std::int64_t first,
                                   std::int64_t last, Users& users) {
  return connections_->read([&](Connection& connection) -> Result<void> {
    PARING_TRY(const std::vector<TrafficGroup> groups, groups_of(connection, filter, false));
    std::map<std::int64_t, const TrafficGroup*> wanted;
    for (const TrafficGroup& group : groups) wanted.emplace(group.id, &group);
    // Summed before names come in: a day has an hour's row of a user for each of its groups.
    PARING_TRY(
        Cursor row,
        connection.query(
            "SELECT h.group_id, u.name, h.requests, h.errors, h.prompt_fresh, h.prompt_cached, "
            "h.answer, h.joules_measured, h.joules_estimated, h.hardware_cost, h.energy_cost, "
            "h.token_cost FROM (SELECT group_id, user_id, sum(requests) AS requests, "
            "sum(errors) AS errors, sum(prompt_fresh) AS prompt_fresh, "
            "sum(prompt_cached) AS prompt_cached, sum(answer) AS answer, "
            "sum(joules_measured) AS joules_measured, sum(joules_estimated) AS joules_estimated, "
            "sum(hardware_cost) AS hardware_cost, sum(energy_cost) AS energy_cost, "
            "sum(token_cost) AS token_cost FROM user_hours WHERE hour >= ?1 AND hour < ?2 "
            "GROUP BY group_id, user_id) h JOIN users u ON u.id = h.user_id",
            {first, last}));
    PARING_TRY(bool has_row, row.next());
    while (has_row) {
      if (const auto group = wanted.find(row.integer(0)); group != wanted.end()) {
        const std::string name = row.text(1);
        TrafficUser& user = users[{group->second->tenant, name}];
        user.tenant = group->second->tenant;
        user.user = name;
        int column = 1;
        user.requests += row.integer(++column);
        user.errors += row.integer(++column);
        user.prompt_fresh += row.integer(++column);
        user.prompt_cached += row.integer(++column);
        user.answer += row.integer(++column);
        user.joules_measured += row.real(++column);
        user.joules_estimated += row.real(++column);
        const double hardware = row.real(++column);
        const double energy = row.real(++column);
        const double tokens = row.real(++column);
        add_money({hardware, energy, tokens, group->second->currency}, user.money);
      }
      PARING_TRY(has_row, row.next());
    }
    return {};
  });
}

}  // namespace paring::store::detail
