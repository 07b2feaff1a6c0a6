// SPDX-License-Identifier: Apache-2.0
// Lora: a low-rank adapter (arXiv:2106.09685, section 4.1): to the product W x of some matrices of
// a model, B A x is added. Read from what model/adapter_file.h opens. Immutable; thread-safe for
// reading.
//
//   PARING_TRY(const model::AdapterFile file, model::AdapterFile::open(path, model->spec()));
//   PARING_TRY(const auto adapter, model::Lora::load(file, *model, 1.0F));
//   segments.push_back({&sequence, tokens, 1, adapter.get()});
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/packed_matrix.h"
#include "model/adapter_file.h"
#include "model/weights.h"

namespace paring::model {

inline constexpr std::size_t kLoraRankMax = 1024;

// Both in F32.
struct LoraPair {
  kernels::PackedMatrix down;  // A, [r, in]
  kernels::PackedMatrix up;    // B times the scale, [out, r]
};

class Lora {
 public:
  // `scale` is put upon the file's own, alpha / r. InvalidArgument when it is no number, or so
  // large that it makes values infinite; Corrupt when a value of the file is not finite; Io when
  // the file was written to since it was opened. REQUIRES: the file was opened for this model's
  // spec.
  static Result<std::shared_ptr<const Lora>> load(const AdapterFile& file, const Model& model,
                                                  float scale);

  // From parts, for tests: one entry a matrix of the model, null where it stays as it is.
  static std::shared_ptr<const Lora> from_parts(std::vector<std::unique_ptr<LoraPair>> pairs);

  // Of matrix `index` of the model; null when the adapter leaves it as it is.
  const LoraPair* find(std::size_t index) const noexcept { return pairs_[index].get(); }
  std::size_t rank_max() const noexcept { return rank_max_; }
  const std::string& path() const noexcept { return path_; }
  // As given to load().
  float scale() const noexcept { return scale_; }
  // Different for every adapter that was loaded in this process, never 0: what a cache of keys and
  // values computed with it is known by.
  std::uint64_t id() const noexcept { return id_; }

 private:
  static std::shared_ptr<Lora> make(std::vector<std::unique_ptr<LoraPair>> pairs);
  std::vector<std::unique_ptr<LoraPair>> pairs_;  // by matrix
  std::size_t rank_max_ = 0;
  std::uint64_t id_ = 0;
  std::string path_;
  float scale_ = 1;
};

}  // namespace paring::model
