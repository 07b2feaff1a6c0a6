// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "engine/chat_prompt.h"
#include "improve/scorers/judge_model.h"
#include "text/chat_request.h"
#include "text/constraint.h"

namespace paring::improve {

namespace {

// Masks are computed when they are asked for: one sequence runs, and nobody waits beside it.
class SchemaConstraint final : public engine::TokenConstraint {
 public:
  SchemaConstraint(text::ConstraintState state, std::size_t words)
      : state_(std::move(state)), bits_(words) {}
  Result<engine::TokenSet> allowed() override {
    PARING_TRY_VOID(state_.mask(bits_));
    return engine::TokenSet(bits_);
  }
  Result<void> accept(std::int32_t token) override { return state_.accept(token); }

 private:
  text::ConstraintState state_;
  std::vector<std::uint32_t> bits_;
};

class LocalJudge final : public JudgeModel {
 public:
  LocalJudge(const engine::LoadedModel& loaded, std::unique_ptr<engine::Generator> generator,
             std::shared_ptr<const text::ConstraintFactory> constraints, std::size_t answer_tokens)
      : prompt_(loaded.tokenizer, loaded.chat_template, loaded.add_bos),
        generator_(std::move(generator)),
        constraints_(std::move(constraints)),
        answer_tokens_(answer_tokens) {}

  std::vector<Result<std::string>> ask(std::span<const JudgeQuestion> questions) override {
    std::vector<Result<std::string>> answers;
    for (const JudgeQuestion& question : questions) answers.push_back(ask_one(question));
    return answers;
  }

 private:
  Result<std::string> ask_one(const JudgeQuestion& question) {
    const std::vector<text::ChatMessage> messages = {{"system", question.system},
                                                     {"user", question.user}};
    api::Request request;
    request.max_tokens = answer_tokens_;
    PARING_TRY(request.prompt, prompt_.encode(text::chat_of(messages)));
    PARING_TRY(const auto compiled,
               constraints_->compile({.kind = text::ConstraintKind::kJsonSchema,
                                      .source = question.schema,
                                      .space = text::JsonSpace::kCompact}));
    PARING_TRY(text::ConstraintState state, text::ConstraintState::start(compiled));
    const auto constraint = [&](std::size_t) -> std::unique_ptr<engine::TokenConstraint> {
      return std::make_unique<SchemaConstraint>(std::move(state), constraints_->mask_words());
    };
    PARING_TRY(api::Completion completion, generator_->generate(request, {}, constraint));
    return std::move(completion.text);
  }

  const engine::ChatPrompt prompt_;
  const std::unique_ptr<engine::Generator> generator_;
  const std::shared_ptr<const text::ConstraintFactory> constraints_;
  const std::size_t answer_tokens_;
};

}  // namespace

Result<std::unique_ptr<JudgeModel>> make_local_judge(const engine::LoadedModel& loaded,
                                                     Executor& executor,
                                                     const engine::GeneratorOptions& options,
                                                     std::size_t answer_tokens) {
  if (loaded.chat_template_error) return *loaded.chat_template_error;
  if (loaded.chat_template == nullptr) {
    return unsupported(loaded.path + ": a model without a chat template cannot be asked to judge",
                       "take an instruction-tuned model");
  }
  PARING_TRY(auto constraints, text::ConstraintFactory::create(loaded.tokenizer));
  PARING_TRY(auto generator, engine::Generator::create(loaded, executor, options));
  return std::unique_ptr<JudgeModel>(std::make_unique<LocalJudge>(
      loaded, std::move(generator), std::move(constraints), answer_tokens));
}

}  // namespace paring::improve
