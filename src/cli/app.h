// SPDX-License-Identifier: Apache-2.0
// The program behind main(): parses the command line, settles the settings, runs one subcommand and
// turns what happened into an exit code.
#pragma once

namespace paring::cli {

// Exit code of the process. Standard output goes to descriptor 1, everything else to 2.
int run_program(int argc, const char* const* argv, const char* const* environment);

// Exit code when the reader of standard output went away: what a shell reports for SIGPIPE.
inline constexpr int kExitBrokenPipe = 128 + 13;

}  // namespace paring::cli
