// SPDX-License-Identifier: Apache-2.0
// A program that runs beside this one and is spoken to in lines: standard input and output are
// ours, what it writes to standard error is kept for messages. It leads a process group of its own,
// which is killed as a whole by end(), by the destructor, by the signals that end this process
// (end_children()), and, of a process that is killed outright, in its first member by the kernel
// (PR_SET_PDEATHSIG). Linux. Movable; confined to the thread that started it, which must outlive
// it.
//
//   PARING_TRY(ChildProcess child, ChildProcess::start({.command = {"python3", "-c", script}}));
//   PARING_TRY_VOID(child.write_line("{}", 5));
//   PARING_TRY(const std::string answer, child.read_line(60));
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring {

class ChildProcess {
 public:
  struct Options {
    // Program and arguments; a name without a slash is looked up in PATH.
    std::vector<std::string> command;
    // On top of this process's environment: "NAME=value" sets, "NAME" removes.
    std::vector<std::string> environment = {};
    // Where standard output and standard error go instead; empty: to read_line() and error_tail().
    std::string log_path = {};
  };
  // NotFound when the program cannot be started, Exhausted when no process or pipe can be had.
  static Result<ChildProcess> start(const Options& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() { end(); }

  // Writes `line` and a newline. Unavailable when the child has closed its input or has ended,
  // Deadline when it does not read for so many seconds.
  Result<void> write_line(std::string_view line, double seconds);
  // The next line, without its newline. Unavailable when the child has ended, Deadline when none
  // came in time, Exhausted for one of more than kLineBytesMax bytes.
  Result<std::string> read_line(double seconds);
  // Exit code, or 128 + signal, once the child has ended by itself; nullopt when it has not within
  // so many seconds.
  std::optional<int> wait(double seconds);
  // Kills the group, and waits for the child. Does nothing the second time.
  void end() noexcept;

  // The last kTailBytes that the child wrote to standard error, as far as read_line() and wait()
  // came by them.
  const std::string& error_tail() const noexcept { return tail_; }
  pid_t id() const noexcept { return id_; }

  static constexpr std::size_t kLineBytesMax = std::size_t{1} << 22;
  static constexpr std::size_t kTailBytes = 4096;

 private:
  ChildProcess() = default;
  void read_available();
  Error ended_error();

  pid_t id_ = -1;
  int slot_ = -1;  // where end_children() finds it
  int in_ = -1;    // our ends
  int out_ = -1;
  int error_ = -1;
  std::optional<int> code_;
  std::string buffer_;  // of standard output, not yet given out
  std::string tail_;
};

// Kills the groups of all children. For signal handlers.
void end_children() noexcept;

}  // namespace paring
