// SPDX-License-Identifier: Apache-2.0
// Reranking by a model that writes text: how likely it answers "yes" rather than "no" when asked
// whether a document answers a query (as Qwen3-Reranker is asked, arXiv:2506.05176, sec. 3). One
// token a document; the question in front of the documents is computed once.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "serve/answer.h"
#include "serve/model_use.h"
#include "serve/route.h"

namespace paring::serve {

inline constexpr std::size_t kJudgedDocumentsMax = 256;

// Answers `call` with what `write` makes of a score from 0 to 1 for each document.
void judge(Server& server, const Call& call, const ModelUse& model, const std::string& query,
           const std::vector<std::string>& documents,
           const std::function<std::string(std::span<const double>, const AnswerUsage&)>& write);

}  // namespace paring::serve
