// SPDX-License-Identifier: Apache-2.0
#include "cli/scorers_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "config/yaml.h"

namespace paring::cli {

namespace {

constexpr std::string_view kScorers = "scorers.";
constexpr std::size_t kDepth = 3;  // scorers, name, field

struct Lines {
  improve::ScorerSpec spec;
  std::size_t line = 0;
};

Error at(const std::string& path, std::size_t line, const std::string& why, std::string hint) {
  return invalid_argument(fmt::format("{}, line {}: {}", path, line, why), std::move(hint));
}

}  // namespace

Result<std::vector<std::unique_ptr<improve::Scorer>>> read_scorers_file(
    const std::string& path, const improve::ScorerTools& tools) {
  PARING_TRY(const std::string text, read_small_file(path, config::kYamlBytesMax));
  const auto entries = config::read_yaml(text);
  if (!entries) {
    return Error{entries.error().code, path + ", " + entries.error().message, entries.error().hint};
  }
  std::vector<Lines> found;
  for (const config::YamlEntry& entry : *entries) {
    const std::string_view key = entry.key;
    const std::size_t dot = key.rfind('.');
    if (!key.starts_with(kScorers) || entry.depth != kDepth || dot < kScorers.size()) {
      return at(path, entry.line, fmt::format("'{}' is not known", escape_control(entry.key)),
                "it takes scorers, below it names, and below each 'kind: ...' and its fields");
    }
    const std::string name(key.substr(kScorers.size(), dot - kScorers.size()));
    auto scorer = std::ranges::find(found, name, [](const Lines& each) { return each.spec.name; });
    if (scorer == found.end()) {
      found.push_back({{}, entry.line});
      scorer = found.end() - 1;
      scorer->spec.name = name;
      scorer->spec.folder = std::filesystem::path(path).parent_path().string();
    }
    const std::string field(key.substr(dot + 1));
    (field == "kind" ? scorer->spec.kind : scorer->spec.fields[field]) = entry.value;
  }
  if (found.empty()) return at(path, 1, "it has no scorer", "write one below 'scorers:'");
  if (found.size() > improve::kScorersMax) {
    return at(
        path, found.back().line,
        fmt::format("it has {} scorers, that is more than {}", found.size(), improve::kScorersMax),
        "make two files of it");
  }
  std::vector<std::unique_ptr<improve::Scorer>> scorers;
  for (const Lines& each : found) {
    auto scorer = improve::make_scorer(each.spec, tools);
    if (!scorer) return at(path, each.line, scorer.error().message, scorer.error().hint);
    scorers.push_back(std::move(scorer).value());
  }
  return scorers;
}

}  // namespace paring::cli
