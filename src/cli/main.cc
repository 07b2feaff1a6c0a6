// SPDX-License-Identifier: Apache-2.0
// paring: measures, shrinks and runs large language models.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>

#include "cli/app.h"
#include "cli/output.h"
#include "io/atomic_file.h"

namespace {

int refuse_for_memory() {
  const paring::Error error =
      paring::exhausted("memory ran out", "close other programs or use a smaller model");
  paring::cli::print_error(error);
  return paring::error_exit_code(error.code);
}

// Memory that runs out on a compute thread ends the program: the others wait for that thread, so
// nothing can be unwound.
[[noreturn]] void end_without_unwinding() noexcept {
  paring::io::remove_temporaries();
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    std::_Exit(refuse_for_memory());
  } catch (...) {
  }
  std::signal(SIGABRT, SIG_DFL);
  std::raise(SIGABRT);
  std::_Exit(paring::error_exit_code(paring::ErrorCode::kInternal));
}

// A mapped model file that becomes shorter, or a disk that fails: reading it raises SIGBUS. There
// is nothing to go back to, so the program ends, with a sentence and no temporary file.
void end_on_bus_error(int) {
  // Several threads may fault at once: the first speaks, the others wait for the end.
  static std::atomic_flag has_spoken;
  if (has_spoken.test_and_set()) {
    for (;;) ::pause();
  }
  constexpr char kText[] =
      "paring: error: a file that is being read became shorter or its disk failed; do not change a "
      "model while it is in use\n";
  paring::io::remove_temporaries();
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  ::_exit(paring::error_exit_code(paring::ErrorCode::kIo));
}

// A program that is started without standard streams would give their numbers to the files that it
// opens, and print into them. Opened for reading only, so that printing still fails.
void occupy_standard_descriptors() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(number, F_GETFD) >= 0 || errno != EBADF) continue;
    if (::open("/dev/null", O_RDONLY) != number) std::_Exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_descriptors();
  // A closed pipe shows as an error of write(), see Output.
  std::signal(SIGPIPE, SIG_IGN);
  // A file size limit (ulimit -f) shows as an error of write(), so that nothing stays behind.
  std::signal(SIGXFSZ, SIG_IGN);
  paring::io::remove_temporaries_on_signals();
  std::signal(SIGBUS, end_on_bus_error);
  std::set_terminate(end_without_unwinding);
  try {
    return paring::cli::run_program(argc, argv, environ);
  } catch (const std::bad_alloc&) {
    return refuse_for_memory();
  } catch (const std::exception& exception) {
    const paring::Error error{paring::ErrorCode::kInternal,
                              std::string("unexpected: ") + exception.what(),
                              "this is a bug in paring, please report it"};
    paring::cli::print_error(error);
    return paring::error_exit_code(error.code);
  }
}
