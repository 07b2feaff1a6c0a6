// SPDX-License-Identifier: Apache-2.0
#include "cli/scorer_tools.h"

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/encoder_session.h"
#include "engine/generator.h"
#include "engine/open_model.h"
#include "improve/scorers/judge_model.h"
#include "model/architecture.h"

namespace paring::cli {

namespace {

// The judge refers to the model, and goes before it.
struct OwnedJudge {
  std::unique_ptr<engine::LoadedModel> loaded;
  std::unique_ptr<improve::JudgeModel> judge;
};

Result<std::shared_ptr<improve::JudgeModel>> open_judge(Context& context, const std::string& name,
                                                        std::size_t answer_tokens) {
  PARING_TRY(const std::string path, context.resolve(name));
  PARING_TRY(Executor * executor, context.executor());
  engine::GeneratorOptions options;
  std::size_t extra = 0;
  {
    PARING_TRY(const io::ModelFile file, engine::open_model(path));
    PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
    options.numerics = context.numerics();
    options.kv_type = context.kv_type(file);
    options.context_tokens = context.context_tokens(spec);
    extra = engine::Generator::bytes_for(spec, options, executor->threads());
  }
  PARING_TRY(engine::LoadedModel loaded, context.load(name, extra));
  const auto owned = std::make_shared<OwnedJudge>();
  owned->loaded = std::make_unique<engine::LoadedModel>(std::move(loaded));
  PARING_TRY(owned->judge,
             improve::make_local_judge(*owned->loaded, *executor, options, answer_tokens));
  return std::shared_ptr<improve::JudgeModel>(owned, owned->judge.get());
}

Result<improve::Embed> open_embed(Context& context, const std::string& name) {
  EncoderFlags flags;
  flags.model = name;
  flags.truncates = true;
  PARING_TRY(EncoderSession opened, open_encoder(context, flags));
  if (opened.encoder->pooling() == model::Pooling::kNone) {
    return unsupported(name + " gives a vector for each token, not one for a text",
                       "take a model of embeddings");
  }
  const auto session = std::make_shared<EncoderSession>(std::move(opened));
  return improve::Embed(
      [session](std::span<const std::string> texts) -> Result<std::vector<std::vector<float>>> {
        PARING_TRY(const auto encoded,
                   encode_texts(*session->encoder, {texts.begin(), texts.end()}));
        const std::vector<float> values = session->encoder->embed(encoded);
        PARING_TRY_VOID(check_finite(values, session->model->path));
        const std::size_t width = session->encoder->width();
        std::vector<std::vector<float>> vectors;
        for (std::size_t i = 0; i < encoded.size(); ++i) {
          const auto first = values.begin() + static_cast<std::ptrdiff_t>(i * width);
          vectors.emplace_back(first, first + static_cast<std::ptrdiff_t>(width));
        }
        return vectors;
      });
}

}  // namespace

improve::ScorerTools scorer_tools(Context& context) {
  improve::ScorerTools tools;
  tools.open_judge = [&context](const std::string& model, std::size_t answer_tokens) {
    return open_judge(context, model, answer_tokens);
  };
  tools.open_encoder = [&context](const std::string& model) { return open_embed(context, model); };
  tools.variable = [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  return tools;
}

}  // namespace paring::cli
