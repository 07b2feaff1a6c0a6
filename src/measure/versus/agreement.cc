// SPDX-License-Identifier: Apache-2.0
#include "measure/versus/agreement.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/file.h"
#include "engine/sampler.h"
#include "kernels/ops.h"
#include "measure/builtin_text.h"

namespace paring::measure {

namespace {

constexpr std::size_t kPrefixTokens = 128;
constexpr std::size_t kSteps = 64;
constexpr std::size_t kTextBytes = 4096;  // of the built-in text; holds more tokens than needed

// Memory that another process can open by name, and that is gone with this one.
class SharedFile {
 public:
  SharedFile() : descriptor_(::memfd_create("paring-logits", MFD_CLOEXEC)) {}
  ~SharedFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;
  bool is_open() const { return descriptor_ >= 0; }
  std::string path() const { return fmt::format("/proc/{}/fd/{}", ::getpid(), descriptor_); }
  std::uint64_t bytes() const {
    struct stat status{};
    return ::fstat(descriptor_, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  }
  bool read(void* target, std::size_t count, std::uint64_t offset) const {
    return ::pread(descriptor_, target, count, static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(count);
  }

 private:
  int descriptor_;
};

// Keeps all rows.
class KeepLogits : public model::LogitsSink {
 public:
  explicit KeepLogits(std::size_t vocabulary) : vocabulary_(vocabulary) {}
  void start(std::size_t rows) { logits_.assign(rows * vocabulary_, 0); }
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range part = worker.split(chunk.rows);
    if (part.empty()) return;
    std::copy_n(
        chunk.logits + part.begin * vocabulary_, part.size() * vocabulary_,
        logits_.begin() + static_cast<std::ptrdiff_t>((chunk.first + part.begin) * vocabulary_));
  }
  const float* row(std::size_t index) const { return logits_.data() + index * vocabulary_; }
  std::int32_t best(std::size_t index) const {
    return engine::most_likely({row(index), vocabulary_});
  }

 private:
  std::size_t vocabulary_;
  std::vector<float> logits_;
};

struct OwnText {
  KeepLogits prefix;
  std::vector<std::int32_t> tokens;
};

Result<OwnText> continue_own(const engine::LoadedModel& loaded, Executor& executor,
                             model::Numerics numerics, kernels::KvType kv_type,
                             std::span<const std::int32_t> ids, const Agreement& plan) {
  const model::ModelView view(*loaded.model);
  const std::size_t length = ids.size() + plan.steps;
  PARING_TRY(const auto forward,
             model::Forward::create(
                 view.spec(), {.tokens_max = ids.size(), .context_tokens = length}, executor));
  PARING_TRY(model::KvPool pool, model::KvPool::create(view.spec(), kv_type, {.tokens = length}));
  model::KvSequence sequence(pool);
  const auto step = [&](std::span<const std::int32_t> tokens, std::size_t rows,
                        KeepLogits& sink) -> Result<void> {
    PARING_TRY_VOID(sequence.grow(tokens.size()));
    const model::Segment segment{&sequence, tokens, rows};
    model::ForwardOptions options;
    options.numerics = numerics;
    options.sink = &sink;
    sink.start(rows);
    forward->run(view, {&segment, 1}, options);
    return {};
  };
  OwnText text{KeepLogits(view.spec().vocabulary), {}};
  PARING_TRY_VOID(step(ids, plan.rows, text.prefix));
  KeepLogits one(view.spec().vocabulary);
  std::int32_t token = text.prefix.best(plan.rows - 1);
  for (std::size_t i = 0; i < plan.steps; ++i) {
    text.tokens.push_back(token);
    PARING_TRY_VOID(step({&token, 1}, 1, one));
    token = one.best(0);
  }
  return text;
}

Result<void> compare_logits(const SharedFile& file, const KeepLogits& ours, std::size_t vocabulary,
                            Agreement& found) {
  const std::size_t row_bytes = vocabulary * sizeof(float);
  if (file.bytes() != found.rows * row_bytes) {
    return Error{ErrorCode::kUnavailable, fmt::format("the peer wrote {} bytes of logits, not {}",
                                                      file.bytes(), found.rows * row_bytes)};
  }
  std::vector<float> theirs(vocabulary);
  LogitsDifference difference;
  for (std::size_t row = 0; row < found.rows; ++row) {
    if (!file.read(theirs.data(), row_bytes, row * row_bytes)) {
      return io_error("the peer's logits cannot be read: " + errno_text(errno));
    }
    if (!difference.add(theirs.data(), ours.row(row), vocabulary)) {
      return corrupt(fmt::format("logits of position {} are not finite numbers", row),
                     "the file's weights may be damaged");
    }
  }
  const auto rows = static_cast<double>(found.rows);
  found.kl_mean = difference.kl_sum / rows;
  found.kl_max = difference.kl_max;
  found.top1 = static_cast<double>(difference.same_top) / rows;
  return {};
}

}  // namespace

bool LogitsDifference::add(const float* peer, const float* ours, std::size_t vocabulary) {
  const kernels::KernelTable& table = kernels::kernels();
  const double peer_norm = table.log_sum_exp(peer, vocabulary);
  const double our_norm = table.log_sum_exp(ours, vocabulary);
  if (!std::isfinite(peer_norm) || !std::isfinite(our_norm)) return false;
  const double kl = table.kl_divergence(peer, peer_norm, ours, our_norm, vocabulary);
  if (!std::isfinite(kl)) return false;
  ++rows;
  kl_sum += kl;
  kl_max = std::max(kl_max, kl);
  const bool is_same =
      engine::most_likely({peer, vocabulary}) == engine::most_likely({ours, vocabulary});
  same_top += is_same ? 1U : 0U;
  return true;
}

Result<Agreement> check_agreement(const engine::LoadedModel& model, Executor& executor,
                                  model::Numerics numerics, kernels::KvType kv_type, Peer& peer,
                                  const PeerFlags& flags) {
  const model::BlockSpec& spec = model.model->spec();
  const std::string_view text = holdout_text().substr(0, kTextBytes);
  PARING_TRY(std::vector<std::int32_t> ids,
             model.tokenizer->encode(text.substr(0, text.rfind(' ')),
                                     {.add_special = model.add_bos, .parse_special = false}));
  Agreement found;
  found.flags = flags;
  found.prefix_tokens = std::min({kPrefixTokens, ids.size(), spec.context_max / 2});
  found.rows = std::max<std::size_t>(1, found.prefix_tokens / 2);
  found.steps = std::min(kSteps, spec.context_max - found.prefix_tokens);
  ids.resize(found.prefix_tokens);
  const SharedFile file;
  if (!file.is_open()) return exhausted("no memory to share logits: " + errno_text(errno));
  PARING_TRY(const PeerText theirs,
             peer.continue_greedily(model.path, flags, ids, found.rows, found.steps, file.path()));
  if (theirs.vocabulary != spec.vocabulary) {
    return unsupported(fmt::format("{} reads a vocabulary of {} tokens from the file, not {}",
                                   peer.identity().name, theirs.vocabulary, spec.vocabulary));
  }
  PARING_TRY(const OwnText ours, continue_own(model, executor, numerics, kv_type, ids, found));
  PARING_TRY_VOID(compare_logits(file, ours.prefix, spec.vocabulary, found));
  const auto parted =
      std::mismatch(ours.tokens.begin(), ours.tokens.end(), theirs.tokens.begin()).first;
  if (parted != ours.tokens.end()) {
    found.parts_at = static_cast<std::size_t>(parted - ours.tokens.begin());
    found.margin = theirs.margins[*found.parts_at];
  }
  if (!found.is_close()) {
    return unsupported(
        fmt::format("{} and Paring compute different things from this file: KL divergence {:.3g} "
                    "nats over {} positions, the limit is {}",
                    peer.identity().name, found.kl_mean, found.rows, Agreement::kClose),
        "one of the two misreads the model; their speeds are not compared");
  }
  return found;
}

}  // namespace paring::measure
