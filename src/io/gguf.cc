// SPDX-License-Identifier: Apache-2.0
#include "io/gguf.h"

#include <utility>

namespace paring::io {

std::uint64_t TensorInfo::rows() const {
  std::uint64_t product = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) product *= shape[i];
  return product;
}

GgufFile::GgufFile(MappedFile map, GgufHeader header)
    : map_(std::move(map)), header_(std::move(header)) {
  index_.reserve(header_.tensors.size());
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
    index_.emplace(header_.tensors[i].name, i);
  }
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  PARING_TRY(MappedFile map, MappedFile::open(path));
  PARING_TRY(GgufHeader header, parse_gguf(map.bytes(), path));
  return GgufFile(std::move(map), std::move(header));
}

const TensorInfo* GgufFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

std::span<const std::byte> GgufFile::data(const TensorInfo& tensor) const {
  return map_.bytes().subspan(tensor.offset, tensor.bytes);
}

void GgufFile::release(const TensorInfo& tensor) const {
  map_.release(tensor.offset, tensor.bytes);
}

}  // namespace paring::io
