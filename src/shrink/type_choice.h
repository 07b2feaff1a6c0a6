// SPDX-License-Identifier: Apache-2.0
// Which type each matrix of a model takes when one type is asked for. A type is never silently
// replaced: what does not fit is an error, or takes the type that the user named for it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "io/metadata.h"
#include "model/weights.h"
#include "tensor/dtype.h"

namespace paring::shrink {

// Target type per matrix slot of the model, in slot order.
using TypeMap = std::vector<DType>;

struct TypeChoice {
  TypeMap types;
  std::vector<std::size_t> fallback_slots;  // those whose rows `type` does not fit
};

// Every matrix in `type`, or in `fallback` where its rows are not whole blocks of `type`.
// InvalidArgument, naming the tensor, its width and the choices, when neither fits; Unsupported for
// a type that cannot be computed with.
Result<TypeChoice> choose_types(std::span<const model::MatrixSlot> slots, DType type,
                                std::optional<DType> fallback);

// What the file's metadata says about it: paring.quantize.type, and where it did not fit everywhere
// paring.quantize.fallback and paring.quantize.fallback_tensors, their names.
io::Metadata choice_metadata(std::span<const model::MatrixSlot> slots, const TypeChoice& choice,
                             DType type, std::optional<DType> fallback);

}  // namespace paring::shrink
