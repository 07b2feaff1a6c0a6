// SPDX-License-Identifier: Apache-2.0
#include "net/detail/request_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace paring::net::detail {
namespace {

using Step = RequestParser::Step;

// A head alone.
struct Parsed {
  explicit Parsed(std::string_view text) {
    std::size_t consumed = 0;
    step = parser.parse_head(text, &consumed);
    EXPECT_EQ(consumed, step == Step::kDone ? text.size() : 0);
  }
  RequestParser parser{ParserLimits{}};
  Step step;
};

std::string with_target(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

TEST(RequestParser, ReadsAHead) {
  Parsed parsed(
      "POST /v1/chat?a=1&b=x+y%21&a=2&c HTTP/1.1\r\nHost: example.org:80\r\n"
      "X-Thing:  some value \t\r\nContent-Length: 12\r\nExpect: "
      "100-continue\r\n\r\n");
  ASSERT_EQ(parsed.step, Step::kDone);
  const HttpHead& head = parsed.parser.head();
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1/chat");
  EXPECT_EQ(head.segments, (std::vector<std::string>{"v1", "chat"}));
  ASSERT_EQ(head.query.size(), 4U);
  EXPECT_EQ(*head.find_query("a"), "1");
  EXPECT_EQ(*head.find_query("b"), "x y!");
  EXPECT_EQ(*head.find_query("c"), "");
  EXPECT_EQ(head.find_query("d"), nullptr);
  EXPECT_EQ(*head.find("x-thing"), "some value");
  EXPECT_EQ(head.find("x-other"), nullptr);
  EXPECT_EQ(head.version, 11);
  const Framing& framing = parsed.parser.framing();
  EXPECT_TRUE(framing.is_keep_alive);
  EXPECT_TRUE(framing.has_body);
  EXPECT_TRUE(framing.expects_continue);
  EXPECT_EQ(framing.content_length, 12U);
}

TEST(RequestParser, PathsAreDecodedOnceAndStayUnambiguous) {
  Parsed parsed(with_target("/v1/models/org%2Fname%20x/%252e%252e/"));
  ASSERT_EQ(parsed.step, Step::kDone);
  EXPECT_EQ(parsed.parser.head().path, "/v1/models/org%2Fname x/%252e%252e/");
  EXPECT_EQ(parsed.parser.head().segments,
            (std::vector<std::string>{"v1", "models", "org/name x", "%2e%2e", ""}));
}

TEST(RequestParser, AbsoluteTargetsGiveTheirPath) {
  Parsed parsed(with_target("HTTP://A/x?y=z"));
  ASSERT_EQ(parsed.step, Step::kDone);
  EXPECT_EQ(parsed.parser.head().path, "/x");
  EXPECT_EQ(*parsed.parser.head().find_query("y"), "z");
  Parsed root(with_target("http://a?q"));
  ASSERT_EQ(root.step, Step::kDone);
  EXPECT_EQ(root.parser.head().path, "/");
}

TEST(RequestParser, ConnectionsLastAsTheHeadSays) {
  const auto lasts = [](const std::string& version, const std::string& header) {
    Parsed parsed("GET / HTTP/" + version + "\r\nHost: a\r\n" + header + "\r\n");
    EXPECT_EQ(parsed.step, Step::kDone);
    return parsed.parser.framing().is_keep_alive;
  };
  EXPECT_TRUE(lasts("1.1", ""));
  EXPECT_FALSE(lasts("1.1", "Connection: close\r\n"));
  EXPECT_FALSE(lasts("1.1", "Connection: x, Close\r\n"));
  EXPECT_FALSE(lasts("1.0", ""));
  EXPECT_TRUE(lasts("1.0", "Connection: keep-alive\r\n"));
}

TEST(RequestParser, HostsAreHosts) {
  for (const char* host : {"a", "a:1", "1.2.3.4:65535", "[::1]", "[::1]:80", "a_b-c.d", ""}) {
    EXPECT_EQ(Parsed("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n").step, Step::kDone)
        << host;
  }
  for (const char* host : {":1", "a:x", "a:123456", "[::1", "[]", "a b", "a/b", "[::1]x", "a@b"}) {
    EXPECT_EQ(Parsed("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n").step,
              Step::kRefused)
        << host;
  }
}

// What a connection makes of bytes that come in pieces: all that was seen, as
// text.
std::string transcript(std::string_view stream, std::size_t piece) {
  RequestParser parser{ParserLimits{}};
  std::string seen;
  std::string data;
  bool is_in_body = false;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    data.append(stream.substr(at, piece));
    while (!data.empty()) {
      std::size_t used = 0;
      const Step step =
          is_in_body ? parser.parse_body(data, &used) : parser.parse_head(data, &used);
      data.erase(0, used);
      if (step == Step::kNeedMore) break;
      if (step == Step::kRefused) return seen + "refused " + parser.refusal().message;
      if (!is_in_body) {
        seen += parser.head().method + " " + parser.head().path + "\n";
        is_in_body = parser.framing().has_body;
        if (is_in_body) continue;
      }
      seen += parser.body() + "\n";
      is_in_body = false;
      parser.reset();
    }
  }
  return seen;
}

TEST(RequestParser, PiecesMakeNoDifference) {
  const std::string streams[] = {
      "GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: "
      "a\r\nContent-Length: "
      "5\r\n\r\nhelloGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
      "\r\nPOST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n"
      "0\r\nTrailer: x\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n\r\nGET /b "
      "HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /../b HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
  };
  for (const std::string& stream : streams) {
    const std::string whole = transcript(stream, stream.size());
    for (std::size_t piece = 1; piece < stream.size(); ++piece) {
      EXPECT_EQ(transcript(stream, piece), whole) << stream << " in pieces of " << piece;
    }
  }
  EXPECT_EQ(transcript(streams[0], 1), "GET /a\n\nPOST /b\nhello\nGET /c\n\n");
  EXPECT_EQ(transcript(streams[1], 1), "POST /a\nhello!\nGET /b\n\n");
}

TEST(RequestParser, EndlessInputIsRefusedAtTheLimitInPiecesToo) {
  RequestParser parser{ParserLimits{.header_bytes_max = 1000, .target_bytes_max = 500}};
  std::string data = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  std::size_t used = 0;
  Step step = Step::kNeedMore;
  while (step == Step::kNeedMore && data.size() < 5000) {
    data += "xxxxxxx";
    step = parser.parse_head(data, &used);
  }
  EXPECT_EQ(step, Step::kRefused);
  EXPECT_EQ(parser.refusal().status, 431);
  EXPECT_LT(data.size(), 1020U);
}

TEST(RequestParser, DiscardedBodiesAreCountedAndNotKept) {
  RequestParser parser{ParserLimits{}};
  const std::string text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
  std::size_t used = 0;
  ASSERT_EQ(parser.parse_head(text, &used), Step::kDone);
  parser.discard_body();
  ASSERT_EQ(parser.parse_body(std::string_view(text).substr(used), &used), Step::kDone);
  EXPECT_EQ(parser.body(), "");
  EXPECT_EQ(parser.body_bytes(), 5U);
}

TEST(IsUtf8, FollowsTheStandardsTable) {
  for (const char* good :
       {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(good));
  }
  for (const char* bad :
       {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xc2", "a\xff"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

}  // namespace
}  // namespace paring::net::detail
