// SPDX-License-Identifier: Apache-2.0
// Settings that were changed while a server ran, and hold after its restart. Values are text; what
// they mean, and whether they are right, the registry of settings knows (config). Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"

namespace paring::store {

struct RuntimeSetting {
  std::string key;
  std::string value;
  std::int64_t changed_s = 0;
  std::string changed_by;  // id of a key
};

class RuntimeSettings {
 public:
  explicit RuntimeSettings(const ControlDb& control) : control_(control) {}
  Result<void> set(const RuntimeSetting& setting) const;
  // Back to what flags, environment and file say. False when nothing was set.
  Result<bool> clear(std::string_view key) const;
  // By key.
  Result<std::vector<RuntimeSetting>> list() const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
