// SPDX-License-Identifier: Apache-2.0
// ContentFilter: which requests keep their prompt and answer, and what these look like when they
// are written: redacted, and cut to a bound. What cannot be redacted is not written. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "monitor/redactor.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

// What stands where text was cut begins with it: "[... 1234 bytes cut ...]".
inline constexpr std::string_view kCutMark = "[... ";

// Memory for the text of one request while it is answered, given back at the end. Movable; one
// thread at a time.
class ContentRoom {
 public:
  ContentRoom(std::shared_ptr<std::atomic<std::int64_t>> taken, std::int64_t bytes_max)
      : taken_(std::move(taken)), bytes_max_(bytes_max) {}
  ~ContentRoom() {
    if (taken_ != nullptr) *taken_ -= bytes_;
  }
  ContentRoom(ContentRoom&& other) noexcept = default;
  ContentRoom& operator=(ContentRoom&&) = delete;
  ContentRoom(const ContentRoom&) = delete;
  ContentRoom& operator=(const ContentRoom&) = delete;

  // False: all requests together hold as much as they may; the text is to be let go, which is
  // counted.
  bool add(std::size_t bytes);

 private:
  std::shared_ptr<std::atomic<std::int64_t>> taken_;  // by all
  std::int64_t bytes_max_;
  std::int64_t bytes_ = 0;  // by this one
};

class ContentFilter {
 public:
  struct Options {
    bool is_redacted = true;
    // Of the text of a request, prompt and answer together; long texts are cut in their middle.
    std::size_t bytes_max = std::size_t{64} << 10;
    double share = 1;  // of requests, by their id
    // Of texts that requests hold while they are answered, all together.
    std::int64_t held_bytes_max = std::int64_t{64} << 20;
    RedactionOptions redaction{};
  };
  static constexpr std::size_t kBytesMin = 1024;
  static constexpr std::size_t kBytesMost = std::size_t{1} << 20;
  static constexpr int kDepthMax = 128;  // of JSON

  // InvalidArgument: a bound that is none, and what Redactor::create() refuses.
  static Result<std::shared_ptr<const ContentFilter>> create(const Options& options);

  // Whether this request's content is kept: the same answer for an id everywhere.
  bool takes(std::string_view request_id) const noexcept;
  // For one that does.
  ContentRoom room() const { return {taken_, options_.held_bytes_max}; }
  // Makes it what is written. False: it must not be.
  bool apply(store::TrafficContent& content) const;
  std::vector<Redactor::Count> redactions() const;

 private:
  explicit ContentFilter(const Options& options) : options_(options) {}
  Options options_;
  std::shared_ptr<std::atomic<std::int64_t>> taken_ =
      std::make_shared<std::atomic<std::int64_t>>(0);
  std::shared_ptr<const Redactor> redactor_;  // null: nothing is redacted
};

}  // namespace paring::monitor
