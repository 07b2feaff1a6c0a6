// SPDX-License-Identifier: Apache-2.0
// Where llama.cpp comes from: a Python environment that holds llama-cpp-python of one version, made
// once in the user's cache (docs/howto/compare-with-llama-cpp.md), or one that the user names.
#pragma once

#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "measure/versus/peer.h"

namespace paring::measure {

struct PeerSetup {
  std::string python;            // an interpreter with llama-cpp-python; empty: ours in the cache
  double timeout_seconds = 600;  // of one request
};

// What Peer::start() starts. Without a named interpreter, makes the environment first where it is
// missing: that compiles llama.cpp for this CPU. NotFound when Python, its venv module or a C++
// compiler is missing, with the packages to install; Unavailable when a step fails, with its last
// words and its log.
Result<PeerCommand> llama_peer(const PeerSetup& setup, ProgressSink& progress);

// The folder of the environment: one for each version and kind of CPU, since it is compiled for
// this one. InvalidArgument without XDG_CACHE_HOME and HOME.
Result<std::string> llama_peer_folder();

inline constexpr const char* kLlamaPackage = "llama-cpp-python";
inline constexpr const char* kLlamaPackageVersion = "0.3.36";

}  // namespace paring::measure
