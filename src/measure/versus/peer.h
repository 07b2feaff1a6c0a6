// SPDX-License-Identifier: Apache-2.0
// Another engine as a process beside this one, asked in lines of JSON (llama_worker.py; the
// protocol: docs/howto/compare-with-llama-cpp.md). Between requests it sleeps. A request that it
// refuses is Unsupported and leaves it as it was; after anything else that it does wrong (it ends,
// hangs, answers nonsense) it is gone. Confined to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/child_process.h"
#include "base/result.h"
#include "measure/versus/speed_case.h"

namespace paring::measure {

// How the peer computes. Names in text() are those of llama.cpp's own tools.
struct PeerFlags {
  bool flash_attention = true;
  std::string kv_type = "f16";  // or "q8_0"
  std::size_t batch = 2048;     // tokens of one call
  std::size_t ubatch = 512;     // tokens computed at once
  std::size_t threads = 1;
  bool repack = true;    // weights rearranged for this CPU while loading
  bool unified = false;  // one cache for all sequences

  // "-fa 1 -ctk f16 -ctv f16 -b 2048 -ub 512 -t 2", and --no-repack, -kvu where they hold.
  std::string text() const;
  friend bool operator==(const PeerFlags&, const PeerFlags&) = default;
};

struct PeerIdentity {
  std::string name;              // "llama.cpp"
  std::string package;           // "llama-cpp-python 0.3.36"
  std::string build;             // version and commit of its library, as it says
  std::string features;          // instruction sets and options of the build, as it says
  std::uint64_t idle_bytes = 0;  // peak of its memory before it loads a model
};

struct PeerRun {
  double seconds = 0;            // of what the case times
  double cpu_seconds = 0;        // of all its threads, during the request
  double idle_cpu_seconds = 0;   // between the request before and this one
  std::uint64_t peak_bytes = 0;  // of its memory since prepare()
};

struct PeerText {
  std::vector<std::int32_t> tokens;  // most likely ones, one after the other
  std::vector<double> margins;       // logit of the best less that of the second, of each
  std::size_t vocabulary = 0;
};

struct PeerCommand {
  ChildProcess::Options process;
  double timeout_seconds = 600;  // of one request
};

class Peer {
 public:
  // Starts it and hears who it is. Unavailable with its last words when it cannot work.
  static Result<std::unique_ptr<Peer>> start(const PeerCommand& command);

  const PeerIdentity& identity() const noexcept { return identity_; }
  // Loads the model, makes a context for the case, computes the prompt of a decode case and runs
  // the case once. `prompts` has one for each sequence; `tail` are the tokens that are decoded.
  // Unsupported when the peer says that it cannot.
  Result<void> prepare(const std::string& model, const SpeedCase& speed_case,
                       const PeerFlags& flags, std::span<const std::vector<std::int32_t>> prompts,
                       std::span<const std::int32_t> tail);
  // Times the prepared case.
  Result<PeerRun> run();
  // Logits of the last `rows` of `tokens`, as 32-bit floats [rows, vocabulary], to the file
  // `logits_path`; then `steps` greedy tokens. Forgets what was prepared.
  Result<PeerText> continue_greedily(const std::string& model, const PeerFlags& flags,
                                     std::span<const std::int32_t> tokens, std::size_t rows,
                                     std::size_t steps, const std::string& logits_path);

  static constexpr int kProtocol = 1;

 private:
  Peer(ChildProcess process, double timeout_seconds)
      : process_(std::move(process)), timeout_(timeout_seconds) {}
  Result<nlohmann::json> ask(nlohmann::json request);
  Result<nlohmann::json> read_answer(std::uint64_t id);
  Error failed(Error error);
  std::string name() const;

  ChildProcess process_;
  double timeout_;
  std::uint64_t next_id_ = 1;
  PeerIdentity identity_;
};

}  // namespace paring::measure
