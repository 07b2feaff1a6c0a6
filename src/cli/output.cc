// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "io/system_error.h"

namespace paring::cli {

namespace {
constexpr std::size_t kBufferBytesMax = std::size_t{64} << 10;
}  // namespace

void Output::write(std::string_view text) {
  if (error_number_ != 0) return;
  buffer_ += text;
  if (buffer_.size() >= kBufferBytesMax) drain();
}

void Output::write_json(const Json& value) {
  write(value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Output::drain() {
  std::string_view rest = buffer_;
  while (!rest.empty() && error_number_ == 0) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      error_number_ = errno;
    }
  }
  buffer_.clear();
}

Result<void> Output::flush() {
  drain();
  if (error_number_ == 0) return {};
  if (error_number_ == EPIPE) {
    return Error{ErrorCode::kCancelled, "the reader of standard output went away"};
  }
  return io::system_error(error_number_, "write", "standard output");
}

void print_raw_error(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) return;  // nobody is left to tell
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void print_error(const Error& error) {
  print_raw_error("paring: error: " + escape_control(error.text()) + "\n");
}

void print_note(std::string_view text) {
  print_raw_error("paring: " + escape_control(text) + "\n");
}

}  // namespace paring::cli
