// SPDX-License-Identifier: Apache-2.0
// Reading a decoder's hyper-parameters from metadata with bounds, and what all decoders share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/metadata.h"
#include "model/block_spec.h"

namespace paring::model {

// The keys "<architecture>.<suffix>" of a file. Errors name the whole key, its value and the
// bounds. Refers to the metadata, which must outlive it.
class HyperParameters {
 public:
  HyperParameters(const io::Metadata& metadata, std::string architecture)
      : metadata_(metadata), architecture_(std::move(architecture)) {}

  const std::string& architecture() const { return architecture_; }
  const io::Metadata& metadata() const { return metadata_; }
  std::string key(std::string_view suffix) const;
  bool has(std::string_view suffix) const { return metadata_.has(key(suffix)); }

  // An integer in [1, limit]; NotFound, Corrupt.
  Result<std::size_t> size(std::string_view suffix, std::uint64_t limit) const;
  Result<std::size_t> size_or(std::string_view suffix, std::uint64_t limit,
                              std::size_t otherwise) const;
  // A number in [least, most]; NaN is never inside.
  Result<float> real(std::string_view suffix, double least, double most) const;
  Result<float> real_or(std::string_view suffix, double least, double most, float otherwise) const;

 private:
  const io::Metadata& metadata_;
  std::string architecture_;
};

// Whether an architecture's feed-forward halves are mixtures of experts: where expert_count is not
// 0, or always.
enum class Experts : std::uint8_t { kNone, kWhereCounted, kAlways };

// Sizes, heads, context, norm, one rotary embedding for all layers, and experts. Refuses, naming
// key and value, what changes the function in a way that no BlockSpec can say (other head widths
// for values, experts that all tokens share, ...).
Result<BlockSpec> read_decoder(const HyperParameters& parameters, RopePairing pairing,
                               Experts experts = Experts::kNone);

// attention.sliding_window, as the window of every layer; 0 or absent: no windows. `otherwise` is
// the architecture's own default.
Result<std::size_t> read_window(const HyperParameters& parameters, std::size_t otherwise);

// Which layers have the window: attention.sliding_window_pattern, a list of booleans or a period n
// (n - 1 windowed layers, then one that sees all; `period` when the key is absent). Those layers
// take rope `local_rope`.
Result<void> set_window_pattern(const HyperParameters& parameters, std::size_t window,
                                std::size_t period, std::size_t local_rope, BlockSpec& spec);

}  // namespace paring::model
