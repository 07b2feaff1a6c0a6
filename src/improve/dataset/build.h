// SPDX-License-Identifier: Apache-2.0
// Datasets out of traffic: answers that people found good or corrected, made into lines that
// trainers read. The same data and options give the same bytes. Reading only.
//
//   PARING_TRY(const improve::Dataset dataset, improve::build_dataset(traffic, scores, options));
//   PARING_TRY_VOID(improve::write_dataset(dataset, "support", io::Overwrite::kRefuse));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "improve/dataset/split.h"
#include "improve/labels.h"
#include "monitor/content_filter.h"
#include "store/scores.h"
#include "store/traffic.h"

namespace paring::improve {

// enumerator, name, columns of a chat, columns of a completion
#define PARING_DATASET_FORMATS(X)                                        \
  X(kSft, "sft", "messages", "prompt, completion")                       \
  X(kDpo, "dpo", "prompt, chosen, rejected", "prompt, chosen, rejected") \
  X(kKto, "kto", "prompt, completion, label", "prompt, completion, label")

enum class DatasetFormat : std::uint8_t {
#define PARING_X(name, text, chat, completion) name,
  PARING_DATASET_FORMATS(PARING_X)
#undef PARING_X
};
const char* dataset_format_name(DatasetFormat format) noexcept;
std::optional<DatasetFormat> dataset_format_of(std::string_view name) noexcept;

enum class Duplicates : std::uint8_t { kExact, kNear };
enum class PromptKind : std::uint8_t { kChat, kText };

// Why a request gave no example: enumerator, as it is written.
#define PARING_LEFT_OUT(X)                                                 \
  X(kNoContent, "its text was not kept")                                   \
  X(kFailed, "refused or failed")                                          \
  X(kCondition, "a --score condition does not hold")                       \
  X(kNoFeedback, "no feedback")                                            \
  X(kBad, "bad feedback and no correction")                                \
  X(kMixed, "feedback that contradicts itself")                            \
  X(kNoPair, "no second answer to pair it with")                           \
  X(kNotRedacted, "its text could not be redacted")                        \
  X(kUnreadable, "its text is not in the form that a server keeps")        \
  X(kOtherKind, "a completion among chats, or the other way round")        \
  X(kTools, "calls tools, whose definitions are not kept")                 \
  X(kCut, "its text was cut when it was kept")                             \
  X(kUnfinished, "the answer ended early")                                 \
  X(kEmpty, "the prompt or the answer is empty")                           \
  X(kSameAnswer, "the correction changes nothing")                         \
  X(kLostIsGone, "the answer that lost is not kept, or of another prompt") \
  X(kDuplicate, "the same as another example")                             \
  X(kNearDuplicate, "nearly the same as another example")

enum class LeftOut : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_LEFT_OUT(PARING_X)
#undef PARING_X
};
const char* left_out_text(LeftOut reason) noexcept;

struct DatasetOptions {
  DatasetFormat format = DatasetFormat::kSft;
  PromptKind prompts = PromptKind::kChat;
  store::TrafficFilter filter;        // REQUIRES: a tenant
  std::vector<Condition> conditions;  // all must hold
  std::vector<Condition> good;        // what counts as a good answer besides thumbs
  std::vector<Condition> bad;
  bool takes_unrated = false;  // SFT: answers without feedback too
  bool takes_tools = false;
  Duplicates duplicates = Duplicates::kExact;
  std::vector<Share> split = {{"train", 1}};
  std::shared_ptr<const monitor::ContentFilter> redaction;  // null: as it was kept
  std::size_t limit = 0;                                    // the newest so many examples; 0: all
};

// Of all lines of a dataset together, held in memory while it is made.
inline constexpr std::size_t kDatasetBytesMax = std::size_t{2} << 30;

struct Example {
  std::string request;  // the id of the request it is of
  double started_s = 0;
  std::string why;   // "correction", "preference", "thumbs", "good", "bad", "unrated"
  std::string line;  // JSON, without the line's end
};

struct Dataset {
  DatasetOptions options;
  std::vector<std::vector<Example>> parts;  // as options.split, each oldest first
  std::int64_t requests = 0;                // that the filter chose
  std::map<LeftOut, std::int64_t> left_out;
  std::map<std::string, std::int64_t> models;  // examples of each
  std::map<std::string, std::int64_t> kinds;   // by Example::why
  std::vector<monitor::Redactor::Count> redactions;
  std::int64_t not_compared = 0;  // texts with more candidates than kComparisonsMax
  std::size_t examples() const;
};

// `on_request` is told of each that was looked at. Errors of the database; Exhausted beyond
// kDatasetBytesMax. InvalidArgument: no tenant is chosen.
Result<Dataset> build_dataset(const store::TrafficDb& traffic, const store::Scores& scores,
                              const DatasetOptions& options,
                              const std::function<void(std::size_t)>& on_requests = {});

}  // namespace paring::improve
