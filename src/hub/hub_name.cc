// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "io/printable.h"

namespace paring::hub {

namespace {

constexpr std::string_view kPrefix = "hf:";
constexpr const char* kForm = "the form is hf:OWNER/NAME[@REVISION][:FILE]";
constexpr std::size_t kPartBytesMax = 96;  // the hub's own limit for a name

bool is_part(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kPartBytesMax && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return c < 0x80 && (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.');
         });
}

Error wrong(std::string_view text, std::string_view what) {
  return invalid_argument(fmt::format("'{}': {}", io::printable(text), what), kForm);
}

}  // namespace

std::string HubName::text() const {
  std::string result = std::string(kPrefix) + repository();
  if (revision != "main") result += "@" + revision;
  if (!file.empty()) result += ":" + file;
  return result;
}

bool is_hub_name(std::string_view text) noexcept { return text.starts_with(kPrefix); }

bool is_safe_path(std::string_view path) noexcept {
  if (path.empty() || path.size() > kHubNameBytesMax) return false;
  for (const unsigned char c : path) {
    if (c < ' ' || c == 0x7f || c == '\\') return false;
  }
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

Result<HubName> parse_hub_name(std::string_view text) {
  if (text.size() > kHubNameBytesMax) {
    return invalid_argument(fmt::format("a hub name of {} bytes is too long", text.size()),
                            fmt::format("at most {} bytes; {}", kHubNameBytesMax, kForm));
  }
  if (!is_hub_name(text)) return wrong(text, "this is no hub name");
  std::string_view rest = text.substr(kPrefix.size());
  HubName name;
  if (const std::size_t colon = rest.find(':'); colon != std::string_view::npos) {
    name.file = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_safe_path(name.file)) {
      return wrong(text, "the file must be a relative path without '..'");
    }
  }
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    name.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_safe_path(name.revision))
      return wrong(text, "the revision is no branch, tag or commit");
  }
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return wrong(text, "the name has no owner");
  name.owner = rest.substr(0, slash);
  name.name = rest.substr(slash + 1);
  if (!is_part(name.owner) || !is_part(name.name)) {
    return wrong(text, fmt::format("owner and name hold 1 to {} letters, digits, '-', '_' and '.'",
                                   kPartBytesMax));
  }
  return name;
}

}  // namespace paring::hub
