// SPDX-License-Identifier: Apache-2.0
// The texts that commands on encoders work on: arguments, lines of a file or of standard input, or
// JSON lines.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::cli {

inline constexpr std::size_t kTextsBytesMax = std::size_t{256} << 20;
inline constexpr std::size_t kTextsMax = std::size_t{1} << 22;
inline constexpr std::size_t kTextJsonDepthMax = 64;

struct TextInputFlags {
  std::vector<std::string> texts;
  std::string file;   // "-": standard input
  std::string field;  // of a JSON line; empty: lines are texts
};

// Adds the texts as arguments called `name`, --file and --field.
void define_texts(CLI::App& app, const std::string& name, TextInputFlags& flags);
// InvalidArgument: no text, arguments beside a file, a line without the field. Exhausted: more than
// kTextsBytesMax or kTextsMax.
Result<std::vector<std::string>> read_texts(const TextInputFlags& flags);

// The lines of a text, without line ends; a newline at the end begins no further line. With a
// `field` each is a JSON object that has it. Errors as above.
Result<std::vector<std::string>> lines_of(std::string_view content, const std::string& field);

}  // namespace paring::cli
