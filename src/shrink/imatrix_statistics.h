// SPDX-License-Identifier: Apache-2.0
// Importance from, and as, llama.cpp's importance matrix files (io/imatrix.h). Stateless.
#pragma once

#include <string>

#include "base/result.h"
#include "io/imatrix.h"
#include "model/weights.h"
#include "shrink/statistics.h"

namespace paring::shrink {

// Mean squares for every matrix that `imatrix` has an entry for; the others have none and are
// encoded without importance. `path` is the file's name. InvalidArgument, naming the entry: a
// matrix with another number of columns, only zeros, or no entry for any matrix of the model.
Result<Statistics> statistics_from_imatrix(const io::Imatrix& imatrix, const model::Model& model,
                                           const std::string& path);

// One entry for every matrix with statistics; `context` is the length of the windows.
io::Imatrix imatrix_from_statistics(const Statistics& statistics, const model::Model& model,
                                    std::size_t context);

}  // namespace paring::shrink
