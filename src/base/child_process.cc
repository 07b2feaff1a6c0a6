// SPDX-License-Identifier: Apache-2.0
#include "base/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/clock.h"
#include "base/file.h"

extern char** environ;

namespace paring {

namespace {

// Groups where a signal handler can read them.
constexpr std::size_t kSlots = 8;  // more children at once than any command has
std::array<std::atomic<pid_t>, kSlots> groups{};
static_assert(std::atomic<pid_t>::is_always_lock_free, "signal handlers read them");

int remember(pid_t group) noexcept {
  for (std::size_t i = 0; i < kSlots; ++i) {
    pid_t expected = 0;
    if (groups[i].compare_exchange_strong(expected, group)) return static_cast<int>(i);
  }
  return -1;
}

void close_one(int& descriptor) noexcept {
  if (descriptor >= 0) ::close(descriptor);
  descriptor = -1;
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

std::vector<std::string> environment_with(const std::vector<std::string>& changes) {
  std::vector<std::string> result;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const bool is_changed =
        std::any_of(changes.begin(), changes.end(),
                    [&](const std::string& change) { return name_of(change) == name_of(*at); });
    if (!is_changed) result.emplace_back(*at);
  }
  for (const std::string& change : changes) {
    if (change.find('=') != std::string::npos) result.push_back(change);
  }
  return result;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Descriptors of both sides; whatever is still open is closed.
struct Channels {
  std::array<int, 2> in{-1, -1};   // [0]: the child's
  std::array<int, 2> out{-1, -1};  // [1]: the child's, as below
  std::array<int, 2> error{-1, -1};
  std::array<int, 2> failure{-1, -1};  // errno of a failed exec; closed by one that works
  Channels() = default;
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;
  ~Channels() {
    for (auto* pair : {&in, &out, &error, &failure}) {
      for (int& descriptor : *pair) close_one(descriptor);
    }
  }
};

Result<void> open_channels(Channels& channels, const std::string& log_path) {
  // A socket, since writing to it when the child is gone can be told not to raise SIGPIPE.
  bool is_open = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channels.in.data()) == 0 &&
                 ::pipe2(channels.failure.data(), O_CLOEXEC) == 0;
  if (is_open && log_path.empty()) {
    is_open = ::pipe2(channels.out.data(), O_CLOEXEC) == 0 &&
              ::pipe2(channels.error.data(), O_CLOEXEC) == 0;
  }
  if (!is_open) return exhausted("no pipe to a child process can be had: " + errno_text(errno));
  if (log_path.empty()) return {};
  channels.out[1] = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (channels.out[1] < 0) {
    return io_error(fmt::format("cannot write '{}': {}", log_path, errno_text(errno)));
  }
  return {};
}

// In the child, between fork and exec: only calls that are safe after the fork of a process with
// threads. Never returns.
[[noreturn]] void become(const Channels& channels, pid_t parent, char* const* arguments,
                         char** variables) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  ::signal(SIGPIPE, SIG_DFL);
  const int error = channels.error[1] >= 0 ? channels.error[1] : channels.out[1];
  if (::dup2(channels.in[0], STDIN_FILENO) >= 0 && ::dup2(channels.out[1], STDOUT_FILENO) >= 0 &&
      ::dup2(error, STDERR_FILENO) >= 0) {
    environ = variables;
    ::execvp(arguments[0], arguments);
  }
  const int reason = errno;
  [[maybe_unused]] const ssize_t told = ::write(channels.failure[1], &reason, sizeof reason);
  ::_exit(127);
}

int milliseconds_until(double deadline) {
  const double left = deadline - system_clock().monotonic_seconds();
  return static_cast<int>(std::clamp(left * 1000 + 1, 0.0, 60'000.0));
}

bool is_past(double deadline) { return system_clock().monotonic_seconds() >= deadline; }

}  // namespace

void end_children() noexcept {
  for (const auto& group : groups) {
    if (const pid_t id = group.load(); id > 0) ::kill(-id, SIGKILL);
  }
}

Result<ChildProcess> ChildProcess::start(const Options& options) {
  PARING_CHECK(!options.command.empty(), "a child process needs a program");
  Channels channels;
  PARING_TRY_VOID(open_channels(channels, options.log_path));
  std::vector<std::string> command = options.command;
  std::vector<std::string> environment = environment_with(options.environment);
  const std::vector<char*> arguments = pointers_to(command);
  std::vector<char*> variables = pointers_to(environment);
  const pid_t parent = ::getpid();
  const pid_t id = ::fork();
  if (id < 0) return exhausted("no process can be started: " + errno_text(errno));
  if (id == 0) become(channels, parent, arguments.data(), variables.data());
  ::setpgid(id, id);  // whoever is first
  ChildProcess child;
  child.id_ = id;
  child.slot_ = remember(id);
  child.in_ = std::exchange(channels.in[1], -1);
  child.out_ = std::exchange(channels.out[0], -1);
  child.error_ = std::exchange(channels.error[0], -1);
  for (int* theirs : {channels.in.data(), &channels.out[1], &channels.error[1]}) close_one(*theirs);
  close_one(channels.failure[1]);
  int reason = 0;
  ssize_t got = 0;
  do {
    got = ::read(channels.failure[0], &reason, sizeof reason);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof reason)) {
    child.end();
    return not_found(
        fmt::format("'{}' cannot be started: {}", options.command[0], errno_text(reason)));
  }
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept { *this = std::move(other); }

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this == &other) return *this;
  end();
  id_ = std::exchange(other.id_, -1);
  slot_ = std::exchange(other.slot_, -1);
  in_ = std::exchange(other.in_, -1);
  out_ = std::exchange(other.out_, -1);
  error_ = std::exchange(other.error_, -1);
  code_ = other.code_;
  buffer_ = std::move(other.buffer_);
  tail_ = std::move(other.tail_);
  return *this;
}

void ChildProcess::end() noexcept {
  if (id_ > 0) {
    // After wait() the id may be another's.
    if (!code_) {
      ::kill(-id_, SIGKILL);
      int status = 0;
      while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
      }
    }
    if (slot_ >= 0) groups[static_cast<std::size_t>(slot_)].store(0);
  }
  id_ = -1;
  slot_ = -1;
  for (int* descriptor : {&in_, &out_, &error_}) close_one(*descriptor);
}

Error ChildProcess::ended_error() {
  const std::optional<int> code = wait(1);
  return {ErrorCode::kUnavailable, code ? fmt::format("the process ended with code {}", *code)
                                        : std::string("the process closed its output")};
}

Result<void> ChildProcess::write_line(std::string_view line, double seconds) {
  const double deadline = system_clock().monotonic_seconds() + seconds;
  const std::string text = std::string(line) + "\n";
  std::size_t done = 0;
  while (done < text.size()) {
    pollfd ready{in_, POLLOUT, 0};
    if (::poll(&ready, 1, milliseconds_until(deadline)) < 0 && errno != EINTR) {
      return io_error("waiting for a child process failed: " + errno_text(errno));
    }
    const ssize_t sent =
        ::send(in_, text.data() + done, text.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      done += static_cast<std::size_t>(sent);
    } else if (errno != EAGAIN && errno != EINTR) {
      return ended_error();
    } else if (is_past(deadline)) {
      return Error{ErrorCode::kDeadline,
                   fmt::format("the process has not read its input for {:.0f} s", seconds)};
    }
  }
  return {};
}

// What both outputs hold now; a closed one is forgotten.
void ChildProcess::read_available() {
  const auto drain = [](int& descriptor, std::string& into) {
    if (descriptor < 0) return;
    std::array<char, 1U << 16> block{};
    pollfd ready{descriptor, POLLIN, 0};
    if (::poll(&ready, 1, 0) <= 0) return;
    const ssize_t got = ::read(descriptor, block.data(), block.size());
    if (got > 0) {
      into.append(block.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      close_one(descriptor);
    }
  };
  drain(out_, buffer_);
  drain(error_, tail_);
  if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
}

Result<std::string> ChildProcess::read_line(double seconds) {
  const double deadline = system_clock().monotonic_seconds() + seconds;
  while (true) {
    if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (buffer_.size() > kLineBytesMax) {
      return exhausted(fmt::format("a line of more than {} bytes from a process", kLineBytesMax));
    }
    if (out_ < 0) return ended_error();
    if (is_past(deadline)) {
      return Error{ErrorCode::kDeadline,
                   fmt::format("no answer of the process for {:.0f} s", seconds)};
    }
    std::array<pollfd, 2> ready{{{out_, POLLIN, 0}, {error_, POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), milliseconds_until(deadline));
    read_available();
  }
}

std::optional<int> ChildProcess::wait(double seconds) {
  if (code_) return code_;
  const double deadline = system_clock().monotonic_seconds() + seconds;
  while (true) {
    read_available();
    int status = 0;
    const pid_t ended = ::waitpid(id_, &status, WNOHANG);
    if (ended == id_) {
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      // The id may be another's soon; what is left of the group is killed while it is not.
      ::kill(-id_, SIGKILL);
      read_available();
      return code_;
    }
    if (ended < 0 && errno != EINTR) return std::nullopt;
    if (is_past(deadline)) return std::nullopt;
    ::poll(nullptr, 0, std::min(20, milliseconds_until(deadline)));
  }
}

}  // namespace paring
