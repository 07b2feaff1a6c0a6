// SPDX-License-Identifier: Apache-2.0
// ModelUse: what a request names, a model in memory as it is or with one of its adapters. As long
// as anybody holds one, the model stays. Plain data.
#pragma once

#include <memory>
#include <string>

#include "serve/served_model.h"

namespace paring::serve {

struct ModelUse {
  std::shared_ptr<ServedModel> model;
  std::shared_ptr<const ServedAdapter> adapter = nullptr;  // null: the model as it is

  ServedModel& operator*() const noexcept { return *model; }
  ServedModel* operator->() const noexcept { return model.get(); }
  const std::string& name() const noexcept { return adapter ? adapter->name : model->name(); }
  // Of what is computed, the adapter included.
  const std::string& variant() const noexcept {
    return adapter ? adapter->variant : model->variant();
  }
  std::shared_ptr<const model::Lora> lora() const noexcept {
    return adapter ? adapter->lora : nullptr;
  }
};

}  // namespace paring::serve
