// SPDX-License-Identifier: Apache-2.0
// What `paring inspect` finds out about a model file, as data; as JSON and as text. Nothing is
// loaded: the header and sizes are enough.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/certificate.h"
#include "base/result.h"
#include "cli/output.h"
#include "io/model_file.h"
#include "measure/memory.h"
#include "model/block_spec.h"
#include "model/forward.h"

namespace paring::cli {

struct TypeGroup {
  DType type;
  std::size_t tensors = 0;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
};

// What all weights would take in one type.
struct TypeNeed {
  DType type;
  std::uint64_t bytes = 0;
};

// The file that `paring quantize --type` writes; 0 bytes where rows do not fit the type.
struct QuantizedFile {
  DType type;
  std::uint64_t bytes = 0;
};

struct Inspection {
  std::string path;
  std::string origin;               // "file", "headers" or "config": what was looked at
  std::uint64_t fetched_bytes = 0;  // over the network, to look at a model that is not here
  std::string name;                 // general.name, may be empty
  std::string architecture;         // general.architecture
  std::uint64_t file_bytes = 0;
  std::uint64_t tensor_bytes = 0;
  std::uint64_t parameters = 0;
  std::vector<TypeGroup> groups;  // most bytes first
  std::vector<TypeNeed> needs;
  std::vector<QuantizedFile> files;  // none when the metadata of the file is not known
  std::string tokenizer;             // "gpt2 (pre-tokenizer smollm)"
  std::uint64_t vocabulary = 0;
  bool has_chat_template = false;

  std::optional<model::BlockSpec> spec;
  std::string unsupported;                              // why there is no spec
  measure::RunShape shape;                              // of `memory`
  model::Numerics numerics = model::Numerics::kServed;  // of predictions
  measure::MemoryUse memory;
  std::uint64_t peak_bytes = 0;  // of the process, about; 0 when the tokenizer is not known
  double decode_operations = 0;  // of one token after `shape.context_tokens` / 2 others
  // Of a prompt of kInspectPromptTokens; of an encoder, of a text of `shape.context_tokens`.
  double prefill_operations = 0;

  std::optional<api::Certificate> certificate;
  std::string certificate_error;  // why the stored one cannot be read

  double bits_per_weight() const {
    return parameters == 0
               ? 0
               : 8 * static_cast<double>(tensor_bytes) / static_cast<double>(parameters);
  }
};

inline constexpr std::size_t kInspectPromptTokens = 512;

// A file of an architecture that is not known is inspected as far as that goes.
Result<Inspection> inspect_file(const io::ModelFile& file, const measure::RunShape& shape);

Json inspection_json(const Inspection& inspection);
std::string inspection_text(const Inspection& inspection);
// One line a tensor.
std::string tensors_text(const io::ModelFile& file);
Json tensors_json(const io::ModelFile& file);

}  // namespace paring::cli
