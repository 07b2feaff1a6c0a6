// SPDX-License-Identifier: Apache-2.0
// A model file opened for use: metadata, weights in panels, tokenizer, chat template, identity.
// Immutable after load(); shared by threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/executor.h"
#include "base/result.h"
#include "io/model_file.h"
#include "kernels/ops.h"
#include "model/weights.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace paring::engine {

// What a GGUF file says of its tokenizer. Corrupt or Unsupported errors name the key.
Result<text::TokenizerSpec> read_tokenizer_spec(const io::Metadata& metadata);

// What a caller can compute with.
enum class ModelKind : std::uint8_t { kDecoder, kEncoder, kAny };

struct LoadOptions {
  // InvalidArgument for a model of another kind, before its weights are read.
  ModelKind kind = ModelKind::kDecoder;
  // Memory that the caller will need beside the weights (cache, buffers): checked before loading.
  std::size_t extra_bytes = 0;
  // Locks the weights in physical memory; where the system refuses it is an error (Exhausted).
  bool locks_memory = false;
};

struct LoadedModel {
  std::string path;
  io::ModelFile file;
  std::shared_ptr<const model::Model> model;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::shared_ptr<const text::ChatTemplate> chat_template;  // null when the file has none
  bool add_bos = false;
  // Why a template that the file has cannot be used; the model works without it.
  std::optional<Error> chat_template_error = std::nullopt;

  // Reads hyper-parameters, checks that memory suffices, then packs the weights on `executor`.
  static Result<LoadedModel> load(const std::string& path, Executor& executor,
                                  const LoadOptions& options);
};

// The cache that costs no more quality than the weights do: f16 where most bytes are F32, F16 or
// BF16, else q8. (An int8 cache moves an F16 model by a KL of 0.0004, an f16 one by 0.000002.)
kernels::KvType served_kv_type(const io::ModelFile& file);

// Bytes the packed weights of `file` take: about the size of its tensors.
std::uint64_t packed_weight_bytes(const io::ModelFile& file);

}  // namespace paring::engine
