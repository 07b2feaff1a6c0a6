// SPDX-License-Identifier: Apache-2.0
#include "engine/variant_of.h"

#include <utility>

#include "engine/identity.h"

namespace paring::engine {

api::Variant variant_of(const LoadedModel& loaded, std::string numerics, std::string kv_type,
                        std::string isa_family) {
  api::Variant variant;
  variant.weights_sha256 = weights_sha256(loaded.file);
  variant.tokenizer_sha256 = tokenizer_sha256(loaded.file.metadata());
  variant.chat_template_sha256 = chat_template_sha256(loaded.file.metadata());
  variant.numerics = std::move(numerics);
  variant.kv_type = std::move(kv_type);
  variant.isa_family = std::move(isa_family);
  return variant;
}

}  // namespace paring::engine
