// SPDX-License-Identifier: Apache-2.0
// paring: measures, shrinks and runs large language models.
#include <unistd.h>

#include <csignal>
#include <exception>
#include <new>

#include "cli/app.h"
#include "cli/output.h"

int main(int argc, char** argv) {
  // A closed pipe shows as an error of write(), see Output.
  std::signal(SIGPIPE, SIG_IGN);
  // A file size limit (ulimit -f) shows as an error of write(), so that nothing stays behind.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return paring::cli::run_program(argc, argv, environ);
  } catch (const std::bad_alloc&) {
    const paring::Error error =
        paring::exhausted("memory ran out", "close other programs or use a smaller model");
    paring::cli::print_error(error);
    return paring::error_exit_code(error.code);
  } catch (const std::exception& exception) {
    const paring::Error error{paring::ErrorCode::kInternal,
                              std::string("unexpected: ") + exception.what(),
                              "this is a bug in paring, please report it"};
    paring::cli::print_error(error);
    return paring::error_exit_code(error.code);
  }
}
