// SPDX-License-Identifier: Apache-2.0
// For tests: a FileStore in a folder of its own.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "serve/batch/file_store.h"
#include "store/control_db_for_test.h"

namespace paring::serve {

class StoredFilesTest : public store::ControlDbTest {
 protected:
  void SetUp() override {
    ControlDbTest::SetUp();
    control_.emplace(open());
    reopen();
  }
  void TearDown() override {
    files_.reset();
    control_.reset();
    ControlDbTest::TearDown();
  }
  void reopen(FileLimits limits = {}) {
    files_.reset();
    files_ = std::move(FileStore::open(*control_, limits, clock_)).value();
  }
  std::size_t files_on_disk() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ + "/files")) {
      if (entry.is_regular_file()) ++count;
    }
    return count;
  }

  FakeClock clock_{1'700'000'000};
  std::optional<store::ControlDb> control_;
  std::unique_ptr<FileStore> files_;
};

}  // namespace paring::serve
