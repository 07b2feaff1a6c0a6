// SPDX-License-Identifier: Apache-2.0
#include "net/gzip.h"

#include <algorithm>
#include <array>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <boost/crc.hpp>
#include <cstdint>
#include <optional>

namespace paring::net {

namespace {

namespace zlib = boost::beast::zlib;

constexpr std::size_t kPiece = std::size_t{64} << 10;
constexpr std::size_t kHeadBytes = 10;
constexpr std::size_t kTailBytes = 8;  // checksum and size
constexpr unsigned char kDeflate = 8;

enum Flag : unsigned char {
  kChecksum = 2,
  kExtra = 4,
  kName = 8,
  kComment = 16,
  kReserved = 0xe0,
};

Error broken(const char* why) {
  return invalid_argument(std::string("the gzip body is broken: ") + why,
                          "send it again, or without compression");
}

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value |= std::uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return value;
}

// Behind a member's head; nothing: it is none.
std::optional<std::string_view> without_head(std::string_view bytes) {
  if (bytes.size() < kHeadBytes || bytes[0] != '\x1f' || bytes[1] != '\x8b') return std::nullopt;
  const auto flags = static_cast<unsigned char>(bytes[3]);
  if (static_cast<unsigned char>(bytes[2]) != kDeflate || (flags & kReserved) != 0) {
    return std::nullopt;
  }
  bytes.remove_prefix(kHeadBytes);
  const auto skip = [&](std::size_t count) {
    if (count > bytes.size()) return false;
    bytes.remove_prefix(count);
    return true;
  };
  if ((flags & kExtra) != 0) {
    if (bytes.size() < 2 || !skip(2 + little_endian(bytes.substr(0, 2)))) return std::nullopt;
  }
  for (const Flag text : {kName, kComment}) {
    if ((flags & text) == 0) continue;
    const std::size_t end = bytes.find('\0');
    if (end == std::string_view::npos || !skip(end + 1)) return std::nullopt;
  }
  if ((flags & kChecksum) != 0 && !skip(2)) return std::nullopt;
  return bytes;
}

// Appends what a member's deflate stream holds and takes it off `bytes`.
Result<void> inflate(std::string_view& bytes, std::string& out, std::size_t bytes_max) {
  zlib::inflate_stream stream;
  zlib::z_params at;
  at.next_in = bytes.data();
  at.avail_in = bytes.size();
  std::array<char, kPiece> piece;
  boost::system::error_code error;
  while (!error) {
    at.next_out = piece.data();
    at.avail_out = piece.size();
    stream.write(at, zlib::Flush::sync, error);
    const std::size_t made = piece.size() - at.avail_out;
    if (made > bytes_max - out.size()) {
      return Error{ErrorCode::kExhausted,
                   "the gzip body holds more than " + std::to_string(bytes_max) + " bytes",
                   "send smaller batches"};
    }
    out.append(piece.data(), made);
  }
  if (error != zlib::error::end_of_stream) {
    return broken(error == zlib::error::need_buffers ? "it is cut" : "its blocks are none");
  }
  bytes.remove_prefix(bytes.size() - at.avail_in);
  return {};
}

}  // namespace

Result<std::string> gunzip(std::string_view bytes, std::size_t bytes_max) {
  std::string out;
  do {
    const std::optional<std::string_view> rest = without_head(bytes);
    if (!rest) return broken("it does not begin as gzip does");
    bytes = *rest;
    const std::size_t begin = out.size();
    PARING_TRY_VOID(inflate(bytes, out, bytes_max));
    if (bytes.size() < kTailBytes) return broken("it is cut");
    const std::string_view made = std::string_view(out).substr(begin);
    boost::crc_32_type checksum;
    checksum.process_bytes(made.data(), made.size());
    if (little_endian(bytes.substr(0, 4)) != checksum.checksum() ||
        little_endian(bytes.substr(4, 4)) != static_cast<std::uint32_t>(made.size())) {
      return broken("its checksum is another");
    }
    bytes.remove_prefix(kTailBytes);
  } while (!bytes.empty());
  return out;
}

}  // namespace paring::net
