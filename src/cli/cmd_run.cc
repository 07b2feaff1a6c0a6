// SPDX-License-Identifier: Apache-2.0
// paring run: one answer, or a chat in the terminal.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "cli/answer_figures.h"
#include "cli/commands.h"
#include "cli/speculation_options.h"
#include "engine/chat_prompt.h"
#include "engine/generator.h"
#include "engine/open_model.h"
#include "hub/model_source.h"
#include "io/system_error.h"
#include "measure/text_eval.h"
#include "model/adapter_file.h"
#include "model/architecture.h"
#include "text/chat_request.h"

namespace paring::cli {

namespace {

using text::ChatMessage;

// Longest prompt read from standard input.
constexpr std::size_t kPromptBytesMax = std::size_t{16} << 20;

volatile std::sig_atomic_t is_interrupted = 0;

void on_interrupt(int) { is_interrupted = 1; }

// Ctrl-C ends the answer at the next token; a second one ends the process.
void arm_interrupt() {
  is_interrupted = 0;
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // no SA_RESTART: reading a line ends, too
  sigaction(SIGINT, &action, nullptr);
}

struct RunOptions {
  std::string model;
  std::optional<std::string> prompt;
  std::size_t max_tokens = 512;
  api::Sampling sampling;
  std::string system;
  std::vector<std::string> stop;
  std::string messages_path;  // "-" is standard input
  std::string tools_path;
  std::string variables;  // JSON
  SpeculationOptions speculation;
  std::string lora_name;
  float lora_scale = 1;
  bool is_raw = false;
  bool is_json = false;
  bool shows_prompt = false;
};

// Reads from `descriptor` up to its end, or up to a newline, which is not part of the result.
// nullopt at the end of input with nothing read, and after Ctrl-C.
Result<std::optional<std::string>> read_input(int descriptor, bool is_line) {
  std::string text;
  char block[4096];
  for (;;) {
    const ssize_t count = ::read(descriptor, block, is_line ? 1 : sizeof block);
    if (count < 0 && errno == EINTR) return std::optional<std::string>{};
    if (count < 0) return io::system_error(errno, "read", "standard input");
    if (count == 0) break;
    if (is_line && block[0] == '\n') return std::optional<std::string>(text);
    text.append(block, static_cast<std::size_t>(count));
    if (text.size() > kPromptBytesMax) {
      return invalid_argument(fmt::format("the prompt is longer than {} bytes", kPromptBytesMax),
                              "shorten it");
    }
  }
  if (text.empty()) return std::optional<std::string>{};
  return std::optional<std::string>(std::move(text));
}

// One model with its prompt format, answering requests.
class Session {
 public:
  static Result<std::unique_ptr<Session>> create(Context& context, const RunOptions& options) {
    std::unique_ptr<Session> session(new Session(context, options));
    PARING_TRY(const std::string path, context.resolve(options.model));
    PARING_TRY(Executor * executor, context.executor());
    PARING_TRY(engine::GeneratorOptions generator_options, session->size_up(path, *executor));
    PARING_TRY(const std::optional<model::AdapterFile> adapter, session->open_adapter());
    if (adapter) generator_options.lora_rank = adapter->rank_max();
    const std::size_t extra =
        engine::Generator::bytes_for(session->spec_, generator_options, executor->threads()) +
        (adapter ? adapter->memory_bytes() : 0);
    auto loaded = engine::LoadedModel::load(
        path, *executor, {.extra_bytes = extra, .locks_memory = context.settings().mlock});
    if (!loaded) return std::move(loaded.error());
    session->loaded_ = std::make_unique<engine::LoadedModel>(std::move(loaded).value());
    if (!options.is_raw && session->loaded_->chat_template_error) {
      Error error = *session->loaded_->chat_template_error;
      if (error.hint.empty()) error.hint = "--raw runs the model without its template";
      return error;
    }
    if (adapter) {
      PARING_TRY(generator_options.adapter,
                 model::Lora::load(*adapter, *session->loaded_->model, options.lora_scale));
    }
    PARING_TRY(session->draft_, set_speculation(context, options.speculation, generator_options));
    PARING_TRY(session->generator_,
               engine::Generator::create(*session->loaded_, *executor, generator_options));
    if (session->uses_template()) {
      const engine::LoadedModel& model = *session->loaded_;
      session->chat_prompt_.emplace(model.tokenizer, model.chat_template, model.add_bos);
    }
    return session;
  }

  bool uses_template() const { return !options_.is_raw && loaded_->chat_template != nullptr; }

  // The token ids that the model reads for `chat`, which is as text::read_chat() gives it.
  Result<std::vector<std::int32_t>> prompt_of(const text::ChatInput& chat) const {
    if (chat_prompt_) return chat_prompt_->encode(chat);
    // With --raw people write the template's tokens themselves; otherwise text is text.
    std::string text;
    for (const Json& message : Json::parse(chat.messages)) {
      text += message.at("content").get<std::string>();
    }
    return loaded_->tokenizer->encode(text,
                                      {.add_special = true, .parse_special = options_.is_raw});
  }

  // Unsupported when the template leaves the tools of `chat` out: the model would never hear of
  // them.
  Result<void> check_tools(const text::ChatInput& chat) const {
    if (!chat_prompt_) return {};
    text::ChatInput without = chat;
    without.tools.clear();
    PARING_TRY(const std::vector<std::int32_t> shown, chat_prompt_->encode(chat));
    const auto plain = chat_prompt_->encode(without);
    if (!plain || *plain != shown) return {};
    return unsupported("the chat template of this model does not use tools",
                       "leave the tools out, describe them in a system message, or take a model "
                       "that was tuned to call tools");
  }

  const text::Tokenizer& tokenizer() const { return *loaded_->tokenizer; }

  // Answers `chat`. Text is streamed to standard output unless --json. An interrupted answer is no
  // error: reason is then absent.
  struct Answer {
    std::string text;
    std::optional<api::Completion> completion;
  };
  Result<Answer> answer(const text::ChatInput& chat) {
    PARING_TRY(api::Request request, make_request(chat));
    Answer answer;
    auto completion = generator_->generate(request, [&](std::string_view piece) {
      answer.text += piece;
      if (!options_.is_json) {
        context_.output().write(piece);
        if (!context_.output().flush()) return false;
      }
      return is_interrupted == 0;
    });
    ++requests_;
    if (completion) {
      answer.completion = std::move(completion).value();
    } else if (completion.error().code != ErrorCode::kCancelled) {
      return std::move(completion.error());
    }
    if (!options_.is_json) context_.output().write("\n");
    PARING_TRY_VOID(context_.output().flush());
    return answer;
  }

 private:
  Session(Context& context, const RunOptions& options) : context_(context), options_(options) {}

  // Reads the hyper-parameters, which say how much memory cache and buffers take.
  Result<engine::GeneratorOptions> size_up(const std::string& path, Executor&) {
    PARING_TRY(const io::ModelFile file, engine::open_model(path));
    PARING_TRY(spec_, model::read_block_spec(file));
    return engine::GeneratorOptions{.numerics = context_.numerics(),
                                    .kv_type = context_.kv_type(file),
                                    .context_tokens = context_.context_tokens(spec_)};
  }

  // Held against the model's hyper-parameters, before the weights are read.
  Result<std::optional<model::AdapterFile>> open_adapter() const {
    if (options_.lora_name.empty()) return std::optional<model::AdapterFile>();
    PARING_TRY(const std::string path,
               hub::resolve_adapter(options_.lora_name, context_.progress()));
    PARING_TRY(model::AdapterFile file, model::AdapterFile::open(path, spec_));
    return std::optional<model::AdapterFile>(std::move(file));
  }

  Result<api::Request> make_request(const text::ChatInput& chat) const {
    api::Request request;
    PARING_TRY(request.prompt, prompt_of(chat));
    request.id = requests_;
    request.max_tokens = options_.max_tokens;
    request.sampling = options_.sampling;
    request.sampling.seed = context_.settings().seed;
    request.stop = options_.stop;
    return request;
  }

  Context& context_;
  const RunOptions& options_;
  model::BlockSpec spec_;
  std::unique_ptr<engine::LoadedModel> loaded_;
  std::unique_ptr<engine::LoadedModel> draft_;  // null: none
  std::unique_ptr<engine::Generator> generator_;
  std::optional<engine::ChatPrompt> chat_prompt_;
  std::uint64_t requests_ = 0;
};

std::vector<ChatMessage> opening(const RunOptions& options) {
  std::vector<ChatMessage> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  return messages;
}

// The tools and template variables of the command line beside `messages`.
Result<text::ChatInput> conversation(const RunOptions& options, std::string messages) {
  text::ChatInput given{std::move(messages), "", options.variables};
  if (!options.tools_path.empty()) {
    PARING_TRY(given.tools, measure::read_text(options.tools_path));
  }
  text::ChatNames names;
  const auto file = [](const char* flag, const std::string& path) {
    return path == "-" ? std::string("standard input")
                       : fmt::format("{} '{}'", flag, escape_control(path));
  };
  if (!options.messages_path.empty()) names.messages = file("--messages", options.messages_path);
  // Tools can come with the messages.
  names.tools = options.tools_path.empty() ? names.messages : file("--tools", options.tools_path);
  names.variables = options.variables.empty() ? names.messages : "--template-variables";
  return text::read_chat(given, names);
}

Result<text::ChatInput> conversation(const RunOptions& options,
                                     const std::vector<ChatMessage>& messages) {
  return conversation(options, text::chat_of(messages).messages);
}

Result<void> show_prompt(Context& context, const Session& session, const RunOptions& options,
                         const text::ChatInput& chat) {
  PARING_TRY(const std::vector<std::int32_t> ids, session.prompt_of(chat));
  PARING_TRY(const std::string text, session.tokenizer().decode(ids, {.skip_special = false}));
  if (options.is_json) {
    context.output().write_json(Json{{"prompt", text}, {"token_ids", ids}});
  } else {
    context.output().write(text);
  }
  return {};
}

Result<void> answer_once(Context& context, Session& session, const RunOptions& options,
                         const text::ChatInput& chat) {
  if (options.shows_prompt) return show_prompt(context, session, options, chat);
  arm_interrupt();
  PARING_TRY(const Session::Answer answer, session.answer(chat));
  if (options.is_json) {
    context.output().write_json(answer_json(answer.text, answer.completion));
  } else {
    print_answer_figures(answer.completion);
  }
  return {};
}

Result<void> chat(Session& session, const RunOptions& options) {
  print_note("type a message; /reset starts over, /exit (or Ctrl-D) ends, Ctrl-C ends an answer");
  std::vector<ChatMessage> messages = opening(options);
  for (;;) {
    arm_interrupt();
    print_raw_error("> ");
    PARING_TRY(const std::optional<std::string> line, read_input(STDIN_FILENO, /*is_line=*/true));
    if (!line || line->starts_with("/exit")) break;
    if (line->empty()) continue;
    if (line->starts_with("/reset")) {
      messages = opening(options);
      print_note("started over");
      continue;
    }
    // A base model has no turns: what was said so far is its prompt.
    messages.push_back({"user", *line});
    PARING_TRY(const text::ChatInput input, conversation(options, messages));
    Result<Session::Answer> answer = session.answer(input);
    if (!answer) {
      const ErrorCode code = answer.error().code;
      if (code != ErrorCode::kInvalidArgument && code != ErrorCode::kUnsupported) {
        return std::move(answer.error());
      }
      messages.pop_back();
      print_error(answer.error());
      print_note("the message was dropped; /reset starts over with an empty context");
      continue;
    }
    messages.push_back({"assistant", answer->text});
    print_answer_figures(answer->completion);
  }
  print_raw_error("\n");
  return {};
}

// What --messages names.
Result<std::string> read_messages(const RunOptions& options) {
  if (options.messages_path != "-") return measure::read_text(options.messages_path);
  PARING_TRY(const std::optional<std::string> text, read_input(STDIN_FILENO, /*is_line=*/false));
  return text.value_or("");
}

// The option given that only a chat template can serve, null: none.
const char* template_option(const RunOptions& options) {
  if (!options.messages_path.empty()) return "--messages";
  if (!options.tools_path.empty()) return "--tools";
  return options.variables.empty() ? nullptr : "--template-variables";
}

Error no_template(const char* needs_template, bool is_raw) {
  if (is_raw) {
    return invalid_argument(
        fmt::format("{} needs a chat template, and --raw does without", needs_template),
        "leave out --raw, or write the text into PROMPT");
  }
  return invalid_argument(
      fmt::format("{} needs a chat template, and this model has none", needs_template),
      "it continues a text: give that as PROMPT; for conversations use a model that was tuned for "
      "them, often called 'instruct' or 'chat'");
}

// Options that contradict each other, before a model is loaded.
Result<void> check_options(const RunOptions& options) {
  const bool has_messages = !options.messages_path.empty();
  if (has_messages && options.prompt) {
    return invalid_argument("both PROMPT and --messages are given", "give one of them");
  }
  if (has_messages && !options.system.empty()) {
    return invalid_argument("--system is given beside --messages",
                            "write the system message into the file");
  }
  const char* needs_template = template_option(options);
  if (options.is_raw && needs_template != nullptr) return no_template(needs_template, true);
  return check_speculation_options(options.speculation);
}

// The conversation that the command line asks about; nullopt: a chat in the terminal.
Result<std::optional<text::ChatInput>> read_conversation(const RunOptions& options) {
  if (!options.messages_path.empty()) {
    PARING_TRY(std::string messages, read_messages(options));
    PARING_TRY(text::ChatInput chat, conversation(options, std::move(messages)));
    return std::optional(std::move(chat));
  }
  std::optional<std::string> prompt = options.prompt;
  if (!prompt && isatty(STDIN_FILENO) != 1) {
    PARING_TRY(prompt, read_input(STDIN_FILENO, /*is_line=*/false));
    if (!prompt) {
      return invalid_argument("there is no prompt: standard input is empty",
                              "give PROMPT on the command line");
    }
    if (prompt->ends_with('\n')) prompt->pop_back();
  }
  if (!prompt) return std::optional<text::ChatInput>();
  std::vector<ChatMessage> messages = opening(options);
  messages.push_back({"user", *prompt});
  PARING_TRY(text::ChatInput chat, conversation(options, messages));
  return std::optional(std::move(chat));
}

Result<void> run(Context& context, const RunOptions& options) {
  PARING_TRY_VOID(check_options(options));
  PARING_TRY(const std::optional<text::ChatInput> asked, read_conversation(options));
  if (!asked && (options.is_json || options.shows_prompt)) {
    return invalid_argument(fmt::format("{} answers one prompt and does not chat",
                                        options.is_json ? "--json" : "--show-prompt"),
                            "give PROMPT");
  }
  PARING_TRY(const std::unique_ptr<Session> session, Session::create(context, options));
  if (!session->uses_template()) {
    const char* needs_template = !options.system.empty() ? "--system" : template_option(options);
    if (needs_template != nullptr) {
      return no_template(needs_template, options.is_raw);
    }
  }
  if (asked && !asked->tools.empty()) PARING_TRY_VOID(session->check_tools(*asked));
  if (asked) return answer_once(context, *session, options, *asked);
  return chat(*session, options);
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto options = std::make_shared<RunOptions>();
  app.add_option("MODEL", options->model, "GGUF file or Hugging Face folder")
      ->required()
      ->type_name("");
  app.add_option("PROMPT", options->prompt,
                 "What to answer; without it, standard input, or a chat if that is a terminal")
      ->type_name("");
  app.add_option("--max-tokens", options->max_tokens, "Longest answer")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
      ->type_name("N");
  app.add_option("--temperature", options->sampling.temperature,
                 "0 takes the most likely token, 1 draws from the model's own distribution")
      ->capture_default_str()
      ->check(number_between(0, 100))
      ->type_name("T");
  app.add_option("--top-k", options->sampling.top_k, "Draw from the K likeliest; 0: no limit")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 24))
      ->type_name("K");
  app.add_option("--top-p", options->sampling.top_p,
                 "Draw from the fewest tokens that have this probability together")
      ->capture_default_str()
      ->check(number_between(0, 1))
      ->type_name("P");
  app.add_option("--min-p", options->sampling.min_p,
                 "Leave out tokens this much less likely than the likeliest")
      ->capture_default_str()
      ->check(number_between(0, 1))
      ->type_name("P");
  app.add_option("--repetition-penalty", options->sampling.repetition_penalty,
                 "Above 1: recent tokens become less likely")
      ->capture_default_str()
      ->check(number_between(0.01, 100))
      ->type_name("X");
  app.add_option("--system", options->system, "System message")->type_name("TEXT");
  app.add_option(
         "--messages", options->messages_path,
         "Conversation to answer instead of PROMPT, a JSON file (- is standard input) in the "
         "shapes of OpenAI's requests: a list of messages, or an object with messages, tools "
         "and chat_template_kwargs")
      ->type_name("FILE");
  app.add_option(
         "--tools", options->tools_path,
         "Tools that the model may call: a JSON file with a list of functions as in OpenAI's "
         "requests")
      ->type_name("FILE");
  app.add_option("--template-variables", options->variables,
                 "What the chat template is told beside the messages, a JSON object, for example "
                 "{\"enable_thinking\": false}")
      ->type_name("JSON");
  app.add_flag("--show-prompt", options->shows_prompt,
               "Print the prompt that the model would read, special tokens included, and end; with "
               "--json its token ids, too");
  auto* lora =
      app.add_option("--lora", options->lora_name,
                     "LoRA adapter for the model: a folder that PEFT saved, a GGUF file as "
                     "llama.cpp's converter writes it, or hf:OWNER/NAME[:FILE]")
          ->type_name("ADAPTER");
  app.add_option("--lora-scale", options->lora_scale,
                 "What the adapter's change is multiplied with; 1: as it was trained")
      ->type_name("X")
      ->needs(lora);
  app.add_flag("--raw", options->is_raw,
               "No chat template: PROMPT is what the model reads, special tokens included");
  app.add_option("--stop", options->stop, "Text that ends the answer; may be given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("TEXT");
  add_speculation_options(app, options->speculation);
  add_json_flag(app, options->is_json);
  return [options](Context& context) { return run(context, *options); };
}

}  // namespace

extern const Command kRun;
const Command kRun{
    "run", "Chat or complete in the terminal",
    "  paring run model.gguf                          a chat\n"
    "  paring run model.gguf \"Why is the sky blue?\"   one answer\n"
    "  paring run model.gguf --temperature 0.8 --top-p 0.95 --seed 7 \"A poem, please.\"\n"
    "  cat letter.txt | paring run model.gguf --system \"Summarise.\"\n"
    "  paring run model.gguf --messages chat.json --tools tools.json\n"
    "  paring run large.gguf --draft-model small.gguf \"A poem, please.\"\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
