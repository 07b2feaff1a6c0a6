// SPDX-License-Identifier: Apache-2.0
#include "measure/builtin_text.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace paring::measure {
namespace {

std::string read(const std::string& name) {
  std::ifstream file(std::string(PARING_SOURCE_DIR "/src/measure/data/") + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(BuiltinText, HoldsTheFilesByteForByte) {
  EXPECT_EQ(calibration_text(), read("calibration.txt"));
  EXPECT_EQ(holdout_text(), read("holdout.txt"));
  EXPECT_GT(calibration_text().size(), 250'000u);
  EXPECT_GT(holdout_text().size(), 50'000u);
}

TEST(BuiltinText, HashesAreThoseOfTheManifest) {
  const std::string manifest = read("manifest.json");
  EXPECT_EQ(calibration_text_sha256().size(), 64u);
  EXPECT_NE(manifest.find(calibration_text_sha256()), std::string::npos);
  EXPECT_NE(manifest.find(holdout_text_sha256()), std::string::npos);
  EXPECT_NE(calibration_text_sha256(), holdout_text_sha256());
}

}  // namespace
}  // namespace paring::measure
