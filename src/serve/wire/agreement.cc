// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/agreement.h"

#include <limits>
#include <utility>

#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"

namespace paring::serve::wire {

namespace {

constexpr std::size_t kRatingCharactersMax = 128;
constexpr std::int64_t kRatings = 1000;
constexpr std::int64_t kRatingsMost = 5000;
constexpr std::int64_t kCountMax = std::numeric_limits<std::int64_t>::max();
constexpr double kAmountMax = std::numeric_limits<double>::max();

ApiResult<improve::Rating> rating_of(const Json& query, const char* name) {
  Result<improve::Rating> rating = improve::parse_rating(text_of(query, name));
  if (!rating) return ApiError{400, "invalid_value", rating.error().text(), name};
  return std::move(rating).value();
}

void append_optional(std::string& out, const char* name, const std::optional<double>& value) {
  if (value) append(out, ",\"", name, "\":", *value);
}

void append_kappa(std::string& out, const char* name, const std::optional<double>& value,
                  const std::optional<double>& low, const std::optional<double>& high) {
  if (!value) return;
  append(out, ",\"", name, "\":{\"value\":", *value);
  append_optional(out, "lower", low);
  append_optional(out, "upper", high);
  out += '}';
}

Shape kappa_shape() {
  return object({required("value", number(-kAmountMax, 1), "1: full agreement; 0: chance."),
                 field("lower", number(-kAmountMax, 1), "Lower end of its interval (95 %)."),
                 field("upper", number(-kAmountMax, 1), "Upper end.")});
}

}  // namespace

const Shape& agreement_query() {
  static const Shape shape = object(
      {required("judge", text(1, kRatingCharactersMax),
                "The judge's score, or from where on it is good: quality>=4."),
       field("human", text(1, kRatingCharactersMax),
             "People's score, likewise; absent: their thumbs, words and corrections."),
       field("limit", integer(1, kRatingsMost), "The newest ratings of the judge; absent: 1000.")});
  return shape;
}

ApiResult<AgreementCall> read_agreement(const NamedTexts& query, const WireRules& rules) {
  ApiResult<Json> read = read_flat(query, agreement_query(), rules);
  if (!read) return read.error();
  AgreementCall call;
  call.most = static_cast<std::size_t>(integer_of(*read, "limit").value_or(kRatings));
  ApiResult<improve::Rating> judge = rating_of(*read, "judge");
  if (!judge) return judge.error();
  call.judge = *std::move(judge);
  if (field_of(*read, "human") == nullptr) return call;
  ApiResult<improve::Rating> human = rating_of(*read, "human");
  if (!human) return human.error();
  call.human = *std::move(human);
  return call;
}

std::string agreement_answer(const improve::RatingPairs& pairs,
                             const improve::Agreement& agreement) {
  std::string out;
  append(out, "{\"object\":\"agreement\",\"count\":", agreement.count,
         ",\"enough\":", agreement.is_enough(), ",\"least\":", improve::kAgreementPairsMin,
         ",\"judged\":", pairs.judged, ",\"mixed\":", pairs.mixed);
  if (agreement.count > 0) append(out, ",\"equal\":", agreement.equal);
  append_kappa(out, "kappa", agreement.kappa, agreement.low, agreement.high);
  append_kappa(out, "weighted_kappa", agreement.weighted_kappa, agreement.weighted_low,
               agreement.weighted_high);
  append_optional(out, "true_good", agreement.true_good);
  append_optional(out, "true_bad", agreement.true_bad);
  append_optional(out, "corrected_share", improve::corrected_share(pairs, agreement));
  out += ",\"ratings\":[";
  for (std::size_t i = 0; i < agreement.ratings.size(); ++i) {
    append(out, i == 0 ? "" : ",", agreement.ratings[i]);
  }
  out += "],\"table\":[";
  for (std::size_t h = 0; h < agreement.table.size(); ++h) {
    out += h == 0 ? "[" : ",[";
    for (std::size_t j = 0; j < agreement.table[h].size(); ++j) {
      append(out, j == 0 ? "" : ",", agreement.table[h][j]);
    }
    out += ']';
  }
  return out + "]}";
}

const Shape& agreement_answer_shape() {
  static const Shape shape = object(
      {required("object", name_of({"agreement"}), "The kind of object."),
       required("count", integer(0, kCountMax), "Answers that both rated."),
       required("enough", boolean(), "Whether these are at least `least`; fewer say little."),
       required("least", integer(0, kCountMax), "So many are needed."),
       required("judged", integer(0, kCountMax), "Answers that the judge rated."),
       required("mixed", integer(0, kCountMax), "Left out: feedback that contradicts itself."),
       field("equal", number(0, 1), "Part of equal ratings."),
       field("kappa", kappa_shape(), "Cohen's; absent: chance explains all agreement."),
       field("weighted_kappa", kappa_shape(),
             "With squared distances of ratings as weights; absent: of two ratings."),
       field("true_good", number(0, 1), "Part of people's good ones that the judge calls good."),
       field("true_bad", number(0, 1), "Part of their bad ones that it calls bad."),
       field("corrected_share", number(0, 1),
             "Good ones among all judged, with these mistakes taken out."),
       required("ratings", list(number(-kAmountMax, kAmountMax), 0, improve::kRatingsMax),
                "All that occur, ascending."),
       required("table",
                list(list(integer(0, kCountMax), 0, improve::kRatingsMax), 0, improve::kRatingsMax),
                "How often: people's rating by row, the judge's by column.")});
  return shape;
}

}  // namespace paring::serve::wire
