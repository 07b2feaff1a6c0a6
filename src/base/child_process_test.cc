// SPDX-License-Identifier: Apache-2.0
#include "base/child_process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <charconv>
#include <thread>

#include "base/clock.h"
#include "base/file.h"

namespace paring {
namespace {

ChildProcess shell(const std::string& script) {
  return ChildProcess::start({.command = {"sh", "-c", script}}).value();
}

// Whether a process is there and has not ended; one that nobody has waited for is over.
bool is_alive(pid_t id) {
  const auto status = read_small_file("/proc/" + std::to_string(id) + "/stat");
  return status && status->find(") Z ") == std::string::npos;
}

bool ends_soon(pid_t id) {
  for (int i = 0; i < 200 && is_alive(id); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return !is_alive(id);
}

pid_t number(const std::string& text) {
  pid_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

TEST(ChildProcess, AnswersLineByLine) {
  ChildProcess child = shell("while read line; do echo \"<$line>\"; done");
  for (const char* line : {"one", "two words", ""}) {
    ASSERT_TRUE(child.write_line(line, 5));
    EXPECT_EQ(child.read_line(5).value(), "<" + std::string(line) + ">");
  }
}

TEST(ChildProcess, LongLinesPassBothWays) {
  ChildProcess child = shell("cat");
  const std::string line(3'000'000, 'x');
  std::thread writer([&] { EXPECT_TRUE(child.write_line(line, 20)); });
  const auto answer = child.read_line(20);
  writer.join();
  EXPECT_EQ(answer.value(), line);
}

TEST(ChildProcess, OneThatEndsIsUnavailableWithItsLastWords) {
  ChildProcess child = shell("echo 'no such library' >&2; exit 3");
  const auto answer = child.read_line(5);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(answer.error().message.find("code 3"), std::string::npos) << answer.error().message;
  EXPECT_EQ(child.error_tail(), "no such library\n");
  EXPECT_EQ(child.wait(1), 3);
  const auto written = child.write_line("more", 1);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kUnavailable);
}

TEST(ChildProcess, OneThatHangsMeetsTheDeadline) {
  ChildProcess child = shell("sleep 1000");
  const double start = system_clock().monotonic_seconds();
  const auto answer = child.read_line(0.2);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kDeadline);
  EXPECT_LT(system_clock().monotonic_seconds() - start, 5);
  // It does not read either: more than a socket holds cannot be written.
  const auto written = child.write_line(std::string(8'000'000, 'x'), 0.2);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kDeadline);
}

TEST(ChildProcess, EndlessOutputIsRefused) {
  ChildProcess child = shell("yes | tr -d '\\n'");
  const auto answer = child.read_line(60);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kExhausted);
}

TEST(ChildProcess, NothingOfItIsLeftBehind) {
  pid_t parent = 0;
  pid_t grandchild = 0;
  {
    ChildProcess child = shell("sleep 1000 & echo $!; wait");
    parent = child.id();
    grandchild = number(child.read_line(5).value());
    EXPECT_TRUE(is_alive(grandchild));
  }
  EXPECT_FALSE(is_alive(parent));
  EXPECT_TRUE(ends_soon(grandchild));
}

TEST(ChildProcess, SignalHandlersEndTheWholeGroup) {
  ChildProcess child = shell("sleep 1000 & echo $!; wait");
  const pid_t grandchild = number(child.read_line(5).value());
  end_children();
  EXPECT_EQ(child.wait(5), 128 + SIGKILL);
  EXPECT_TRUE(ends_soon(grandchild));
}

TEST(ChildProcess, AMissingProgramIsNotFound) {
  const auto child = ChildProcess::start({.command = {"/nowhere/python3"}});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::kNotFound);
  EXPECT_NE(child.error().message.find("/nowhere/python3"), std::string::npos);
}

TEST(ChildProcess, TheEnvironmentIsChangedForItAlone) {
  ::setenv("PARING_TEST_KEPT", "kept", 1);
  ::setenv("PARING_TEST_GONE", "here", 1);
  auto child = ChildProcess::start(
      {.command = {"sh", "-c", "echo $PARING_TEST_KEPT,$PARING_TEST_GONE,$PARING_TEST_NEW"},
       .environment = {"PARING_TEST_GONE", "PARING_TEST_NEW=new"}});
  EXPECT_EQ(child.value().read_line(5).value(), "kept,,new");
  EXPECT_EQ(::getenv("PARING_TEST_NEW"), nullptr);
}

TEST(ChildProcess, ALogTakesBothOutputs) {
  const std::string path = ::testing::TempDir() + "paring_child_log";
  ::unlink(path.c_str());
  auto child = ChildProcess::start(
      {.command = {"sh", "-c", "echo out; echo error >&2; exit 7"}, .log_path = path});
  EXPECT_EQ(child.value().wait(10), 7);
  EXPECT_EQ(read_small_file(path).value(), "out\nerror\n");
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace paring
