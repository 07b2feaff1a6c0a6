// SPDX-License-Identifier: Apache-2.0
#include "serve/api_error.h"

#include <gtest/gtest.h>

namespace paring::serve {
namespace {

TEST(ApiError, TellsTheFieldAndWhatToDo) {
  const ApiError error = api_error(invalid_argument("top_p is 3", "take 0 to 1"), "top_p");
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.message, "top_p is 3; take 0 to 1");
  EXPECT_EQ(error.param, "top_p");
  EXPECT_EQ(api_error(unsupported("no vision")).status, 400);
}

TEST(ApiError, KeepsDetailsOfTheServerToItself) {
  const ApiError error = api_error({ErrorCode::kIo, "read /srv/secret/model.gguf failed", ""});
  EXPECT_EQ(error.status, 500);
  EXPECT_EQ(error.message.find("/srv"), std::string::npos);
}

TEST(ApiError, AFullServerSaysWhenToComeBack) {
  const ApiError error = api_error(exhausted("64 wait"));
  EXPECT_EQ(error.status, 503);
  EXPECT_TRUE(error.retry_after_seconds.has_value());
}

}  // namespace
}  // namespace paring::serve
