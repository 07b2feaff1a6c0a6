// SPDX-License-Identifier: Apache-2.0
#include "monitor/token_costs.h"

#include "base/log.h"
#include "base/metrics.h"
#include "base/redact.h"

namespace paring::monitor {

namespace {

constexpr int kFirstError = 400;

bool has_tokens(const store::TrafficTokens& tokens) {
  return tokens.prompt_fresh + tokens.prompt_cached + tokens.answer_visible +
             tokens.answer_reasoning >
         0;
}

}  // namespace

void TokenCosts::charge(const PriceBook& book, store::TrafficRequest& row, const std::string& also,
                        bool is_told) {
  if (book.currency().empty() || row.model.empty()) return;
  if (!is_told || !has_tokens(row.tokens)) {
    // What failed or was not served has no tokens to pay for.
    if (!has_tokens(row.tokens) && (row.status >= kFirstError || row.end == "error")) return;
    metrics().unpriced_tokens_not_told.add();
    return;
  }
  store::TrafficMoney money = book.of_tokens(row.started_s, row.model, row.tokens);
  if (money.currency.empty() && !also.empty()) {
    money = book.of_tokens(row.started_s, also, row.tokens);
  }
  if (money.currency.empty()) {
    metrics().unpriced_unknown_model.add();
    const std::lock_guard lock(mutex_);
    if (told_.size() < kToldMax && told_.insert(row.model).second) {
      log_warning("the price book has no price of the model '" + redact(row.model) +
                  "' at that time: its requests stand without money");
    }
    return;
  }
  const std::lock_guard lock(mutex_);
  if (total_.currency != money.currency) total_ = {.currency = money.currency};
  total_.tokens += money.tokens;
  row.money = std::move(money);
}

store::TrafficMoney TokenCosts::total() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace paring::monitor
