// SPDX-License-Identifier: Apache-2.0
// One line of a task's data: a JSON object, read with errors that name the field. Values nested
// deeper than kRecordDepthMax are dropped while parsing: no task has any.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::measure {

inline constexpr int kRecordDepthMax = 6;
inline constexpr std::size_t kChoicesMax = 26;

class Record {
 public:
  // Refers to `json`, an object, which must outlive it.
  explicit Record(const nlohmann::json& json) : json_(json) {}

  bool has(const char* field) const;
  // Corrupt when the field is missing or of another type.
  Result<std::string> text(const char* field) const;
  // 2 .. kChoicesMax texts, none empty.
  Result<std::vector<std::string>> choices(const char* field) const;
  // The same below an object: {"choices": {"text": [...], "label": [...]}}.
  Result<std::vector<std::string>> choices(const char* object, const char* field) const;
  // A number, also written as text ("3"), below `count`.
  Result<std::size_t> index(const char* field, std::size_t count) const;

 private:
  Result<std::vector<std::string>> list(const nlohmann::json& value, const std::string& name) const;
  const nlohmann::json& json_;
};

}  // namespace paring::measure
