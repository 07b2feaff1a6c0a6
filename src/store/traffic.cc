// SPDX-License-Identifier: Apache-2.0
#include "store/traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>

#include "store/detail/database_file.h"
#include "store/detail/traffic_days.h"

namespace paring::store {

namespace {

using detail::TrafficDay;
using detail::TrafficDays;
using detail::TrafficGroup;
using detail::TrafficPlace;

constexpr double kDaySeconds = 86400;
constexpr std::size_t kProjectBytesMax = 64;
constexpr std::size_t kFoundMax = 100;
constexpr std::int64_t kPageMax = 1000;
constexpr std::size_t kBucketsMax = 10'000;

std::int64_t day_of(double seconds) {
  const double day = std::floor(seconds / kDaySeconds);
  if (!(day >= 0)) return 0;
  return static_cast<std::int64_t>(std::min(day, static_cast<double>(detail::kTrafficDayMax)));
}

bool is_project(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kProjectBytesMax && name.front() != '.' &&
         std::ranges::all_of(name, is_allowed);
}

void make_finite(double& value) {
  if (!std::isfinite(value)) value = 0;
}
void make_finite(std::optional<double>& value) {
  if (value && !std::isfinite(*value)) value.reset();
}
// Not within a character of UTF-8.
void shorten(std::string& text) {
  if (text.size() <= kTrafficTextBytesMax) return;
  std::size_t size = kTrafficTextBytesMax;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  text.resize(size);
}

// Nothing in it makes a row that the database refuses.
TrafficRequest made_sound(const TrafficRequest& request, TrafficParts parts) {
  TrafficRequest sound = request;
  if (parts == TrafficParts::kWithoutContent) sound.content.reset();
  for (std::string* text :
       {&sound.id, &sound.trace_id, &sound.span_id, &sound.parent_id, &sound.route, &sound.end,
        &sound.error_code, &sound.key_id, &sound.tenant, &sound.user, &sound.session,
        &sound.prompt_version, &sound.model, &sound.variant, &sound.money.currency}) {
    shorten(*text);
  }
  for (auto* value : {&sound.seconds.queue, &sound.seconds.prefill, &sound.seconds.decode,
                      &sound.seconds.first_token, &sound.seconds.total}) {
    make_finite(*value);
  }
  constexpr std::size_t kBlockBytesMax = kTrafficBlocksMax * kTrafficBlockBytes;
  if (sound.marks.blocks.size() > kBlockBytesMax) sound.marks.blocks.resize(kBlockBytesMax);
  for (double* value : {&sound.seconds.prefill_work, &sound.seconds.decode_work, &sound.operations,
                        &sound.bytes_read, &sound.joules, &sound.money.hardware,
                        &sound.money.energy, &sound.money.tokens}) {
    make_finite(*value);
  }
  return sound;
}

// "DAY.STARTED.SEQ", the last row of a page; the time as the bits of its number.
struct PageCursor {
  std::int64_t day = detail::kTrafficDayMax;
  TrafficPlace below{std::numeric_limits<double>::infinity(),
                     std::numeric_limits<std::int64_t>::max()};
};

std::string text_of(const PageCursor& cursor) {
  return fmt::format("{}.{:x}.{}", cursor.day, std::bit_cast<std::uint64_t>(cursor.below.started_s),
                     cursor.below.seq);
}

template <typename T>
bool take_number(std::string_view& text, T& number, int base, char after) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end == text.data()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (after == '\0') return text.empty();
  if (!text.starts_with(after)) return false;
  text.remove_prefix(1);
  return true;
}

Result<PageCursor> cursor_of(std::string_view text) {
  PageCursor cursor;
  if (text.empty()) return cursor;
  std::uint64_t bits = 0;
  std::string_view rest = text;
  if (!take_number(rest, cursor.day, 10, '.') || !take_number(rest, bits, 16, '.') ||
      !take_number(rest, cursor.below.seq, 10, '\0')) {
    return invalid_argument(fmt::format("'{}' is no cursor of a page", text),
                            "take it from the page before, or leave it out");
  }
  cursor.below.started_s = std::bit_cast<double>(bits);
  return cursor;
}

const std::string& value_of(const TrafficGroup& group, TrafficKey key) {
  switch (key) {
#define PARING_X(name, text, field) \
  case TrafficKey::name:            \
    return group.field;
    PARING_TRAFFIC_KEYS(PARING_X)
#undef PARING_X
  }
  return group.tenant;
}

// Calls `work` for each day that the filter's time touches, ascending.
template <typename Work>
Result<void> for_days(TrafficDays& days, const TrafficFilter& filter, Work&& work) {
  PARING_TRY(const std::vector<std::int64_t> all, days.list());
  for (const std::int64_t day : all) {
    if (static_cast<double>(day + 1) * kDaySeconds <= filter.from_s ||
        static_cast<double>(day) * kDaySeconds >= filter.to_s) {
      continue;
    }
    PARING_TRY_VOID(days.read(day, work));
  }
  return {};
}

}  // namespace

TrafficDb::TrafficDb(std::unique_ptr<TrafficDays> days) : days_(std::move(days)) {}
TrafficDb::TrafficDb(TrafficDb&&) noexcept = default;
TrafficDb& TrafficDb::operator=(TrafficDb&&) noexcept = default;
TrafficDb::~TrafficDb() = default;

Result<TrafficDb> TrafficDb::open(const Options& options) {
  if (!is_project(options.project)) {
    return invalid_argument(fmt::format("'{}' is no name of a project", options.project),
                            "use at most 64 letters, digits, '_', '-' and '.', not first");
  }
  const std::string folder = options.data + "/traffic";
  PARING_TRY_VOID(detail::make_private_folder(options.data));
  PARING_TRY_VOID(detail::make_private_folder(folder));
  PARING_TRY_VOID(detail::make_private_folder(folder + "/" + options.project));
  return TrafficDb(std::make_unique<TrafficDays>(folder + "/" + options.project, options.busy_ms));
}

TrafficAppended TrafficDb::append(std::span<const TrafficRequest> rows,
                                  const Append& options) const {
  TrafficAppended done;
  TrafficAppended::Failure impossible;
  std::map<std::int64_t, std::vector<std::size_t>> by_day;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double day = std::floor(rows[i].started_s / kDaySeconds);
    if (day >= 0 && day <= static_cast<double>(detail::kTrafficDayMax)) {
      by_day[static_cast<std::int64_t>(day)].push_back(i);
    } else {
      impossible.rows.push_back(i);
    }
  }
  for (auto& [day, places] : by_day) {
    std::vector<TrafficRequest> sound;
    sound.reserve(places.size());
    for (const std::size_t i : places) sound.push_back(made_sound(rows[i], options.parts));
    std::vector<const TrafficRequest*> pointers;
    for (const TrafficRequest& each : sound) pointers.push_back(&each);
    Result<std::int64_t> written =
        days_->write(day, [&](TrafficDay& file) { return file.append(pointers, options); });
    if (!written) {
      done.failures.push_back({std::move(places), std::move(written.error())});
      continue;
    }
    done.written += *written;
    done.known += static_cast<std::int64_t>(places.size()) - *written;
  }
  if (!impossible.rows.empty()) {
    impossible.error = invalid_argument("a request began outside of the years 1970 to 9999");
    done.failures.push_back(std::move(impossible));
  }
  return done;
}

Result<std::vector<TrafficRequest>> TrafficDb::find(std::string_view id) const {
  std::string wanted(id);
  shorten(wanted);
  std::vector<TrafficRequest> found;
  PARING_TRY_VOID(for_days(*days_, {}, [&](TrafficDay& file) -> Result<void> {
    if (found.size() >= kFoundMax) return {};
    return file.find(wanted, kFoundMax - found.size(), found);
  }));
  return found;
}

Result<TrafficPage> TrafficDb::page(const TrafficFilter& filter, std::string_view cursor,
                                    std::int64_t limit, TrafficParts parts) const {
  if (limit < 1 || limit > kPageMax) {
    return invalid_argument(
        fmt::format("a page of {} rows cannot be read, 1 to {} can", limit, kPageMax));
  }
  PARING_TRY(const PageCursor from, cursor_of(cursor));
  PARING_TRY(const std::vector<std::int64_t> all, days_->list());
  TrafficPage page;
  PageCursor last;
  const std::int64_t first_day = day_of(filter.from_s);
  const std::int64_t last_day = std::min(from.day, day_of(filter.to_s));
  for (auto day = all.rbegin(); day != all.rend(); ++day) {
    if (*day > last_day) continue;
    if (*day < first_day) break;
    const TrafficPlace below = *day == from.day ? from.below : PageCursor{}.below;
    // One more than wanted tells whether there is a next page.
    const std::int64_t wanted = limit + 1 - static_cast<std::int64_t>(page.rows.size());
    PARING_TRY_VOID(days_->read(*day, [&](TrafficDay& file) -> Result<void> {
      PARING_TRY(std::vector<TrafficDay::PlacedRow> rows, file.page(filter, below, wanted, parts));
      for (TrafficDay::PlacedRow& row : rows) {
        if (static_cast<std::int64_t>(page.rows.size()) == limit) {
          page.next = text_of(last);
          return {};
        }
        last = {*day, row.place};
        page.rows.push_back(std::move(row.request));
      }
      return {};
    }));
    if (!page.next.empty()) break;
  }
  return page;
}

Result<TrafficSums> TrafficDb::summary(const TrafficFilter& filter) const {
  TrafficSums sums;
  PARING_TRY_VOID(for_days(*days_, filter, [&](TrafficDay& file) {
    return file.sum(
        filter, TrafficDay::Detail::kMinutes,
        [&](std::int64_t, const TrafficGroup&, const TrafficSums& part) { sums.merge(part); });
  }));
  return sums;
}

Result<std::map<std::string, TrafficSums>> TrafficDb::summary_by(const TrafficFilter& filter,
                                                                 TrafficKey key) const {
  std::map<std::string, TrafficSums> sums;
  PARING_TRY_VOID(for_days(*days_, filter, [&](TrafficDay& file) {
    return file.sum(filter, TrafficDay::Detail::kGroups,
                    [&](std::int64_t, const TrafficGroup& group, const TrafficSums& part) {
                      sums[value_of(group, key)].merge(part);
                    });
  }));
  return sums;
}

Result<TrafficUsers> TrafficDb::users(const TrafficFilter& filter, std::int64_t limit) const {
  constexpr double kHourSeconds = 3600;
  if (limit < 1 || limit > kPageMax) {
    return invalid_argument(
        fmt::format("a list of {} users cannot be read, 1 to {} can", limit, kPageMax));
  }
  if (filter.min_total_seconds) {
    return invalid_argument("sums by user do not know how long requests took",
                            "leave that bound out");
  }
  const double last_s = static_cast<double>(detail::kTrafficDayMax + 1) * kDaySeconds;
  const std::int64_t first = detail::hour_of(std::clamp(filter.from_s, 0.0, last_s));
  const std::int64_t last =
      detail::hour_of(std::clamp(filter.to_s, 0.0, last_s) + kHourSeconds - 1e-6);
  TrafficUsers found;
  found.from_s = static_cast<double>(first) * kHourSeconds;
  found.to_s = static_cast<double>(last) * kHourSeconds;
  TrafficFilter hours = filter;
  hours.from_s = found.from_s;
  hours.to_s = found.to_s;
  TrafficDay::Users all;
  PARING_TRY_VOID(for_days(
      *days_, hours, [&](TrafficDay& file) { return file.add_users(hours, first, last, all); }));
  for (auto& [name, user] : all) found.users.push_back(std::move(user));
  std::ranges::stable_sort(found.users, [](const TrafficUser& a, const TrafficUser& b) {
    return a.prompt_fresh + a.prompt_cached + a.answer >
           b.prompt_fresh + b.prompt_cached + b.answer;
  });
  const auto count = static_cast<std::int64_t>(found.users.size());
  found.left_out = std::max<std::int64_t>(count - limit, 0);
  found.users.resize(static_cast<std::size_t>(std::min(count, limit)));
  return found;
}

Result<void> TrafficDb::set_engine(const TrafficEngine& engine) const {
  const auto hour_s = static_cast<double>(engine.hour_s);
  if (hour_s < 0 || hour_s >= static_cast<double>(detail::kTrafficDayMax + 1) * kDaySeconds) {
    return invalid_argument("an hour outside of the years 1970 to 9999");
  }
  return days_->write(day_of(hour_s), [&](TrafficDay& file) { return file.set_engine(engine); });
}

Result<std::vector<TrafficEngine>> TrafficDb::engines(const TrafficFilter& filter) const {
  constexpr double kHourSeconds = 3600;
  std::vector<TrafficEngine> engines;
  TrafficFilter touched = filter;
  touched.from_s = std::max(filter.from_s - kHourSeconds, 0.0);
  PARING_TRY_VOID(for_days(*days_, touched,
                           [&](TrafficDay& file) { return file.add_engines(filter, engines); }));
  return engines;
}

Result<std::vector<TrafficBucket>> TrafficDb::series(const TrafficFilter& filter,
                                                     std::int64_t bucket_s) const {
  if (bucket_s <= 0) {
    return invalid_argument(fmt::format("a bucket of {} seconds cannot be", bucket_s));
  }
  const TrafficDay::Detail detail =
      bucket_s % 60 == 0 ? TrafficDay::Detail::kMinutes : TrafficDay::Detail::kRows;
  std::map<std::int64_t, TrafficSums> sums;
  bool is_too_many = false;
  PARING_TRY_VOID(for_days(*days_, filter, [&](TrafficDay& file) {
    return file.sum(filter, detail,
                    [&](std::int64_t second, const TrafficGroup&, const TrafficSums& part) {
                      is_too_many = is_too_many || sums.size() > kBucketsMax;
                      if (!is_too_many) sums[second / bucket_s * bucket_s].merge(part);
                    });
  }));
  if (is_too_many) {
    return exhausted(fmt::format("more than {} buckets of {} seconds", kBucketsMax, bucket_s),
                     "ask for larger ones or a shorter time");
  }
  std::vector<TrafficBucket> buckets;
  buckets.reserve(sums.size());
  for (auto& [start_s, each] : sums) buckets.push_back({start_s, std::move(each)});
  return buckets;
}

Result<std::int64_t> TrafficDb::remove_before(double time_s) const {
  return days_->remove_before(day_of(time_s));
}

Result<std::int64_t> TrafficDb::content_remove_before(double time_s) const {
  std::int64_t removed = 0;
  TrafficFilter before;
  before.to_s = time_s;
  PARING_TRY_VOID(for_days(*days_, before, [&](TrafficDay& file) -> Result<void> {
    PARING_TRY(const std::int64_t here, file.content_remove_before(time_s));
    removed += here;
    return {};
  }));
  return removed;
}

TrafficHealth TrafficDb::health() const { return days_->health(); }
const std::string& TrafficDb::folder() const noexcept { return days_->folder(); }

}  // namespace paring::store
