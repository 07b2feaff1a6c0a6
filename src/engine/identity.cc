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

std::string weights_sha256(const io::GgufFile& file) {
  WeightsIdentity identity;
  for (const io::TensorInfo& tensor : file.tensors()) {
    identity.add(tensor.name, tensor.type, tensor.shape, file.data(tensor));
    file.release(tensor);
  }
  return identity.sha256();
}

}  // namespace paring::engine
