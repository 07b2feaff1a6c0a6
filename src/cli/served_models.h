// SPDX-License-Identifier: Apache-2.0
// Which models `paring serve` is asked to serve, as words of the command line. Stateless.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace paring::cli {

// A model or adapter by the name that requests use, and where it comes from: what MODEL or --lora
// takes (a path, or hf:OWNER/NAME).
struct NamedSource {
  std::string name;
  std::string source;
};

struct ModelWords {
  NamedSource model;
  std::vector<NamedSource> adapters;
};

// `models`: MODEL or NAME=MODEL, whose name is else that of its file. `adapters`: NAME=ADAPTER for
// the first model, or MODEL:NAME=ADAPTER for the one of that name. InvalidArgument for other words,
// and for names that are given twice.
Result<std::vector<ModelWords>> read_model_words(const std::vector<std::string>& models,
                                                 const std::vector<std::string>& adapters);

}  // namespace paring::cli
