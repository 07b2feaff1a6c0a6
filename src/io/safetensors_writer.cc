// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_writer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "io/safetensors.h"

namespace paring::io {

std::uint64_t SafetensorsDeclaration::bytes() const {
  std::uint64_t values = 1;
  for (const std::uint64_t length : shape) values *= length;
  return values * dtype_info(type).block_bytes;
}

Result<SafetensorsWriter> SafetensorsWriter::create(
    const std::string& path, Overwrite overwrite, std::span<const SafetensorsDeclaration> tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"]["format"] = "pt";  // transformers wants to know the framework
  std::uint64_t end = 0;
  for (const SafetensorsDeclaration& tensor : tensors) {
    const char* type = safetensors_type_name(tensor.type);
    PARING_CHECK(type != nullptr, "a type that safetensors has");
    const std::uint64_t begin = end;
    end += tensor.bytes();
    header[tensor.name] = {
        {"dtype", type}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // data begins at a multiple of 8
  const std::uint64_t length = text.size();
  PARING_TRY(AtomicFile file, AtomicFile::create(path, overwrite));
  const std::uint64_t file_bytes = sizeof(length) + text.size() + end;
  PARING_TRY_VOID(file.reserve(file_bytes));
  PARING_TRY_VOID(file.write(std::as_bytes(std::span(&length, 1))));
  PARING_TRY_VOID(file.write(text));
  return SafetensorsWriter(std::move(file), file_bytes);
}

Result<void> SafetensorsWriter::append(std::span<const std::byte> bytes) {
  return file_.write(bytes);
}

Result<void> SafetensorsWriter::commit() {
  PARING_CHECK(file_.bytes_written() == file_bytes_, "the file's size differs from its header");
  return file_.commit();
}

std::string safetensors_index_json(
    std::uint64_t total_bytes, std::span<const std::pair<std::string, std::string>> weight_map) {
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = total_bytes;
  for (const auto& [tensor, file] : weight_map) index["weight_map"][tensor] = file;
  return index.dump(2) + "\n";
}

}  // namespace paring::io
