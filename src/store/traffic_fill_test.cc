// SPDX-License-Identifier: Apache-2.0
// Fills a folder with traffic for tests of other programs, such as that of the monitor's page. Run
// by them with --gtest_also_run_disabled_tests, and what it should do in the environment.
#include <gtest/gtest.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "store/traffic.h"
#include "store/traffic_for_test.h"

namespace paring::store {
namespace {

std::string setting(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

template <typename T>
bool read_number(const char* name, T& number) {
  const std::string text = setting(name);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

// FILL_COUNT requests from the second FILL_FROM on, below FILL_SECONDS, in the data folder
// FILL_FOLDER.
TEST(TrafficFill, DISABLED_WritesRequests) {
  const std::string folder = setting("FILL_FOLDER");
  ASSERT_FALSE(folder.empty());
  std::uint64_t count = 0;
  double from_s = 0;
  double seconds = 0;
  ASSERT_TRUE(read_number("FILL_COUNT", count) && read_number("FILL_FROM", from_s) &&
              read_number("FILL_SECONDS", seconds));
  const auto traffic = TrafficDb::open({.data = folder});
  ASSERT_TRUE(traffic.has_value()) << traffic.error().text();
  std::vector<TrafficRequest> rows;
  std::int64_t written = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count);
    rows.push_back(request_for_test(i, from_s + seconds * share));
    constexpr std::size_t kBatch = 5000;
    if (rows.size() < kBatch && i + 1 < count) continue;
    written += traffic->append(rows, {}).written;
    rows.clear();
  }
  EXPECT_EQ(written, static_cast<std::int64_t>(count));
}

}  // namespace
}  // namespace paring::store
