// SPDX-License-Identifier: Apache-2.0
// AdapterFile: a LoRA adapter as it lies on the disk, opened and held against a model's
// hyper-parameters, none of its values read: what it will take is known before the model is loaded.
// Two forms: llama.cpp's GGUF files (general.type "adapter", adapter.type "lora"; tensors
// NAME.lora_a [r, in] and NAME.lora_b [out, r], NAME a matrix of the model), and the folders of
// Hugging Face's PEFT (model/peft_adapter.h). Movable; immutable and thread-safe.
//
//   PARING_TRY(const model::AdapterFile file, model::AdapterFile::open(path, spec));
//   PARING_TRY(const auto adapter, model::Lora::load(file, *model, 1.0F));
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/model_file.h"
#include "model/block_spec.h"

namespace paring::model {

class AdapterFile {
 public:
  struct Pair {
    std::size_t matrix;          // in matrix_slots() of the model
    const io::TensorInfo* down;  // A, [r, in]
    const io::TensorInfo* up;    // B, [out, r]
    float scale;                 // of B A, by the file: alpha / r
  };

  // InvalidArgument: no adapter, or one for another architecture. Corrupt: tensors that do not fit
  // the model or each other. Unsupported: other kinds of adapters, matrices that none is computed
  // for (embedding, head, experts), encoders. Also the errors of ModelFile::open_gguf(),
  // PeftFolder::open() and translate_peft().
  static Result<AdapterFile> open(const std::string& path, const BlockSpec& spec);

  std::span<const Pair> pairs() const noexcept { return pairs_; }  // by matrix
  const io::ModelFile& file() const noexcept { return file_; }
  const std::string& path() const noexcept { return file_.path(); }
  std::size_t rank_max() const noexcept { return rank_max_; }
  // What Lora::load() takes at its peak.
  std::uint64_t memory_bytes() const noexcept { return memory_bytes_; }

 private:
  AdapterFile(io::ModelFile file, std::vector<Pair> pairs);
  io::ModelFile file_;
  std::vector<Pair> pairs_;
  std::size_t rank_max_ = 0;
  std::uint64_t memory_bytes_ = 0;
};

}  // namespace paring::model
