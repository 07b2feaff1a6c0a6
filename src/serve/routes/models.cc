// SPDX-License-Identifier: Apache-2.0
// What is served, with what is known of its quality: the certificate of each file and the variant
// that computes it.
#include <nlohmann/json.hpp>

#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

Json describe(const ServedModel& model) {
  Json json = {{"id", model.name()},
               {"object", "model"},
               {"created", model.created()},
               {"owned_by", "paring"},
               {"kind", model.is_encoder() ? "encoder" : "decoder"},
               {"max_model_len", model.context_tokens()},
               {"variant", model.variant()}};
  json["certificate"] =
      model.certificate().empty() ? Json() : Json::parse(model.certificate(), nullptr, false);
  return json;
}

}  // namespace

void serve_models(Server& server, const Call& call) {
  Json list = Json::array();
  for (const auto& model : server.models().list()) list.push_back(describe(*model));
  server.respond(call, 200, "application/json",
                 Json{{"object", "list"}, {"data", std::move(list)}}.dump());
}

void serve_model(Server& server, const Call& call) {
  auto model = server.models().find(call.path_values[0]);
  if (!model) return server.refuse(call, model.error());
  server.respond(call, 200, "application/json", describe(**model).dump());
}

}  // namespace paring::serve
