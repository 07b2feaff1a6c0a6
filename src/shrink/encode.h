// SPDX-License-Identifier: Apache-2.0
// Encoding of whole matrices from a file's own values, and the measure of what an encoding loses.
// Deterministic for any number of threads.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "io/model_file.h"

namespace paring::shrink {

// A matrix's rows in `type`. A tensor already in that type is copied bit for bit. `importance` is
// empty or one weight a column. InvalidArgument when a row is not whole blocks, Corrupt when the
// source holds a value that is not finite; both name the tensor.
Result<std::vector<std::byte>> encode_matrix(const io::ModelFile& file, const std::string& name,
                                             DType type, std::span<const float> importance,
                                             Executor& executor);

struct EncodingLoss {
  double weighted_error = 0;  // sum over all weights of importance * (original - decoded)^2
  double changed_share = 0;   // bytes that differ from the encoding without importance
};

// One entry a type, from at most about `rows_max` rows spread over the matrix.
Result<std::vector<EncodingLoss>> encoding_losses(const io::ModelFile& file,
                                                  const std::string& name,
                                                  std::span<const DType> types,
                                                  std::span<const float> importance,
                                                  std::size_t rows_max, Executor& executor);

}  // namespace paring::shrink
