// SPDX-License-Identifier: Apache-2.0
// What clients are told of the models of this server. Stateless.
#pragma once

#include <vector>

#include "serve/model_source.h"
#include "serve/wire/model_card.h"

namespace paring::serve {

class Server;

// Of a model and then each of its adapters.
std::vector<wire::ModelCard> cards_of(const ModelStatus& status);
// Of all, in the order they became known.
std::vector<wire::ModelCard> cards_of(const Server& server);

}  // namespace paring::serve
