// SPDX-License-Identifier: Apache-2.0
// The functions behind routes, by file. Each answers its call, now or later.
#pragma once

#include "serve/route.h"

namespace paring::serve {

// health.cc
void serve_health(Server& server, const Call& call);
void serve_livez(Server& server, const Call& call);
void serve_readyz(Server& server, const Call& call);
// metrics.cc
void serve_metrics(Server& server, const Call& call);
// models.cc
void serve_models(Server& server, const Call& call);
void serve_model(Server& server, const Call& call);
// generate.cc
void serve_chat(Server& server, const Call& call);

}  // namespace paring::serve
