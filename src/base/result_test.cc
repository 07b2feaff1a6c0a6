// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

namespace paring {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return invalid_argument("odd value " + std::to_string(value), "use 4");
  return value / 2;
}
Result<void> require_half(int value, int wanted) {
  PARING_TRY(const int found, half(value));
  if (found != wanted) return corrupt("wrong half");
  return {};
}
Result<std::unique_ptr<int>> boxed(int value) {
  PARING_TRY_VOID(require_half(value, value / 2));
  PARING_TRY(int first, half(value));
  return std::make_unique<int>(first);
}

TEST(Result, TryPassesValuesAndReturnsErrorsEarly) {
  EXPECT_EQ(**boxed(8), 4);
  const auto failed = boxed(7);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(failed.error().text(), "odd value 7; use 4");
}

TEST(Result, VoidHoldsAnErrorOrNothing) {
  EXPECT_TRUE(require_half(6, 3).has_value());
  EXPECT_EQ(require_half(6, 2).error().message, "wrong half");
  EXPECT_EQ(require_half(5, 2).error().message, "odd value 5");
}

TEST(Error, ContextComesFirst) {
  EXPECT_EQ(io_error("cannot read", "try again").with_context("model.gguf").text(),
            "model.gguf: cannot read; try again");
  EXPECT_EQ(not_found("nothing").text(), "nothing");
}

TEST(Error, EveryCodeHasItsOwnNameAndExitCode) {
  std::set<std::string> names;
  std::set<int> exits;
#define PARING_X(name, text, exit, http)                \
  names.insert(error_code_name(ErrorCode::name));       \
  exits.insert(error_exit_code(ErrorCode::name));       \
  EXPECT_STREQ(error_code_name(ErrorCode::name), text); \
  EXPECT_EQ(error_http_status(ErrorCode::name), http);  \
  EXPECT_NE(error_exit_code(ErrorCode::name), 0);
  PARING_ERROR_CODES(PARING_X)
#undef PARING_X
  EXPECT_EQ(names.size(), 10u);
  EXPECT_EQ(exits.size(), 10u);
}

TEST(ResultDeathTest, ValueOfAnErrorIsABugAndShowsTheError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH((void)half(3).value(), "odd value 3; use 4");
  EXPECT_DEATH((void)half(4).error(), "error\\(\\) of a Result");
}

}  // namespace
}  // namespace paring
