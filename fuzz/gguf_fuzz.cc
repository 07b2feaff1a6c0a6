// SPDX-License-Identifier: Apache-2.0
// The GGUF header parser on arbitrary bytes: no crash, no read outside, no memory out of proportion
// to the input; and what was accepted is consistent.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace paring;
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  const auto header = io::parse_gguf(file, "fuzz.gguf");
  if (!header) {
    PARING_CHECK(!header.error().message.empty(), "an error without a message");
    return 0;
  }
  std::vector<io::TensorDeclaration> declarations;
  std::uint64_t data_bytes = 0;
  for (const io::TensorInfo& tensor : header->tensors) {
    PARING_CHECK(tensor.offset <= size && tensor.bytes <= size - tensor.offset,
                 "a tensor outside the file was accepted");
    PARING_CHECK(tensor.bytes == *dtype_row_bytes(tensor.type, tensor.columns()) * tensor.rows(),
                 "a tensor's bytes do not follow from its shape");
    data_bytes += tensor.bytes;
    declarations.push_back({tensor.name, tensor.type, tensor.shape});
  }
  PARING_CHECK(data_bytes <= size, "tensors overlap");
  // Written again, it has at least the bytes of its data. Names may be longer than we write.
  const auto bytes = io::gguf_file_bytes(header->metadata, declarations);
  if (bytes) PARING_CHECK(*bytes >= data_bytes, "a planned file smaller than its data");
  return 0;
}
