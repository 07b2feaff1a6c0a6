// SPDX-License-Identifier: Apache-2.0
// Identity of weights: SHA-256 over one line a tensor, in name order, each with the tensor's name,
// type, shape and the SHA-256 of its bytes. Metadata does not count, so a certificate can be stored
// beside the weights it speaks of. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "base/result.h"
#include "io/model_file.h"
#include "model/adapter_file.h"

namespace paring::engine {

class WeightsIdentity {
 public:
  // In any order; a name once.
  void add(const std::string& name, DType type, std::span<const std::uint64_t> shape,
           std::span<const std::byte> bytes);
  std::string sha256() const;

 private:
  std::map<std::string, std::string> lines_;
};

// Of every tensor of a file; gives the pages it read back to the system.
std::string weights_sha256(const io::ModelFile& file);

// Of everything that decides how text becomes tokens: the tokenizer.* metadata but the template.
std::string tokenizer_sha256(const io::Metadata& metadata);
// Of tokenizer.chat_template; empty when there is none.
std::string chat_template_sha256(const io::Metadata& metadata);

// Of everything by which an adapter changes a model: its tensors, and what each product is
// multiplied by (the file's own scale times `scale`).
std::string adapter_sha256(const model::AdapterFile& file, float scale);

}  // namespace paring::engine
