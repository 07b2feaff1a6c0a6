// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/roofline.h"

#include <cstdint>
#include <limits>

#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"

namespace paring::serve::wire {

namespace {

constexpr std::int64_t kMinutes = 15;
constexpr std::int64_t kMinuteSeconds = 60;
constexpr double kAmountMax = std::numeric_limits<double>::max();
constexpr std::size_t kModelsMax = 256;
constexpr const char* kMissing =
    "The limits of this machine are not known: run `paring info` on it, which measures and stores "
    "them, and start the server again.";

Shape count() { return integer(0, std::numeric_limits<std::int64_t>::max()); }
Shape amount() { return number(0, kAmountMax); }

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
#define PARING_X(name, text) names.emplace_back(text);
  PARING_STEP_KINDS(PARING_X)
#undef PARING_X
  return names;
}

std::vector<std::string> binding_names() {
  std::vector<std::string> names;
#define PARING_X(name, text) names.emplace_back(text);
  PARING_BINDINGS(PARING_X)
#undef PARING_X
  return names;
}

// The kinds that occur, as a list.
void append_points(std::string& out, const StepsByKind& kinds) {
  out += '[';
  const char* separator = "";
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const StepTotals& each = kinds[k];
    if (each.steps == 0) continue;
    append(out, separator, "{\"kind\":\"", step_kind_name(static_cast<StepKind>(k)),
           "\",\"steps\":", each.steps, ",\"tokens\":", each.tokens, ",\"seconds\":", each.seconds,
           ",\"waited_seconds\":", each.waited_seconds, ",\"operations\":", each.operations,
           ",\"bytes_read\":", each.bytes, "}");
    separator = ",";
  }
  out += ']';
}

void append_machine(std::string& out, const cost::Probes& probes) {
  append(out, ",\"machine\":{\"isa\":", json_string(probes.isa), ",\"threads\":", probes.threads,
         ",\"read_bytes_per_second\":", probes.read_bytes_per_second,
         ",\"operations_per_second\":", peak_operations_per_second(probes),
         ",\"int8\":", probes.int8_operations_per_second,
         ",\"f32\":", probes.f32_operations_per_second,
         ",\"bf16\":", probes.bf16_operations_per_second, ",\"own_share\":", probes.own_share, "}");
}

void append_model(std::string& out, const ModelRoofline& model) {
  const RooflineVerdict& verdict = model.verdict;
  append(out, "{\"model\":", json_string(model.model), ",\"variant\":", json_string(model.variant),
         ",\"running\":", model.running, ",\"waiting\":", model.waiting,
         ",\"elapsed_seconds\":", model.elapsed_seconds, ",\"busy_share\":", verdict.busy_share,
         ",\"waited_share\":", verdict.waited_share);
  if (verdict.memory_share) append(out, ",\"memory_share\":", *verdict.memory_share);
  if (verdict.compute_share) append(out, ",\"compute_share\":", *verdict.compute_share);
  append(out, ",\"binds\":\"", binding_name(verdict.binds),
         "\",\"sentence\":", json_string(verdict.sentence),
         ",\"action\":", json_string(verdict.action), ",\"points\":");
  StepsByKind all;
  for (const StepMinute& minute : model.minutes) {
    for (std::size_t k = 0; k < all.size(); ++k) all[k] += minute.kinds[k];
  }
  append_points(out, all);
  out += ",\"minutes\":[";
  const char* separator = "";
  for (const StepMinute& minute : model.minutes) {
    append(out, separator, "{\"start\":", minute.minute * kMinuteSeconds, ",\"points\":");
    append_points(out, minute.kinds);
    out += '}';
    separator = ",";
  }
  out += "]}";
}

Shape points_shape() {
  return list(
      object({required("kind", name_of(kind_names()),
                       "What the steps computed: prompts, answers, both, texts of an encoder."),
              required("steps", count(), "How many."),
              required("tokens", count(), "Computed by them, guesses included."),
              required("seconds", amount(), "That they took."),
              required("waited_seconds", amount(), "Of these, while requests waited."),
              required("operations", amount(), "2 a multiply-add, by the cost model."),
              required("bytes_read", amount(), "Of weights and cache, likewise.")}),
      0, kStepKinds);
}

Shape machine_shape() {
  return object({required("isa", text(), "Instruction set."),
                 required("threads", count(), "That worked."),
                 required("read_bytes_per_second", amount(), "Memory bandwidth."),
                 required("operations_per_second", amount(), "The fastest of the following."),
                 required("int8", amount(), "Peak of products of 8 bits, operations a second."),
                 required("f32", amount(), "Likewise of 32 bits."),
                 required("bf16", amount(), "Likewise of BF16; 0: none here."),
                 required("own_share", number(0, 1), "Of the time of measuring that was ours.")});
}

Shape model_shape() {
  return object(
      {required("model", text(), "Its name."), required("variant", text(), "What is computed."),
       required("running", count(), "Requests that are computed now."),
       required("waiting", count(), "That wait now."),
       required("elapsed_seconds", amount(), "The time that is looked at."),
       required("busy_share", number(0, 1), "Of it, in which steps were computed."),
       required("waited_share", number(0, 1), "Of the steps' time, while requests waited."),
       field("memory_share", amount(), "Of the bandwidth that steps reached; absent: not known."),
       field("compute_share", amount(), "Of the fastest arithmetic, likewise."),
       required("binds", name_of(binding_names()), "What keeps it from being faster."),
       required("sentence", text(), "The same in words."),
       required("action", text(), "What to do."),
       required("points", points_shape(), "Sums of all minutes."),
       required("minutes",
                list(object({required("start", count(), "Seconds since 1970."),
                             required("points", points_shape(), "Of this minute.")}),
                     0, kHistoryMinutes),
                "Those in which something was computed, oldest first.")});
}

}  // namespace

ApiResult<std::size_t> read_roofline(const FlatFields& query, const WireRules& rules) {
  const ApiResult<Json> read = read_flat(query, roofline_query(), rules);
  if (!read) return read.error();
  return static_cast<std::size_t>(integer_of(*read, "minutes").value_or(kMinutes));
}

std::string roofline_answer(std::span<const ModelRoofline> models, std::size_t minutes,
                            const cost::Probes* probes) {
  std::string out;
  append(out, "{\"object\":\"list\",\"minutes\":", minutes);
  if (probes != nullptr) {
    append_machine(out, *probes);
  } else {
    append(out, ",\"missing\":", json_string(kMissing));
  }
  out += ",\"data\":[";
  const char* separator = "";
  for (const ModelRoofline& model : models) {
    out += separator;
    append_model(out, model);
    separator = ",";
  }
  return out + "]}";
}

const Shape& roofline_query() {
  static const Shape shape =
      object({field("minutes", integer(1, static_cast<std::int64_t>(kHistoryMinutes)),
                    "The last so many; absent: 15.")});
  return shape;
}

const Shape& roofline_answer_shape() {
  static const Shape shape =
      object({required("object", name_of({"list"}), "The kind of object."),
              required("minutes", count(), "The last so many."),
              field("machine", machine_shape(), "Its limits, as `paring info` measured them."),
              field("missing", text(), "What to do to know them, where they are not."),
              required("data", list(model_shape(), 0, kModelsMax), "One a model in memory.")});
  return shape;
}

}  // namespace paring::serve::wire
