// SPDX-License-Identifier: Apache-2.0
// Forms as clients send them, cut at every place, and forms that are meant to hurt.
#include "net/multipart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace paring::net {
namespace {

struct Part {
  PartHead head;
  std::string content;
};

// Everything in `body`, handed over in pieces of so many bytes.
Result<std::vector<Part>> read_all(std::string_view body, std::size_t piece,
                                   const MultipartLimits& limits = {}) {
  using Step = MultipartReader::Step;
  MultipartReader reader("XyZ", limits);
  std::vector<Part> parts;
  bool is_open = false;
  while (!body.empty()) {
    reader.append(body.substr(0, piece));
    body.remove_prefix(std::min(piece, body.size()));
    for (;;) {
      PARING_TRY(const Step step, reader.next());
      if (step == Step::kNeedMore) break;
      if (step == Step::kPart) parts.push_back({reader.head(), ""});
      if (step == Step::kContent) {
        EXPECT_TRUE(is_open);
        parts.back().content += reader.content();
      }
      if (step == Step::kPart || step == Step::kPartEnd) {
        EXPECT_EQ(is_open, step == Step::kPartEnd);
        is_open = !is_open;
      }
    }
  }
  PARING_TRY_VOID(reader.finish());
  return parts;
}

std::string part(const std::string& headers, const std::string& content) {
  return "--XyZ\r\n" + headers + "\r\n\r\n" + content + "\r\n";
}

std::string field(const std::string& name, const std::string& content) {
  return part("Content-Disposition: form-data; name=\"" + name + "\"", content);
}

constexpr const char* kEnd = "--XyZ--\r\n";

TEST(Multipart, AFormIsReadWhereverItIsCut) {
  const std::string content = "line\r\n--XyY\r\n--Xy\r\n\r\n\r--XyZ\n--XyZ \xff";
  const std::string body =
      field("purpose", "batch") +
      part(
          "content-type: text/plain\r\nContent-Disposition: form-data; name=file; "
          "filename=\"a \\\"b\\\" %22c%22 d\\e.jsonl\"\r\nX-Other: 1",
          content) +
      field("empty", "") + kEnd;
  for (std::size_t piece = 1; piece <= body.size(); ++piece) {
    const auto parts = read_all(body, piece);
    ASSERT_TRUE(parts) << parts.error().text() << ", in pieces of " << piece;
    ASSERT_EQ(parts->size(), 3U);
    EXPECT_EQ((*parts)[0].head.name, "purpose");
    EXPECT_FALSE((*parts)[0].head.filename);
    EXPECT_EQ((*parts)[0].content, "batch");
    EXPECT_EQ((*parts)[1].head.name, "file");
    EXPECT_EQ((*parts)[1].head.filename, "a \"b\" \"c\" d\\e.jsonl");
    EXPECT_EQ((*parts)[1].head.content_type, "text/plain");
    EXPECT_EQ((*parts)[1].content, content);
    EXPECT_EQ((*parts)[2].content, "");
  }
}

TEST(Multipart, TheLastLineEndMayBeMissing) {
  const auto parts = read_all(field("a", "1") + "--XyZ--", 3);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->size(), 1U);
}

TEST(Multipart, EveryBeginningOfAFormIsCutOff) {
  const std::string body =
      field("a", "1") + part("Content-Disposition: form-data; name=f", "2") + "--XyZ--";
  for (std::size_t bytes = 0; bytes < body.size(); ++bytes) {
    EXPECT_FALSE(read_all(body.substr(0, bytes), 7)) << bytes;
  }
}

struct Wrong {
  const char* name;
  std::string body;
  const char* says;
};

std::vector<Wrong> wrong_bodies() {
  const std::string disposition = "Content-Disposition: form-data; name=a";
  return {
      {"Nothing", "", "no part"},
      {"NoParts", "--XyZ--\r\n", "line of its own"},
      {"Preamble", "hello\r\n" + field("a", "1") + kEnd, "begin with its boundary"},
      {"LeadingLineEnd", "\r\n" + field("a", "1") + kEnd, "begin with its boundary"},
      {"Epilogue", field("a", "1") + kEnd + "more", "behind the last boundary"},
      {"PartsBehindTheEnd", field("a", "1") + kEnd + field("b", "2") + kEnd, "behind the last"},
      {"BareLineFeeds", "--XyZ\nContent-Disposition: form-data; name=a\n\n1\n--XyZ--\n",
       "line of its own"},
      {"BareLineFeedInHead", part(disposition + "\nX: 1", "1") + kEnd, "control character"},
      {"OtherBoundary", "--XyQ\r\n" + disposition + "\r\n\r\n1\r\n--XyQ--", "begin with"},
      {"BoundaryWithMore", field("a", "1\r\n--XyZW") + kEnd, "within a part's content"},
      {"BoundaryWithSpaces", field("a", "1\r\n--XyZ \r\n") + kEnd, "within a part's content"},
      {"NoHead", "--XyZ\r\n\r\n1\r\n" + std::string(kEnd), "no Content-Disposition"},
      {"NoDisposition", part("X: 1", "1") + kEnd, "no Content-Disposition"},
      {"TwoDispositions", part(disposition + "\r\n" + disposition, "1") + kEnd, "two Content-D"},
      {"TwoTypes", part(disposition + "\r\nContent-Type: a/b\r\ncontent-type: c/d", "1") + kEnd,
       "two Content-Types"},
      {"NotOfAForm", part("Content-Disposition: attachment; name=a", "1") + kEnd, "not form-data"},
      {"NoName", part("Content-Disposition: form-data; filename=a", "1") + kEnd, "no name"},
      {"EmptyName", part("Content-Disposition: form-data; name=\"\"", "1") + kEnd, "no name"},
      {"TwoNames", part("Content-Disposition: form-data; name=a; NAME=b", "1") + kEnd, "twice"},
      {"TwoFilenames",
       part("Content-Disposition: form-data; name=a; filename=b; filename=c", "1") + kEnd, "twice"},
      {"EncodedFilename",
       part("Content-Disposition: form-data; name=a; filename*=utf-8''b", "1") + kEnd, "filename*"},
      {"OpenQuote", part("Content-Disposition: form-data; name=\"a", "1") + kEnd, "no second"},
      {"NoSemicolon", part("Content-Disposition: form-data; name=\"a\"b=c", "1") + kEnd, "';'"},
      {"NoEquals", part("Content-Disposition: form-data; name", "1") + kEnd, "'='"},
      {"NameOfNoUtf8", part("Content-Disposition: form-data; name=\"\xff\"", "1") + kEnd, "UTF-8"},
      {"TabInFilename",
       part("Content-Disposition: form-data; name=a; filename=\"a\tb\"", "1") + kEnd, "UTF-8"},
      {"NulInHead", part(disposition + std::string("\r\nX: a\0b", 9), "1") + kEnd, "control"},
      {"FoldedHead", part(disposition + "\r\n ; b=c", "1") + kEnd, "no header"},
      {"HeaderWithoutColon", part(disposition + "\r\nhello", "1") + kEnd, "no header"},
      {"SpaceBeforeColon", part("Content-Disposition : form-data; name=a", "1") + kEnd,
       "no header"},
      {"Base64", part(disposition + "\r\nContent-Transfer-Encoding: base64", "MQ==") + kEnd,
       "base64"},
      {"LongHead", part(disposition + "\r\nX: " + std::string(5000, 'x'), "1") + kEnd, "4096"},
      {"HeadWithoutEnd", "--XyZ\r\n" + std::string(100'000, 'x'), "4096"},
  };
}

TEST(Multipart, WhatTwoReadersCouldReadInTwoWaysIsRefused) {
  for (const Wrong& wrong : wrong_bodies()) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{64}, std::size_t{1} << 20}) {
      const auto parts = read_all(wrong.body, piece);
      ASSERT_FALSE(parts) << wrong.name;
      EXPECT_NE(parts.error().text().find(wrong.says), std::string::npos)
          << wrong.name << ": " << parts.error().text();
    }
  }
}

TEST(Multipart, PartsAreBounded) {
  std::string body;
  for (int i = 0; i < 4; ++i) body += field("a", "1");
  EXPECT_TRUE(read_all(body + kEnd, 100, {.parts_max = 4}));
  const auto parts = read_all(body + field("a", "1") + kEnd, 100, {.parts_max = 4});
  ASSERT_FALSE(parts);
  EXPECT_NE(parts.error().text().find("more than 4 parts"), std::string::npos);
}

// What is held back is a boundary at most, however long the content.
TEST(Multipart, ContentIsGivenOnAsItComes) {
  MultipartReader reader("XyZ", {});
  reader.append("--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\n");
  ASSERT_EQ(*reader.next(), MultipartReader::Step::kPart);
  std::size_t given = 0;
  std::size_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    reader.append("\r\n--Xy");  // looks like a boundary, each time
    sent += 6;
    while (*reader.next() == MultipartReader::Step::kContent) given += reader.content().size();
    EXPECT_LE(sent - given, 6U);
  }
}

TEST(Multipart, BoundariesAreReadFromTheContentType) {
  const auto boundary = [](std::string_view type) {
    const auto found = multipart_boundary(type);
    return found ? *found : "error: " + found.error().text();
  };
  EXPECT_EQ(boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(boundary("Multipart/Form-Data ;charset=utf-8; BOUNDARY=\"a b:c\""), "a b:c");
  const std::string longest(kBoundaryBytesMax, 'x');
  EXPECT_EQ(boundary("multipart/form-data; boundary=" + longest), longest);
  for (const std::string wrong :
       {"", "application/json", "multipart/mixed; boundary=a", "multipart/form-data",
        "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a \"", "multipart/form-data; boundary=\"a\\\"\"",
        "multipart/form-data; boundary=a; boundary=b", "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a b", "multipart/form-data, boundary=a",
        "multipart/form-data; boundary=\xc3\xa4"}) {
    EXPECT_TRUE(boundary(wrong).starts_with("error: ")) << wrong;
  }
  EXPECT_TRUE(boundary("multipart/form-data; boundary=x" + longest).starts_with("error: "));
}

}  // namespace
}  // namespace paring::net
