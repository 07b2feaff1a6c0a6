// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "io/mapped_file.h"
#include "measure/task_run.h"
#include "measure/tasks/detail/record.h"

namespace paring::measure {

namespace {

Result<TaskItem> read_line(const Task& task, std::string_view line) {
  if (line.size() > kTaskLineBytesMax) {
    return corrupt(fmt::format("{} bytes, the limit is {}", line.size(), kTaskLineBytesMax));
  }
  const auto is_shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kRecordDepthMax;
  };
  const nlohmann::json json = nlohmann::json::parse(line, is_shallow, false);
  if (json.is_discarded()) return corrupt("not JSON in UTF-8");
  if (!json.is_object()) return corrupt("not a JSON object");
  return task.read(Record(json));
}

Result<std::vector<TaskItem>> read_lines(const Task& task, const std::string& name,
                                         std::string_view text, std::size_t limit) {
  std::vector<TaskItem> items;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    if (limit != 0 && items.size() == limit) break;
    const std::size_t newline = text.find('\n', begin);
    const std::size_t end = newline == std::string_view::npos ? text.size() : newline;
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto item = read_line(task, line);
    if (!item) {
      Error error = std::move(item.error());
      error.hint = fmt::format("docs/howto/evaluate.md shows the fields of {}", task.name);
      return std::move(error).with_context(fmt::format("{}, line {}", name, number));
    }
    items.push_back(std::move(*item));
  }
  if (items.empty()) return corrupt(fmt::format("{} holds no items", name));
  return items;
}

Result<std::string> find_file(const Task& task, const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return path;
  std::string names;
  for (const char* file : task.files) {
    const std::filesystem::path candidate = std::filesystem::path(path) / file;
    if (std::filesystem::is_regular_file(candidate, ignored)) return candidate.string();
    names += names.empty() ? file : fmt::format(", {}", file);
  }
  return not_found(fmt::format("'{}' has no data of the task {}", path, task.name),
                   "looked for " + names);
}

}  // namespace

Result<TaskData> load_task_data(const Task& task, const std::string& path, std::size_t limit) {
  TaskData data;
  if (path.empty()) {
    if (task.builtin.empty()) {
      return not_found(fmt::format("no items of the task {} are built in", task.name),
                       "give a file or folder with --data");
    }
    data.name = "built in";
    data.sha256 = sha256_hex(task.builtin);
    PARING_TRY(data.items, read_lines(task, task.name, task.builtin, limit));
    return data;
  }
  PARING_TRY(const std::string file_path, find_file(task, path));
  PARING_TRY(const io::MappedFile file, io::MappedFile::open(file_path));
  if (file.bytes().size() > kTaskFileBytesMax) {
    return invalid_argument(fmt::format("'{}' has {} bytes, the limit is {}", file_path,
                                        file.bytes().size(), kTaskFileBytesMax),
                            "split it");
  }
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  data.name = std::filesystem::path(file_path).filename().string();
  data.sha256 = sha256_hex(text);
  PARING_TRY(data.items, read_lines(task, data.name, text, limit));
  return data;
}

}  // namespace paring::measure
