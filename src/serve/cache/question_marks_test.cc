// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/question_marks.h"

#include <gtest/gtest.h>

namespace paring::serve {
namespace {

MarkDifference between(std::string_view a, std::string_view b) {
  const MarkDifference there = difference(marks_of(a), marks_of(b));
  EXPECT_EQ(there, difference(marks_of(b), marks_of(a))) << a << " | " << b;
  return there;
}

TEST(QuestionMarks, FunctionWordsAndInflectionsDoNotMatter) {
  EXPECT_EQ(between("How do I learn Python?", "What is the way to learn Python"),
            MarkDifference::kNone);
  EXPECT_EQ(between("What are the capitals of Europe?", "what's the capital of europe"),
            MarkDifference::kNone);
  EXPECT_EQ(between("About stopping a car", "stop the cars"), MarkDifference::kNone);
  EXPECT_EQ(between("Best cities for hiking", "best city for hikes?"), MarkDifference::kNone);
}

TEST(QuestionMarks, NumbersMatter) {
  EXPECT_EQ(between("What is 17 times 23?", "What is 17 times 24?"), MarkDifference::kNumbers);
  EXPECT_EQ(between("two apples", "three apples"), MarkDifference::kNumbers);
  EXPECT_EQ(between("pi is 3.14", "pi is 3.15"), MarkDifference::kNumbers);
  EXPECT_EQ(between("5 minus 3", "3 minus 5"), MarkDifference::kNumbers);
  EXPECT_EQ(between("pay 1,000 now", "pay 1000 now"), MarkDifference::kNone);
  EXPECT_EQ(between("the iPhone 14", "the iPhone 14s"), MarkDifference::kNumbers);
}

TEST(QuestionMarks, NegationsMatter) {
  EXPECT_EQ(between("Should I eat eggs?", "Should I not eat eggs?"), MarkDifference::kNegations);
  EXPECT_EQ(between("Why do cats like milk?", "Why don't cats like milk?"),
            MarkDifference::kNegations);
  EXPECT_EQ(between("Why don\u2019t cats swim", "Why don't cats swim"), MarkDifference::kNone);
  EXPECT_EQ(between("coffee with sugar", "coffee without sugar"), MarkDifference::kNegations);
}

TEST(QuestionMarks, NamesAndOtherWordsMatter) {
  EXPECT_EQ(between("What is the capital of France?", "What is the capital of Spain?"),
            MarkDifference::kWords);
  EXPECT_EQ(between("best laptop", "worst laptop"), MarkDifference::kWords);
  EXPECT_EQ(between("best laptop", "best laptop for gaming"), MarkDifference::kWords);
  EXPECT_EQ(between("When did Rome fall?", "Where did Rome fall?"), MarkDifference::kWords);
  EXPECT_EQ(between("Who is the president?", "Who was the president?"), MarkDifference::kWords);
  EXPECT_EQ(between("summarise A", "summarise B"), MarkDifference::kWords);
}

TEST(QuestionMarks, TheOrderOfWordsMatters) {
  EXPECT_EQ(between("flights from London to Paris", "flights from Paris to London"),
            MarkDifference::kOrder);
  EXPECT_EQ(between("Is Java better than Python?", "Is Python better than Java?"),
            MarkDifference::kOrder);
  EXPECT_EQ(between("Do Mexican cooks like French food?", "Do French cooks like Mexican food?"),
            MarkDifference::kOrder);
}

TEST(QuestionMarks, WhatKindOfQuestionItIsMatters) {
  EXPECT_EQ(between("Is there bulking up?", "How do I bulk up?"), MarkDifference::kWords);
  EXPECT_EQ(between("the best IT schools", "the best of it schools"), MarkDifference::kWords);
  EXPECT_EQ(between("Should crime pay?", "Does crime pay?"), MarkDifference::kWords);
}

TEST(QuestionMarks, QuotedTextsAndCodeMatter) {
  EXPECT_EQ(between("Translate \"good day\"", "Translate \"good night\""),
            MarkDifference::kLiterals);
  EXPECT_EQ(between("What does `a < b` do?", "What does `a > b` do?"), MarkDifference::kLiterals);
  EXPECT_EQ(between("x == y", "x != y"), MarkDifference::kLiterals);
  EXPECT_EQ(between("open /etc/passwd", "open /etc/shadow"), MarkDifference::kLiterals);
}

TEST(QuestionMarks, ScriptsWithoutSpacesAreTakenWhole) {
  EXPECT_EQ(between("\u4eca\u5929\u5929\u6c14", "\u660e\u5929\u5929\u6c14"),
            MarkDifference::kWords);
  EXPECT_EQ(between("Was ist gro\u00df?", "Was ist gr\u00fcn?"), MarkDifference::kWords);
}

TEST(QuestionMarks, AnyBytesAreRead) {
  std::string text;
  for (int round = 0; round < 4; ++round) {
    for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
    text += "\xe2\x80";
  }
  EXPECT_EQ(between(text, text), MarkDifference::kNone);
  for (std::size_t cut = 0; cut < text.size(); cut += 7) {
    static_cast<void>(marks_of(std::string_view(text).substr(cut)));
  }
  EXPECT_EQ(between("", ""), MarkDifference::kNone);
}

}  // namespace
}  // namespace paring::serve
