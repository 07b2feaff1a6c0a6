// SPDX-License-Identifier: Apache-2.0
#include "base/sha256.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace paring {
namespace {

// FIPS 180-4 examples.
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256_hex("abc"), kAbc);
  EXPECT_EQ(sha256_hex(""), kEmpty);
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, StreamingEqualsOneShotAndTheObjectStartsAnew) {
  Sha256 hash;
  hash.update("a");
  hash.update("");
  hash.update("bc");
  EXPECT_EQ(hex(hash.finish()), kAbc);
  EXPECT_EQ(hex(hash.finish()), kEmpty);
  Sha256 moved(std::move(hash));
  moved.update("abc");
  EXPECT_EQ(hex(moved.finish()), kAbc);
}

TEST(Sha256, HashesAFileAndReportsEveryByte) {
  std::string pattern = (std::filesystem::temp_directory_path() / "paring_sha_XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const std::string path = pattern + "/file";
  const std::string content(3'000'001, 'x');
  std::ofstream(path, std::ios::binary) << content;
  std::uint64_t seen = 0;
  int calls = 0;
  const auto found = sha256_file(path, [&](std::uint64_t bytes) {
    seen += bytes;
    ++calls;
  });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(*found, sha256_hex(content));
  EXPECT_EQ(seen, content.size());
  EXPECT_GE(calls, 3);
  std::filesystem::remove_all(pattern);
  EXPECT_EQ(sha256_file(path).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(sha256_file("/").error().code, ErrorCode::kIo);
}

TEST(Sha256, RecognisesItsOwnText) {
  EXPECT_TRUE(is_sha256_hex(kAbc));
  EXPECT_FALSE(is_sha256_hex("abc"));
  EXPECT_FALSE(is_sha256_hex(std::string(64, 'g')));
  EXPECT_FALSE(is_sha256_hex(std::string(64, 'A')));
}

}  // namespace
}  // namespace paring
