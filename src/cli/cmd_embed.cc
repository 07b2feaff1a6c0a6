// SPDX-License-Identifier: Apache-2.0
// paring embed: texts as vectors.
#include <fmt/format.h>

#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/encoder_session.h"
#include "cli/text_inputs.h"
#include "io/npy_writer.h"
#include "kernels/ops.h"
#include "model/encoder_names.h"

namespace paring::cli {

namespace {

struct EmbedFlags {
  EncoderFlags encoder;
  TextInputFlags inputs;
  std::optional<model::Pooling> pooling;
  std::optional<bool> is_normalized;
  std::string npy_path;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
};

// "[0.1,-0.2]", with as few digits as tell an f32 from its neighbours: a JSON library would print
// the digits of a double.
void append_vector(const float* values, std::size_t count, std::string& text) {
  text += '[';
  for (std::size_t i = 0; i < count; ++i) {
    fmt::format_to(std::back_inserter(text), "{}{}", i == 0 ? "" : ",", values[i]);
  }
  text += ']';
}

// The vectors of one text: one, or without pooling one a token.
struct Vectors {
  std::size_t tokens;
  std::vector<float> values;  // [1 or tokens, D]
};

struct Embedded {
  std::vector<Vectors> texts;
  EncoderWork work;
};

Result<Embedded> embed(EncoderSession& session, const std::vector<std::string>& texts) {
  engine::TextEncoder& encoder = *session.encoder;
  const Clock& clock = system_clock();
  const double begin = clock.monotonic_seconds();
  PARING_TRY(const std::vector<engine::EncodedText> encoded, encode_texts(encoder, texts));
  const double middle = clock.monotonic_seconds();
  Embedded result;
  result.work = count_work(encoded);
  const std::size_t width = encoder.width();
  if (encoder.pooling() == model::Pooling::kNone) {
    encoder.run(encoded, [&](std::size_t, std::span<const float> states) {
      result.texts.push_back({states.size() / width, {states.begin(), states.end()}});
    });
  } else {
    const std::vector<float> vectors = encoder.embed(encoded);
    for (std::size_t i = 0; i < encoded.size(); ++i) {
      const auto first = vectors.begin() + static_cast<std::ptrdiff_t>(i * width);
      result.texts.push_back(
          {encoded[i].tokens.size(), {first, first + static_cast<std::ptrdiff_t>(width)}});
    }
  }
  result.work.tokenize_seconds = middle - begin;
  result.work.compute_seconds = clock.monotonic_seconds() - middle;
  for (const Vectors& each : result.texts) {
    PARING_TRY_VOID(check_finite(each.values, session.model->path));
  }
  return result;
}

std::string vectors_text(const engine::TextEncoder& encoder, const Vectors& vectors) {
  std::string text;
  const std::size_t width = encoder.width();
  if (encoder.pooling() != model::Pooling::kNone) {
    append_vector(vectors.values.data(), width, text);
    return text;
  }
  for (std::size_t t = 0; t < vectors.tokens; ++t) {
    text += t == 0 ? "[" : ",";
    append_vector(vectors.values.data() + t * width, width, text);
  }
  return text + "]";
}

Result<void> write_matrix(const EmbedFlags& flags, const engine::TextEncoder& encoder,
                          const Embedded& result) {
  std::vector<float> values;
  values.reserve(result.texts.size() * encoder.width());
  for (const Vectors& each : result.texts) {
    values.insert(values.end(), each.values.begin(), each.values.end());
  }
  return io::write_npy(values, values.size() / encoder.width(), flags.npy_path, flags.overwrite);
}

Json summary(const Context& context, const EmbedFlags& flags, const engine::TextEncoder& encoder,
             const Embedded& result) {
  Json json = {{"model", flags.encoder.model},
               {"width", encoder.width()},
               {"pooling", model::pooling_name(encoder.pooling())},
               {"normalized", encoder.is_normalized()},
               {"numerics", numerics_name(context.numerics())},
               {"isa", kernels::kernels().isa},
               {"threads", context.settings().threads}};
  json["work"] = work_json(result.work);
  if (!flags.npy_path.empty()) json["out"] = flags.npy_path;
  return json;
}

void print_vectors(Context& context, const EmbedFlags& flags, const engine::TextEncoder& encoder,
                   const Embedded& result) {
  Output& output = context.output();
  const auto line = [&](std::size_t i) {
    return fmt::format(R"({{"index":{},"tokens":{},"embedding":{}}})", i, result.texts[i].tokens,
                       vectors_text(encoder, result.texts[i]));
  };
  if (!flags.encoder.is_json) {
    for (std::size_t i = 0; i < result.texts.size(); ++i) output.write(line(i) + "\n");
    return;
  }
  // The vectors are the last key of the object.
  std::string head =
      summary(context, flags, encoder, result).dump(2, ' ', false, Json::error_handler_t::replace);
  head.resize(head.rfind('\n'));
  output.write(head + ",\n  \"embeddings\": [\n");
  for (std::size_t i = 0; i < result.texts.size(); ++i) {
    output.write("    " + line(i) + (i + 1 < result.texts.size() ? ",\n" : "\n"));
  }
  output.write("  ]\n}\n");
}

Result<void> run(Context& context, const EmbedFlags& flags) {
  if (!flags.npy_path.empty()) {
    PARING_TRY_VOID(check_can_write(flags.npy_path, flags.overwrite));
  }
  PARING_TRY(const std::vector<std::string> texts, read_texts(flags.inputs));
  PARING_TRY(EncoderSession session,
             open_encoder(context, flags.encoder,
                          {.pooling = flags.pooling, .is_normalized = flags.is_normalized}));
  const engine::TextEncoder& encoder = *session.encoder;
  if (encoder.pooling() == model::Pooling::kNone && !flags.npy_path.empty()) {
    return invalid_argument(
        "without pooling each text has a vector for each of its tokens, which "
        "is no matrix",
        "leave out --npy, or choose a --pooling");
  }
  PARING_TRY(const Embedded result, embed(session, texts));
  if (flags.npy_path.empty()) {
    print_vectors(context, flags, encoder, result);
  } else {
    PARING_TRY_VOID(write_matrix(flags, encoder, result));
    if (flags.encoder.is_json) {
      context.output().write_json(summary(context, flags, encoder, result));
    } else {
      context.output().write(fmt::format("{}: {} vectors of {} values\n", flags.npy_path,
                                         result.texts.size(), encoder.width()));
    }
  }
  if (!flags.encoder.is_json) print_work(result.work);
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<EmbedFlags>();
  define_encoder(app, flags->encoder);
  define_texts(app, "TEXT", flags->inputs);
  const std::map<std::string, model::Pooling> names = {{"none", model::Pooling::kNone},
                                                       {"mean", model::Pooling::kMean},
                                                       {"cls", model::Pooling::kFirst},
                                                       {"last", model::Pooling::kLast}};
  app.add_option_function<std::string>(
         "--pooling", [flags, names](const std::string& name) { flags->pooling = names.at(name); },
         "One vector a text: mean of its tokens, that of the first (cls) or last; none: one a "
         "token. The default is the model's")
      ->check(CLI::IsMember({"mean", "cls", "last", "none"}))
      ->type_name("NAME");
  app.add_flag_function(
      "--normalize,!--no-normalize",
      [flags](std::int64_t count) { flags->is_normalized = count > 0; },
      "Divide vectors by their length; the default is the model's, yes where it says nothing");
  app.add_option("--npy", flags->npy_path, "Write the vectors as a NumPy matrix instead")
      ->type_name("FILE");
  add_force_flag(app, flags->overwrite);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kEmbed;
const Command kEmbed{"embed", "Turn texts into vectors with an encoder",
                     "  paring embed all-MiniLM-L6-v2 \"a text\" \"another one\"\n"
                     "  paring embed model.gguf --file texts.txt --npy vectors.npy\n"
                     "  paring embed model.gguf --file docs.jsonl --field body --truncate\n",
                     /*is_hidden=*/false, define};

}  // namespace paring::cli
