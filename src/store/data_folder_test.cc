// SPDX-License-Identifier: Apache-2.0
#include "store/data_folder.h"

#include <gtest/gtest.h>

namespace paring::store {
namespace {

TEST(DataFolder, TheSettingThenXdgThenHome) {
  const char* both[] = {"HOME=/home/me", "XDG_DATA_HOME=/data", nullptr};
  const char* home[] = {"XDG_DATA_HOMES=/no", "XDG_DATA_HOME=relative", "HOME=/home/me", nullptr};
  const char* none[] = {"HOME=", nullptr};
  EXPECT_EQ(*data_folder("/here", both), "/here");
  EXPECT_EQ(*data_folder("auto", both), "/data/paring");
  EXPECT_EQ(*data_folder("auto", home), "/home/me/.local/share/paring");
  EXPECT_EQ(data_folder("auto", none).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace paring::store
