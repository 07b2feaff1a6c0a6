// SPDX-License-Identifier: Apache-2.0
// CapturedContent: the prompt of a request, and its first answer as it comes, for its row in the
// database of traffic. Made by who reads the request, then confined to who writes its answer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "monitor/content_filter.h"
#include "serve/delivery.h"
#include "serve/generate_request.h"
#include "serve/served_model.h"
#include "store/traffic_rows.h"

namespace paring::serve {

class CapturedContent {
 public:
  // Takes the first prompt out of the request. `model` tells the text of token ids.
  CapturedContent(GenerateRequest& request, const ServedModel& model, monitor::ContentRoom room);

  // What is new, before others take it.
  void add(const std::vector<AnswerEvent>& events);
  // As JSON texts: messages as OpenAI writes them and the answer as one of them, or two strings
  // where text was continued. Once. Nothing: there was no room for it.
  std::optional<store::TrafficContent> take();

 private:
  // Makes room, or lets everything go.
  void hold(std::size_t bytes);

  monitor::ContentRoom room_;
  bool has_room_ = true;
  bool is_chat_ = false;
  std::string prompt_;  // JSON
  std::string text_;
  std::string reasoning_;
  std::vector<ToolCallDelta> calls_;
};

}  // namespace paring::serve
