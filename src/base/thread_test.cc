// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <utility>
#include <vector>

namespace paring {
namespace {

struct Seen {
  std::string name;
  std::size_t stack_bytes = 0;
};

// What a thread sees of itself.
Seen seen_by(std::string_view name, std::size_t stack_bytes) {
  Seen seen;
  Thread thread(
      name,
      [&] {
        char text[32] = {};
        pthread_getname_np(pthread_self(), text, sizeof(text));
        seen.name = text;
        pthread_attr_t attributes;
        void* lowest = nullptr;
        ASSERT_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
        pthread_attr_getstack(&attributes, &lowest, &seen.stack_bytes);
        pthread_attr_destroy(&attributes);
      },
      stack_bytes);
  thread.join();
  EXPECT_FALSE(thread.joinable());
  return seen;
}

TEST(Thread, HasItsName) {
  EXPECT_EQ(seen_by(thread_names::kEngine, 0).name, "paring-engine");
  EXPECT_EQ(seen_by("a name of more than fifteen bytes", 0).name, "a name of more ");
}

TEST(Thread, HasTheStackThatItAskedFor) {
  constexpr std::size_t kBytes = std::size_t{200} << 20;
  EXPECT_LT(seen_by("usual", 0).stack_bytes, kBytes / 2);
  EXPECT_GE(seen_by("deep", kBytes).stack_bytes, kBytes - (std::size_t{1} << 16));
}

TEST(Thread, StartsWithTheUsualStackWhenThereIsNoRoom) {
  EXPECT_EQ(seen_by("huge", std::size_t{1} << 60).name, "huge");
}

TEST(Thread, IsWaitedForWhenItGoesOrIsReplaced) {
  int ended = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back("one", [&ended, i] { ended += i == 0 ? 1 : 0; });
  threads.clear();
  EXPECT_EQ(ended, 1);
  Thread thread("first", [&] { ++ended; });
  thread = Thread("second", [] {});
  EXPECT_EQ(ended, 2);
  EXPECT_TRUE(thread.joinable());
  const Thread moved = std::move(thread);
  EXPECT_TRUE(moved.joinable());
}

}  // namespace
}  // namespace paring
