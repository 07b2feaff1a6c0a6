// SPDX-License-Identifier: Apache-2.0
#include "serve/access/key_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "serve/access/api_key.h"
#include "serve/access/key_admin.h"

namespace paring::serve {

namespace {

std::string_view take_word(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t begin = std::min(line.find_first_not_of(kBlanks), line.size());
  line.remove_prefix(begin);
  const std::size_t end = std::min(line.find_first_of(kBlanks), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

Result<std::int64_t> parse_limit(std::string_view name, std::string_view text) {
  std::int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && stop == text.data() + text.size()) return value;
  return invalid_argument(fmt::format("{} is no whole number", name));
}

Result<void> apply(std::string_view name, std::string_view value, KeySpec& spec) {
  if (name == "name") {
    spec.name = value;
  } else if (name == "tenant") {
    spec.tenant = value;
  } else if (name == "scopes") {
    PARING_TRY(spec.scopes, parse_scopes(value));
  } else if (name == "rpm") {
    PARING_TRY(spec.limits.requests_per_minute, parse_limit(name, value));
  } else if (name == "tpm") {
    PARING_TRY(spec.limits.tokens_per_minute, parse_limit(name, value));
  } else if (name == "concurrent") {
    PARING_TRY(spec.limits.concurrent_requests, parse_limit(name, value));
  } else if (name == "weight") {
    PARING_TRY(spec.limits.weight, parse_limit(name, value));
  } else {
    // The word may be a part of a key with a blank in it: it is not shown.
    return invalid_argument("a word after the key is none of NAME=VALUE that are known",
                            "name, scopes, tenant, rpm, tpm, concurrent and weight are");
  }
  return {};
}

Result<FileKey> parse_line(std::string_view line, std::string name, const ScopeSet& scopes) {
  const std::string_view key = take_word(line);
  if (key.size() < kFileKeyLettersMin || key.size() > kFileKeyLettersMax) {
    return invalid_argument(fmt::format("the key has {} letters, {} to {} are allowed", key.size(),
                                        kFileKeyLettersMin, kFileKeyLettersMax));
  }
  if (!std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; })) {
    return invalid_argument("the key has letters that are not printable ASCII");
  }
  KeySpec spec;
  spec.name = std::move(name);
  spec.scopes = scopes;
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view value = word.substr(std::min(equals + 1, word.size()));
    PARING_TRY_VOID(apply(word.substr(0, equals), value, spec));
  }
  PARING_TRY_VOID(check_key_spec(spec));
  return FileKey{api_key_hash(key),
                 {PrincipalKind::kFile, "file:" + spec.name, spec.tenant, spec.name, spec.scopes,
                  spec.limits}};
}

}  // namespace

Result<std::vector<FileKey>> parse_key_file(std::string_view text, const std::string& source) {
  std::vector<FileKey> keys;
  std::set<Sha256Digest> hashes;
  std::set<std::string> names;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::string_view rest = line;
    const std::string_view first = take_word(rest);
    if (first.empty() || first.front() == '#') continue;
    Result<FileKey> key = parse_line(line, fmt::format("line-{}", number), default_scopes());
    const std::string place = fmt::format("{}, line {}", source, number);
    if (!key) return std::move(key.error()).with_context(place);
    if (!hashes.insert(key->hash).second || !names.insert(key->principal.name).second) {
      return invalid_argument(place + ": the key or its name stands there twice");
    }
    keys.push_back(std::move(*key));
  }
  return keys;
}

Result<std::vector<FileKey>> read_key_file(const std::string& path) {
  PARING_TRY(const std::string text, read_small_file(path));
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 077) != 0) {
    log_warning(fmt::format("others can read the file of keys '{}' (mode {:o})", path,
                            status.st_mode & 0777U));
  }
  return parse_key_file(text, path);
}

Result<std::vector<FileKey>> operator_keys(const std::string& path, const char* variable) {
  std::vector<FileKey> keys;
  if (path != "none") {
    PARING_TRY(keys, read_key_file(path));
  }
  if (variable == nullptr || *variable == '\0') return keys;
  Result<FileKey> key = parse_line(variable, "environment", all_scopes());
  if (!key) return std::move(key.error()).with_context(kKeyVariable);
  const auto is_same = [&](const FileKey& other) {
    return other.hash == key->hash || other.principal.name == key->principal.name;
  };
  if (std::any_of(keys.begin(), keys.end(), is_same)) {
    return invalid_argument(
        fmt::format("the key of {}, or its name, is in '{}' as well", kKeyVariable, path));
  }
  keys.push_back(std::move(*key));
  return keys;
}

}  // namespace paring::serve
