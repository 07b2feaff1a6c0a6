// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include <gtest/gtest.h>

namespace paring::cli {
namespace {

TEST(Table, AlignsColumnsToTheirWidestCell) {
  Table table({{"type"}, {"bytes", Align::kRight}});
  table.add({"Q4_0", "1"});
  table.add({"F16 long", "12345678"});
  EXPECT_EQ(table.render(),
            "type         bytes\n"
            "--------  --------\n"
            "Q4_0             1\n"
            "F16 long  12345678\n");
}

TEST(Table, CountsCharactersAndDropsTrailingBlanks) {
  Table table({{"a"}, {"b"}});
  table.add({"\xC3\xA9\xC3\xA9", "x"});  // two characters, four bytes
  table.add({"ab", ""});
  EXPECT_EQ(table.render(), "a   b\n--  -\n\xC3\xA9\xC3\xA9  x\nab\n");
}

TEST(Table, EscapesControlCharacters) {
  Table table({{""}});
  table.add({"a\x1b[31mb\n"});
  EXPECT_EQ(table.render(), "a\\x1b[31mb\\n\n");
}

TEST(Table, WithoutTitlesThereIsNoRule) {
  Table table({{""}, {""}});
  table.add({"a", "b"});
  EXPECT_EQ(table.render(), "a  b\n");
}

TEST(Table, MarkdownEscapesBars) {
  Table table({{"key"}, {"value", Align::kRight}});
  table.add({"a|b", "1"});
  EXPECT_EQ(table.render_markdown(), "| key | value |\n|---|---:|\n| a\\|b | 1 |\n");
}

TEST(Table, GroupsDigits) {
  EXPECT_EQ(group_digits(0), "0");
  EXPECT_EQ(group_digits(999), "999");
  EXPECT_EQ(group_digits(1000), "1,000");
  EXPECT_EQ(group_digits(134515008), "134,515,008");
}

TEST(Facts, AlignsValuesAndKeepsGaps) {
  Facts facts;
  facts.add("a", "1");
  facts.gap();
  facts.add("long", "2\n");
  EXPECT_EQ(facts.render(), "a     1\n\nlong  2\\n\n");
}

}  // namespace
}  // namespace paring::cli
