// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <variant>

#include "base/sha256.h"
#include "improve/dataset/example_line.h"
#include "improve/dataset/near_duplicates.h"
#include "improve/exchange.h"
#include "monitor/traffic_export.h"

namespace paring::improve {

namespace {

using store::TrafficRequest;

// Requests that began in one moment, to the last bit of a double; there is hardly a second one.
constexpr std::int64_t kOfAMoment = 64;
constexpr double kEndOfTime = std::numeric_limits<double>::infinity();
// Ends of answers that are not their end.
constexpr std::array<std::string_view, 3> kEarlyEnds = {"length", "cancelled", "error"};

std::string joined(const Exchange& exchange) {
  std::string text;
  for (const Turn& turn : exchange.turns) {
    // What every request of an application begins with says nothing about likeness.
    if (turn.role != "system" && turn.role != "developer") text += turn.content + "\n";
  }
  return text;
}

// Up to what a user said first. Requests of one conversation have it in common even where no
// session is named, since each repeats what was said before; so have equal prompts.
std::string beginning_of(const Exchange& exchange) {
  std::string text;
  for (const Turn& turn : exchange.turns) {
    text += turn.role + "\n" + turn.content + "\n";
    if (turn.role == "user") break;
  }
  return text;
}

class Builder {
 public:
  Builder(const store::TrafficDb& traffic, AnswerScores scores, const DatasetOptions& options,
          std::vector<std::string> unknown_scales)
      : traffic_(traffic),
        scores_(std::move(scores)),
        options_(options),
        scales_{options.good, options.bad, std::move(unknown_scales)} {
    dataset_.options = options;
  }

  Result<void> note(std::span<const TrafficRequest> rows) {
    scores_.note(rows);
    return {};
  }

  Result<void> take(const TrafficRequest& row) {
    if (is_full()) return {};
    ++dataset_.requests;
    if (!row.has_content) return left_out(LeftOut::kNoContent);
    if (row.status < 200 || row.status > 299) return left_out(LeftOut::kFailed);
    PARING_TRY(const auto rows, scores_.of(row));
    const Labels labels = labels_of(rows, scales_);
    if (!std::ranges::all_of(options_.conditions,
                             [&](const Condition& c) { return meets(labels, c); })) {
      return left_out(LeftOut::kCondition);
    }
    switch (options_.format) {
      case DatasetFormat::kSft:
        return take_sft(row, labels);
      case DatasetFormat::kDpo:
        return take_dpo(row, labels);
      case DatasetFormat::kKto:
        return take_kto(row, labels);
    }
    return {};
  }

  // Of prompts with a good and a bad answer, a pair each.
  Result<void> pair_rated() {
    for (const auto& [key, rated] : rated_) {
      const std::int64_t held = (rated.good ? 1 : 0) + (rated.bad ? 1 : 0);
      if (held < 2 || rated.good->exchange.answer == rated.bad->exchange.answer) {
        dataset_.left_out[LeftOut::kNoPair] += held;
        continue;
      }
      const Exchange& good = rated.good->exchange;
      const Exchange& bad = rated.bad->exchange;
      PARING_TRY_VOID(
          keep(rated.good->row, good, "thumbs",
               dpo_line(good, {good.answer, good.tool_calls}, {bad.answer, bad.tool_calls}),
               good.answer + "\n" + bad.answer, rated.bad->row.session));
    }
    return {};
  }

  Result<Dataset> finish() {
    dataset_.parts.resize(options_.split.size());
    // The set's least key, so that it stays where it is when the set grows at its other end.
    std::map<std::size_t, std::string> least;
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      std::string& key = least[groups_.set_of(i)];
      if (key.empty() || keys_[i] < key) key = keys_[i];
    }
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      const std::size_t part = part_at(options_.split, place_of(least[groups_.set_of(i)]));
      dataset_.parts[part].push_back(std::move(kept_[i]));
    }
    for (std::vector<Example>& part : dataset_.parts) {
      std::ranges::sort(part, [](const Example& a, const Example& b) {
        return std::tie(a.started_s, a.request, a.line) < std::tie(b.started_s, b.request, b.line);
      });
    }
    if (options_.redaction != nullptr) dataset_.redactions = options_.redaction->redactions();
    dataset_.not_compared = static_cast<std::int64_t>(near_.given_up());
    return std::move(dataset_);
  }

 private:
  bool is_full() const { return options_.limit > 0 && kept_.size() >= options_.limit; }

  Result<void> left_out(LeftOut reason) {
    ++dataset_.left_out[reason];
    return {};
  }

  // Nothing, and counted, when it cannot be used.
  Result<std::optional<Exchange>> read(const TrafficRequest& row) {
    PARING_TRY(auto exchange, read_quietly(row));
    if (std::holds_alternative<LeftOut>(exchange)) {
      ++dataset_.left_out[std::get<LeftOut>(exchange)];
      return std::optional<Exchange>();
    }
    return std::optional<Exchange>(std::get<Exchange>(std::move(exchange)));
  }

  Result<std::variant<LeftOut, Exchange>> read_quietly(const TrafficRequest& row) {
    using Read = std::variant<LeftOut, Exchange>;
    // By its moment, which leads to its day at once; an id may be of any.
    store::TrafficFilter filter{.from_s = row.started_s,
                                .to_s = std::nextafter(row.started_s, kEndOfTime)};
    filter.tenant = row.tenant;
    PARING_TRY(store::TrafficPage page,
               traffic_.page(filter, "", kOfAMoment, store::TrafficParts::kAll));
    const auto same = std::ranges::find_if(page.rows, [&](const TrafficRequest& each) {
      return each.content && each.id == row.id && each.span_id == row.span_id;
    });
    if (same == page.rows.end()) return Read(LeftOut::kNoContent);
    if (options_.redaction != nullptr && !options_.redaction->apply(*same->content)) {
      return Read(LeftOut::kNotRedacted);
    }
    Result<Exchange> exchange = read_exchange(*same->content);
    if (!exchange) return Read(LeftOut::kUnreadable);
    if (exchange->is_chat != (options_.prompts == PromptKind::kChat)) {
      return Read(LeftOut::kOtherKind);
    }
    if (exchange->has_tools && !options_.takes_tools) return Read(LeftOut::kTools);
    if (exchange->is_prompt_cut) return Read(LeftOut::kCut);
    if (exchange->turns.empty() || normal_form(joined(*exchange)).empty()) {
      return Read(LeftOut::kEmpty);
    }
    return Read(std::move(exchange).value());
  }

  // Why the answer as it was given is no example; nothing: it is one.
  static std::optional<LeftOut> fault_of(const TrafficRequest& row, const Exchange& exchange) {
    if (exchange.is_answer_cut) return LeftOut::kCut;
    const bool is_early = std::ranges::find(kEarlyEnds, row.end) != kEarlyEnds.end();
    if (!row.is_complete || is_early) return LeftOut::kUnfinished;
    if (normal_form(exchange.answer).empty() && exchange.tool_calls.empty()) {
      return LeftOut::kEmpty;
    }
    return std::nullopt;
  }

  // Corrections come from people and were never redacted.
  Result<std::optional<std::string>> redacted(const std::string& text) {
    if (options_.redaction == nullptr) return std::optional<std::string>(text);
    store::TrafficContent content{nlohmann::json(text).dump(-1, ' ', false, kReplace), "\"\""};
    if (!options_.redaction->apply(content)) {
      ++dataset_.left_out[LeftOut::kNotRedacted];
      return std::optional<std::string>();
    }
    return std::optional<std::string>(nlohmann::json::parse(content.prompt).get<std::string>());
  }

  // The correction as it may be written. Nothing, and counted, when it is no better answer.
  Result<std::optional<std::string>> correction_of(const Labels& labels, const Exchange& exchange) {
    PARING_TRY(auto text, redacted(*labels.correction));
    if (!text) return text;
    std::optional<LeftOut> fault;
    if (normal_form(*text).empty()) fault = LeftOut::kEmpty;
    if (has_cut(*text)) fault = LeftOut::kCut;
    if (*text == exchange.answer) fault = LeftOut::kSameAnswer;
    if (!fault) return text;
    ++dataset_.left_out[*fault];
    return std::optional<std::string>();
  }

  Result<void> take_sft(const TrafficRequest& row, const Labels& labels) {
    if (!labels.correction) {
      if (labels.is_mixed()) return left_out(LeftOut::kMixed);
      if (labels.bad > 0) return left_out(LeftOut::kBad);
      if (labels.good == 0 && !options_.takes_unrated) return left_out(LeftOut::kNoFeedback);
    }
    PARING_TRY(const std::optional<Exchange> exchange, read(row));
    if (!exchange) return {};
    if (labels.correction) {
      PARING_TRY(const auto text, correction_of(labels, *exchange));
      if (!text) return {};
      return keep(row, *exchange, "correction", sft_line(*exchange, {*text}), *text);
    }
    if (const auto fault = fault_of(row, *exchange)) return left_out(*fault);
    return keep(row, *exchange, labels.good > 0 ? "good" : "unrated",
                sft_line(*exchange, {exchange->answer, exchange->tool_calls}),
                exchange->answer + exchange->tool_calls);
  }

  Result<void> take_kto(const TrafficRequest& row, const Labels& labels) {
    const std::size_t bad = labels.bad + (labels.correction ? 1 : 0);
    if (labels.good > 0 && bad > 0) return left_out(LeftOut::kMixed);
    if (labels.good == 0 && bad == 0) return left_out(LeftOut::kNoFeedback);
    PARING_TRY(const std::optional<Exchange> exchange, read(row));
    if (!exchange) return {};
    if (const auto fault = fault_of(row, *exchange)) return left_out(*fault);
    const bool is_good = labels.good > 0;
    return keep(row, *exchange, is_good ? "good" : "bad",
                kto_line(*exchange, {exchange->answer, exchange->tool_calls}, is_good),
                exchange->answer + exchange->tool_calls);
  }

  Result<void> take_dpo(const TrafficRequest& row, const Labels& labels) {
    if (!labels.correction && labels.better_than.empty()) return hold(row, labels);
    PARING_TRY(const std::optional<Exchange> exchange, read(row));
    if (!exchange) return {};
    if (const auto fault = fault_of(row, *exchange)) return left_out(*fault);
    const AnswerText said{exchange->answer, exchange->tool_calls};
    if (labels.correction) {
      PARING_TRY(const auto text, correction_of(labels, *exchange));
      if (text) {
        PARING_TRY_VOID(keep(row, *exchange, "correction", dpo_line(*exchange, {*text}, said),
                             *text + "\n" + exchange->answer));
      }
    }
    for (const std::string& id : labels.better_than) {
      PARING_TRY(const auto lost, lost_answer(row, *exchange, id));
      if (!lost) {
        ++dataset_.left_out[LeftOut::kLostIsGone];
        continue;
      }
      PARING_TRY_VOID(keep(row, *exchange, "preference",
                           dpo_line(*exchange, said, {lost->answer, lost->tool_calls}),
                           exchange->answer + "\n" + lost->answer, lost_session_));
    }
    return {};
  }

  // A good or a bad answer waits for one of the other kind to the same prompt.
  Result<void> hold(const TrafficRequest& row, const Labels& labels) {
    if (labels.is_mixed()) return left_out(LeftOut::kMixed);
    if (labels.good == 0 && labels.bad == 0) return left_out(LeftOut::kNoPair);
    PARING_TRY(std::optional<Exchange> exchange, read(row));
    if (!exchange) return {};
    if (const auto fault = fault_of(row, *exchange)) return left_out(*fault);
    Rated& rated = rated_[sha256_hex(exchange->prompt)];
    std::optional<Held>& place = labels.good > 0 ? rated.good : rated.bad;
    if (place) return left_out(LeftOut::kNoPair);  // the newest of a kind is there
    PARING_TRY_VOID(add_bytes(exchange->prompt.size() + exchange->answer.size()));
    place = Held{row, std::move(*exchange)};
    return {};
  }

  // The answer with this id, when it is another one to the same prompt.
  Result<std::optional<Exchange>> lost_answer(const TrafficRequest& row, const Exchange& won,
                                              const std::string& id) {
    PARING_TRY(const std::vector<TrafficRequest> found, traffic_.find(id));
    for (const TrafficRequest& other : found) {
      if (other.tenant != row.tenant || !other.content) continue;
      PARING_TRY(auto exchange, read_quietly(other));
      const auto* lost = std::get_if<Exchange>(&exchange);
      if (lost == nullptr || fault_of(other, *lost) || lost->prompt != won.prompt ||
          (lost->answer == won.answer && lost->tool_calls == won.tool_calls)) {
        continue;
      }
      lost_session_ = other.session;
      return std::optional<Exchange>(*lost);
    }
    return std::optional<Exchange>();
  }

  Result<void> add_bytes(std::size_t bytes) {
    bytes_ += bytes;
    if (bytes_ <= kDatasetBytesMax) return {};
    return exhausted(fmt::format("the dataset has more than {} bytes", kDatasetBytesMax),
                     "take less of it with --from, --to or --limit");
  }

  // Unless it is there already, or nearly.
  Result<void> keep(const TrafficRequest& row, const Exchange& exchange, const std::string& why,
                    std::string line, const std::string& answer,
                    const std::string& other_session = {}) {
    if (is_full()) return {};
    // Without the label: of two opinions on the same answer the newer one counts.
    if (!texts_.insert(sha256_hex(normal_form(exchange.prompt) + '\n' + normal_form(answer)))
             .second) {
      return left_out(LeftOut::kDuplicate);
    }
    if (options_.duplicates == Duplicates::kNear && near_.add(joined(exchange), answer)) {
      return left_out(LeftOut::kNearDuplicate);
    }
    PARING_TRY_VOID(add_bytes(line.size()));
    const std::size_t example = groups_.add();
    keys_.push_back(sha256_hex(normal_form(beginning_of(exchange))));
    groups_.unite_by("beginning " + keys_.back(), example);
    for (const std::string& session : {row.session, other_session}) {
      if (!session.empty()) groups_.unite_by("session " + session, example);
    }
    kept_.push_back({row.id, row.started_s, why, std::move(line)});
    ++dataset_.models[row.model];
    ++dataset_.kinds[why];
    return {};
  }

  struct Held {
    TrafficRequest row;
    Exchange exchange;
  };
  struct Rated {
    std::optional<Held> good;
    std::optional<Held> bad;
  };

  static constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
  const store::TrafficDb& traffic_;
  AnswerScores scores_;
  const DatasetOptions& options_;
  const Scales scales_;
  Dataset dataset_;
  std::vector<Example> kept_;  // newest first
  std::vector<std::string> keys_;
  std::unordered_set<std::string> texts_;
  std::map<std::string, Rated> rated_;  // by prompt
  NearDuplicates near_;
  Groups groups_;
  std::size_t bytes_ = 0;
  std::string lost_session_;
};

}  // namespace

const char* dataset_format_name(DatasetFormat format) noexcept {
  switch (format) {
#define PARING_X(name, text, chat, completion) \
  case DatasetFormat::name:                    \
    return text;
    PARING_DATASET_FORMATS(PARING_X)
#undef PARING_X
  }
  return "";
}

std::optional<DatasetFormat> dataset_format_of(std::string_view name) noexcept {
#define PARING_X(enumerator, text, chat, completion) \
  if (name == text) return DatasetFormat::enumerator;
  PARING_DATASET_FORMATS(PARING_X)
#undef PARING_X
  return std::nullopt;
}

const char* left_out_text(LeftOut reason) noexcept {
  switch (reason) {
#define PARING_X(name, text) \
  case LeftOut::name:        \
    return text;
    PARING_LEFT_OUT(PARING_X)
#undef PARING_X
  }
  return "";
}

std::size_t Dataset::examples() const {
  std::size_t count = 0;
  for (const auto& part : parts) count += part.size();
  return count;
}

Result<Dataset> build_dataset(const store::TrafficDb& traffic, const store::Scores& scores,
                              const DatasetOptions& options,
                              const std::function<void(std::size_t)>& on_requests) {
  if (!options.filter.tenant) {
    return invalid_argument("a dataset is of one tenant, and none is chosen");
  }
  PARING_TRY(std::vector<std::string> unknown, scores.long_scales(*options.filter.tenant));
  PARING_TRY(AnswerScores of_answers, AnswerScores::open(scores, *options.filter.tenant));
  Builder builder(traffic, std::move(of_answers), options, std::move(unknown));
  PARING_TRY_VOID(monitor::export_traffic(traffic, options.filter, /*with_content=*/false,
                                          [&](auto rows) { return builder.note(rows); }));
  const auto take = [&](std::span<const TrafficRequest> rows) -> Result<void> {
    for (const TrafficRequest& row : rows) PARING_TRY_VOID(builder.take(row));
    if (on_requests) on_requests(rows.size());
    return {};
  };
  PARING_TRY_VOID(monitor::export_traffic(traffic, options.filter, /*with_content=*/false, take));
  PARING_TRY_VOID(builder.pair_rated());
  return builder.finish();
}

}  // namespace paring::improve
