// SPDX-License-Identifier: Apache-2.0
// Requests that are wrong, ambiguous or meant to hurt, as a table of bytes and
// of what must come of them. A row that names no handler call proves too that
// no handler saw the request.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "net/server_for_test.h"

namespace paring::net {
namespace {

enum class Then { kCloses, kGoesOn };

struct Attack {
  const char* name;
  std::string bytes;
  int status;        // of the first response; 0: the server closes without one
  Then then;         // what the server does afterwards
  int requests = 0;  // that reach the handler
};

void PrintTo(const Attack& attack, std::ostream* out) { *out << attack.name; }

// "METHOD TARGET" with a Host, and what else there is.
std::string request(const std::string& line, const std::string& headers = "",
                    const std::string& body = "") {
  return line + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body;
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::vector<Attack> smuggling() {
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
  return {
      {"CL_TE",
       request("POST /", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
               "0\r\n\r\nG" + hidden),
       400, Then::kCloses},
      {"TE_CL",
       request("POST /", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n" + hidden),
       400, Then::kCloses},
      {"TE_TE",
       request("POST /", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
               "0\r\n\r\n" + hidden),
       400, Then::kCloses},
      {"TransferEncodingWithTab", request("POST /", "Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"),
       200, Then::kGoesOn, 1},
      {"TransferEncodingUnknown", request("POST /", "Transfer-Encoding: xchunked\r\n", hidden), 501,
       Then::kCloses},
      {"TransferEncodingList", request("POST /", "Transfer-Encoding: gzip, chunked\r\n", hidden),
       501, Then::kCloses},
      {"TransferEncodingChunkedTwice",
       request("POST /", "Transfer-Encoding: chunked, chunked\r\n", hidden), 501, Then::kCloses},
      {"TransferEncodingSpaceBeforeColon",
       request("POST /", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + hidden), 400,
       Then::kCloses},
      {"TransferEncodingQuoted", request("POST /", "Transfer-Encoding: \"chunked\"\r\n", hidden),
       501, Then::kCloses},
      {"TransferEncodingInHttp10",
       "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, 400,
       Then::kCloses},
      {"ContentLengthTwice",
       request("POST /", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello" + hidden), 400,
       Then::kCloses},
      {"ContentLengthTwiceTheSame",
       request("POST /", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello" + hidden), 400,
       Then::kCloses},
      {"ContentLengthList", request("POST /", "Content-Length: 5, 5\r\n", "hello"), 400,
       Then::kCloses},
      {"ContentLengthPlus", request("POST /", "Content-Length: +5\r\n", "hello"), 400,
       Then::kCloses},
      {"ContentLengthMinus", request("POST /", "Content-Length: -5\r\n", "hello"), 400,
       Then::kCloses},
      {"ContentLengthHex", request("POST /", "Content-Length: 0x5\r\n", "hello"), 400,
       Then::kCloses},
      {"ContentLengthEmpty", request("POST /", "Content-Length: \r\n", "hello"), 400,
       Then::kCloses},
      {"ContentLengthOverflow",
       request("POST /", "Content-Length: 18446744073709551621\r\n", "hello"), 400, Then::kCloses},
      {"ContentLengthMax", request("POST /", "Content-Length: 18446744073709551615\r\n", "hello"),
       413, Then::kCloses},
      {"ContentLengthSpace", request("POST /", "Content-Length: 5 5\r\n", "hello"), 400,
       Then::kCloses},
      {"ObsFold", request("GET /", "X: a\r\n b\r\n"), 400, Then::kCloses},
      {"ObsFoldTab", request("GET /", "X: a\r\n\tContent-Length: 5\r\n"), 400, Then::kCloses},
      {"FirstHeaderFolded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, Then::kCloses},
      {"BareLineFeed", "GET / HTTP/1.1\nHost: a\n\n", 400, Then::kCloses},
      {"BareLineFeedInHeader", request("GET /", "X: a\nContent-Length: 5\r\n"), 400, Then::kCloses},
      {"BareCarriageReturn", request("GET /", "X: a\rContent-Length: 5\r\n"), 400, Then::kCloses},
      {"NulInHeader", request("GET /", std::string("X: a\0b\r\n", 8)), 400, Then::kCloses},
      {"NulInName", request("GET /", std::string("X\0: a\r\n", 7)), 400, Then::kCloses},
      {"SpaceInName", request("GET /", "X Y: a\r\n"), 400, Then::kCloses},
      {"EmptyName", request("GET /", ": a\r\n"), 400, Then::kCloses},
      {"NoColon", request("GET /", "X\r\n"), 400, Then::kCloses},
      {"NameNotAscii", request("GET /", "X\xc3\xa9: a\r\n"), 400, Then::kCloses},
      {"BodyOfGetIsNoRequest",
       request("GET /", "Content-Length: " + std::to_string(hidden.size()) + "\r\n", hidden), 200,
       Then::kGoesOn, 1},
  };
}

std::vector<Attack> chunks() {
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  const auto with = [&](const std::string& body) { return request("POST /", chunked, body); };
  return {
      {"ChunkSizeNegative", with("-1\r\nx\r\n0\r\n\r\n"), 400, Then::kCloses},
      {"ChunkSizeNotHex", with("g\r\nx\r\n0\r\n\r\n"), 400, Then::kCloses},
      {"ChunkSizePrefixed", with("0x1\r\nx\r\n0\r\n\r\n"), 400, Then::kCloses},
      {"ChunkSizeOverflow", with("1ffffffffffffffff\r\nx"), 400, Then::kCloses},
      {"ChunkSizeHuge", with("ffffffffffffffff\r\nx"), 413, Then::kCloses},
      {"ChunkSizeEmpty", with("\r\nx\r\n0\r\n\r\n"), 400, Then::kCloses},
      {"ChunkBareLineFeed", with("1\nx\n0\n\n"), 400, Then::kCloses},
      {"ChunkLongerThanItsSize", with("1\r\nxy\r\n0\r\n\r\n"), 400, Then::kCloses},
      {"ChunkSizeSpaced", with("1 \r\nx\r\n0\r\n\r\n"), 400, Then::kCloses},
      {"ChunkSumTooLarge", with("80000\r\n" + std::string(0x80000, 'x') + "\r\n80001\r\n"), 413,
       Then::kCloses},
      {"ChunkExtensionEndless", with("1;" + std::string(20000, 'x')), 400, Then::kCloses},
      {"ChunkExtensionsInSum",
       with(repeated("1;" + std::string(300, 'x') + "\r\nx\r\n", 30) + "0\r\n\r\n"), 400,
       Then::kCloses},
      {"ChunkExtension", with("1;a=b\r\nx\r\n0\r\n\r\n"), 200, Then::kGoesOn, 1},
      {"ChunkExtensionWithLineFeed", with("1;a=\"\n\"\r\nx\r\n0\r\n\r\n"), 400, Then::kCloses},
      {"ChunkLastManyZeros", with("1\r\nx\r\n0000\r\n\r\n"), 200, Then::kGoesOn, 1},
      {"TrailerIsNoHeader", with("0\r\nAuthorization: Bearer x\r\n\r\n"), 200, Then::kGoesOn, 1},
      {"TrailerTransferEncoding", with("0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400,
       Then::kCloses},
      {"TrailerEndless", with("0\r\n" + std::string(20000, 'x')), 400, Then::kCloses},
      {"TrailersTooLong",
       with("0\r\n" + repeated("a: " + std::string(1000, 'b') + "\r\n", 5) + "\r\n"), 431,
       Then::kCloses},
      {"TrailersTooMany", with("0\r\n" + repeated("a: b\r\n", 200) + "\r\n"), 431, Then::kCloses},
  };
}

std::vector<Attack> targets() {
  return {
      {"DotDot", request("GET /a/../b"), 400, Then::kCloses},
      {"DotDotEncoded", request("GET /a/%2e%2E/b"), 400, Then::kCloses},
      {"DotDotEncodedSlash", request("GET /a%2f..%2fb"), 400, Then::kCloses},
      {"DotDotAtEnd", request("GET /a/.."), 400, Then::kCloses},
      {"Dot", request("GET /a/./b"), 400, Then::kCloses},
      {"Backslash", request("GET /a\\..\\b"), 400, Then::kCloses},
      {"BackslashEncoded", request("GET /a%5C..%5cb"), 400, Then::kCloses},
      {"NulEncoded", request("GET /a%00"), 400, Then::kCloses},
      {"LineBreakEncoded", request("GET /a%0d%0aX:%20b"), 400, Then::kCloses},
      {"PercentAtEnd", request("GET /a%2"), 400, Then::kCloses},
      {"PercentNotHex", request("GET /a%zz"), 400, Then::kCloses},
      {"PercentInQuery", request("GET /?a=%f"), 400, Then::kCloses},
      {"Utf8Overlong", request("GET /%c0%ae%c0%ae/"), 400, Then::kCloses},
      {"Utf8Surrogate", request("GET /%ed%a0%80"), 400, Then::kCloses},
      {"Utf8Cut", request("GET /%e2%82"), 400, Then::kCloses},
      {"Utf8InQuery", request("GET /?a=%ff"), 400, Then::kCloses},
      {"RawUtf8", request("GET /\xc3\xa9"), 400, Then::kCloses},
      {"RawNul", std::string("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28), 400, Then::kCloses},
      {"RawTab", request("GET /a\tb"), 400, Then::kCloses},
      {"Fragment", request("GET /a#b"), 400, Then::kCloses},
      {"SpaceInTarget", request("GET /a b"), 505, Then::kCloses},
      {"NoSlash", request("GET a"), 400, Then::kCloses},
      {"AbsoluteForm", request("GET http://a/b"), 200, Then::kGoesOn, 1},
      {"AbsoluteOtherHost", request("GET http://evil/b"), 400, Then::kCloses},
      {"AbsoluteUser", request("GET http://user@a/"), 400, Then::kCloses},
      {"AbsoluteFile", request("GET file:///etc/passwd"), 400, Then::kCloses},
      {"AbsoluteDotDot", request("GET http://a/../b"), 400, Then::kCloses},
      {"Connect", request("CONNECT a:443"), 501, Then::kCloses},
      {"Asterisk", request("OPTIONS *"), 200, Then::kGoesOn, 1},
      {"AsteriskOfGet", request("GET *"), 400, Then::kCloses},
      {"TargetTooLong", request("GET /" + std::string(9000, 'a')), 414, Then::kCloses},
      {"TargetEndless", "GET /" + std::string(20000, 'a'), 414, Then::kCloses},
      {"TargetLongerThanAHead", "GET /" + std::string(60000, 'a'), 414, Then::kCloses},
      {"QueryTooManyParameters", request("GET /?" + repeated("a&", 200)), 400, Then::kCloses},
      {"DoubleSlashStaysDouble", request("GET //v1//x"), 200, Then::kGoesOn, 1},
  };
}

std::vector<Attack> heads() {
  return {
      {"NoHost", "GET / HTTP/1.1\r\n\r\n", 400, Then::kCloses},
      {"NoHostInHttp10", "GET / HTTP/1.0\r\n\r\n", 200, Then::kCloses, 1},
      {"HostTwice", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, Then::kCloses},
      {"HostWithPath", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, Then::kCloses},
      {"HostWithUser", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, Then::kCloses},
      {"HostList", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, Then::kCloses},
      {"AuthorizationTwice", request("GET /", "Authorization: a\r\nAuthorization: b\r\n"), 400,
       Then::kCloses},
      {"AuthorizationTwiceByCase", request("GET /", "AUTHORIZATION: a\r\nauthorization: b\r\n"),
       400, Then::kCloses},
      {"ContentTypeTwice", request("GET /", "Content-Type: a\r\nContent-Type: b\r\n"), 400,
       Then::kCloses},
      {"TooManyHeaders", request("GET /", repeated("a: b\r\n", 200)), 431, Then::kCloses},
      {"HeaderBomb", request("GET /", "X: " + std::string(100000, 'x') + "\r\n"), 431,
       Then::kCloses},
      {"HeaderEndless", "GET / HTTP/1.1\r\nX: " + std::string(100000, 'x'), 431, Then::kCloses},
      {"Http09", "GET /\r\n\r\n", 400, Then::kCloses},
      {"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, Then::kCloses},
      {"Http30", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, Then::kCloses},
      {"HttpLowerCase", "GET / http/1.1\r\nHost: a\r\n\r\n", 505, Then::kCloses},
      {"VersionTail", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 505, Then::kCloses},
      {"TwoSpaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Then::kCloses},
      {"LeadingSpace", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, Then::kCloses},
      {"MethodBinary", "\x01\x02\x03\x04", 400, Then::kCloses},
      {"MethodHighBit", "\xff\xfe / HTTP/1.1\r\n\r\n", 400, Then::kCloses},
      {"MethodLong", request(std::string(100, 'A') + " /"), 501, Then::kCloses},
      {"MethodSmallLetters", request("get /"), 200, Then::kGoesOn, 1},
      {"TlsHello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400,
       Then::kCloses},
      {"Upgrade", request("GET /", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), 200,
       Then::kGoesOn, 1},
      {"UpgradeH2c",
       request("GET /",
               "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: "
               "h2c\r\nHTTP2-Settings: AA\r\n"),
       200, Then::kGoesOn, 1},
      {"EmptyLinesBefore", "\r\n\r\n" + request("GET /"), 200, Then::kGoesOn, 1},
      {"EmptyLinesWithoutEnd", repeated("\r\n", 100), 400, Then::kCloses},
      {"GarbageAfterRequest", request("GET /") + "\x80\x81\x82", 200, Then::kCloses, 1},
      {"ExpectUnknown", request("POST /", "Expect: 200-ok\r\nContent-Length: 1\r\n", "x"), 417,
       Then::kCloses},
      {"GzipBody",
       request("POST /", "Content-Encoding: gzip\r\nContent-Length: 3\r\n", "\x1f\x8b\x08"), 415,
       Then::kCloses},
      {"IdentityBody",
       request("POST /", "Content-Encoding: identity\r\nContent-Length: 1\r\n", "x"), 200,
       Then::kGoesOn, 1},
      {"BodyTooLarge", request("POST /", "Content-Length: 1048577\r\n", "x"), 413, Then::kCloses},
      {"Trace", request("TRACE /"), 200, Then::kGoesOn, 1},  // what it means is the handler's
  };
}

std::vector<Attack> all_attacks() {
  std::vector<Attack> all;
  for (auto* table : {smuggling, chunks, targets, heads}) {
    for (Attack& attack : table()) all.push_back(std::move(attack));
  }
  return all;
}

class HttpAttack : public testing::TestWithParam<Attack> {};

TEST_P(HttpAttack, IsAnsweredAsTheTableSays) {
  const Attack& attack = GetParam();
  TestServer server;
  std::atomic<int> requests = 0;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    ++requests;
    EXPECT_NE(exchange->head().path, "/hidden");
    exchange->respond({.content_type = "text/plain", .body = "ok"});
  };
  TestClient client(server.port());
  client.send(attack.bytes);
  EXPECT_EQ(client.read_response().status, attack.status);
  EXPECT_EQ(requests, attack.requests);
  if (attack.then == Then::kGoesOn) {
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(client.read_response().status, 200);
    EXPECT_EQ(requests, attack.requests + 1);
  } else {
    client.read_all();
    EXPECT_TRUE(client.ended());  // by the server, which waits for ours then
    client.close();
    EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
  }
}

INSTANTIATE_TEST_SUITE_P(Table, HttpAttack, testing::ValuesIn(all_attacks()),
                         [](const testing::TestParamInfo<Attack>& attack) {
                           return std::string(attack.param.name);
                         });

}  // namespace
}  // namespace paring::net
