// SPDX-License-Identifier: Apache-2.0
// Bodies of several parts, multipart/form-data (RFC 7578; RFC 2046, section 5.1), as forms with
// files are sent. Takes bytes in pieces of any size and gives back what they hold in order; keeps
// no more of them than one piece, a boundary and the head of a part. Confined to one thread at a
// time.
//
// Strict where two readers could differ: lines end with CRLF, nothing stands before the first
// boundary or behind the last, names stand once, heads are not folded, contents are not encoded.
//
//   PARING_TRY(std::string boundary, multipart_boundary(*head.find("content-type")));
//   MultipartReader reader(std::move(boundary), {});
//   reader.append(piece);
//   for (;;) {
//     PARING_TRY(const MultipartReader::Step step, reader.next());
//     if (step == MultipartReader::Step::kNeedMore) break;
//     ...
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::net {

inline constexpr std::size_t kBoundaryBytesMax = 70;  // RFC 2046

struct MultipartLimits {
  std::size_t parts_max = 32;
  std::size_t part_head_bytes_max = 4096;
};

// The boundary that a Content-Type header names. InvalidArgument: another type, no boundary, two,
// or one that RFC 2046 does not allow.
Result<std::string> multipart_boundary(std::string_view content_type);

struct PartHead {
  std::string name;                     // valid UTF-8 without control characters
  std::optional<std::string> filename;  // the same; of a part that is a file
  std::string content_type;             // as sent; "" when the part has none
};

class MultipartReader {
 public:
  // REQUIRES: `boundary` is what multipart_boundary() gave.
  MultipartReader(std::string_view boundary, const MultipartLimits& limits);

  enum class Step : std::uint8_t {
    kNeedMore,
    kPart,     // a part begins: head()
    kContent,  // of the part: content(), until the next call
    kPartEnd,
    kEnd,  // of the body. Bytes that come after it are an error of next().
  };

  void append(std::string_view bytes);
  // What comes next in the bytes that were appended. InvalidArgument, with where it is wrong: bytes
  // that are no such body, or beyond the limits; then the reader is of no use any more.
  Result<Step> next();
  // Whether the body may end here; InvalidArgument says what is missing.
  Result<void> finish() const;

  const PartHead& head() const noexcept { return head_; }
  std::string_view content() const noexcept { return content_; }
  std::size_t parts() const noexcept { return parts_; }

 private:
  enum class Place : std::uint8_t { kBoundary, kHead, kContent, kEnd };
  Result<Step> read_boundary();
  Result<Step> read_head();
  Step read_content();
  std::string_view rest() const noexcept { return std::string_view(buffer_).substr(used_); }

  const MultipartLimits limits_;
  const std::string delimiter_;  // CRLF, "--", boundary
  std::string buffer_;
  std::size_t used_ = 0;  // of the buffer
  Place place_ = Place::kBoundary;
  PartHead head_;
  std::string_view content_;  // of the buffer
  std::size_t parts_ = 0;
};

}  // namespace paring::net
