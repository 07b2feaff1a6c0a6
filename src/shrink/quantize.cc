// SPDX-License-Identifier: Apache-2.0
#include "shrink/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "io/gguf_split.h"
#include "io/gguf_writer.h"

namespace paring::shrink {

namespace {

// Rows that decide whether importance changed a matrix's encoding.
constexpr std::size_t kProofRows = 64;

// llama.cpp's general.file_type for the type that holds most bytes; 1024 is its "guessed".
std::uint32_t file_type_of(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ8_0:
      return 7;
    case DType::kQ5_0:
      return 8;
    case DType::kQ5_1:
      return 9;
    case DType::kQ2_K:
      return 10;
    case DType::kQ3_K:
      return 11;
    case DType::kQ4_K:
      return 14;
    case DType::kQ5_K:
      return 16;
    case DType::kQ6_K:
      return 18;
    case DType::kIQ4_NL:
      return 25;
    case DType::kIQ4_XS:
      return 30;
    case DType::kBF16:
      return 32;
    default:
      return 1024;
  }
}

// The target type of a file's tensor: as planned for matrices of the model, else unchanged.
DType target_type(const TypeMap& types,
                  const std::map<std::string, std::size_t, std::less<>>& slots,
                  const io::TensorInfo& tensor) {
  const auto found = slots.find(tensor.name);
  return found == slots.end() ? tensor.type : types[found->second];
}

std::map<std::string, std::size_t, std::less<>> slots_by_name(
    std::span<const model::MatrixSlot> slots) {
  std::map<std::string, std::size_t, std::less<>> found;
  for (std::size_t i = 0; i < slots.size(); ++i) found.emplace(slots[i].name, i);
  return found;
}

Result<std::vector<io::TensorDeclaration>> declarations(const io::ModelFile& file,
                                                        std::span<const model::MatrixSlot> all,
                                                        const TypeMap& types) {
  PARING_CHECK(types.size() == all.size(), "one type a matrix");
  const auto slots = slots_by_name(all);
  std::vector<io::TensorDeclaration> result;
  for (const io::TensorInfo& tensor : file.tensors()) {
    result.push_back({tensor.name, target_type(types, slots, tensor), tensor.shape});
  }
  return result;
}

io::Metadata output_metadata(const io::ModelFile& file, const io::Metadata& extra,
                             const std::vector<io::TensorDeclaration>& tensors) {
  io::Metadata metadata = file.metadata();
  std::map<DType, std::uint64_t> values;
  for (const auto& tensor : tensors) {
    std::uint64_t count = 1;
    for (const std::uint64_t side : tensor.shape) count *= side;
    values[tensor.type] += count;
  }
  const auto most =
      std::max_element(values.begin(), values.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  metadata.set("general.file_type", io::GgufValue::of_u32(file_type_of(most->first)));
  metadata.set("general.quantization_version", io::GgufValue::of_u32(2));
  for (const auto& [key, value] : extra.entries()) metadata.set(key, value);
  return metadata;
}

// A method that was given statistics must have used them.
Result<void> prove_importance(const engine::LoadedModel& model, const QuantizeOptions& options,
                              Executor& executor) {
  if (options.statistics == nullptr || options.prepared) return {};
  for (std::size_t i = 0; i < options.types.size(); ++i) {
    const model::MatrixSlot& slot = model.model->slot(i);
    const io::TensorInfo* tensor = model.file.find(slot.name);
    const DType type = options.types[i];
    if (type == tensor->type || dtype_info(type).block_values == 1 || type == DType::kQ8_0) {
      continue;  // 8 bits leave next to nothing to choose
    }
    if (options.statistics->importance(i).empty()) continue;  // none is known for this matrix
    PARING_TRY(const auto losses,
               encoding_losses(model.file, slot.name, {&type, 1},
                               {options.statistics->importance(i), nullptr}, kProofRows, executor));
    if (losses[0].changed_share < kChangedShareMin) {
      return Error{
          ErrorCode::kInternal,
          fmt::format("importance changed {:.2f} % of the codes of '{}', at least {:.0f} % "
                      "are expected: calibration had no effect",
                      100 * losses[0].changed_share, slot.name, 100 * kChangedShareMin)};
    }
  }
  return {};
}

// The rows of matrix `slot` as they will stand in the file.
Result<std::vector<std::byte>> matrix_bytes(const engine::LoadedModel& model,
                                            const QuantizeOptions& options, std::size_t slot,
                                            Executor& executor) {
  const std::string& name = model.model->slot(slot).name;
  const DType type = options.types[slot];
  if (options.prepared && type != model.file.find(name)->type) {
    const kernels::PackedMatrix* matrix = options.prepared(slot);
    PARING_CHECK(matrix != nullptr && matrix->type == type, "a prepared matrix is of its type");
    PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(type, matrix->cols));
    std::vector<std::byte> bytes(matrix->rows * row_bytes);
    kernels::unpack(*matrix, bytes.data());
    return bytes;
  }
  Inputs inputs;
  if (options.statistics != nullptr) {
    inputs = {options.statistics->importance(slot), options.statistics->factor(slot)};
  }
  PARING_TRY(Encoding encoding,
             encode_matrix(model.file, name, type, options.rounding, inputs, executor));
  return std::move(encoding.bytes);
}

io::Metadata with_extra(const io::ModelFile& source, const io::Metadata& extra) {
  io::Metadata metadata = source.metadata();
  for (const auto& [key, value] : extra.entries()) metadata.set(key, value);
  return metadata;
}

std::vector<io::TensorDeclaration> declarations_of(const io::ModelFile& source) {
  std::vector<io::TensorDeclaration> tensors;
  for (const io::TensorInfo& tensor : source.tensors()) {
    tensors.push_back({tensor.name, tensor.type, tensor.shape});
  }
  return tensors;
}

}  // namespace

Result<std::uint64_t> bytes_with_metadata(const io::ModelFile& source, const io::Metadata& extra) {
  return io::gguf_file_bytes(with_extra(source, extra), declarations_of(source));
}

Result<void> write_with_metadata(const io::ModelFile& source, const io::Metadata& extra,
                                 const std::string& path, io::Overwrite overwrite) {
  PARING_TRY(io::GgufWriter writer, io::GgufWriter::create(path, overwrite));
  writer.set_metadata(with_extra(source, extra));
  for (auto& tensor : declarations_of(source)) PARING_TRY_VOID(writer.declare(std::move(tensor)));
  PARING_TRY_VOID(writer.begin());
  for (const io::TensorInfo& tensor : source.tensors()) {
    const io::TensorBytes bytes = source.data(tensor);
    PARING_TRY_VOID(writer.append(tensor.name, bytes.span()));
    source.release(tensor);
  }
  return writer.commit();
}

Result<std::uint64_t> quantized_file_bytes(const engine::LoadedModel& model,
                                           const QuantizeOptions& options) {
  PARING_TRY(const auto tensors, declarations(model.file, model.model->slots(), options.types));
  return io::gguf_file_bytes(output_metadata(model.file, options.extra, tensors), tensors);
}

Result<std::uint64_t> quantized_file_bytes(const io::ModelFile& file,
                                           std::span<const model::MatrixSlot> slots, DType type,
                                           std::optional<DType> fallback) {
  PARING_TRY(const TypeChoice choice, choose_types(slots, type, fallback));
  PARING_TRY(const auto tensors, declarations(file, slots, choice.types));
  const io::Metadata extra = choice_metadata(slots, choice, type, fallback);
  return io::gguf_file_bytes(output_metadata(file, extra, tensors), tensors);
}

Result<WrittenFiles> write_quantized(const engine::LoadedModel& model,
                                     const QuantizeOptions& options, const std::string& path,
                                     Executor& executor, ProgressSink& progress) {
  PARING_TRY_VOID(prove_importance(model, options, executor));
  PARING_TRY(const auto tensors, declarations(model.file, model.model->slots(), options.types));
  io::GgufSplitWriter writer =
      io::GgufSplitWriter::create(path, options.overwrite, options.split_bytes_max);
  writer.set_metadata(output_metadata(model.file, options.extra, tensors));
  for (const auto& tensor : tensors) writer.declare(tensor);
  PARING_TRY_VOID(writer.begin());
  const auto slots = slots_by_name(model.model->slots());
  progress.begin("writing", tensors.size());
  for (const io::TensorInfo& tensor : model.file.tensors()) {
    const auto slot = slots.find(tensor.name);
    if (slot == slots.end()) {
      const io::TensorBytes bytes = model.file.data(tensor);
      PARING_TRY_VOID(writer.append(tensor.name, bytes.span()));
    } else {
      PARING_TRY(const std::vector<std::byte> bytes,
                 matrix_bytes(model, options, slot->second, executor));
      PARING_TRY_VOID(writer.append(tensor.name, bytes));
    }
    model.file.release(tensor);
    progress.advance(1);
  }
  progress.end();
  PARING_TRY_VOID(model.file.check_unchanged());
  PARING_TRY_VOID(writer.commit());
  return WrittenFiles{writer.paths(), writer.file_bytes()};
}

}  // namespace paring::shrink
