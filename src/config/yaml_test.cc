// SPDX-License-Identifier: Apache-2.0
#include "config/yaml.h"

#include <gtest/gtest.h>

namespace paring::config {
namespace {

std::string flat(std::string_view text) {
  const auto entries = read_yaml(text);
  if (!entries) return "error: " + entries.error().text();
  std::string all;
  for (const YamlEntry& entry : *entries) {
    all += entry.key + "=" + entry.value + "@" + std::to_string(entry.line) + ";";
  }
  return all;
}

TEST(Yaml, MapsOfMapsBecomeDottedKeys) {
  EXPECT_EQ(flat("threads: 2\n# comment\nserve:\n  port: 8080\n  host: \"a b\"\n"),
            "threads=2@1;serve.port=8080@4;serve.host=a b@5;");
  EXPECT_EQ(flat(""), "");
  EXPECT_EQ(flat("# nothing\n"), "");
}

TEST(Yaml, ErrorsSayTheLine) {
  EXPECT_NE(flat("a: 1\nb: [1, 2]\n").find("line 2: 'b' has no single value"), std::string::npos);
  EXPECT_NE(flat("a: 1\nb:\n").find("line 2: 'b' has no single value"), std::string::npos);
  EXPECT_NE(flat("a: 1\n\na: 2\n").find("line 3: 'a' occurs twice"), std::string::npos);
  EXPECT_TRUE(flat("a: 1\nb: }\n").starts_with("error: line 2"));
  EXPECT_NE(flat("- a\n- b\n").find("not a map"), std::string::npos);
  EXPECT_NE(flat("just words").find("not a map"), std::string::npos);
  EXPECT_NE(flat("? [a, b]\n: 1\n").find("not a plain name"), std::string::npos);
}

TEST(Yaml, SizeDepthAndNumberAreBounded) {
  EXPECT_NE(flat(std::string(kYamlBytesMax + 1, '#')).find("the limit is 262144"),
            std::string::npos);
  std::string deep;
  for (int i = 0; i < 9; ++i) deep += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_NE(flat(deep + "          a: 1\n").find("nested deeper than 8"), std::string::npos);
  std::string many;
  for (std::size_t i = 0; i <= kYamlEntriesMax; ++i) many += "k" + std::to_string(i) + ": 1\n";
  EXPECT_NE(flat(many).find("more than 4096 entries"), std::string::npos);
}

// Each of these has crashed or stalled a YAML reader somewhere.
TEST(Yaml, HostileTextIsAnErrorNotACrash) {
  EXPECT_TRUE(flat(std::string(100000, '[')).starts_with("error"));
  EXPECT_TRUE(flat(std::string(100000, '{')).starts_with("error"));
  std::string nested;
  for (int i = 0; i < 600; ++i) nested += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_TRUE(flat(nested).starts_with("error"));
  EXPECT_TRUE(flat("a: &x {b: *x}\n").starts_with("error"));
  EXPECT_TRUE(flat("a: *missing\n").starts_with("error"));
  std::string laughs = "l0: &l0 {x: 1}\n";
  for (int i = 1; i < 8; ++i) {
    const std::string below = "*l" + std::to_string(i - 1);
    laughs += "l" + std::to_string(i) + ": &l" + std::to_string(i) + " {";
    for (int j = 0; j < 16; ++j) laughs += "k" + std::to_string(j) + ": " + below + " , ";
    laughs += "}\n";
  }
  EXPECT_NE(flat(laughs).find("more than 4096"), std::string::npos);
  EXPECT_TRUE(flat("a: 1\n\tb: 2\n").starts_with("error"));
}

TEST(Yaml, QuotedTextIsReadBack) {
  const std::string text = "a \"b\" \\c: #d\x01";
  EXPECT_EQ(flat("k: " + quote_yaml(text) + "\n"), "k=" + text + "@1;");
}

}  // namespace
}  // namespace paring::config
