// SPDX-License-Identifier: Apache-2.0
#include "advise/advisor.h"

namespace paring::advise {

#define PARING_X(name, text, unit, less) \
  case AdviceMetric::name:               \
    return text;
const char* advice_metric_name(AdviceMetric metric) noexcept {
  switch (metric) { PARING_ADVICE_METRICS(PARING_X) }
  return "";
}
#undef PARING_X
#define PARING_X(name, text, unit, less) \
  case AdviceMetric::name:               \
    return unit;
const char* advice_metric_unit(AdviceMetric metric) noexcept {
  switch (metric) { PARING_ADVICE_METRICS(PARING_X) }
  return "";
}
#undef PARING_X
#define PARING_X(name, text, unit, less) \
  case AdviceMetric::name:               \
    return less;
bool is_less_better(AdviceMetric metric) noexcept {
  switch (metric) { PARING_ADVICE_METRICS(PARING_X) }
  return true;
}
#undef PARING_X
#define PARING_X(name, text, error) \
  case AdviceAction::name:          \
    return text;
const char* advice_action_name(AdviceAction action) noexcept {
  switch (action) { PARING_ADVICE_ACTIONS(PARING_X) }
  return "";
}
#undef PARING_X

std::optional<AdviceAction> find_advice_action(std::string_view name) noexcept {
#define PARING_X(action, text, error) \
  if (name == (text)) return AdviceAction::action;
  PARING_ADVICE_ACTIONS(PARING_X)
#undef PARING_X
  return std::nullopt;
}

}  // namespace paring::advise
