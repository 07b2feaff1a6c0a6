// SPDX-License-Identifier: Apache-2.0
#include "io/peft_folder.h"

#include <fmt/format.h>

#include <utility>

#include "io/detail/checked_folder.h"
#include "io/printable.h"

namespace paring::io {

Result<PeftFolder> PeftFolder::open(const std::string& path) {
  PARING_TRY(const CheckedFolder folder, CheckedFolder::open(path));
  if (!folder.has(kPeftConfigName)) {
    return not_found(
        fmt::format("'{}' holds no {}", printable(path), kPeftConfigName),
        "an adapter is a GGUF file, a folder that PEFT saved, or hf:OWNER/NAME[:FILE]");
  }
  PeftFolder out;
  out.path = path;
  PARING_TRY(out.config, folder.read_json(kPeftConfigName));
  if (!folder.has(kPeftTensorsName)) {
    return not_found(
        fmt::format("'{}' holds no {}", printable(path), kPeftTensorsName),
        folder.has("adapter_model.bin")
            ? "adapter_model.bin can run any program when it is read; save the adapter "
              "as safetensors (PEFT: save_pretrained(safe_serialization=True))"
            : "the folder is incomplete; fetch it again");
  }
  PARING_TRY(out.map, folder.map(kPeftTensorsName));
  PARING_TRY(out.header, parse_safetensors(out.map.bytes(), folder.name(kPeftTensorsName)));
  return out;
}

}  // namespace paring::io
