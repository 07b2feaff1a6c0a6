// SPDX-License-Identifier: Apache-2.0
// The name of a model on a hub, as a user types it: hf:OWNER/NAME[@REVISION][:FILE]. Stateless.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::hub {

struct HubName {
  std::string owner;
  std::string name;
  std::string revision = "main";  // branch, tag or commit
  std::string file;               // path in the repository, or a tag such as Q4_K_M; may be empty

  std::string repository() const { return owner + "/" + name; }
  std::string text() const;  // as typed
};

inline constexpr std::size_t kHubNameBytesMax = 1024;

bool is_hub_name(std::string_view text) noexcept;
// InvalidArgument names what is wrong: owner and name hold letters, digits, '-', '_' and '.' and
// are neither '.' nor '..'; a file is a relative path without '..'.
Result<HubName> parse_hub_name(std::string_view text);
// Whether `path` is a relative path that stays inside its folder: no empty, '.' or '..' parts, no
// backslashes, no control bytes.
bool is_safe_path(std::string_view path) noexcept;

}  // namespace paring::hub
