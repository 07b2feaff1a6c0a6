// SPDX-License-Identifier: Apache-2.0
// What the files of sentence-transformers beside an encoder say: how states become one vector, and
// whether it is divided by its length. Stateless.
#pragma once

#include <string>

#include "base/result.h"
#include "io/hf_folder.h"
#include "io/metadata.h"

namespace paring::model {

// Adds <architecture>.pooling_type, unless it is there, and kNormalizeKey to `out`. A folder
// without these files gets the mean, and no kNormalizeKey. Unsupported: a kind of pooling or a
// module that is not computed.
Result<void> put_pooling(const io::HfFolder& folder, const std::string& architecture,
                         io::Metadata& out);

// The way back: the text of modules.json and 1_Pooling/config.json; both empty where the metadata
// says nothing of pooling, or has a classifier.
struct PoolingFiles {
  std::string modules;
  std::string pooling;
};
Result<PoolingFiles> export_pooling(const io::Metadata& metadata, const std::string& architecture);

}  // namespace paring::model
