// SPDX-License-Identifier: Apache-2.0
// Standard output: where results go, and nothing else. Every byte is accounted for: a full disk or
// a closed pipe is an error that main() turns into an exit code. Confined to one thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::cli {

using Json = nlohmann::ordered_json;

class Output {
 public:
  explicit Output(int descriptor) : descriptor_(descriptor) {}

  // Written when the buffer is full or at flush(). Nothing more is written after a failure.
  void write(std::string_view text);
  // Two blanks of indentation and a newline at the end. Bytes that are not UTF-8 become U+FFFD.
  void write_json(const Json& value);
  // The first failure since the start, with the reason; Cancelled when the reader went away.
  Result<void> flush();
  // Whether writing has failed: long work that only produces output may stop.
  bool has_failed() const { return error_number_ != 0; }

 private:
  void drain();
  int descriptor_;
  int error_number_ = 0;  // errno of the first failure
  std::string buffer_;
};

// "paring: error: ..." and "paring: ..." lines on standard error; control characters are escaped.
void print_error(const Error& error);
void print_note(std::string_view text);
// Text for standard error as it is.
void print_raw_error(std::string_view text);

}  // namespace paring::cli
