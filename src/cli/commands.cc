// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <system_error>

#include "base/text.h"

namespace paring::cli {

extern const Command kInspect;
extern const Command kInfo;
extern const Command kPull;
extern const Command kRun;
extern const Command kServe;
extern const Command kMonitor;
extern const Command kBench;
extern const Command kEval;
extern const Command kClassify;
extern const Command kEmbed;
extern const Command kRerank;
extern const Command kQuantize;
extern const Command kImatrix;
extern const Command kExport;
extern const Command kOptimize;
extern const Command kDiagnose;
extern const Command kAdvise;
extern const Command kKeys;
extern const Command kTraffic;
extern const Command kScore;
extern const Command kDataset;
extern const Command kCompletion;
extern const Command kDocs;

namespace {
constexpr const Command* kCommands[] = {
    &kPull,   &kInspect, &kInfo,     &kRun,      &kServe,   &kMonitor,    &kBench,  &kEval,
    &kEmbed,  &kRerank,  &kClassify, &kQuantize, &kImatrix, &kOptimize,   &kAdvise, &kDiagnose,
    &kExport, &kKeys,    &kTraffic,  &kScore,    &kDataset, &kCompletion, &kDocs,
};
}  // namespace

std::span<const Command* const> commands() noexcept { return kCommands; }

void add_json_flag(CLI::App& app, bool& is_json) {
  app.add_flag("--json", is_json, "Print the result as one JSON object");
}

CLI::Option* add_bytes_option(CLI::App& app, const std::string& flag, std::uint64_t& target,
                              const std::string& help) {
  const auto check = [](const std::string& text) {
    constexpr std::uint64_t kBytesMin = 1000;  // nobody means less
    const Result<std::uint64_t> bytes = parse_bytes(text);
    if (!bytes) return bytes.error().text();
    if (text.find_first_of("bB") == std::string::npos && *bytes > 0 && *bytes < kBytesMin) {
      return fmt::format("'{0}' has no unit; did you mean {0}MB or {0}GB?", escape_control(text));
    }
    return std::string();
  };
  const auto store = [&target](const std::string& text) { target = *parse_bytes(text); };
  return app.add_option_function<std::string>(flag, store, help)
      ->check(CLI::Validator(check, ""))
      ->type_name("SIZE");
}

void add_force_flag(CLI::App& app, io::Overwrite& overwrite) {
  app.add_flag_function(
      "--force", [&overwrite](std::int64_t) { overwrite = io::Overwrite::kReplace; },
      "Replace existing output files");
}

CLI::Validator number_between(double least, double most) {
  const auto check = [least, most](const std::string& text) {
    double value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && stop == end && value >= least && value <= most) {
      return std::string();
    }
    return fmt::format("'{}' is not a number from {} to {}", escape_control(text), least, most);
  };
  return CLI::Validator(check, "");
}

Result<void> check_different(const std::string& a_name, const std::string& a,
                             const std::string& b_name, const std::string& b) {
  std::error_code failed;
  const bool is_same =
      std::filesystem::equivalent(a, b, failed) ||
      std::filesystem::weakly_canonical(a, failed) == std::filesystem::weakly_canonical(b, failed);
  if (!is_same) return {};
  return invalid_argument(fmt::format("{} and {} are the same file '{}'", a_name, b_name, b),
                          "give each a name of its own");
}

Result<void> check_can_write(const std::string& path, io::Overwrite overwrite) {
  std::error_code unknown;
  if (overwrite == io::Overwrite::kRefuse && std::filesystem::is_regular_file(path, unknown)) {
    return invalid_argument(fmt::format("'{}' exists already", path),
                            "choose another name, or allow overwriting with --force");
  }
  // Without commit() the file goes away again.
  const Result<io::AtomicFile> file = io::AtomicFile::create(path, overwrite);
  if (!file) return file.error();
  return {};
}

}  // namespace paring::cli
