// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/semantic_cache.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "serve/encoding.h"

namespace paring::serve {

namespace {

constexpr int kSamplePriority = -1;  // behind everybody's requests
// Of an answer, what is compared at most: more than an encoder reads.
constexpr std::size_t kAnswerBytesCompared = 4000;

// The first bytes of a text, whole characters of UTF-8.
std::string_view beginning(std::string_view text) {
  if (text.size() <= kAnswerBytesCompared) return text;
  std::size_t end = kAnswerBytesCompared;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// Longer questions are not compared: the vector of a long text says little of its details.
constexpr std::size_t kQuestionBytesMax = 2000;

const char* name_of(FalseHitMeter::State state) {
  switch (state) {
    case FalseHitMeter::State::kTrial:
      return "on trial: it compares and gives nothing";
    case FalseHitMeter::State::kServing:
      return "giving answers";
    case FalseHitMeter::State::kOff:
      return "off";
  }
  return "";
}

}  // namespace

SemanticCache::SemanticCache(Made, const SemanticCacheOptions& options,
                             std::shared_ptr<ServedModel> encoder, EngineLoop& loop,
                             TaskThread& finisher)
    : options_(options),
      encoder_(std::move(encoder)),
      loop_(loop),
      finisher_(finisher),
      index_({.bytes_max = options.bytes_max,
              .seconds_max = options.seconds_max,
              .similarity_min = options.similarity_min}),
      sampling_(std::random_device{}()) {}

Result<std::shared_ptr<SemanticCache>> SemanticCache::create(const SemanticCacheOptions& options,
                                                             std::shared_ptr<ServedModel> encoder,
                                                             EngineLoop& loop,
                                                             TaskThread& finisher) {
  if (!encoder->is_encoder() || encoder->encoder().pooling() == model::Pooling::kNone) {
    return invalid_argument(
        fmt::format("the semantic cache needs one vector for a text, '{}' gives none",
                    encoder->name()),
        "give an encoder for sentences, such as all-MiniLM-L6-v2");
  }
  return std::make_shared<SemanticCache>(Made(), options, std::move(encoder), loop, finisher);
}

bool SemanticCache::read(const std::string& text, AskedQuestion& question) const {
  if (text.empty() || text.size() > kQuestionBytesMax) return false;
  Result<engine::EncodedText> tokens = encoder_->encoder().encode(text, /*cuts=*/false);
  if (!tokens) return false;
  question.tokens = std::move(*tokens);
  question.marks = marks_of(text);
  return true;
}

void SemanticCache::find(std::shared_ptr<AskedQuestion> question, std::function<void(Found)> done) {
  metrics().semantic_cache_lookups.add();
  encode(loop_, encoder_, {.texts = {question->tokens}, .cancelled = nullptr},
         [self = shared_from_this(), question, done = std::move(done)](Result<EncodedRows> rows) {
           self->finisher_.post([self, question, done, rows = std::move(rows)]() mutable {
             Found found;
             found.question = question;
             if (!rows || !normalize(rows->rows.front())) {
               metrics().semantic_cache_errors.add();
               return done(std::move(found));
             }
             question->vector = std::move(rows->rows.front());
             found.hit = self->index_.find(question->group, question->vector, question->marks);
             if (found.hit) {
               const std::lock_guard lock(self->mutex_);
               const FalseHitMeter::State state = self->meter_of(*question).meter.state();
               found.is_given = state == FalseHitMeter::State::kServing;
               // What is off for good is not compared any more.
               if (state == FalseHitMeter::State::kOff) found.hit.reset();
             }
             found.is_sampled = found.is_given && std::uniform_real_distribution<double>()(
                                                      self->sampling_) < self->options_.sample;
             done(std::move(found));
           });
         });
}

void SemanticCache::keep(const AskedQuestion& question, std::shared_ptr<SharedAnswer> answer) {
  SemanticEntry entry{.key = question.key,
                      .group = question.group,
                      .tenant = question.tenant,
                      .marks = question.marks,
                      .vector = question.vector,
                      .answer = std::move(answer)};
  finisher_.post([self = shared_from_this(), entry = std::move(entry)]() mutable {
    self->index_.add(std::move(entry));
  });
}

void SemanticCache::check(const AskedQuestion& question, const SemanticHit& hit, std::string given,
                          std::string computed) {
  const auto asked = std::make_shared<AskedQuestion>(question);
  if (given == computed) {
    return finisher_.post(
        [self = shared_from_this(), asked, key = hit.key] { self->note(*asked, key, false); });
  }
  // Answers may be longer than the encoder reads: their beginnings are compared.
  std::vector<engine::EncodedText> texts;
  for (const std::string& text : {given, computed}) {
    Result<engine::EncodedText> tokens = encoder_->encoder().encode(beginning(text), /*cuts=*/true);
    if (!tokens) {  // one of them says nothing at all
      return finisher_.post(
          [self = shared_from_this(), asked, key = hit.key] { self->note(*asked, key, true); });
    }
    texts.push_back(std::move(*tokens));
  }
  encode(loop_, encoder_,
         {.priority = kSamplePriority, .texts = std::move(texts), .cancelled = nullptr},
         [self = shared_from_this(), asked, key = hit.key](Result<EncodedRows> rows) {
           self->finisher_.post([self, asked, key, rows = std::move(rows)]() mutable {
             if (!rows || !normalize(rows->rows[0]) || !normalize(rows->rows[1])) {
               metrics().semantic_cache_errors.add();
               return;
             }
             const double alike = cosine(rows->rows[0], rows->rows[1]);
             self->note(*asked, key, alike < self->options_.answers_alike_min);
           });
         });
}

SemanticCache::Meter& SemanticCache::meter_of(const AskedQuestion& question) {
  return meters_
      .try_emplace(question.variant, Meter{question.model, FalseHitMeter(options_.false_hits_max)})
      .first->second;
}

// An answer that was wrong once is not given again.
void SemanticCache::note(const AskedQuestion& question, const std::string& hit, bool is_false) {
  metrics().semantic_cache_checks.add();
  if (is_false) {
    metrics().semantic_cache_false_hits.add();
    index_.erase(hit);
  }
  const std::lock_guard lock(mutex_);
  FalseHitMeter& meter = meter_of(question).meter;
  const FalseHitMeter::State before = meter.state();
  meter.note(is_false);
  if (meter.state() == before) return;
  const RateBounds bounds = meter.bounds();
  const std::string text = fmt::format(
      "{}: the semantic cache is {}; false hits are {:.1f} to {:.1f} % (95 %) of {:.0f} checked, "
      "the limit is {:.1f} %",
      question.model, name_of(meter.state()), bounds.lower * 100, bounds.upper * 100,
      meter.checked(), options_.false_hits_max * 100);
  meter.state() == FalseHitMeter::State::kServing ? log_info(text) : log_warning(text);
}

std::vector<SemanticCache::Standing> SemanticCache::standings() const {
  const std::lock_guard lock(mutex_);
  std::vector<Standing> standings;
  for (const auto& [variant, each] : meters_) {
    standings.push_back(
        {each.model, each.meter.state(), each.meter.bounds(), each.meter.checked()});
  }
  return standings;
}

}  // namespace paring::serve
