// SPDX-License-Identifier: Apache-2.0
#include "model/matrix_loader.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <string>
#include <utility>

#include <fmt/core.h>

namespace paring::model {

namespace {

// "4096 x 14336 x 8", as GGUF counts: columns first.
std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t length : shape) {
    text += (text.empty() ? "" : " x ") + std::to_string(length);
  }
  return text;
}

Result<void> check_shape(const io::ModelFile& file, const io::TensorInfo& info,
                         const MatrixSlot& slot) {
  if (slot.experts != 0) {
    const std::vector<std::uint64_t> wanted = {slot.cols, slot.rows / slot.experts, slot.experts};
    if (info.shape == wanted) return {};
    return corrupt(fmt::format(
        "{}: tensor '{}' is {}, the hyper-parameters ask for {} (columns, rows, experts)",
        file.path(), slot.name, shape_text(info.shape), shape_text(wanted)));
  }
  if (info.shape.size() == 2 && info.columns() == slot.cols && info.rows() == slot.rows) return {};
  return corrupt(
      fmt::format("{}: tensor '{}' has {} rows of {} values, the hyper-parameters ask for {} of {}",
                  file.path(), slot.name, info.rows(), info.columns(), slot.rows, slot.cols));
}

Result<const io::TensorInfo*> find_tensor(const io::ModelFile& file, const MatrixSlot& slot) {
  const io::TensorInfo* info = file.find(slot.name);
  if (info == nullptr) {
    return corrupt(fmt::format("{}: tensor '{}' is missing", file.path(), slot.name),
                   "the file is incomplete or of another architecture");
  }
  PARING_TRY_VOID(check_shape(file, *info, slot));
  return info;
}

// Panels of one matrix, packed by one worker.
struct Piece {
  std::size_t slot;
  kernels::PanelRange panels;
};

class Loader {
 public:
  Loader(const io::ModelFile& file, std::span<const MatrixSlot> slots)
      : file_(file), slots_(slots) {}

  // Finds every tensor and gives its matrix a place.
  Result<void> place() {
    std::vector<std::size_t> offsets;
    std::size_t total = 0;
    for (const MatrixSlot& slot : slots_) {
      PARING_TRY(const io::TensorInfo* info, find_tensor(file_, slot));
      auto bytes = kernels::packed_bytes(info->type, slot.rows, slot.cols);
      if (!bytes) {
        return std::move(bytes.error())
            .with_context(fmt::format("{}: tensor '{}'", file_.path(), slot.name));
      }
      tensors_.push_back(info);
      offsets.push_back(total);
      total += *bytes;
    }
    PARING_TRY(loaded_.memory, AlignedBuffer::create(total));
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      PARING_TRY(kernels::PackedMatrix matrix,
                 kernels::place_packed(tensors_[i]->type, slots_[i].rows, slots_[i].cols,
                                       loaded_.memory.data() + offsets[i]));
      loaded_.matrices.push_back(std::move(matrix));
      divide(i);
    }
    return {};
  }

  // Which worker packs a piece changes nothing in it, so each takes the next that is left: a worker
  // that the system keeps waiting holds nobody up.
  void pack_pieces() {
    for (std::size_t i = next_++; i < pieces_.size(); i = next_++) pack(pieces_[i]);
  }

  LoadedMatrices take() {
    // Pages across the borders of pieces.
    for (const io::TensorInfo* tensor : tensors_) file_.release(*tensor);
    return std::move(loaded_);
  }

 private:
  void divide(std::size_t slot) {
    const std::size_t panels = loaded_.matrices[slot].panels();
    const std::size_t panel_bytes = std::max<std::size_t>(tensors_[slot]->bytes / panels, 1);
    const std::size_t step = std::max<std::size_t>(kPieceBytes / panel_bytes, 1);
    for (std::size_t begin = 0; begin < panels; begin += step) {
      pieces_.push_back({slot, {begin, std::min(begin + step, panels)}});
    }
  }

  void pack(const Piece& piece) {
    const io::TensorInfo& tensor = *tensors_[piece.slot];
    const std::size_t first = piece.panels.begin * kernels::kPanelRows;
    const std::size_t end =
        std::min(piece.panels.end * kernels::kPanelRows, slots_[piece.slot].rows);
    {
      const io::TensorBytes bytes = file_.rows(tensor, first, end - first);
      kernels::pack_panels(loaded_.matrices[piece.slot], bytes.data(), piece.panels);
    }
    file_.release_rows(tensor, first, end - first);
  }

  const io::ModelFile& file_;
  std::span<const MatrixSlot> slots_;
  std::vector<const io::TensorInfo*> tensors_;
  LoadedMatrices loaded_;
  std::vector<Piece> pieces_;
  std::atomic<std::size_t> next_ = 0;
};

}  // namespace

Result<LoadedMatrices> load_matrices(const io::ModelFile& file, std::span<const MatrixSlot> slots,
                                     Executor& executor) {
  Loader loader(file, slots);
  PARING_TRY_VOID(loader.place());
  std::atomic<bool> is_out_of_memory = false;
  executor.run([&](Worker&) {
    try {
      loader.pack_pieces();
    } catch (const std::bad_alloc&) {  // a job must not throw
      is_out_of_memory = true;
    }
  });
  if (is_out_of_memory) {
    return exhausted(fmt::format("memory ran out while the weights of {} were read", file.path()),
                     "free memory or use a smaller model or context");
  }
  return loader.take();
}

}  // namespace paring::model
