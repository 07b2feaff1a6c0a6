// SPDX-License-Identifier: Apache-2.0
// PeftConfig: what an adapter_config.json of Hugging Face's PEFT says about the computation: which
// modules are changed, and how much. Plain LoRA (arXiv:2106.09685) with rank-stabilized scaling
// (arXiv:2312.03732) and patterns by module is read exactly; whatever else would change the result
// is refused. Immutable; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/metadata.h"

namespace paring::model {

class PeftConfig {
 public:
  // Unsupported, with field and value: another kind of adapter, or a field that is set and that is
  // not known to leave the result alone. Corrupt: a value of the wrong type or out of range.
  static Result<PeftConfig> read(const io::Metadata& config);

  // What B A x of `module` ("model.layers.3.self_attn.q_proj"), whose A has `rank` rows, is
  // multiplied with: alpha / rank, or alpha / sqrt(rank). Corrupt when the configuration says
  // another rank.
  Result<float> scale(std::string_view module, std::uint64_t rank) const;
  // Whether PEFT would change `module` of `layer`. Where targets or exceptions are regular
  // expressions the tensors of the file decide, and they leave nothing out.
  bool is_target(std::string_view module, std::optional<std::size_t> layer) const;

 private:
  template <typename Value>
  using Patterns = std::vector<std::pair<std::string, Value>>;

  std::string source_;
  std::uint64_t rank_ = 0;
  double alpha_ = 0;
  bool is_stabilized_ = false;
  Patterns<std::uint64_t> rank_patterns_;
  bool has_known_ranks_ = true;  // false: a key of rank_pattern is a regular expression
  Patterns<double> alpha_patterns_;
  std::vector<std::string> targets_;  // empty: not a list
  std::vector<std::string> exceptions_;
  std::vector<std::int32_t> layers_;  // empty: all
};

}  // namespace paring::model
