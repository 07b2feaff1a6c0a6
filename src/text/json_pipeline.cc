// SPDX-License-Identifier: Apache-2.0
#include "text/json_pipeline.h"

#include <string>

#include "text/unicode.h"

namespace paring::text {

Result<JsonPipeline> JsonPipeline::create(std::string_view tokenizer_json) {
  paring_bridge_pipeline* handle = nullptr;
  PARING_TRY_VOID(
      bridge_result(paring_bridge_pipeline_create(bridge_slice(tokenizer_json), &handle)));
  return JsonPipeline(PipelineHandle(handle));
}

Result<std::vector<std::int32_t>> JsonPipeline::encode(std::string_view utf8,
                                                       EncodeOptions options) const {
  std::string repaired;
  if (!is_well_formed_utf8(utf8)) {
    repaired = repaired_utf8(utf8);
    utf8 = repaired;
  }
  paring_bridge_ids encoded{};
  PARING_TRY_VOID(bridge_result(paring_bridge_pipeline_encode(
      handle_.get(), bridge_slice(utf8), options.add_special, options.parse_special, &encoded)));
  std::vector<std::int32_t> ids(encoded.data, encoded.data + encoded.size);
  paring_bridge_ids_free(encoded);
  return ids;
}

Result<const JsonPipeline*> LateJsonPipeline::get() const {
  std::call_once(once_, [this] {
    made_.emplace(JsonPipeline::create(json_));
    json_ = std::string();
  });
  if (!*made_) return made_->error();
  return &made_->value();
}

}  // namespace paring::text
