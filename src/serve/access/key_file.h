// SPDX-License-Identifier: Apache-2.0
// Keys for people without the database: a file with one a line, or one in the environment. Any text
// is a key there, so that keys of another server go on working. Stateless.
//
//   # the letters after the key are optional
//   some-long-random-text name=ci scopes=inference,metrics tenant=team rpm=60 tpm=100000
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"
#include "serve/access/principal.h"

namespace paring::serve {

struct FileKey {
  Sha256Digest hash{};
  Principal principal;
};

inline constexpr std::size_t kFileKeyLettersMin = 16;
inline constexpr std::size_t kFileKeyLettersMax = 512;

// Names on a line: name, scopes (default: all but admin and metrics), tenant, rpm and tpm (a
// minute), concurrent, weight. InvalidArgument, with the line but never the key, for anything else,
// a key that is too short or not printable, and a key or name that stands there twice.
Result<std::vector<FileKey>> parse_key_file(std::string_view text, const std::string& source);
// The same from a file of at most 1 MiB. Warns when others can read it.
Result<std::vector<FileKey>> read_key_file(const std::string& path);
// All keys that the operator gives: those of the file `path` ("none": no file) and the one of
// `variable` (the value of kKeyVariable, may be null or empty), whose name is "environment": that
// of a single operator, who may do everything unless its letters say otherwise.
Result<std::vector<FileKey>> operator_keys(const std::string& path, const char* variable);
// The variable that holds one key, and no setting, so that no listing of settings shows it.
inline constexpr const char* kKeyVariable = "PARING_API_KEY";

}  // namespace paring::serve
