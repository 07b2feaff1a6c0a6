// SPDX-License-Identifier: Apache-2.0
#include "cli/traffic_flags.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>

#include "base/text.h"
#include "cli/commands.h"

namespace paring::cli {

namespace {

template <typename Number>
bool read_whole(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// "10:20" or "10:20:30" with or without Z, in seconds.
std::optional<double> time_of(std::string_view text) {
  if (text.ends_with('Z')) text.remove_suffix(1);
  int hour = 0;
  int minute = 0;
  double second = 0;
  const bool is_time = text.size() >= 5 && text[2] == ':' && read_whole(text.substr(0, 2), hour) &&
                       read_whole(text.substr(3, 2), minute) &&
                       (text.size() == 5 || (text[5] == ':' && read_whole(text.substr(6), second)));
  if (!is_time || hour < 0 || hour > 23 || minute < 0 || minute > 59 || !(second >= 0) ||
      !(second < 60)) {
    return std::nullopt;
  }
  return hour * 3600 + minute * 60 + second;
}

// A day, a day with a time (UTC), or seconds since 1970.
Result<double> moment(const std::string& flag, const std::string& text) {
  constexpr std::size_t kDayLetters = 10;  // 2026-11-23
  double seconds = 0;
  if (read_whole(text, seconds) && seconds >= 0) return seconds;
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  const std::string_view all = text;
  bool is_well = text.size() >= kDayLetters && text[4] == '-' && text[7] == '-' &&
                 read_whole(all.substr(0, 4), year) && read_whole(all.substr(5, 2), month) &&
                 read_whole(all.substr(8, 2), day);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  double rest = 0;
  if (is_well && text.size() > kDayLetters) {
    const auto time = text[kDayLetters] == 'T' || text[kDayLetters] == ' '
                          ? time_of(all.substr(kDayLetters + 1))
                          : std::nullopt;
    is_well = time.has_value();
    rest = time.value_or(0);
  }
  if (!is_well || !date.ok()) {
    return invalid_argument(fmt::format("{} is '{}', which is no time", flag, escape_control(text)),
                            "write 2026-11-23, 2026-11-23T10:20:30Z or seconds since 1970");
  }
  constexpr double kDaySeconds = 86400;
  const auto days = static_cast<double>(std::chrono::sys_days(date).time_since_epoch().count());
  return days * kDaySeconds + rest;
}

}  // namespace

void TrafficFilterFlags::add_to(CLI::App& app) {
  app.add_option("--from", from_,
                 "Requests that began then or later: 2026-11-23, "
                 "2026-11-23T10:20:30Z (UTC) or seconds since 1970")
      ->type_name("TIME");
  app.add_option("--to", to_, "Requests that began before")->type_name("TIME");
  const auto text = [&](const char* name, std::optional<std::string>& target, const char* help) {
    app.add_option(name, target, help)->type_name("NAME");
  };
  text("--model", filter_.model, "Requests of this model");
  text("--variant", filter_.variant, "Requests of this variant");
  text("--key", filter_.key_id, "Requests of the key with this id");
  text("--tenant", filter_.tenant, "Requests of this tenant");
  text("--route", filter_.route, "Requests of this route, such as /v1/chat/completions");
  app.add_option("--status-class", filter_.status_class, "2: answered; 4: refused; 5: failed")
      ->check(CLI::Range(1, 5));
  app.add_option("--cache", cache_, "Requests answered by this cache")
      ->check(CLI::IsMember({"none", "exact", "semantic", "joined"}));
  app.add_option("--min-seconds", filter_.min_total_seconds, "Requests that took so long")
      ->check(number_between(0, 1e6));
}

Result<store::TrafficFilter> TrafficFilterFlags::read() const {
  store::TrafficFilter filter = filter_;
  if (!from_.empty()) {
    PARING_TRY(filter.from_s, moment("--from", from_));
  }
  if (!to_.empty()) {
    PARING_TRY(filter.to_s, moment("--to", to_));
  }
  if (!cache_.empty()) filter.cache = store::traffic_cache_of(cache_);
  return filter;
}

}  // namespace paring::cli
