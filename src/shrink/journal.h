// SPDX-License-Identifier: Apache-2.0
// What a search has measured, kept beside its output so that a run that was killed goes on where it
// was: a folder with one line of JSON a measurement and the statistics. It belongs to one set of
// inputs (its key); with another key it starts anew. A line that was cut off is dropped. One thread
// and one process at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace paring::shrink {

class Journal {
 public:
  // Opens or makes folder `path`. Unavailable when another process has it open, Io when it cannot
  // be written.
  static Result<std::unique_ptr<Journal>> open(const std::string& path, const std::string& key);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // The values recorded under `name`; null when there are none.
  const std::vector<double>* find(const std::string& name) const;
  // Recorded values, or those that `measure` gives, which are then recorded.
  Result<std::vector<double>> recall_or(
      const std::string& name, const std::function<Result<std::vector<double>>()>& measure);
  Result<double> recall_or(const std::string& name, const std::function<Result<double>()>& measure);

  // Names of the files that a search keeps beside its measurements.
  static constexpr const char* kStatistics = "statistics.bin";
  static constexpr const char* kWinner = "winner.gguf";
  static constexpr const char* kFiles[] = {kStatistics, kWinner};
  // The path of one of them.
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  // Measurements that were there when it was opened and were not forgotten.
  std::size_t recalled() const { return recalled_; }
  // Measurements whose name `is_old` accepts are forgotten, here and on the disk.
  Result<void> forget(const std::function<bool(const std::string& name)>& is_old);
  // The work is done for now: what it measured stays, the large files go.
  void keep_measurements() noexcept;
  // The work is done: the folder goes.
  void remove() noexcept;

 private:
  explicit Journal(std::string path) : path_(std::move(path)) {}
  Result<void> read(const std::string& key);
  Result<void> append(const std::string& line);

  std::string path_;
  std::string key_;
  int descriptor_ = -1;
  std::size_t recalled_ = 0;
  std::map<std::string, std::vector<double>> values_;
};

}  // namespace paring::shrink
