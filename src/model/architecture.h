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

struct Architecture {
  const char* name;  // general.architecture
  // Reads and checks every hyper-parameter; errors name the key and the value.
  Result<BlockSpec> (*read)(const io::Metadata& metadata);
  // How folders in Hugging Face layout are read as this architecture; null: not known.
  const HfMapping* hf = nullptr;
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

// Reads metadata key as an integer in [1, limit].
Result<std::size_t> read_size(const io::Metadata& metadata, const std::string& key,
                              std::uint64_t limit);

}  // namespace paring::model
