// SPDX-License-Identifier: Apache-2.0
// Canaries: changes that are tried on a share of a model's requests before they hold for all. Each
// is in the ledger of advice with what was predicted of it before anything is loaded; then a second
// model is in memory beside the first (ModelRegistry::add_canary()), a Trial compares the two, and
// the change is kept, or taken back. One a model. Thread-safe; a thread of its own looks at trials.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "serve/api_error.h"
#include "serve/canary/change.h"
#include "serve/canary/trial.h"
#include "serve/model_registry.h"
#include "serve/request_record.h"
#include "store/advice_ledger.h"

namespace paring::serve {

// Whether the changed side has the window; `share` of those from 0 on are its, as evenly as can be.
bool is_changed_window(std::int64_t window, double share) noexcept;

struct CanaryRequest {
  std::string model;   // as requests name it
  std::string action;  // "": action_of() the change
  CanaryChange change;
  TrialRules rules;
  double share = 0.5;  // of the requests, that get the change; above 0 and below 1
  // Above 0: not each request is shared out, but time, in windows of so many seconds: all requests
  // of one are on one side, so that neither waits for steps of the other.
  double window_seconds = 0;
  std::string parameters = "{}";  // for the ledger: JSON of all of the above
  std::string prediction = "[]";  // JSON, see store/advice_ledger.h
  std::string predicted_loss;
};

// Of one that has not ended.
struct CanaryStanding {
  bool is_loading = false;
  double seconds = 0;  // since requests come
  TrialCount before = {};
  TrialCount changed = {};
  std::vector<TrialMeasure> measures = {};
};

class Canaries {
 public:
  struct Audit {
    std::string_view actor;
    std::string_view action;  // "canary.start"
    std::string_view object;
    std::string_view detail;
  };
  struct Parts {
    ModelRegistry& models;
    const store::ControlDb& control;
    std::function<void(const Audit&)> audit;
    // JSON of what was measured, for the ledger.
    std::function<std::string(const std::vector<TrialMeasure>&)> measured;
    // The cache of answers as it is configured; what is in force for a while; what is configured
    // from now on.
    std::function<ResponseCacheOptions()> cache;
    std::function<void(const ResponseCacheOptions&)> try_cache;
    std::function<void(const ResponseCacheOptions&)> keep_cache;
    const Clock& clock = system_clock();
  };
  // All of them must outlive this.
  explicit Canaries(Parts parts);
  // stop().
  ~Canaries();
  Canaries(const Canaries&) = delete;
  Canaries& operator=(const Canaries&) = delete;

  // Before requests come: what a process that died had begun is written down as failed. It is taken
  // back, since a model is loaded as it is configured.
  Result<void> recover();

  // Loads the changed model beside the present one; `done` gets the id in the ledger when requests
  // are shared out, maybe on another thread. 404: no such model; 409: it is not in memory, or has a
  // canary; 400: nothing would change, or it is no decoder; and why it cannot be loaded.
  using Done = std::function<void(const ApiResult<std::int64_t>&)>;
  void start(const CanaryRequest& request, const std::string& actor, Done done);
  // Takes the change back. 404: no such canary; 409: it is being loaded, or has ended.
  std::optional<ApiError> stop(std::int64_t id, const std::string& actor);
  // Nothing when it has ended or never was.
  std::optional<CanaryStanding> standing(std::int64_t id) const;

  // For a request that names `model`: the canary when it is to have it, and in `place` the side
  // that it is on. Requests of one `key` are all on one side, where there are no windows.
  std::optional<ModelUse> choose(const std::string& model, std::string_view key, TrialPlace& place);
  // Whether the cache of answers is on only to be tried: nobody else is to know of it.
  bool is_cache_borrowed() const noexcept { return is_cache_borrowed_; }
  // A request that choose() gave a place has ended. `id`: by which scores of its answer name it.
  void note(const TrialPlace& place, const std::string& id, const TrialRequest& request);
  // Somebody judged the answer of a request.
  void note_score(const std::string& request_id, std::string_view name, double value);

  // Requests whose answers' scores are known to belong to a side: the last ones.
  static constexpr std::size_t kScoredMax = 20000;

  // Takes back those that run, and takes no more: the server ends. One thread.
  void stop_all();

 private:
  enum class Stage : std::uint8_t { kLoading, kRunning, kEnding };
  struct Active {
    std::int64_t id = 0;
    Stage stage = Stage::kLoading;
    CanaryRequest request;
    ModelSource before;  // as the model was known when it began
    ResponseCacheOptions cache_before;
    std::optional<Trial> trial;
    double ending_since = 0;                           // monotonic
    std::unordered_map<std::string, TrialSide> sides;  // of requests by id, the last kScoredMax
    std::deque<std::string> ids;                       // in their order
  };
  using ActivePtr = std::shared_ptr<Active>;

  ApiResult<ActivePtr> begin(const CanaryRequest& request, const std::string& actor);
  std::optional<ApiError> check_cache(const CanaryChange& change) const;
  // REQUIRES mutex_.
  std::optional<ApiError> enter(const ActivePtr& active);
  Result<void> keep(const Active& active);
  void take_back(const Active& active);
  void begin_trial(const ActivePtr& active, const std::string& actor);
  void forget(const ActivePtr& active);
  ActivePtr find(std::int64_t id) const;
  void run();
  TrialOutcome outcome_of(Active& active, double now) const;
  // Whether it could be ended; else it is tried again.
  bool end(const ActivePtr& active, TrialOutcome outcome, const std::string& actor);
  void write(const Active& active, std::string_view kind, const std::string& actor,
             const std::string& detail, const std::string& measured = "[]");

  const Parts parts_;
  const store::AdviceLedger ledger_;
  mutable std::mutex mutex_;
  std::condition_variable wakes_;
  std::map<std::string, ActivePtr> active_;  // by model, guarded by mutex_, as are their fields
  std::atomic<bool> is_cache_borrowed_{false};
  std::atomic<std::size_t> running_{0};  // so that requests need no lock where there is none
  bool has_news_ = false;
  bool is_stopping_ = false;
  Thread thread_;
};

}  // namespace paring::serve
