// SPDX-License-Identifier: Apache-2.0
// The input file of a batch: JSON Lines with a request each, checked as OpenAI's service does, with
// the line's number in each finding. Lines are kept as places in the file, not as text, with hashes
// of how their prompts begin: lines with equal beginnings run one after the other, so that the
// engine computes the common part once. Stateless but for BatchInputReader, of one thread.
//
//   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": ...}}
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

#include "base/result.h"

namespace paring::serve {

struct BatchInputLimits {
  std::int64_t lines_max = 50'000;
  std::size_t line_bytes_max = std::size_t{4} << 20;
  std::size_t custom_id_bytes_max = 512;
  std::size_t depth_max = 64;
  std::size_t errors_max = 100;  // further ones are not listed
};

// Endpoints that a batch may name.
std::span<const std::string_view> batch_endpoints() noexcept;
bool is_batch_endpoint(std::string_view endpoint) noexcept;
// "/v1/chat/completions, ...", for messages.
std::string batch_endpoints_text();

struct BatchLineError {
  std::string code;
  std::string message;
  std::string param;      // "" when the whole line is wrong
  std::int64_t line = 0;  // from 1; 0: the file as a whole
};

// What one line says.
struct BatchLineContent {
  std::string custom_id;
  std::string model;
  std::string body;  // JSON text of the request
  // Hashes of the first 256, 1024, 4096, ... bytes of the prompt.
  std::array<std::uint64_t, 5> beginnings{};
};
std::variant<BatchLineContent, BatchLineError> parse_batch_line(std::string_view text,
                                                                std::string_view endpoint,
                                                                const BatchInputLimits& limits);

// Where a line lies in its file.
struct BatchLine {
  std::int64_t number = 0;  // from 1
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  std::array<std::uint64_t, 5> beginnings{};
};

struct BatchInput {
  std::string model;
  std::vector<BatchLine> lines;        // ascending
  std::vector<BatchLineError> errors;  // none: the file may run
};

// Takes a file piece by piece. Blank lines are passed over.
class BatchInputReader {
 public:
  BatchInputReader(std::string endpoint, const BatchInputLimits& limits)
      : endpoint_(std::move(endpoint)), limits_(limits) {}
  void append(std::string_view bytes);
  // The end of the file. REQUIRES: called once.
  BatchInput finish();
  // Enough was found to refuse the file; the rest need not be read.
  bool is_hopeless() const noexcept { return is_hopeless_; }

 private:
  void take_line(std::string_view text);
  void add_error(BatchLineError error);

  std::string endpoint_;
  BatchInputLimits limits_;
  BatchInput input_;
  std::string partial_;  // a line whose end has not come
  std::uint64_t read_bytes_ = 0;
  std::uint64_t line_offset_ = 0;
  std::int64_t line_number_ = 1;
  bool is_too_long_ = false;  // the present line: its rest is passed over
  bool is_hopeless_ = false;
  std::unordered_set<std::string> custom_ids_;
};

// The order in which lines run: those with the longest common beginnings side by side. Indexes into
// `lines`.
std::vector<std::uint32_t> batch_order(const std::vector<BatchLine>& lines);

}  // namespace paring::serve
