// SPDX-License-Identifier: Apache-2.0
// What is served, with what is known of its quality: the certificate of each file and the variant
// that computes it.
#include <algorithm>
#include <iterator>
#include <map>

#include "base/clock.h"
#include "base/version.h"
#include "engine/open_model.h"
#include "model/architecture.h"
#include "serve/routes/handlers.h"
#include "serve/routes/json_answer.h"
#include "serve/routes/model_cards.h"
#include "serve/server.h"
#include "serve/wire/model_card.h"
#include "serve/wire/model_weights.h"
#include "serve/wire/openapi.h"

namespace paring::serve {

namespace {

// The type of most bytes of a file's matrices.
std::string main_type(const io::ModelFile& file) {
  std::map<std::string, std::uint64_t> bytes;
  for (const io::TensorInfo& tensor : file.tensors()) {
    if (tensor.shape.size() > 1) bytes[dtype_name(tensor.type)] += tensor.bytes;
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : most->first;
}

// A text of the metadata; empty when there is none.
std::string text_of(const io::ModelFile& file, const char* key) {
  Result<std::string> text = file.metadata().get_string(key);
  return text ? std::move(*text) : std::string();
}

// What the file itself says, in memory or not. `spec` is null where it cannot be read.
void describe(wire::ModelCard& card, const io::ModelFile& file, const model::BlockSpec* spec) {
  card.architecture = text_of(file, "general.architecture");
  card.weight_type = main_type(file);
  card.chat_template = text_of(file, "tokenizer.chat_template");
  for (const io::TensorInfo& tensor : file.tensors()) {
    std::uint64_t values = 1;
    for (const std::uint64_t size : tensor.shape) values *= size;
    card.parameters += values;
  }
  card.file_bytes = file.file_bytes();
  if (spec == nullptr) return;
  card.context_tokens = spec->context_max;
  card.embedding_width = spec->width;
  card.capabilities = {spec->encoder ? "embedding" : "completion"};
}

wire::ModelCard card_of(const ModelUse& use) {
  const ServedModel& model = *use;
  const io::ModelFile& file = model.loaded().file;
  wire::ModelCard card;
  card.id = use.name();
  card.variant = use.variant();
  if (use.adapter == nullptr) {
    card.created = model.created();
    card.certificate = model.certificate();
  } else {
    // Nobody measured the model with the adapter.
    card.created = use.adapter->created;
    card.base = model.name();
  }
  card.weights_sha256 = model.weights_sha256();
  describe(card, file, &model.loaded().model->spec());
  card.context_tokens = model.context_tokens();
  return card;
}

// Of a model that is not in memory there is little to tell.
wire::ModelCard card_of(const ModelSource& source, const std::string& name) {
  wire::ModelCard card;
  card.id = name;
  if (name != source.name) card.base = source.name;
  return card;
}

// The card of a model or adapter, or 404. Of a model that is not in memory its file is read.
ApiResult<wire::ModelCard> find_card(const Server& server, const std::string& asked) {
  const std::string name = server.models().known_name(asked);
  const auto status = server.models().status(name);
  if (!status) return status.error();
  std::vector<wire::ModelCard> cards = cards_of(*status);
  const auto it = std::find_if(cards.begin(), cards.end(),
                               [&](const wire::ModelCard& card) { return card.id == name; });
  wire::ModelCard card = it == cards.end() ? cards.front() : *it;
  if (status->model == nullptr) {
    const auto file = engine::open_model(status->source.path);
    if (!file) return card;
    const auto spec = model::read_block_spec(*file);
    describe(card, *file, spec ? &*spec : nullptr);
  }
  return card;
}

std::string expiry(const ModelStatus& status) {
  if (status.model == nullptr || status.idle_seconds <= 0) return {};
  const double left = status.used_at + status.idle_seconds - system_clock().monotonic_seconds();
  return format_utc(system_clock().wall_seconds() + std::max(0.0, left));
}

}  // namespace

std::vector<wire::ModelCard> cards_of(const ModelStatus& status) {
  std::vector<wire::ModelCard> cards;
  if (status.model != nullptr) {
    cards.push_back(card_of(ModelUse{status.model}));
    for (const auto& adapter : status.model->adapters()) {
      cards.push_back(card_of(ModelUse{status.model, adapter}));
    }
  } else {
    cards.push_back(card_of(status.source, status.source.name));
    for (const AdapterSource& adapter : status.source.options.adapters) {
      cards.push_back(card_of(status.source, adapter.name));
    }
  }
  for (wire::ModelCard& card : cards) {
    card.state = model_state_name(status.state);
    card.memory_bytes = status.memory_bytes;
    card.expires_at = expiry(status);
  }
  return cards;
}

std::vector<wire::ModelCard> cards_of(const Server& server) {
  std::vector<wire::ModelCard> cards;
  for (const ModelStatus& status : server.models().list()) {
    std::vector<wire::ModelCard> more = cards_of(status);
    std::move(more.begin(), more.end(), std::back_inserter(cards));
  }
  return cards;
}

void serve_models(Server& server, const Call& call) {
  server.respond(call, 200, "application/json", wire::openai_models_answer(cards_of(server)));
}

void serve_model(Server& server, const Call& call) {
  answer_json(server, call, find_card(server, call.path_values[0]), wire::openai_model_answer);
}

void serve_model_weights(Server& server, const Call& call) {
  const std::string name = server.models().known_name(call.path_values[0]);
  const auto status = server.models().status(name);
  if (!status) return server.refuse(call, status.error());
  const auto answer = [&](const io::ModelFile& file) {
    std::vector<wire::WeightTensor> tensors;
    for (const io::TensorInfo& tensor : file.tensors()) {
      tensors.push_back({tensor.name, dtype_name(tensor.type), tensor.values(), tensor.bytes});
    }
    server.respond(call, 200, "application/json", wire::model_weights_answer(name, tensors));
  };
  if (status->model != nullptr) return answer(status->model->loaded().file);
  const auto file = engine::open_model(status->source.path);
  if (!file) return server.refuse(call, api_error(file.error(), "model"));
  answer(*file);
}

void serve_ollama_ps(Server& server, const Call& call) {
  std::vector<wire::ModelCard> cards;
  for (const ModelStatus& status : server.models().list()) {
    if (status.model != nullptr) cards.push_back(cards_of(status).front());
  }
  server.respond(call, 200, "application/json", wire::ollama_ps_answer(cards));
}

void serve_openapi(Server& server, const Call& call) {
  static const std::string document = wire::openapi_document(version());
  server.respond(call, 200, "application/json", document);
}

void serve_ollama_tags(Server& server, const Call& call) {
  server.respond(call, 200, "application/json", wire::ollama_tags_answer(cards_of(server)));
}

void serve_ollama_show(Server& server, const Call& call) {
  ApiResult<std::string> name = wire::read_ollama_show(call.exchange->body(), server.rules());
  if (!name) return server.refuse(call, name.error());
  answer_json(server, call, find_card(server, *name), wire::ollama_show_answer);
}

void serve_ollama_version(Server& server, const Call& call) {
  server.respond(call, 200, "application/json", wire::ollama_version_answer(version()));
}

}  // namespace paring::serve
