// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "io/gguf_split.h"
#include "io/peft_folder.h"
#include "io/printable.h"

namespace paring::hub {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kChoicesMax = 12;  // that a message lists
constexpr std::size_t kDepthMax = 16;

bool is_hex(std::string_view text, std::size_t digits) noexcept {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_too_deep(std::string_view json) noexcept {
  std::size_t depth = 0;
  bool is_text = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (is_text) {
      if (c == '\\') ++i;
      if (c == '"') is_text = false;
      continue;
    }
    if (c == '"') is_text = true;
    if ((c == '[' || c == '{') && ++depth > kDepthMax) return true;
    if ((c == ']' || c == '}') && depth > 0) --depth;
  }
  return false;
}

// Member of an object as text or number; empty or 0 when it is not there or something else.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<HubFile> read_file(const Json& entry, const std::string& source) {
  HubFile file;
  if (!entry.is_object()) return corrupt(source + ": a file of 'siblings' is no object");
  file.path = text_of(entry, "rfilename");
  if (!is_safe_path(file.path)) {
    return corrupt(
        fmt::format("{}: '{}' is no safe name of a file", source, io::printable(file.path)));
  }
  const auto size = entry.find("size");
  if (size == entry.end() || !size->is_number_unsigned()) {
    return corrupt(fmt::format("{}: '{}' has no size", source, io::printable(file.path)));
  }
  file.bytes = size->get<std::uint64_t>();
  const auto lfs = entry.find("lfs");
  const bool is_large = lfs != entry.end() && lfs->is_object();
  file.hash = is_large ? text_of(*lfs, "sha256") : text_of(entry, "blobId");
  if (!is_hex(file.hash, is_large ? 64 : 40)) {
    return corrupt(fmt::format("{}: '{}' has no hash", source, io::printable(file.path)));
  }
  return file;
}

bool is_in_root(const std::string& path) { return path.find('/') == std::string::npos; }

// Files that a folder in Hugging Face layout may have beside its weights.
bool is_folder_text(const std::string& path) {
  static constexpr std::string_view kNames[] = {"config.json",
                                                "generation_config.json",
                                                "tokenizer.json",
                                                "tokenizer.model",
                                                "tokenizer_config.json",
                                                "special_tokens_map.json",
                                                "added_tokens.json",
                                                "chat_template.jinja",
                                                "vocab.json",
                                                "vocab.txt",
                                                "merges.txt",
                                                "model.safetensors.index.json",
                                                "LICENSE",
                                                "LICENSE.txt",
                                                "LICENSE.md"};
  return std::find(std::begin(kNames), std::end(kNames), path) != std::end(kNames);
}

// A safetensors file of the model itself: not of an adapter, not in another layout.
bool is_folder_weights(const std::string& path) {
  return is_in_root(path) && path.ends_with(".safetensors") &&
         (path == "model.safetensors" || path.starts_with("model-"));
}

const HubFile* find(const HubListing& listing, const std::string& path) {
  for (const HubFile& file : listing.files) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

// First parts of all GGUF models.
std::vector<std::string> gguf_entries(const HubListing& listing) {
  std::vector<std::string> entries;
  for (const HubFile& file : listing.files) {
    if (ascii_lower(file.path).ends_with(".gguf") && split_parts(file.path).front() == file.path) {
      entries.push_back(file.path);
    }
  }
  return entries;
}

// Whether the name carries the tag between characters that cannot continue it: Q4_K_M is in
// model-Q4_K_M.gguf, Q4_K is not.
bool has_tag(const std::string& path, const std::string& tag) {
  const std::string name = ascii_lower(path);
  const std::string wanted = ascii_lower(tag);
  const auto is_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  for (std::size_t at = name.find(wanted); at != std::string::npos;
       at = name.find(wanted, at + 1)) {
    const std::size_t end = at + wanted.size();
    if ((at == 0 || !is_word(name[at - 1])) && (end == name.size() || !is_word(name[end]))) {
      return true;
    }
  }
  return false;
}

std::string choices(const std::vector<std::string>& entries) {
  std::string text;
  for (std::size_t i = 0; i < entries.size() && i < kChoicesMax; ++i) {
    text += (i == 0 ? "" : ", ") + io::printable(entries[i]);
  }
  if (entries.size() > kChoicesMax)
    text += fmt::format(" and {} more", entries.size() - kChoicesMax);
  return text;
}

Result<HubSelection> select_gguf(const HubListing& listing, const HubName& name,
                                 const std::string& entry) {
  HubSelection selection;
  selection.entry = entry;
  for (const std::string& part : split_parts(entry)) {
    const HubFile* file = find(listing, part);
    if (file == nullptr) {
      return not_found(fmt::format("{}: part '{}' of the model is missing there", name.text(),
                                   io::printable(part)),
                       "choose another file");
    }
    selection.files.push_back(*file);
  }
  return selection;
}

Result<HubSelection> select_folder(const HubListing& listing) {
  HubSelection selection;
  for (const HubFile& file : listing.files) {
    if (is_folder_weights(file.path)) selection.files.push_back(file);
  }
  for (const HubFile& file : listing.files) {
    if (is_folder_text(file.path)) selection.files.push_back(file);
  }
  std::stable_partition(selection.files.begin(), selection.files.end(),
                        [](const HubFile& file) { return file.path != "config.json"; });
  return selection;
}

bool has_adapter(const HubListing& listing) {
  return find(listing, io::kPeftConfigName) != nullptr &&
         find(listing, io::kPeftTensorsName) != nullptr;
}

HubSelection select_adapter(const HubListing& listing) {
  HubSelection selection;
  for (const char* file : {io::kPeftTensorsName, io::kPeftConfigName}) {
    selection.files.push_back(*find(listing, file));
  }
  return selection;
}

Result<HubSelection> select_by_tag(const HubListing& listing, const HubName& name) {
  const std::vector<std::string> entries = gguf_entries(listing);
  std::vector<std::string> matches;
  for (const std::string& entry : entries) {
    if (has_tag(entry, name.file)) matches.push_back(entry);
  }
  if (matches.size() == 1) return select_gguf(listing, name, matches.front());
  if (matches.empty()) {
    return not_found(
        fmt::format("{}: there is no file '{}' in it", name.text(), name.file),
        entries.empty() ? "it holds no GGUF file" : "its GGUF files: " + choices(entries));
  }
  return invalid_argument(
      fmt::format("{}: '{}' fits {} files", name.text(), name.file, matches.size()),
      "name one of " + choices(matches));
}

}  // namespace

Result<HubListing> parse_hub_listing(std::string_view json, const std::string& source) {
  if (json.size() > kListingBytesMax || is_too_deep(json)) {
    return corrupt(fmt::format("{}: the answer is too large or too deep", source));
  }
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return corrupt(fmt::format("{}: the answer is no JSON object", source),
                   "is HF_ENDPOINT the address of a hub?");
  }
  HubListing listing;
  listing.commit = text_of(root, "sha");
  if (!is_hex(listing.commit, 40)) return corrupt(source + ": the answer names no commit");
  const auto siblings = root.find("siblings");
  if (siblings == root.end() || !siblings->is_array()) {
    return corrupt(source + ": the answer has no list 'siblings'");
  }
  if (siblings->size() > kListingFilesMax) {
    return exhausted(
        fmt::format("{}: {} files, the limit is {}", source, siblings->size(), kListingFilesMax));
  }
  for (const Json& entry : *siblings) {
    PARING_TRY(HubFile file, read_file(entry, source));
    listing.files.push_back(std::move(file));
  }
  return listing;
}

std::vector<std::string> split_parts(const std::string& path) {
  constexpr std::size_t kDigits = 5;
  constexpr std::string_view kEnd = ".gguf";
  if (path.size() < kDigits + kEnd.size()) return {path};
  const char* digits = path.data() + path.size() - kEnd.size() - kDigits;
  std::uint64_t count = 0;  // stays 0 for anything but digits; an unsigned value takes no sign
  const auto parsed = std::from_chars(digits, digits + kDigits, count);
  if (parsed.ptr != digits + kDigits || count > io::kGgufSplitsMax) return {path};
  const auto prefix = io::split_prefix(path, count);
  if (!prefix) return {path};
  std::vector<std::string> names;
  for (std::uint64_t part = 1; part <= count; ++part) {
    names.push_back(io::split_path(*prefix, part, count));
  }
  // A number beyond the count, or 0, is of no split.
  if (std::find(names.begin(), names.end(), path) == names.end()) return {path};
  return names;
}

Result<HubSelection> select_files(const HubListing& listing, const HubName& name,
                                  HubContent content) {
  if (!name.file.empty()) {
    if (find(listing, name.file) == nullptr) return select_by_tag(listing, name);
    return select_gguf(listing, name, split_parts(name.file).front());
  }
  if (content == HubContent::kAdapter && has_adapter(listing)) return select_adapter(listing);
  const bool has_weights =
      std::any_of(listing.files.begin(), listing.files.end(),
                  [](const HubFile& file) { return is_folder_weights(file.path); });
  const bool has_model = has_weights && find(listing, "config.json") != nullptr;
  if (has_model && content != HubContent::kAdapter) return select_folder(listing);
  const std::vector<std::string> entries = gguf_entries(listing);
  if (entries.size() == 1) return select_gguf(listing, name, entries.front());
  if (entries.empty()) {
    if (content == HubContent::kAny && has_adapter(listing)) return select_adapter(listing);
    if (content == HubContent::kAdapter) {
      return not_found(fmt::format("{}: neither {} with {} nor a GGUF file", name.text(),
                                   io::kPeftConfigName, io::kPeftTensorsName),
                       has_model ? "it is a model, not an adapter" : "choose another repository");
    }
    if (has_adapter(listing)) {
      return not_found(
          fmt::format("{} is an adapter, not a model", name.text()),
          fmt::format("paring run MODEL --lora {}, with the model that it is for", name.text()));
    }
    return not_found(
        fmt::format("{}: neither a GGUF file nor config.json with safetensors", name.text()),
        "choose another repository");
  }
  return invalid_argument(fmt::format("{}: {} GGUF files", name.text(), entries.size()),
                          fmt::format("name one: {}:FILE, of {}", name.text(), choices(entries)));
}

Result<HubSelection> select_outline(const HubListing& listing, const HubName& name) {
  constexpr const char* kConfig = "config.json";
  const bool has_config = find(listing, kConfig) != nullptr;
  if (has_config && name.file == kConfig) return HubSelection{};
  auto selection = select_files(listing, name);
  const bool has_nothing_else =
      !selection && name.file.empty() && selection.error().code == ErrorCode::kNotFound;
  if (has_config && has_nothing_else) return HubSelection{};
  return selection;
}

}  // namespace paring::hub
