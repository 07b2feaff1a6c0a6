// SPDX-License-Identifier: Apache-2.0
// llama.cpp's importance matrix files: for each weight matrix the mean square of each input column
// over calibration text. Two layouts: GGUF (general.type "imatrix", tensors NAME.in_sum2 and
// NAME.counts; written since 2025) and the older one without a magic number. Files are hostile: see
// gguf.h. Stateless. Source: llama.cpp, tools/imatrix.
//
//   PARING_TRY(const io::Imatrix imatrix, io::read_imatrix(path));
//   if (const io::ImatrixEntry* entry = imatrix.find("blk.0.attn_q.weight")) ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/atomic_file.h"

namespace paring::io {

inline constexpr std::uint64_t kImatrixEntriesMax = 65'536;
inline constexpr std::uint64_t kImatrixColumnsMax = std::uint64_t{1} << 26;

struct ImatrixEntry {
  std::string name;  // of the weight tensor
  // One a column, finite, not negative; of a stack of experts, expert by expert.
  std::vector<float> mean_squares;
  // Tokens (GGUF) or calls (older) that were averaged: one number, or of experts one each, 0 where
  // no token chose the expert; not all are 0. The older layout has one number in any case.
  std::vector<double> counts;
};

struct Imatrix {
  std::vector<ImatrixEntry> entries;  // names unique
  std::vector<std::string> datasets;  // calibration texts, may be empty
  std::uint64_t chunk_count = 0;
  std::uint64_t chunk_tokens = 0;  // 0: the file does not say

  // Null when there is none.
  const ImatrixEntry* find(std::string_view name) const;
};

enum class ImatrixLayout { kGguf, kOlder };

// NotFound, Io: as MappedFile. Corrupt: neither layout, or values that cannot be.
Result<Imatrix> read_imatrix(const std::string& path);
// The same from bytes; `source` is the name in messages.
Result<Imatrix> parse_imatrix(std::span<const std::byte> file, const std::string& source);

// Atomic; readable by llama-quantize. Errors as AtomicFile.
Result<void> write_imatrix(const Imatrix& imatrix, ImatrixLayout layout, const std::string& path,
                           Overwrite overwrite);

}  // namespace paring::io
