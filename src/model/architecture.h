// SPDX-License-Identifier: Apache-2.0
// The list of architectures. Adding one: a file under arch/ and a line in arch/registry.cc.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "io/model_file.h"
#include "model/block_spec.h"

namespace paring::model {

struct HfMapping;  // hf_mapping.h

// Several may share a name, and then `read`: folders of different classes that are one architecture
// in GGUF.
struct Architecture {
  const char* name;  // general.architecture
  // Reads and checks every hyper-parameter; errors name the key and the value. What only tensors
  // tell (vocabulary, tied head, rotary divisors) is left open: read_block_spec() fills it in.
  Result<BlockSpec> (*read)(const io::Metadata& metadata);
  // How folders in Hugging Face layout are read as this architecture; null: not known.
  const HfMapping* hf = nullptr;
  bool is_encoder = false;  // BlockSpec::encoder is set; other keys than a decoder's
};

std::span<const Architecture* const> architectures() noexcept;
// The BlockSpec of a file: Unsupported, with the known names, for another architecture; Corrupt
// when a hyper-parameter is missing or absurd.
Result<BlockSpec> read_block_spec(const io::ModelFile& file);

// Upper bounds on hyper-parameters: far above any real model, so that no size computed from them
// can overflow 64 bits.
inline constexpr std::uint64_t kLayersMax = 4096;
inline constexpr std::uint64_t kWidthMax = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kHeadsMax = std::uint64_t{1} << 14;
inline constexpr std::uint64_t kVocabularyMax = std::uint64_t{1} << 24;
inline constexpr std::uint64_t kContextMax = std::uint64_t{1} << 27;

}  // namespace paring::model
