// SPDX-License-Identifier: Apache-2.0
#include "api/variant.h"

#include <fmt/core.h>

#include <string_view>

#include "base/sha256.h"

namespace paring::api {

std::string Variant::canonical() const {
  std::string text = "paring-variant-1\n";
  const auto add = [&text](std::string_view name, std::string_view value) {
    text += fmt::format("{} {}:{}\n", name, value.size(), value);
  };
  add("weights_sha256", weights_sha256);
  add("tokenizer_sha256", tokenizer_sha256);
  add("chat_template_sha256", chat_template_sha256);
  add("numerics", numerics);
  add("kv_type", kv_type);
  add("isa_family", isa_family);
  add("adapters", fmt::format("{}", adapters.size()));
  for (const std::string& adapter : adapters) add("adapter", adapter);
  add("prompt_version", prompt_version);
  add("index_version", index_version);
  return text;
}

std::string Variant::id() const { return sha256_hex(canonical()); }

}  // namespace paring::api
