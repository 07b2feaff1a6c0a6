// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/quality.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "serve/wire/detail/json_text.h"

namespace paring::serve::wire {

namespace {

constexpr std::int64_t kCountMax = std::numeric_limits<std::int64_t>::max();
constexpr double kAmountMax = std::numeric_limits<double>::max();
constexpr std::size_t kModelsMax = 256;
constexpr double kFactorMax = 1000;

Shape count() { return integer(0, kCountMax); }

void append_mean(std::string& out, const char* name, const monitor::LiveMean& mean) {
  append(out, ",\"", name, "\":{\"mean\":", mean.mean);
  if (mean.low) append(out, ",\"lower\":", *mean.low);
  if (mean.high) append(out, ",\"upper\":", *mean.high);
  out += '}';
}

Shape mean_shape(double most) {
  return object({required("mean", number(0, most), "Over tokens."),
                 field("lower", number(0, most),
                       "Lower end of its interval (95 %, answers taken for independent); absent: "
                       "too few answers."),
                 field("upper", number(0, most), "Upper end.")});
}

std::vector<std::string> drift_names() {
  std::vector<std::string> names;
#define PARING_X(name, text) names.emplace_back(text);
  PARING_DRIFTS(PARING_X)
#undef PARING_X
  return names;
}

}  // namespace

std::string quality_answer(std::span<const QualityStanding> standings) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  const char* separator = "";
  for (const QualityStanding& each : standings) {
    const monitor::LiveStanding& now = each.now;
    append(out, separator, "{\"model\":", json_string(each.model),
           ",\"original\":", json_string(each.original), ",\"share\":", each.share, ",\"drift\":\"",
           monitor::drift_name(now.drift), "\",\"drift_factor\":", each.drift_factor);
    if (now.certified_kl) append(out, ",\"certified_kl\":", *now.certified_kl);
    append(out, ",\"answers\":", now.answers, ",\"tokens\":", now.tokens,
           ",\"window_answers\":", now.window_answers, ",\"changed_answers\":", now.changed_answers,
           ",\"waiting\":", each.waiting);
    append_mean(out, "kl", now.kl);
    append_mean(out, "top1", now.same_top);
    out += '}';
    separator = ",";
  }
  return out + "]}";
}

const Shape& quality_answer_shape() {
  static const Shape shape = object(
      {required("object", name_of({"list"}), "The kind of object."),
       required(
           "data",
           list(
               object({required("model", text(), "Whose answers are scored again."),
                       required("original", text(), "By which file."),
                       required("share", number(0, 1), "Of the answers, that are taken."),
                       required("drift", name_of(drift_names()),
                                "Whether live answers are farther from the original's than "
                                "`drift_factor` times `certified_kl`; learning: too few yet."),
                       required("drift_factor", number(1, kFactorMax), "What is still kept."),
                       field("certified_kl", number(0, kAmountMax),
                             "Mean KL of the certificate, as served, nats a token; absent: none."),
                       required("answers", count(), "Scored since the start."),
                       required("tokens", count(), "Of those."),
                       required("window_answers", count(),
                                "The last ones, which the following is of."),
                       required("changed_answers", count(),
                                "In which the original would have gone on otherwise somewhere."),
                       required("waiting", count(), "To be scored when there is time."),
                       required("kl", mean_shape(kAmountMax),
                                "KL divergence from the original, nats a token."),
                       required("top1", mean_shape(1),
                                "Part of tokens where both hold the same one for the likeliest.")}),
               0, kModelsMax),
           "One a watched model.")});
  return shape;
}

std::string quality_metadata(const measure::RescoredAnswer& answer, const std::string& original) {
  std::string out;
  append(out, "{\"original\":", json_string(original), ",\"tokens\":", answer.tokens,
         ",\"kl_max\":", answer.kl_max, ",\"same_top\":", answer.same_top,
         ",\"log_ratio\":", answer.log_ratio);
  if (answer.first_changed) append(out, ",\"first_changed\":", *answer.first_changed);
  return out + "}";
}

}  // namespace paring::serve::wire
