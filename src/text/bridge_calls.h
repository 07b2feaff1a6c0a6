// SPDX-License-Identifier: Apache-2.0
// Ownership and errors of the Rust bridge in C++ terms. For the .cc files of this module only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/bridge/bridge.h"

namespace paring::text {

inline paring_bridge_slice bridge_slice(std::string_view bytes) {
  // The bridge reads bytes; char and uint8_t may alias.
  return {static_cast<const std::uint8_t*>(static_cast<const void*>(bytes.data())), bytes.size()};
}

// Frees the message. No error for code 0.
Result<void> bridge_result(paring_bridge_status status);

template <auto kFree>
struct BridgeFree {
  template <typename T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};
using PipelineHandle =
    std::unique_ptr<paring_bridge_pipeline, BridgeFree<paring_bridge_pipeline_free>>;
using TemplateHandle =
    std::unique_ptr<paring_bridge_template, BridgeFree<paring_bridge_template_free>>;
using GrammarFactoryHandle =
    std::unique_ptr<paring_bridge_grammar_factory, BridgeFree<paring_bridge_grammar_factory_free>>;
using GrammarHandle =
    std::unique_ptr<paring_bridge_grammar, BridgeFree<paring_bridge_grammar_free>>;
using MatcherHandle =
    std::unique_ptr<paring_bridge_matcher, BridgeFree<paring_bridge_matcher_free>>;

}  // namespace paring::text
