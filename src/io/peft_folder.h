// SPDX-License-Identifier: Apache-2.0
// PeftFolder: an adapter as Hugging Face's PEFT saves it, adapter_config.json beside
// adapter_model.safetensors, as it lies there. What the fields and names mean is the business of
// model/peft_adapter.h. As hostile as a model's folder (hf_folder.h). Movable; immutable and
// thread-safe once open.
#pragma once

#include <string>

#include "base/result.h"
#include "io/mapped_file.h"
#include "io/metadata.h"
#include "io/safetensors.h"

namespace paring::io {

inline constexpr const char* kPeftConfigName = "adapter_config.json";
inline constexpr const char* kPeftTensorsName = "adapter_model.safetensors";

struct PeftFolder {
  std::string path;
  Metadata config;
  SafetensorsHeader header;
  MappedFile map;  // of the tensors

  // NotFound: one of the two files is missing. InvalidArgument: a file that lies outside the
  // folder. Corrupt, Unsupported, Exhausted: as parse_json_object(), parse_safetensors().
  static Result<PeftFolder> open(const std::string& path);
};

}  // namespace paring::io
