// SPDX-License-Identifier: Apache-2.0
#include "cli/calibration.h"

#include <string_view>
#include <vector>

#include "base/sha256.h"
#include "cli/text_inputs.h"
#include "engine/text_encoder.h"
#include "io/mapped_file.h"
#include "measure/builtin_text.h"
#include "measure/windows.h"
#include "shrink/run_texts.h"

namespace paring::cli {

namespace {

// Every line of the text is one text of its own, cut to what the model reads.
Result<shrink::Statistics> collect_of_encoder(Context& context, const engine::LoadedModel& model,
                                              const std::string& name, std::string_view text) {
  PARING_TRY(Executor * executor, context.executor());
  engine::TextEncoderOptions options;
  options.numerics = model::Numerics::kExact;
  options.truncates = true;
  PARING_TRY(const auto encoder, engine::TextEncoder::create(model, *executor, options));
  std::vector<engine::EncodedText> lines;
  PARING_TRY(const std::vector<std::string> all, lines_of(text, ""));
  for (const std::string& line : all) {
    if (line.empty()) continue;
    PARING_TRY(engine::EncodedText encoded, encoder->encode(line));
    lines.push_back(std::move(encoded));
  }
  if (lines.empty()) return invalid_argument(name + " holds no text");
  PARING_TRY(shrink::Statistics statistics,
             shrink::collect_encoder_statistics(*encoder, model::ModelView(*model.model), lines, {},
                                                context.progress()));
  statistics.text_name = name;
  statistics.text_sha256 = sha256_hex(text);
  return statistics;
}

}  // namespace

Result<shrink::Statistics> collect_calibration(Context& context, const engine::LoadedModel& model,
                                               const std::string& text_path,
                                               std::size_t windows_max) {
  std::string name = "built-in calibration";
  io::MappedFile file;
  std::string_view text = measure::calibration_text();
  if (!text_path.empty()) {
    PARING_TRY(file, io::MappedFile::open(text_path));
    text = {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
    name = text_path;
  }
  if (model.model->spec().encoder) {
    if (windows_max != 0) {
      return invalid_argument("an encoder reads its text line by line, not in windows",
                              "leave out --windows, or give fewer lines");
    }
    return collect_of_encoder(context, model, name, text);
  }
  PARING_TRY(measure::Windows windows,
             measure::cut_windows(*model.tokenizer, model.add_bos, name, text,
                                  {.context = kCalibrationContext}));
  if (windows_max != 0) windows = shrink::spread(windows, windows_max, 0.5);
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const auto evaluator,
             measure::Evaluator::create(model.model->spec(), kCalibrationContext, *executor));
  const model::ModelView view(*model.model);
  return shrink::collect_statistics(*evaluator, view, windows, {}, context.progress());
}

}  // namespace paring::cli
