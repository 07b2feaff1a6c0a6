// SPDX-License-Identifier: Apache-2.0
#include "net/multipart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/text.h"
#include "net/detail/target.h"

namespace paring::net {

namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kSpaces = " \t";

bool is_alphanumeric(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// RFC 9110, section 5.6.2.
bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
  });
}

// RFC 2046, section 5.1.1.
bool is_boundary(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kBoundaryBytesMax && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_alphanumeric(c) || (c != '\0' && std::strchr("'()+_,-./:=? ", c) != nullptr);
         });
}

bool has_control(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

// `text` as far as a message should show it.
std::string shown(std::string_view text) {
  constexpr std::size_t kShown = 60;
  return escape_control(text.substr(0, kShown));
}

struct Parameter {
  std::string name;  // in lower case
  std::string value;
};

// A quoted text at the start of `*text`, which loses it. In it "\"" and "\\" stand for their second
// character; any other backslash is one, since browsers send Windows' paths so.
std::optional<std::string> take_quoted(std::string_view* text) {
  std::string value;
  for (std::size_t i = 1; i < text->size(); ++i) {
    const char c = (*text)[i];
    if (c == '"') {
      text->remove_prefix(i + 1);
      return value;
    }
    const char next = i + 1 < text->size() ? (*text)[i + 1] : '\0';
    if (c == '\\' && (next == '"' || next == '\\')) ++i;
    value += (*text)[i];
  }
  return std::nullopt;
}

// "; name=value; name=\"value\"", each name once.
Result<std::vector<Parameter>> parameters_of(std::string_view text) {
  std::vector<Parameter> list;
  while (!(text = trimmed(text)).empty()) {
    if (text.front() != ';')
      return invalid_argument("a ';' is missing before '" + shown(text) + "'");
    text = trimmed(text.substr(1));
    if (text.empty()) break;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) {
      return invalid_argument("a '=' is missing in '" + shown(text) + "'");
    }
    Parameter parameter{ascii_lower(text.substr(0, equals)), ""};
    if (!is_token(parameter.name)) {
      return invalid_argument("'" + shown(parameter.name) + "' is no name of a parameter");
    }
    text.remove_prefix(equals + 1);
    if (text.starts_with('"')) {
      std::optional<std::string> value = take_quoted(&text);
      if (!value)
        return invalid_argument("the value of '" + parameter.name + "' has no second '\"'");
      parameter.value = std::move(*value);
    } else {
      const std::size_t end = std::min(text.find_first_of("; \t"), text.size());
      parameter.value = text.substr(0, end);
      if (!is_token(parameter.value)) {
        return invalid_argument("the value of '" + parameter.name + "' must stand in quotes");
      }
      text.remove_prefix(end);
    }
    const bool is_known = std::any_of(list.begin(), list.end(), [&](const Parameter& each) {
      return each.name == parameter.name;
    });
    if (is_known) return invalid_argument("the parameter '" + parameter.name + "' stands twice");
    list.push_back(std::move(parameter));
  }
  return list;
}

// Names of fields and files: browsers send a quote as %22 (HTML, section 4.10.21.8).
Result<std::string> name_of(std::string_view value, const char* what) {
  std::string name;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const bool is_quote = value.substr(i, 3) == "%22";
    name += is_quote ? '"' : value[i];
    if (is_quote) i += 2;
  }
  if (has_control(name) || !detail::is_utf8(name)) {
    return invalid_argument(
        fmt::format("the {} of a part is no UTF-8 without control characters", what));
  }
  return name;
}

Result<void> read_disposition(std::string_view value, PartHead& head) {
  const std::size_t end = std::min(value.find(';'), value.size());
  if (ascii_lower(trimmed(value.substr(0, end))) != "form-data") {
    return invalid_argument("the Content-Disposition of a part is not form-data");
  }
  PARING_TRY(const std::vector<Parameter> parameters, parameters_of(value.substr(end)));
  bool is_named = false;
  for (const Parameter& parameter : parameters) {
    if (parameter.name == "name") {
      PARING_TRY(head.name, name_of(parameter.value, "name"));
      is_named = true;
    } else if (parameter.name == "filename") {
      PARING_TRY(std::string filename, name_of(parameter.value, "filename"));
      head.filename = std::move(filename);
    } else if (parameter.name == "filename*") {
      return invalid_argument("a part has a filename*",
                              "give the filename as it is, in UTF-8 (RFC 7578, section 4.2)");
    }
  }
  if (!is_named || head.name.empty()) return invalid_argument("a part has no name");
  return {};
}

// The lines of a part's head, without the empty one.
Result<PartHead> read_part_head(std::string_view lines) {
  PartHead head;
  bool has_disposition = false;
  bool has_type = false;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find(kLineEnd), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + kLineEnd.size(), lines.size()));
    const std::size_t colon = line.find(':');
    const std::string name = ascii_lower(line.substr(0, std::min(colon, line.size())));
    if (colon == std::string_view::npos || !is_token(name)) {
      return invalid_argument("a line of a part's head is no header: '" + shown(line) + "'");
    }
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
      return invalid_argument("a control character stands in the header '" + shown(name) + "'");
    }
    if (name == "content-disposition") {
      if (std::exchange(has_disposition, true)) {
        return invalid_argument("a part has two Content-Dispositions");
      }
      PARING_TRY_VOID(read_disposition(value, head));
    } else if (name == "content-type") {
      if (std::exchange(has_type, true)) return invalid_argument("a part has two Content-Types");
      head.content_type = value;
    } else if (name == "content-transfer-encoding") {
      const std::string coding = ascii_lower(value);
      if (coding != "binary" && coding != "8bit" && coding != "7bit") {
        return invalid_argument("a part has the Content-Transfer-Encoding '" + shown(value) + "'",
                                "send contents as they are");
      }
    }
  }
  if (!has_disposition) return invalid_argument("a part has no Content-Disposition");
  return head;
}

}  // namespace

Result<std::string> multipart_boundary(std::string_view content_type) {
  const std::size_t end = std::min(content_type.find(';'), content_type.size());
  const std::string type = ascii_lower(trimmed(content_type.substr(0, end)));
  if (type != "multipart/form-data") {
    return invalid_argument("the Content-Type is '" + shown(type) + "', not multipart/form-data",
                            "send a form with the file in it");
  }
  PARING_TRY(const std::vector<Parameter> parameters, parameters_of(content_type.substr(end)));
  for (const Parameter& parameter : parameters) {
    if (parameter.name != "boundary") continue;
    if (is_boundary(parameter.value)) return parameter.value;
    return invalid_argument(fmt::format("the boundary '{}' of {} bytes is not allowed",
                                        shown(parameter.value), parameter.value.size()),
                            fmt::format("it has 1 to {} letters and digits", kBoundaryBytesMax));
  }
  return invalid_argument("the Content-Type multipart/form-data names no boundary");
}

// The first boundary stands at the start of the body: a line end before it makes it like the
// others.
MultipartReader::MultipartReader(std::string_view boundary, const MultipartLimits& limits)
    : limits_(limits), delimiter_("\r\n--" + std::string(boundary)), buffer_(kLineEnd) {}

void MultipartReader::append(std::string_view bytes) {
  buffer_.erase(0, std::exchange(used_, 0));
  content_ = {};
  buffer_ += bytes;
}

Result<MultipartReader::Step> MultipartReader::next() {
  switch (place_) {
    case Place::kBoundary:
      return read_boundary();
    case Place::kHead:
      return read_head();
    case Place::kContent:
      return read_content();
    case Place::kEnd:
      break;
  }
  // Many programs end their last line.
  if (rest().empty() || rest() == "\r" || rest() == kLineEnd) return Step::kNeedMore;
  return invalid_argument("bytes stand behind the last boundary");
}

Result<void> MultipartReader::finish() const {
  if (place_ == Place::kEnd && rest() != "\r") return {};
  return invalid_argument(
      parts_ == 0 ? "the body holds no part" : fmt::format("the body ends within part {}", parts_),
      "it has been cut off, or its last boundary is missing");
}

// At a boundary: "--" behind it ends the body, a line end begins a part.
Result<MultipartReader::Step> MultipartReader::read_boundary() {
  const std::string_view text = rest();
  const std::string_view expected = std::string_view(delimiter_).substr(0, text.size());
  if (!text.starts_with(expected)) {
    return invalid_argument("the body does not begin with its boundary");
  }
  if (text.size() < delimiter_.size() + 2) return Step::kNeedMore;
  const std::string_view after = text.substr(delimiter_.size(), 2);
  if (after == "--" && parts_ > 0) {
    used_ += delimiter_.size() + 2;
    place_ = Place::kEnd;
    return Step::kEnd;
  }
  if (after != kLineEnd) {
    return invalid_argument(parts_ == 0 ? "the first boundary does not stand in a line of its own"
                                        : "the boundary stands within a part's content");
  }
  if (parts_ == limits_.parts_max) {
    return invalid_argument(
        fmt::format("the body has more than {} parts, the limit", limits_.parts_max));
  }
  // The line end stays: an empty head would begin with it.
  used_ += delimiter_.size();
  ++parts_;
  place_ = Place::kHead;
  return read_head();
}

Result<MultipartReader::Step> MultipartReader::read_head() {
  const std::string_view text = rest();
  const std::size_t end = text.find("\r\n\r\n");
  if (std::min(end, text.size()) > limits_.part_head_bytes_max) {
    return invalid_argument(fmt::format("the head of part {} has more than {} bytes, the limit",
                                        parts_, limits_.part_head_bytes_max));
  }
  if (end == std::string_view::npos) return Step::kNeedMore;
  const std::string_view lines = end == 0 ? "" : text.substr(2, end - 2);
  PARING_TRY(head_, read_part_head(lines));
  used_ += end + 4;
  place_ = Place::kContent;
  return Step::kPart;
}

MultipartReader::Step MultipartReader::read_content() {
  const std::string_view text = rest();
  const std::size_t end = text.find(delimiter_);
  if (end == 0) {
    place_ = Place::kBoundary;
    return Step::kPartEnd;
  }
  // What may be the beginning of a boundary waits for more.
  const std::size_t kept = delimiter_.size() - 1;
  const std::size_t bytes =
      end != std::string_view::npos ? end : text.size() - std::min(text.size(), kept);
  if (bytes == 0) return Step::kNeedMore;
  content_ = text.substr(0, bytes);
  used_ += bytes;
  return Step::kContent;
}

}  // namespace paring::net
