// SPDX-License-Identifier: Apache-2.0
#include "serve/request_record.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "base/log.h"

namespace paring::serve {
namespace {

net::HttpHead head(std::uint64_t serial, const std::string& path = "/v1/models/x") {
  net::HttpHead made;
  made.method = "GET";
  made.path = path;
  made.remote_address = "127.0.0.1";
  made.serial = serial;
  return made;
}

TEST(RequestRecord, ALineHasWhatIsKnown) {
  RequestFacts facts;
  facts.id = "abc";
  facts.trace = {.trace_id = "t", .parent_id = "p", .span_id = "s", .flags = 1};
  facts.method = "POST";
  facts.route = "/v1/chat/completions";
  facts.remote_address = "::1";
  facts.key_id = "key_1";
  facts.model = "a \"b\"";
  facts.usage = AnswerUsage{.prompt_tokens = 9, .cached_tokens = 4, .completion_tokens = 5};
  facts.first_token_seconds = 0.0125;
  facts.seconds = 1.5;
  facts.end = {.status = 200, .is_complete = true};
  EXPECT_EQ(
      access_line(facts),
      "request id=abc trace=t span=s parent=p method=POST route=/v1/chat/completions status=200 "
      "from=::1 key=key_1 model=\"a \\\"b\\\"\" prompt_tokens=9 cached_tokens=4 answer_tokens=5 "
      "first_token_ms=12.5 duration_ms=1500.0");
  facts = {};
  facts.id = "abc";
  facts.trace = {.trace_id = "t", .parent_id = "", .span_id = "s", .flags = 0};
  facts.method = "GET";
  facts.path = "/no where";
  facts.remote_address = "unix";
  EXPECT_EQ(access_line(facts),
            "request id=abc trace=t span=s method=GET route=- path=\"/no where\" status=0 cut=yes "
            "from=unix "
            "duration_ms=0.0");
}

// What is written to the log while `act` runs.
template <typename Act>
std::string logged(Act act) {
  testing::internal::CaptureStderr();
  act();
  return testing::internal::GetCapturedStderr();
}

TEST(RequestRecord, TheLineComesWhenTheLastLetsGo) {
  const FakeClock clock;
  RequestRecords records(AccessLog::kAll, clock);
  std::shared_ptr<RequestRecord> worker;
  const std::string early = logged([&] {
    worker = records.begin(head(7), "/v1/models/{model}");
    EXPECT_EQ(records.find(head(7)), worker);
    EXPECT_EQ(records.find(head(8)), nullptr);
    records.end(head(7), {.status = 200, .is_complete = false});
    EXPECT_EQ(records.find(head(7)), nullptr);
    records.end(head(7), {.status = 500, .is_complete = true});  // nothing is open any more
    records.log().finish();
  });
  EXPECT_EQ(early, "");
  const std::string late = logged([&] {
    worker->set_usage({.prompt_tokens = 3, .completion_tokens = 2}, /*is_given_again=*/true);
    worker.reset();
    records.log().finish();
  });
  EXPECT_NE(late.find(" status=200 cut=yes "), std::string::npos) << late;
  EXPECT_NE(late.find(" answer_tokens=2 given_again=yes first_token_ms=0.0 "), std::string::npos)
      << late;
}

TEST(RequestRecord, ProbesAndTheSettingDecideWhoHasALine) {
  const auto line_of = [](AccessLog which, const char* route, int status) {
    return logged([&] {
      RequestRecords records(which);
      records.begin(head(1), route);
      records.end(head(1), {.status = status, .is_complete = true});
    });
  };
  EXPECT_NE(line_of(AccessLog::kAll, "/v1/models", 200), "");
  EXPECT_EQ(line_of(AccessLog::kAll, "/livez", 200), "");
  EXPECT_NE(line_of(AccessLog::kAll, "/livez", 503), "");
  EXPECT_EQ(line_of(AccessLog::kFailed, "/v1/models", 200), "");
  EXPECT_NE(line_of(AccessLog::kFailed, "/v1/models", 404), "");
  EXPECT_EQ(line_of(AccessLog::kOff, "/v1/models", 500), "");
}

TEST(RequestRecord, TakesAClientsIdOnlyWhereItIsHarmless) {
  const auto id_of = [](const std::string& given) {
    net::HttpHead with = head(1);
    with.headers.push_back({"x-request-id", given});
    RequestLog log(AccessLog::kOff);
    return RequestRecord(with, "/", log, system_clock()).id();
  };
  EXPECT_EQ(id_of("abc-1:2_3.4"), "abc-1:2_3.4");
  EXPECT_EQ(id_of("a b").size(), 24U);
  EXPECT_EQ(id_of("").size(), 24U);
  EXPECT_EQ(id_of(std::string(129, 'a')).size(), 24U);
  EXPECT_NE(id_of("\""), id_of("\""));
}

// A pipe that nobody reads in place of standard error.
TEST(RequestLog, ALogThatIsNotReadHoldsNobodyUp) {
  constexpr std::size_t kMore = 100;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const int before = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  std::string text;
  {
    RequestLog log(AccessLog::kAll);
    RequestFacts facts;
    facts.route = "/v1/models";
    facts.path = std::string(64, 'x');
    // More than a pipe takes (64 KiB) and the queue holds: returns all the same.
    for (std::size_t i = 0; i < RequestLog::kLinesMax + 2000 + kMore; ++i) log.write(facts);
    std::thread reader([&] {
      char buffer[4096];
      for (ssize_t got = 1; got > 0;) {
        got = read(ends[0], buffer, sizeof(buffer));
        if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
      }
    });
    log.finish();
    dup2(before, STDERR_FILENO);  // the reader sees the end
    reader.join();
  }
  close(before);
  close(ends[0]);
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_GE(lines, RequestLog::kLinesMax);
  EXPECT_NE(text.find("were left out: the log was not read"), std::string::npos);
}

TEST(RequestRecord, APathCannotForgeALine) {
  const std::string line = logged([&] {
    RequestRecords records(AccessLog::kAll);
    records.begin(head(1, "/x status=200 \"" + std::string(300, 'y')), nullptr);
    records.end(head(1), {.status = 404, .is_complete = true});
  });
  EXPECT_NE(line.find(" path=\"/x status=200 \\\"yyy"), std::string::npos) << line;
  EXPECT_LT(line.size(), 420U);
}

}  // namespace
}  // namespace paring::serve
