// SPDX-License-Identifier: Apache-2.0
#include "cli/calibration.h"

#include <string_view>

#include "io/mapped_file.h"
#include "measure/builtin_text.h"
#include "measure/windows.h"

namespace paring::cli {

Result<shrink::Statistics> collect_calibration(Context& context, const engine::LoadedModel& model,
                                               const std::string& text_path) {
  std::string name = "built-in calibration";
  io::MappedFile file;
  std::string_view text = measure::calibration_text();
  if (!text_path.empty()) {
    PARING_TRY(file, io::MappedFile::open(text_path));
    text = {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
    name = text_path;
  }
  PARING_TRY(const measure::Windows windows,
             measure::cut_windows(*model.tokenizer, model.add_bos, name, text,
                                  {.context = kCalibrationContext}));
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const auto evaluator,
             measure::Evaluator::create(model.model->spec(), kCalibrationContext, *executor));
  const model::ModelView view(*model.model);
  return shrink::collect_statistics(*evaluator, view, windows, {}, context.progress());
}

}  // namespace paring::cli
