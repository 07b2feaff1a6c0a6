// SPDX-License-Identifier: Apache-2.0
// Where other engines come from: a Python environment that holds one version of an engine's
// package, made once in the user's cache (docs/howto/compare-with-llama-cpp.md), or one that the
// user names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "measure/versus/peer.h"

namespace paring::measure {

// An engine on PyPI, as source that is compiled for this CPU.
struct PeerPackage {
  const char* engine;   // "llama.cpp"
  const char* package;  // "llama-cpp-python"
  const char* version;
  const char* sha256;              // of the source package; pip refuses any other
  std::vector<const char*> needs;  // what its Python part imports
  const char* cmake_arguments;
};
const std::vector<PeerPackage>& peer_packages();
// Of one of those engines.
const PeerPackage& peer_package(std::string_view engine);

struct PeerSetup {
  std::string engine = "llama.cpp";
  std::string python;            // an interpreter with its package; empty: ours in the cache
  double timeout_seconds = 600;  // of one request
};

// What Peer::start() starts. Without a named interpreter, makes the environment first where it is
// missing: that compiles the engine for this CPU. NotFound when Python, its venv module or a C++
// compiler is missing, with the packages to install; Unavailable when a step fails, with its last
// words and its log.
Result<PeerCommand> peer_command(const PeerSetup& setup, ProgressSink& progress);

// The folder of the environment: one for each version and kind of CPU, since it is compiled for
// this one. InvalidArgument without XDG_CACHE_HOME and HOME.
Result<std::string> peer_folder(const PeerPackage& package);

}  // namespace paring::measure
