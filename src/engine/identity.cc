// SPDX-License-Identifier: Apache-2.0
#include "engine/identity.h"

#include <fmt/format.h>

#include "base/sha256.h"

namespace paring::engine {

void WeightsIdentity::add(const std::string& name, DType type, std::span<const std::uint64_t> shape,
                          std::span<const std::byte> bytes) {
  lines_[name] = fmt::format("{}\n{}\n{}\n{}\n", name, dtype_name(type), fmt::join(shape, "x"),
                             sha256_hex(bytes));
}

std::string WeightsIdentity::sha256() const {
  Sha256 all;
  for (const auto& [name, line] : lines_) all.update(line);
  return hex(all.finish());
}

std::string weights_sha256(const io::ModelFile& file) {
  WeightsIdentity identity;
  for (const io::TensorInfo& tensor : file.tensors()) {
    const io::TensorBytes bytes = file.data(tensor);
    identity.add(tensor.name, tensor.type, tensor.shape, bytes.span());
    file.release(tensor);
  }
  return identity.sha256();
}

namespace {

constexpr std::string_view kTemplateKey = "tokenizer.chat_template";

// Lengths make the text unambiguous whatever bytes a string holds.
void append_value(std::string& out, const io::GgufArray& array);

template <typename T>
void append_item(std::string& out, const T& item) {
  if constexpr (std::is_same_v<T, std::string>) {
    out += fmt::format("{}:{}", item.size(), item);
  } else if constexpr (std::is_same_v<T, io::GgufArray>) {
    append_value(out, item);
  } else {
    out += fmt::format("{};", item);
  }
}

void append_value(std::string& out, const io::GgufArray& array) {
  std::visit(
      [&](const auto& items) {
        out += fmt::format("[{}]", items.size());
        for (const auto& item : items) append_item(out, item);
      },
      array.items);
}

}  // namespace

std::string tokenizer_sha256(const io::Metadata& metadata) {
  std::map<std::string, const io::GgufValue*> keys;
  for (const auto& [key, value] : metadata.entries()) {
    if (key.starts_with("tokenizer.") && key != kTemplateKey) keys.emplace(key, &value);
  }
  Sha256 all;
  for (const auto& [key, value] : keys) {
    std::string line = fmt::format("{}:{}=", key.size(), key);
    std::visit([&](const auto& item) { append_item(line, item); }, value->data);
    all.update(line + "\n");
  }
  return hex(all.finish());
}

std::string adapter_sha256(const model::AdapterFile& file, float scale) {
  Sha256 all;
  all.update("paring-adapter-1\n");
  all.update(weights_sha256(file.file()));
  for (const model::AdapterFile::Pair& pair : file.pairs()) {
    // In hexadecimal, so that no digit is lost.
    all.update(fmt::format("\n{} {:a} {:a}", pair.matrix, pair.scale, scale));
  }
  return hex(all.finish());
}

std::string chat_template_sha256(const io::Metadata& metadata) {
  const auto source = metadata.get_string(kTemplateKey);
  return source ? sha256_hex(*source) : std::string();
}

}  // namespace paring::engine
