// SPDX-License-Identifier: Apache-2.0
#include "io/file_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace paring::io {

namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view first_bytes;
  const char* name;
  const char* hint;
};

constexpr const char* kDecompress = "unpack it and name the GGUF file inside";
constexpr const char* kOldGgml = "a format from before GGUF; convert the original model again";
constexpr const char* kDownload = "the download went wrong; fetch the file itself again";

constexpr Signature kSignatures[] = {
    {"PK\x03\x04"sv, "a zip archive (PyTorch .pt and .bin files are zip archives too)",
     "unpack it, or convert the PyTorch model to GGUF"},
    {"\x1f\x8b"sv, "a gzip archive", kDecompress},
    {"BZh"sv, "a bzip2 archive", kDecompress},
    {"\xfd"
     "7zXZ\0"sv,
     "an xz archive", kDecompress},
    {"\x28\xb5\x2f\xfd"sv, "a zstd archive", kDecompress},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", kDecompress},
    {"lmgg"sv, "an old GGML file", kOldGgml},
    {"fmgg"sv, "an old GGMF file", kOldGgml},
    {"tjgg"sv, "an old GGJT file", kOldGgml},
    {"version https://git-lfs"sv, "a Git LFS pointer, not the file that it stands for",
     "fetch the file with 'git lfs pull'"},
    {"<!DOCTYPE"sv, "an HTML page", kDownload},
    {"<!doctype"sv, "an HTML page", kDownload},
    {"<html"sv, "an HTML page", kDownload},
    {"\x89HDF"sv, "an HDF5 file", "convert the model to GGUF"},
    {"\x7f"
     "ELF"sv,
     "a program", "name a GGUF model file"},
    {"%PDF"sv, "a PDF document", "name a GGUF model file"},
};

// Eight bytes of header length, then a JSON object of that length.
bool is_safetensors(std::string_view text) {
  std::uint64_t length = 0;
  if (text.size() < 10) return false;
  std::memcpy(&length, text.data(), sizeof(length));
  return length >= 2 && length <= text.size() - 8 && text[8] == '{';
}

bool is_text(std::string_view text) {
  return std::all_of(text.begin(), text.begin() + std::min<std::size_t>(text.size(), 512),
                     [](char c) {
                       const auto byte = static_cast<unsigned char>(c);
                       return byte >= 0x20 || byte == '\n' || byte == '\r' || byte == '\t';
                     });
}

}  // namespace

FileKind recognise_file(std::span<const std::byte> file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.empty()) return {"empty", kDownload};
  for (const Signature& signature : kSignatures) {
    if (text.starts_with(signature.first_bytes)) return {signature.name, signature.hint};
  }
  if (is_safetensors(text)) return {"a safetensors file", "convert the model to GGUF"};
  if (text.front() == '{' || text.front() == '[') {
    return {"a JSON text", "name the GGUF model file"};
  }
  if (is_text(text)) return {"a text file", "name the GGUF model file"};
  if (std::all_of(text.begin(), text.begin() + std::min<std::size_t>(text.size(), 4096),
                  [](char c) { return c == '\0'; })) {
    return {"a file of zero bytes", "the copy or download was interrupted; fetch the file again"};
  }
  std::string first;
  for (const char c : text.substr(0, 4)) {
    first += fmt::format("{}{:02x}", first.empty() ? "" : " ", static_cast<unsigned char>(c));
  }
  return {fmt::format("of an unknown format (first bytes {})", first), "name a GGUF model file"};
}

}  // namespace paring::io
