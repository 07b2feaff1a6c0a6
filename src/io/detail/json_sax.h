// SPDX-License-Identifier: Apache-2.0
// What the JSON readers of this module share: nlohmann's event parser, which does not recurse, with
// limits on bytes and depth, and its failures as Errors that name the file and the place. A reader
// derives from JsonSax and overrides the events that it cares about; an event that returns false
// has called fail(). One use, one thread.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "io/printable.h"

namespace paring::io {

inline constexpr std::size_t kJsonDepthMax = 64;

class JsonSax : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonSax(std::string source) : source_(std::move(source)) {}

  // Parses `text` as one JSON object. Corrupt: no JSON, deeper than kJsonDepthMax, not an object.
  // Exhausted: more than `bytes_max` bytes.
  Result<void> parse(std::string_view text, std::size_t bytes_max) {
    if (text.size() > bytes_max) {
      return exhausted(
          fmt::format("{} has {} bytes, the limit is {}", source_, text.size(), bytes_max),
          "a file of this kind is far smaller; is it the right one?");
    }
    bytes_ = text.size();
    const bool is_whole = nlohmann::json::sax_parse(text.begin(), text.end(), this);
    if (error_) return std::move(*error_);
    PARING_CHECK(is_whole, "a parse that stops says why");
    return {};
  }

  bool start_object(std::size_t) override { return enter() && begin_object(); }
  bool end_object() override {
    --depth_;
    return finish_object();
  }
  bool start_array(std::size_t) override {
    if (depth_ == 0) return no_object();
    return enter() && begin_array();
  }
  bool end_array() override {
    --depth_;
    return finish_array();
  }
  bool binary(binary_t&) override { return fail(corrupt(source_ + " holds binary JSON")); }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    return fail(
        corrupt(fmt::format("{} is no JSON: unexpected {} at byte {}", source_,
                            position > bytes_ ? "end" : "'" + printable(token) + "'", position),
                "the file is damaged or was cut; fetch it again"));
  }

  // Nesting around the current event; 1 inside the outermost object.
  std::size_t depth() const { return depth_; }
  const std::string& source() const { return source_; }

 protected:
  virtual bool begin_object() = 0;
  virtual bool finish_object() = 0;
  virtual bool begin_array() = 0;
  virtual bool finish_array() = 0;

  bool fail(Error error) {
    if (!error_) error_ = std::move(error);
    return false;
  }
  bool no_object() {
    return fail(corrupt(source_ + " is no JSON object", "is it the right file?"));
  }

 private:
  bool enter() {
    if (depth_ == kJsonDepthMax) {
      return fail(
          corrupt(fmt::format("{} nests more than {} levels deep", source_, kJsonDepthMax),
                  "a model's file nests a few levels only; the file is damaged, fetch it again"));
    }
    ++depth_;
    return true;
  }

  std::string source_;
  std::size_t bytes_ = 0;
  std::size_t depth_ = 0;
  std::optional<Error> error_;
};

}  // namespace paring::io
