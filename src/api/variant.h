// SPDX-License-Identifier: Apache-2.0
// Variant: everything that decides what is computed, and nothing else. Its id is in every response,
// trace, cache key, certificate and recommendation. The host and its speed are labels beside it;
// sampling settings belong to a request. Plain data.
#pragma once

#include <string>
#include <vector>

namespace paring::api {

struct Variant {
  std::string weights_sha256;
  std::string tokenizer_sha256;
  std::string chat_template_sha256;   // empty: the model has none
  std::string numerics;               // "served", "exact", "fast"
  std::string kv_type;                // "q8", "f16", "f32"
  std::string isa_family;             // kernels that agree bit for bit share a family
  std::vector<std::string> adapters;  // SHA-256 of each, in the order of application
  std::string prompt_version;         // empty: no managed prompt
  std::string index_version;          // empty: no retrieval

  bool operator==(const Variant&) const = default;

  // The bytes that are hashed. A header line "paring-variant-1\n", then for each field, in the
  // order above, "<name> <length>:<value>\n" with the value's length in bytes as a decimal number;
  // for `adapters` the value is the decimal number of adapters, and a field "adapter" for each
  // follows. Lengths make the encoding unambiguous whatever bytes a value holds.
  std::string canonical() const;
  // SHA-256 of canonical(), 64 lower-case digits.
  std::string id() const;
};

}  // namespace paring::api
