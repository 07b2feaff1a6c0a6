// SPDX-License-Identifier: Apache-2.0
#include "cli/text_inputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.h"
#include "io/system_error.h"
#include "text/tokenizer_file.h"

namespace paring::cli {

namespace {

using Json = nlohmann::json;

// A pipe has no size, so everything is read in pieces.
Result<std::string> read_all(int descriptor, const std::string& name) {
  std::string text;
  std::vector<char> block(std::size_t{1} << 16);
  for (;;) {
    const ssize_t count = ::read(descriptor, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io::system_error(errno, "read", name);
    if (count == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(count));
    if (text.size() > kTextsBytesMax) {
      return exhausted(fmt::format("{} has more than {} bytes", name, kTextsBytesMax),
                       "work on it in parts");
    }
  }
}

Result<std::string> read_source(const std::string& file) {
  if (file == "-") return read_all(STDIN_FILENO, "standard input");
  const std::string name = "'" + escape_control(file) + "'";
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return io::system_error(errno, "open", name);
  auto text = read_all(descriptor, name);
  ::close(descriptor);
  return text;
}

Result<std::string> field_of(std::string_view line, const std::string& field) {
  PARING_TRY_VOID(text::check_json_limits(
      line, "the line", {kTextsBytesMax, kTextJsonDepthMax, ErrorCode::kInvalidArgument, ""}));
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains(field) && json[field].is_string()) {
    return json[field].get<std::string>();
  }
  return invalid_argument(fmt::format("is no JSON object with a text '{}'", field));
}

}  // namespace

Result<std::vector<std::string>> lines_of(std::string_view content, const std::string& field) {
  std::vector<std::string> texts;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    std::string_view line = content.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (field.empty()) {
      texts.emplace_back(line);
    } else {
      auto text = field_of(line, field);
      if (!text)
        return std::move(text.error()).with_context(fmt::format("line {}", texts.size() + 1));
      texts.push_back(std::move(text).value());
    }
    if (texts.size() > kTextsMax) {
      return exhausted(fmt::format("there are more than {} texts", kTextsMax),
                       "work on them in parts");
    }
    begin = end + 1;
  }
  return texts;
}

void define_texts(CLI::App& app, const std::string& name, TextInputFlags& flags) {
  app.add_option(name, flags.texts, "Texts; without them and --file, lines of standard input")
      ->type_name("");
  app.add_option("--file", flags.file, "One text a line; -: standard input")->type_name("FILE");
  app.add_option("--field", flags.field, "Lines are JSON objects with the text under this name")
      ->type_name("NAME");
}

Result<std::vector<std::string>> read_texts(const TextInputFlags& flags) {
  if (!flags.texts.empty()) {
    if (!flags.file.empty() || !flags.field.empty()) {
      return invalid_argument("texts are given as arguments beside --file or --field",
                              "give one of them");
    }
    return flags.texts;
  }
  if (flags.file.empty() && ::isatty(STDIN_FILENO) == 1) {
    return invalid_argument("no text is given", "name texts, or a file with --file");
  }
  PARING_TRY(const std::string content, read_source(flags.file.empty() ? "-" : flags.file));
  PARING_TRY(std::vector<std::string> texts, lines_of(content, flags.field));
  if (texts.empty()) return invalid_argument("the input holds no text");
  return texts;
}

}  // namespace paring::cli
