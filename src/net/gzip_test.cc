// SPDX-License-Identifier: Apache-2.0
#include "net/gzip.h"

#include <gtest/gtest.h>

#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/crc.hpp>
#include <cstdint>
#include <random>

namespace paring::net {
namespace {

constexpr std::size_t kLarge = std::size_t{64} << 20;

// Python's gzip.compress(b"hello, hello, hello\n", mtime=0), an independent writer's.
constexpr std::string_view kHello(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\xe7"
    "\x42\x6e\x52\x14\x00\x00\x00",
    30);

std::string fixed32(std::uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string gzip(const std::string& text, char flags = 0, const std::string& head = "") {
  namespace zlib = boost::beast::zlib;
  zlib::deflate_stream stream;
  std::string packed(stream.upper_bound(text.size()) + 64, '\0');
  zlib::z_params at;
  at.next_in = text.data();
  at.avail_in = text.size();
  at.next_out = packed.data();
  at.avail_out = packed.size();
  boost::system::error_code error;
  stream.write(at, zlib::Flush::finish, error);
  packed.resize(packed.size() - at.avail_out);
  boost::crc_32_type checksum;
  checksum.process_bytes(text.data(), text.size());
  return std::string("\x1f\x8b\x08", 3) + flags + std::string(6, '\0') + head + packed +
         fixed32(checksum.checksum()) + fixed32(static_cast<std::uint32_t>(text.size()));
}

std::string random_text(std::size_t bytes) {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < bytes) text += static_cast<char>('a' + random() % 13);
  return text;
}

TEST(Gunzip, GivesWhatWentIn) {
  EXPECT_EQ(gunzip(kHello, 20).value(), "hello, hello, hello\n") << "exactly as much as may be";
  for (const std::size_t bytes : {0, 1, 100, 65535, 65536, 300000}) {
    const std::string text = random_text(bytes);
    EXPECT_EQ(gunzip(gzip(text), kLarge).value(), text);
  }
  EXPECT_EQ(gunzip(gzip("one, ") + gzip("two"), kLarge).value(), "one, two") << "members";
  const std::string head =
      std::string("\x03\x00xyz", 5) + std::string("name\0", 5) + std::string("comment\0", 8) + "hh";
  EXPECT_EQ(gunzip(gzip("text", 2 | 4 | 8 | 16, head), kLarge).value(), "text");
}

TEST(Gunzip, NeverMakesMoreThanItMay) {
  const std::string bomb = gzip(std::string(kLarge, 'x'));
  ASSERT_LT(bomb.size(), kLarge / 500);
  const auto result = gunzip(bomb, kLarge - 1);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kExhausted);
  EXPECT_NE(result.error().text().find(std::to_string(kLarge - 1)), std::string::npos);
  EXPECT_EQ(gunzip(gzip("12345") + gzip("67890"), 9).error().code, ErrorCode::kExhausted)
      << "the bound is on all members";
  EXPECT_EQ(gunzip(kHello, 0).error().code, ErrorCode::kExhausted);
}

TEST(Gunzip, EveryPartOfABodyAndEveryWrongByteIsAnErrorOrTheSame) {
  for (std::size_t size = 0; size < kHello.size(); ++size) {
    const auto result = gunzip(kHello.substr(0, size), kLarge);
    ASSERT_FALSE(result) << size;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  }
  for (std::size_t at = 0; at < kHello.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string wrong(kHello);
      wrong[at] = static_cast<char>(wrong[at] ^ (1 << bit));
      const auto result = gunzip(wrong, kLarge);
      if (!result) continue;
      EXPECT_EQ(*result, "hello, hello, hello\n") << at << ' ' << bit;
    }
  }
  EXPECT_FALSE(gunzip(std::string(kHello) + "x", kLarge)) << "something behind it";
}

}  // namespace
}  // namespace paring::net
