// SPDX-License-Identifier: Apache-2.0
// paring: measures, shrinks and runs large language models.
#include <unistd.h>

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

}  // namespace

int main(int argc, char** argv) {
  // A closed pipe shows as an error of write(), see Output.
  std::signal(SIGPIPE, SIG_IGN);
  // A file size limit (ulimit -f) shows as an error of write(), so that nothing stays behind.
  std::signal(SIGXFSZ, SIG_IGN);
  paring::io::remove_temporaries_on_signals();
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
