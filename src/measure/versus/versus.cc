// SPDX-License-Identifier: Apache-2.0
#include "measure/versus/versus.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/process.h"
#include "measure/versus/own_side.h"

namespace paring::measure {

namespace {

constexpr std::size_t kSearchSteps = 32;  // of sequences together; enough to tell flags apart
constexpr double kShortRun = 2;           // seconds; a trial that is shorter runs twice
constexpr double kWorthwhile = 0.99;      // of the time before, or a change of flags is not kept

double now() { return system_clock().monotonic_seconds(); }

// What happened to the machine between start and finish.
class Watch {
 public:
  Watch() : busy_(machine_busy_seconds()), own_(cpu_seconds()), start_(now()) {}
  double own_cpus() const { return (cpu_seconds() - own_) / wall(); }
  // `peer_seconds`: CPU time of the peer meanwhile. 0 where the system does not tell.
  double foreign_share(double peer_seconds) const {
    const std::optional<double> busy = machine_busy_seconds();
    if (!busy || !busy_) return 0;
    const auto processors = static_cast<double>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
    const double foreign = *busy - *busy_ - (cpu_seconds() - own_) - peer_seconds;
    return std::max(0.0, foreign / (wall() * processors));
  }

 private:
  double wall() const { return std::max(1e-6, now() - start_); }
  std::optional<double> busy_;
  double own_;
  double start_;
};

// One case on both sides.
class Duel {
 public:
  Duel(const engine::LoadedModel& loaded, Executor& executor, Peer& peer,
       const VersusOptions& options, const SpeedCase& speed_case)
      : loaded_(loaded),
        view_(*loaded.model),
        executor_(executor),
        peer_(peer),
        options_(options),
        tokens_(case_tokens(speed_case, view_.spec().vocabulary)) {
    row_.speed_case = speed_case;
    row_.flags.threads = executor.threads();
  }

  Result<void> search(ProgressSink& progress);
  Result<void> measure(ProgressSink& progress);
  VersusRow finish(const cost::Probes& probes);
  const PeerFlags& flags() const { return row_.flags; }

 private:
  Result<double> trial(const PeerFlags& flags);
  Result<void> prepare(const PeerFlags& flags, const SpeedCase& speed_case);
  Result<Slice> own_slice();
  Result<Slice> peer_slice();

  const engine::LoadedModel& loaded_;
  model::ModelView view_;
  Executor& executor_;
  Peer& peer_;
  const VersusOptions& options_;
  CaseTokens tokens_;
  VersusRow row_;
  std::unique_ptr<OwnSide> own_;
  std::vector<Pair> pairs_;
};

Result<void> Duel::prepare(const PeerFlags& flags, const SpeedCase& speed_case) {
  return peer_.prepare(loaded_.path, speed_case, flags, tokens_.prompts,
                       std::span(tokens_.tail).first(speed_case.decode));
}

// Seconds of the case with these flags, of fewer steps where all steps are alike.
Result<double> Duel::trial(const PeerFlags& flags) {
  SpeedCase shorter = row_.speed_case;
  if (shorter.kind == CaseKind::kTogether) shorter.decode = std::min(shorter.decode, kSearchSteps);
  PARING_TRY_VOID(prepare(flags, shorter));
  PARING_TRY(PeerRun run, peer_.run());
  if (run.seconds < kShortRun) {
    PARING_TRY(const PeerRun again, peer_.run());
    run.seconds = std::min(run.seconds, again.seconds);
  }
  return run.seconds;
}

// One change after the other, each kept when it is faster. Flags that the peer refuses are not.
Result<void> Duel::search(ProgressSink& progress) {
  const auto processors = static_cast<std::size_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  const auto changes = flag_changes(row_.speed_case, executor_.threads(), processors);
  row_.flags_known = changes.size() + 1;
  progress.begin("fastest flags of " + peer_.identity().name + ", " + case_text(row_.speed_case),
                 row_.flags_known);
  const double start = now();
  Result<double> first = trial(row_.flags);
  if (!first && first.error().code == ErrorCode::kUnsupported) {
    row_.flags.flash_attention = false;
    first = trial(row_.flags);
  }
  PARING_TRY(double best, std::move(first));
  row_.flags_tried = 1;
  progress.advance();
  for (const auto& change : changes) {
    if (now() - start > options_.search_seconds) break;
    PeerFlags flags = row_.flags;
    change(flags);
    if (flags == row_.flags) continue;
    const auto seconds = trial(flags);
    progress.advance();
    if (!seconds && seconds.error().code != ErrorCode::kUnsupported) return seconds.error();
    ++row_.flags_tried;
    if (!seconds || *seconds >= kWorthwhile * best) continue;
    best = *seconds;
    row_.flags = flags;
  }
  progress.end();
  return {};
}

Result<Slice> Duel::own_slice() {
  const Watch watch;
  double seconds = 0;
  std::size_t runs = 0;
  while (seconds < kSliceSeconds && runs < kSliceRunsMax) {
    PARING_TRY(const double run, own_->run());
    seconds += run;
    ++runs;
  }
  return Slice{seconds / static_cast<double>(runs), watch.foreign_share(0)};
}

Result<Slice> Duel::peer_slice() {
  const Watch watch;
  const double start = now();
  double seconds = 0;
  double peer_cpu = 0;
  std::size_t runs = 0;
  while (seconds < kSliceSeconds && runs < kSliceRunsMax) {
    PARING_TRY(const PeerRun run, peer_.run());
    seconds += run.seconds;
    peer_cpu += run.cpu_seconds;
    // What it used while it was our turn, as CPUs of a turn as long as this one.
    if (runs == 0 && !pairs_.empty()) {
      const double turn = std::max(kSliceSeconds, pairs_.back().ours.seconds);
      row_.peer_idle_cpus = std::max(row_.peer_idle_cpus, run.idle_cpu_seconds / turn);
    }
    row_.peer_peak_bytes = std::max(row_.peer_peak_bytes, run.peak_bytes);
    ++runs;
  }
  row_.own_idle_cpus = std::max(row_.own_idle_cpus, watch.own_cpus());
  if (seconds > now() - start) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("{} says that {:.3g} s passed within {:.3g} s", peer_.identity().name,
                             seconds, now() - start)};
  }
  return Slice{seconds / static_cast<double>(runs), watch.foreign_share(peer_cpu)};
}

Result<void> Duel::measure(ProgressSink& progress) {
  PARING_TRY_VOID(prepare(row_.flags, row_.speed_case));
  reset_peak_memory();
  BenchOptions computing;
  computing.numerics = options_.numerics;
  computing.kv_type = options_.kv_type;
  PARING_TRY(own_, OwnSide::create(view_, executor_, computing, row_.speed_case, tokens_));
  progress.begin(case_title(row_.speed_case), options_.pairs);
  std::size_t quiet = 0;
  for (std::size_t i = 0; i < 2 * options_.pairs && quiet < options_.pairs; ++i) {
    Pair pair;
    for (const bool is_ours : {i % 2 == 0, i % 2 != 0}) {
      if (is_ours) {
        PARING_TRY(pair.ours, own_slice());
      } else {
        PARING_TRY(pair.theirs, peer_slice());
      }
    }
    pairs_.push_back(pair);
    if (pair.is_quiet()) ++quiet;
    if (pairs_.size() <= options_.pairs) progress.advance();
  }
  progress.end();
  if (const auto memory = process_memory()) row_.peak_bytes = memory->peak_resident_bytes;
  return {};
}

VersusRow Duel::finish(const cost::Probes& probes) {
  const std::vector<Pair> counting = pairs_that_count(pairs_, options_.pairs);
  row_.pairs_measured = pairs_.size();
  row_.is_busy = !std::all_of(counting.begin(), counting.end(),
                              [](const Pair& pair) { return pair.is_quiet(); });
  std::vector<double> ours;
  std::vector<double> theirs;
  for (const Pair& pair : counting) {
    ours.push_back(pair.ours.seconds);
    theirs.push_back(pair.theirs.seconds);
    row_.ratios.push_back(pair.theirs.seconds / pair.ours.seconds);
  }
  row_.ratio = median_interval(row_.ratios);
  row_.ours = own_->speed(probes, median(std::move(ours)));
  row_.peer_tokens_per_second =
      static_cast<double>(row_.speed_case.timed_tokens()) / median(std::move(theirs));
  return std::move(row_);
}

bool computes_alike(const PeerFlags& a, const PeerFlags& b) {
  return a.flash_attention == b.flash_attention && a.kv_type == b.kv_type && a.repack == b.repack;
}

}  // namespace

std::vector<Pair> pairs_that_count(const std::vector<Pair>& measured, std::size_t wanted) {
  std::vector<Pair> quiet;
  std::copy_if(measured.begin(), measured.end(), std::back_inserter(quiet),
               [](const Pair& pair) { return pair.is_quiet(); });
  return quiet.size() >= wanted ? quiet : measured;
}

std::vector<std::function<void(PeerFlags&)>> flag_changes(const SpeedCase& c, std::size_t threads,
                                                          std::size_t processors) {
  std::vector<std::function<void(PeerFlags&)>> changes;
  changes.emplace_back([](PeerFlags& flags) { flags.flash_attention = !flags.flash_attention; });
  // A quantized cache of values needs flash attention.
  changes.emplace_back([](PeerFlags& flags) {
    flags.flash_attention = true;
    flags.kv_type = "q8_0";
  });
  changes.emplace_back([](PeerFlags& flags) { flags.repack = !flags.repack; });
  if (c.kind == CaseKind::kTogether) {
    changes.emplace_back([](PeerFlags& flags) { flags.unified = !flags.unified; });
  }
  if (c.kind == CaseKind::kPrefill) {
    for (const std::size_t ubatch : {128U, 256U, 1024U, 2048U}) {
      // Batches longer than the prompt are all alike.
      if (ubatch > 512 && c.prompt <= ubatch / 2) continue;
      if (ubatch < 512 && c.prompt <= ubatch) continue;
      changes.emplace_back([ubatch](PeerFlags& flags) { flags.ubatch = ubatch; });
    }
  }
  for (const std::size_t count : {processors, (threads + 1) / 2}) {
    if (count == threads) continue;
    changes.emplace_back([count](PeerFlags& flags) { flags.threads = count; });
  }
  return changes;
}

Result<VersusResult> compare_speed(const engine::LoadedModel& model, Executor& executor,
                                   const cost::Probes& probes, Peer& peer,
                                   const VersusOptions& options, ProgressSink& progress) {
  VersusResult result;
  const auto require_agreement = [&](const PeerFlags& flags) -> Result<void> {
    for (const Agreement& known : result.agreements) {
      if (computes_alike(known.flags, flags)) return {};
    }
    PARING_TRY(Agreement found,
               check_agreement(model, executor, options.numerics, options.kv_type, peer, flags));
    result.agreements.push_back(std::move(found));
    return {};
  };
  const std::size_t context = model.model->spec().context_max;
  std::vector<SpeedCase> fitting;
  for (const SpeedCase& c : options.cases) {
    if (c.length() + 1 > context) {
      result.left_out.push_back(case_text(c));
    } else {
      fitting.push_back(c);
    }
  }
  if (fitting.empty()) {
    return invalid_argument(fmt::format("no case fits the model's context of {} tokens", context),
                            "choose shorter ones with --cases");
  }
  // At the flags that the search starts from; before anything that takes long.
  PeerFlags first;
  first.threads = executor.threads();
  PARING_TRY_VOID(require_agreement(first));
  for (const SpeedCase& c : fitting) {
    Duel duel(model, executor, peer, options, c);
    PARING_TRY_VOID(duel.search(progress));
    PARING_TRY_VOID(require_agreement(duel.flags()));
    PARING_TRY_VOID(duel.measure(progress));
    result.rows.push_back(duel.finish(probes));
  }
  std::erase_if(result.agreements, [&](const Agreement& agreement) {
    return std::none_of(result.rows.begin(), result.rows.end(), [&](const VersusRow& row) {
      return computes_alike(row.flags, agreement.flags);
    });
  });
  return result;
}

}  // namespace paring::measure
