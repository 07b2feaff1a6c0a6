// SPDX-License-Identifier: Apache-2.0
// Where the hub is and where its files are kept, by the variables that all Hugging Face tools
// read. Stateless.
#pragma once

#include <string>

#include "base/result.h"

namespace paring::hub {

struct HubSettings {
  std::string endpoint;  // without a slash at its end
  std::string token;     // empty: none
  std::string cache;     // folder with models--OWNER--NAME folders
  bool is_offline = false;
};

// HF_ENDPOINT (https://huggingface.co); HF_HUB_CACHE, else HF_HOME/hub, else
// XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub; HF_TOKEN, else
// HUGGING_FACE_HUB_TOKEN, else the file HF_TOKEN_PATH or HF_HOME/token; HF_HUB_OFFLINE.
// `environment` ends with null. InvalidArgument: an endpoint that is no http(s) address, a token
// that cannot be one, a token that would travel unencrypted to another machine.
Result<HubSettings> read_hub_settings(const char* const* environment);

}  // namespace paring::hub
