// SPDX-License-Identifier: Apache-2.0
// SemanticCache: answers given again to questions that mean the same (ADR 38). An encoder tells how
// alike two questions are, question_marks.h refuses what the encoder does not see, and a meter per
// model decides by checked cases whether answers are given at all. What is computed anyway is
// compared with what would have been given, until the meter allows to give it; from then on a
// sample of the hits is computed again. Thread-safe: the encoder works on the engine's thread,
// everything else on the thread for small things, and callers are called back there.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/text_encoder.h"
#include "serve/cache/false_hit_meter.h"
#include "serve/cache/semantic_index.h"
#include "serve/engine_loop.h"
#include "serve/served_model.h"
#include "serve/task_thread.h"

namespace paring::serve {

struct SemanticCacheOptions {
  std::size_t bytes_max = std::size_t{64} << 20;
  double seconds_max = 3600;
  double similarity_min = 0.98;    // of questions
  double answers_alike_min = 0.7;  // of answers that say the same, where they are not equal
  double false_hits_max = 0.02;    // 0 to 1
  double sample = 0.05;            // of the hits, computed again
};

// A question on its way through the cache.
struct AskedQuestion {
  std::string key;    // of the request as a whole
  std::string group;  // of all but the question's words
  std::string tenant;
  std::string variant;  // what answers it
  std::string model;    // its name, for the log and the metrics
  engine::EncodedText tokens;
  QuestionMarks marks;
  std::vector<float> vector;  // once it is known
};

class SemanticCache : public std::enable_shared_from_this<SemanticCache> {
  struct Made {};  // only create() has one

 public:
  SemanticCache(Made, const SemanticCacheOptions& options, std::shared_ptr<ServedModel> encoder,
                EngineLoop& loop, TaskThread& finisher);
  // `loop` and `finisher` must outlive every call; the encoder gives one vector a text.
  // InvalidArgument for a model that does not.
  static Result<std::shared_ptr<SemanticCache>> create(const SemanticCacheOptions& options,
                                                       std::shared_ptr<ServedModel> encoder,
                                                       EngineLoop& loop, TaskThread& finisher);

  // Fills tokens and marks. False: the encoder cannot read all of the text, so nothing is compared.
  bool read(const std::string& text, AskedQuestion& question) const;

  struct Found {
    std::shared_ptr<AskedQuestion> question;  // its vector is empty when the encoder failed
    std::optional<SemanticHit> hit;
    bool is_given = false;    // the hit may be given; else it is only compared
    bool is_sampled = false;  // given, and to be computed again
  };
  // Calls `done` on the finishing thread.
  void find(std::shared_ptr<AskedQuestion> question, std::function<void(Found)> done);
  // REQUIRES: a vector, a reusable answer.
  void keep(const AskedQuestion& question, std::shared_ptr<SharedAnswer> answer);
  // What was or would have been given against what was computed for the same question.
  void check(const AskedQuestion& question, const SemanticHit& hit, std::string given,
             std::string computed);

  struct Standing {
    std::string model;
    FalseHitMeter::State state = FalseHitMeter::State::kTrial;
    RateBounds bounds;
    double checked = 0;
  };
  std::vector<Standing> standings() const;
  const SemanticCacheOptions& options() const noexcept { return options_; }

 private:
  struct Meter {
    std::string model;
    FalseHitMeter meter;
  };
  Meter& meter_of(const AskedQuestion& question);  // REQUIRES: mutex_ is held
  void note(const AskedQuestion& question, const std::string& hit, bool is_false);

  SemanticCacheOptions options_;
  std::shared_ptr<ServedModel> encoder_;
  EngineLoop& loop_;
  TaskThread& finisher_;
  SemanticIndex index_;       // on the finishing thread
  std::mt19937_64 sampling_;  // there too
  mutable std::mutex mutex_;
  std::map<std::string, Meter> meters_;  // by variant; guarded by mutex_
};

}  // namespace paring::serve
