// SPDX-License-Identifier: Apache-2.0
// For tests: a folder of a test's own with a control.db in it, and work in a child process that
// can be killed. Children are forked: REQUIRES that no thread runs and no database is open then.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "store/control_db.h"
#include "store/detail/connections.h"
#include "store/keys.h"

namespace paring::store {

class ControlDbTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "paring_store_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    folder_ = root_ + "/data";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  ControlDb open() const {
    Result<ControlDb> control = ControlDb::open({.folder = folder_});
    EXPECT_TRUE(control.has_value()) << control.error().text();
    return std::move(control).value();
  }
  // Opens with all checks.
  Result<ControlDb> open_checked() const {
    return ControlDb::open({.folder = folder_, .check = IntegrityCheck::kQuick, .busy_ms = 200});
  }
  std::string file() const { return folder_ + "/control.db"; }

  std::string root_;
  std::string folder_;  // does not exist at first
};

inline KeyRow key_for_test(const std::string& id) {
  KeyRow key;
  key.id = id;
  key.tenant = "default";
  key.name = "name of " + id;
  key.lookup = "lookup_" + id;
  key.hash.fill(7);
  key.scopes = "inference";
  key.created_s = 1'700'000'000;
  return key;
}

// Runs `work` in a child; what it returns is the exit code.
inline pid_t fork_for_test(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  return child;
}

// Exit code, or 128 + signal.
inline int wait_for_test(pid_t child) {
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Calls `work` while the write lock of the database is held.
inline void hold_for_test(const ControlDb& control, const std::function<void()>& work) {
  (void)control.connections().write(detail::Durability::kProcess,
                                    [&](detail::Connection&) -> Result<void> {
                                      work();
                                      return {};
                                    });
}

inline void sleep_us_for_test(std::int64_t microseconds) {
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
}

}  // namespace paring::store
