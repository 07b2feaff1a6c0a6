// SPDX-License-Identifier: Apache-2.0
// ContentFilter: which requests keep their prompt and answer, and what these look like when they
// are written: redacted, and cut to a bound. What cannot be redacted is not written. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "monitor/redactor.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

// What stands where text was cut begins with it: "[... 1234 bytes cut ...]".
inline constexpr std::string_view kCutMark = "[... ";

class ContentFilter {
 public:
  struct Options {
    bool is_redacted = true;
    // Of the text of a request, prompt and answer together; long texts are cut in their middle.
    std::size_t bytes_max = std::size_t{64} << 10;
    double share = 1;  // of requests, by their id
    RedactionOptions redaction{};
  };
  static constexpr std::size_t kBytesMin = 1024;
  static constexpr std::size_t kBytesMost = std::size_t{1} << 20;
  static constexpr int kDepthMax = 128;  // of JSON

  // InvalidArgument: a bound that is none, and what Redactor::create() refuses.
  static Result<std::shared_ptr<const ContentFilter>> create(const Options& options);

  // Whether this request's content is kept: the same answer for an id everywhere.
  bool takes(std::string_view request_id) const noexcept;
  // Makes it what is written. False: it must not be.
  bool apply(store::TrafficContent& content) const;
  std::vector<Redactor::Count> redactions() const;

 private:
  explicit ContentFilter(const Options& options) : options_(options) {}
  Options options_;
  std::shared_ptr<const Redactor> redactor_;  // null: nothing is redacted
};

}  // namespace paring::monitor
