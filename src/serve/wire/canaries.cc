// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/canaries.h"

#include <charconv>
#include <filesystem>
#include <limits>
#include <utility>

#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr std::string_view kIdPrefix = "canary_";
constexpr std::size_t kPathCharactersMax = 4096;
constexpr std::size_t kWordCharactersMax = 64;
constexpr std::size_t kLossCharactersMax = 1000;
constexpr std::size_t kPredictedMax = 32;
constexpr std::size_t kGatesMax = 16;
constexpr std::size_t kEventsMax = 16;
constexpr std::size_t kWordsMax = 16;
constexpr std::int64_t kContextMax = 1 << 20;
constexpr std::int64_t kCacheMax = 1 << 24;
constexpr std::int64_t kSequencesMax = 512;
constexpr std::int64_t kRequestsMin = 10;
constexpr std::int64_t kRequestsMax = 1'000'000;
constexpr std::int64_t kAnswerBytesMax = std::int64_t{64} << 30;
constexpr double kAnswerSecondsMax = 31536000;
constexpr double kWindowMin = 0.1;
constexpr double kWindowMax = 3600;
constexpr double kWindowSeconds = 5;
constexpr double kShareMin = 0.01;
constexpr double kShareMax = 0.99;
constexpr double kSecondsMax = 7 * 86400.0;
constexpr double kSlowdownMax = 100;
constexpr std::int64_t kListedMax = 1000;
constexpr std::int64_t kListed = 100;
constexpr std::int64_t kCountMax = std::numeric_limits<std::int64_t>::max();
constexpr double kAmountMax = std::numeric_limits<double>::max();

Shape amount() { return number(-kAmountMax, kAmountMax); }
Shape count() { return integer(0, kCountMax); }

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kTrialMetrics; ++i) {
    names.emplace_back(trial_metric_name(static_cast<TrialMetric>(i)));
  }
  return names;
}

std::vector<std::string> kv_type_names() {
  std::vector<std::string> names;
  for (const kernels::KvType type : kernels::kKvTypes) {
    names.emplace_back(kernels::kv_type_name(type));
  }
  return names;
}

Shape options_shape() {
  return object({field("kv_type", name_of(kv_type_names()), "Type of keys and values in memory."),
                 field("context_tokens", integer(16, kContextMax), "Of one sequence."),
                 field("cache_tokens", integer(16, kCacheMax), "Of all sequences."),
                 field("sequences_max", integer(1, kSequencesMax), "Computed at a time."),
                 field("prefix_cache", boolean(), "Whether beginnings of prompts are kept."),
                 field("speculation", boolean(), "Whether tokens are guessed ahead.")});
}

Shape settings_shape() {
  return object({field("cache_bytes", integer(0, kAnswerBytesMax),
                       "Of the cache of whole answers, where it is off; or 0 where it is on."),
                 field("cache_seconds", number(1, kAnswerSecondsMax), "That answers are kept.")});
}

Shape change_shape() {
  return object({field("path", text(1, kPathCharactersMax),
                       "Another file or folder of the server's machine, or hf:OWNER/NAME that was "
                       "fetched before."),
                 field("options", options_shape(), "What else of the model is another."),
                 field("settings", settings_shape(), "Of the server, and of nothing else then.")});
}

Shape prediction_shape() {
  return list(open_object({required("metric", text(1, kWordCharactersMax), "What of."),
                           required("now", amount(), "As it is."),
                           required("expected", amount(), "As it will be."),
                           required("low", amount(), "Lower end of its interval (90 %)."),
                           required("high", amount(), "Upper end.")}),
              0, kPredictedMax);
}

Shape gate_shape() {
  return object({required("score", text(1, kWordCharactersMax), "Its name in feedback."),
                 field("higher_is_better", boolean(), "Absent: true.")});
}

std::vector<Field> rule_fields() {
  return {
      field("share", number(kShareMin, kShareMax),
            "Of the requests, that get the change; absent: 0.5, which compares best."),
      field("split", name_of({"requests", "windows"}),
            "Whether each request, or with its user all of theirs, has a side (absent: requests), "
            "or time is shared out: then neither side waits for the other's steps."),
      field("window_seconds", number(kWindowMin, kWindowMax),
            "How long a window is; absent: 5; with windows."),
      field("goal", name_of(metric_names()),
            "In which there must be a gain; absent: engine_seconds_per_request."),
      field("gain_min", number(0, 1),
            "That the lower end of the gain's interval (90 %) must be above; absent: 0."),
      field("requests_min", integer(kRequestsMin, kRequestsMax),
            "That must have ended on each side; absent: 100."),
      field("seconds_min", number(0, kSecondsMax), "It lasts at least; absent: 30."),
      field("seconds_max", number(1, kSecondsMax), "And at most; absent: 3600."),
      field("slowdown_max", number(1, kSlowdownMax),
            "The first token and the time between tokens may take so many times as long, else it "
            "is taken back at once; absent: 1.3."),
      field("quality", list(gate_shape(), 0, kGatesMax),
            "Scores that must not get worse, where there are some; absent: rating, of which more "
            "is better, and live_kl, of which less is."),
  };
}

CanaryChange change_of(const Json& change) {
  CanaryChange read;
  read.path = text_of(change, "path");
  if (const Json* const settings = field_of(change, "settings")) {
    if (const auto bytes = integer_of(*settings, "cache_bytes")) {
      read.cache_bytes = static_cast<std::size_t>(*bytes);
    }
    read.cache_seconds = number_of(*settings, "cache_seconds");
  }
  const Json* const options = field_of(change, "options");
  if (options == nullptr) return read;
  const auto size_of = [&](const char* name) -> std::optional<std::size_t> {
    const auto value = integer_of(*options, name);
    return value ? std::optional(static_cast<std::size_t>(*value)) : std::nullopt;
  };
  read.kv_type = kernels::find_kv_type(text_of(*options, "kv_type"));
  read.context_tokens = size_of("context_tokens");
  read.cache_tokens = size_of("cache_tokens");
  read.sequences_max = size_of("sequences_max");
  read.has_prefix_cache = boolean_of(*options, "prefix_cache");
  read.guesses_ngrams = boolean_of(*options, "speculation");
  return read;
}

TrialRules rules_of(const Json& body) {
  TrialRules rules;
  rules.goal = find_trial_metric(text_of(body, "goal")).value_or(rules.goal);
  rules.gain_min = number_of(body, "gain_min").value_or(rules.gain_min);
  rules.requests_min = integer_of(body, "requests_min").value_or(rules.requests_min);
  rules.seconds_min = number_of(body, "seconds_min").value_or(rules.seconds_min);
  rules.seconds_max = number_of(body, "seconds_max").value_or(rules.seconds_max);
  rules.slowdown_max = number_of(body, "slowdown_max").value_or(rules.slowdown_max);
  if (const Json* gates = field_of(body, "quality")) {
    rules.quality.clear();
    for (const Json& gate : *gates) {
      rules.quality.push_back(
          {text_of(gate, "score"), boolean_of(gate, "higher_is_better").value_or(true)});
    }
  }
  return rules;
}

// An object of those that have a value.
class Optionals {
 public:
  template <typename T>
  Optionals& add(const char* name, const std::optional<T>& value) {
    return value ? put(name, *value) : *this;
  }
  template <typename T>
  Optionals& put(const char* name, const T& value) {
    append(text_, text_.empty() ? "\"" : ",\"", name, "\":", value);
    return *this;
  }
  bool is_empty() const noexcept { return text_.empty(); }
  std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string change_json(const CanaryChange& change) {
  Optionals options;
  if (change.kv_type) {
    options.put("kv_type", json_string(kernels::kv_type_name(*change.kv_type)));
  }
  options.add("context_tokens", change.context_tokens)
      .add("cache_tokens", change.cache_tokens)
      .add("sequences_max", change.sequences_max)
      .add("prefix_cache", change.has_prefix_cache)
      .add("speculation", change.guesses_ngrams);
  Optionals settings;
  settings.add("cache_bytes", change.cache_bytes).add("cache_seconds", change.cache_seconds);
  Optionals all;
  if (!change.path.empty()) all.put("path", json_string(change.path));
  if (!options.is_empty()) all.put("options", options.text());
  if (!settings.is_empty()) all.put("settings", settings.text());
  return all.text();
}

void append_count(std::string& out, const char* name, const TrialCount& count) {
  append(out, '"', name, "\":{\"count\":", count.requests, ",\"failed\":", count.failed, '}');
}

// What was measured when it ended; "": nothing was.
std::string measured_of(const store::AdviceRow& row) {
  for (const store::AdviceEvent& event : row.events) {
    if (event.kind == "measured") return event.measured;
  }
  return "[]";
}

std::string state_of(const CanaryView& view) {
  if (view.standing) return view.standing->is_loading ? "loading" : "running";
  const std::string verdict = view.row.verdict();
  return verdict.empty() ? "ending" : verdict;
}

// Of a path only its last part, and nothing of the words that have it.
void hide_paths(Json& parameters) {
  Json& change = parameters["change"];
  if (!change.contains("path")) return;
  const auto path = change["path"].get<std::string>();
  change["path"] = std::filesystem::path(path).filename().string();
  for (Json& words : parameters["permanent"]) {
    if (words.get<std::string>().ends_with("=" + path)) words = "";
  }
}

void append_view(std::string& out, const CanaryView& view) {
  const store::AdviceRow& row = view.row;
  Json parameters = Json::parse(row.parameters);
  if (!view.shows_paths) hide_paths(parameters);
  append(out, "{\"id\":\"", kIdPrefix, row.id,
         "\",\"object\":\"canary\",\"model\":", json_string(row.model),
         ",\"action\":", json_string(row.action), ",\"state\":\"", state_of(view),
         "\",\"made_at\":", row.made_s, ",\"made_by\":", json_string(row.made_by),
         ",\"variant_before\":", json_string(row.variant_before),
         ",\"parameters\":", json_of(parameters), ",\"prediction\":", row.prediction,
         ",\"predicted_loss\":", json_string(row.predicted_loss), ",\"measured\":",
         view.standing ? measures_json(view.standing->measures) : measured_of(row));
  if (view.standing) {
    append(out, ",\"seconds\":", view.standing->seconds, ",\"requests\":{");
    append_count(out, "before", view.standing->before);
    out += ',';
    append_count(out, "changed", view.standing->changed);
    out += '}';
  }
  out += ",\"events\":[";
  const char* separator = "";
  for (const store::AdviceEvent& event : row.events) {
    append(out, separator, "{\"kind\":\"", event.kind, "\",\"at\":", event.at_s,
           ",\"actor\":", json_string(event.actor), ",\"detail\":", json_string(event.detail), '}');
    separator = ",";
  }
  out += "]}";
}

void append_list(std::string& out, std::span<const CanaryView> views, bool has_more) {
  out += "{\"object\":\"list\",\"data\":[";
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (i > 0) out += ',';
    append_view(out, views[i]);
  }
  append(out, "],\"has_more\":", has_more);
}

Shape count_shape() {
  return object(
      {required("count", count(), "That have ended."), required("failed", count(), "Of those.")});
}

Shape canary_shape() {
  std::vector<Field> parameters = {required("change", change_shape(), "What is another."),
                                   required("permanent", list(text(), 0, kWordsMax),
                                            "Words of `paring serve` that say the same.")};
  for (Field rule : rule_fields()) {
    if (rule.name == "window_seconds") rule.shape = number(0, kWindowMax);  // 0: no windows
    rule.is_required = true;
    parameters.push_back(std::move(rule));
  }
  return object({
      required("id", text(), "What names it."),
      required("object", name_of({"canary"}), "The kind of object."),
      required("model", text(), "Whose requests are shared out."),
      required("action", text(), "The kind of change."),
      required("state",
               name_of({"loading", "running", "ending", "kept", "rolled_back", "inconclusive",
                        "failed"}),
               "All but the first three are ends; only kept leaves the change in force."),
      required("made_at", count(), "Seconds since 1970."),
      required("made_by", text(), "Id of the key."),
      required("variant_before", text(), "What computed without the change."),
      required("parameters", open_object(std::move(parameters)), "As it was asked for."),
      required("prediction", prediction_shape(), "As it was given before the change was tried."),
      required("predicted_loss", text(), "Of quality, in words."),
      required("measured",
               list(object({required("metric", text(), "What of; score:NAME of feedback."),
                            required("before", amount(), "Mean without the change."),
                            required("after", amount(), "With it."),
                            required("low", amount(),
                                     "Lower end of its interval (90 % of the ratio to `before`)."),
                            required("high", amount(), "Upper end."),
                            required("n", count(), "Requests of the side that has fewer.")}),
                    0, kTrialMetrics + kGatesMax),
               "Of those that ended well; so far, or when it ended."),
      field("seconds", number(0, kAmountMax), "Since requests are shared out; of one that runs."),
      field("requests",
            object({required("before", count_shape(), "Without the change."),
                    required("changed", count_shape(), "With it.")}),
            "Of one that runs."),
      required("events",
               list(object({required("kind", text(), "applied, measured, or the end."),
                            required("at", count(), "Seconds since 1970."),
                            required("actor", text(), "Id of a key, or paring itself."),
                            required("detail", text(), "Why.")}),
                    0, kEventsMax),
               "Oldest first."),
  });
}

std::vector<Field> list_fields() {
  return {required("object", name_of({"list"}), "The kind of object."),
          required("data", list(canary_shape(), 0, kListedMax), "Newest first."),
          required("has_more", boolean(), "Whether there are older ones.")};
}

}  // namespace

const Shape& canary_request() {
  static const Shape shape =
      object(joined({required("model", text(1, kNameCharactersMax), "Of this server, in memory."),
                     required("change", change_shape(), "What of it is another."),
                     field("action", text(1, kWordCharactersMax),
                           "The kind of change, for the ledger; absent: after what is another."),
                     field("prediction", prediction_shape(), "What is expected, for the ledger."),
                     field("predicted_loss", text(0, kLossCharactersMax), "Of quality, in words.")},
                    rule_fields()));
  return shape;
}

ApiResult<CanaryRequest> read_canary(std::string_view body, const WireRules& rules) {
  const ApiResult<Json> json = read_body(body, canary_request(), rules);
  if (!json) return json.error();
  CanaryRequest request;
  request.model = text_of(*json, "model");
  request.action = text_of(*json, "action");
  request.change = change_of((*json)["change"]);
  request.rules = rules_of(*json);
  request.share = number_of(*json, "share").value_or(request.share);
  if (text_of(*json, "split") == "windows") {
    request.window_seconds = number_of(*json, "window_seconds").value_or(kWindowSeconds);
  }
  request.predicted_loss = text_of(*json, "predicted_loss");
  if (const Json* prediction = field_of(*json, "prediction")) {
    request.prediction = json_of(*prediction);
  }
  return request;
}

std::string canary_parameters(const CanaryRequest& request) {
  const TrialRules& rules = request.rules;
  std::string out;
  append(out, "{\"change\":", change_json(request.change), ",\"permanent\":[");
  const char* separator = "";
  for (const std::string& words : permanent_words(request.model, request.change)) {
    append(out, separator, json_string(words));
    separator = ",";
  }
  append(out, "],\"share\":", request.share, ",\"split\":\"",
         request.window_seconds > 0 ? "windows" : "requests",
         "\",\"window_seconds\":", request.window_seconds, ",\"goal\":\"",
         trial_metric_name(rules.goal), "\",\"gain_min\":", rules.gain_min,
         ",\"requests_min\":", rules.requests_min, ",\"seconds_min\":", rules.seconds_min,
         ",\"seconds_max\":", rules.seconds_max, ",\"slowdown_max\":", rules.slowdown_max,
         ",\"quality\":[");
  separator = "";
  for (const QualityGate& gate : rules.quality) {
    append(out, separator, "{\"score\":", json_string(gate.score),
           ",\"higher_is_better\":", gate.is_higher_better, '}');
    separator = ",";
  }
  return out + "]}";
}

std::string measures_json(std::span<const TrialMeasure> measures) {
  std::string out = "[";
  const char* separator = "";
  for (const TrialMeasure& each : measures) {
    append(out, separator, "{\"metric\":\"", each.name, "\",\"before\":", each.before,
           ",\"after\":", each.after, ",\"low\":", each.low, ",\"high\":", each.high,
           ",\"n\":", each.count, '}');
    separator = ",";
  }
  return out + "]";
}

const Shape& canary_list_query() {
  static const Shape shape =
      object({field("limit", integer(1, kListedMax), "At most so many; absent: 100."),
              field("after", text(1, kWordCharactersMax), "Only those that are older than this.")});
  return shape;
}

ApiResult<CanaryListCall> read_canary_list(const NamedTexts& query, const WireRules& rules) {
  const ApiResult<Json> read = read_flat(query, canary_list_query(), rules);
  if (!read) return read.error();
  CanaryListCall call{.limit = integer_of(*read, "limit").value_or(kListed)};
  const std::string after = text_of(*read, "after");
  if (after.empty()) return call;
  const auto number = canary_number(after);
  if (!number) return bad_request("after", "it is no id of a canary");
  call.before = *number;
  return call;
}

std::optional<std::int64_t> canary_number(std::string_view id) {
  if (!id.starts_with(kIdPrefix)) return std::nullopt;
  id.remove_prefix(kIdPrefix.size());
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  if (error != std::errc() || stop != id.data() + id.size() || number <= 0) return std::nullopt;
  return number;
}

std::string canary_answer(const CanaryView& view) {
  std::string out;
  append_view(out, view);
  return out;
}

std::string canary_list_answer(std::span<const CanaryView> views, bool has_more) {
  std::string out;
  append_list(out, views, has_more);
  return out + "}";
}

std::string advice_ledger_answer(std::span<const CanaryView> views, bool has_more,
                                 std::span<const store::AdviceResidual> residuals) {
  std::string out;
  append_list(out, views, has_more);
  out += ",\"residuals\":[";
  const char* separator = "";
  for (const store::AdviceResidual& each : residuals) {
    append(out, separator, "{\"id\":\"", kIdPrefix, each.advice_id,
           "\",\"action\":", json_string(each.action), ",\"metric\":", json_string(each.metric),
           ",\"value\":", each.value, '}');
    separator = ",";
  }
  return out + "]}";
}

const Shape& canary_answer_shape() {
  static const Shape shape = canary_shape();
  return shape;
}

const Shape& canary_list_answer_shape() {
  static const Shape shape = object(list_fields());
  return shape;
}

const Shape& advice_ledger_answer_shape() {
  static const Shape shape = object(
      joined(list_fields(),
             {required("residuals",
                       list(object({required("id", text(), "Of the change."),
                                    required("action", text(), "Its kind."),
                                    required("metric", text(), "What of."),
                                    required("value", amount(),
                                             "The measured change over the predicted one, minus 1: "
                                             "(after / before) / (expected / now) - 1.")}),
                            0, kListedMax),
                       "Of what was predicted and measured, newest first.")}));
  return shape;
}

}  // namespace paring::serve::wire
