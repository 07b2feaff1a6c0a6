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
#include "shrink/input_factor.h"

namespace paring::shrink {

// How a matrix's weights are rounded.
enum class Rounding : std::uint8_t {
  kNearest,   // each weight to the nearest level of the best scale
  kFeedback,  // each weight makes good what those before it in its row lost (feedback.h)
};
const char* rounding_name(Rounding rounding) noexcept;

// What is known of a matrix's inputs.
struct Inputs {
  // Empty, or one weight a column; of n experts n times as many, of the rows of each in turn.
  std::span<const float> importance;
  const InputFactor* factor = nullptr;  // null: no second moments, no feedback
};

struct Encoding {
  std::vector<std::byte> bytes;  // rows in the file's layout
  // Squared error of the outputs, summed over rows: by the second moments where they are known,
  // else by the importance.
  double loss = 0;
  double changed_share = 0;  // bytes that differ from those of kNearest; 0 for kNearest
};

// A matrix's rows in `type`. A tensor already in that type is copied bit for bit; kFeedback for a
// type without a grid, or without a factor, is kNearest. InvalidArgument when a row is not whole
// blocks, Corrupt when the source holds a value that is not finite, Unsupported when it holds one
// beyond the range of `type`; all name the tensor.
Result<Encoding> encode_matrix(const io::ModelFile& file, const std::string& name, DType type,
                               Rounding rounding, const Inputs& inputs, Executor& executor);

struct EncodingLoss {
  double energy = 0;         // loss of a matrix of zeros: the squared norm of the outputs
  double nearest = 0;        // loss of kNearest, as Encoding::loss
  double feedback = 0;       // of kFeedback; as `nearest` where there is no feedback
  double changed_share = 0;  // bytes that importance changed in the encoding of kNearest
};

// One entry a type, from at most about `rows_max` rows spread over the matrix, scaled to all rows.
Result<std::vector<EncodingLoss>> encoding_losses(const io::ModelFile& file,
                                                  const std::string& name,
                                                  std::span<const DType> types,
                                                  const Inputs& inputs, std::size_t rows_max,
                                                  Executor& executor);

// Those of `types` that cannot hold the matrix's values: encode_matrix() would refuse them.
Result<std::vector<DType>> types_beyond_range(const io::ModelFile& file, const std::string& name,
                                              std::span<const DType> types, Executor& executor);

}  // namespace paring::shrink
