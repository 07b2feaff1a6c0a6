// SPDX-License-Identifier: Apache-2.0
// AtomicFile: writes a file that appears whole or not at all. Bytes go to PATH.tmp-<pid>-<random>
// in the same folder; commit() syncs it and renames it over PATH. Without commit, the destructor
// removes it and PATH is as it was; remove_temporaries_on_signals() does so for Ctrl-C and the
// like. Only a process that is killed (SIGKILL, power) leaves its temporary file behind. A symbolic
// link is followed, so that it stays a link. Movable; one thread at a time.
//
//   PARING_TRY(io::AtomicFile file, io::AtomicFile::create(path, io::Overwrite::kReplace));
//   PARING_TRY_VOID(file.write(text));
//   PARING_TRY_VOID(file.commit());
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::io {

enum class Overwrite {
  kRefuse,   // an existing PATH is an error, at create() and again at commit()
  kReplace,  // an existing regular file is replaced; its permissions are kept
};

class AtomicFile {
 public:
  // InvalidArgument: PATH is a folder, a device, empty, or exists under kRefuse. NotFound: its
  // folder does not exist. Io: the folder cannot be written.
  static Result<AtomicFile> create(const std::string& path, Overwrite overwrite);
  AtomicFile() = default;
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Claims disk space for `bytes` in all, so that a full disk is found before the work is done.
  // Exhausted when there is not enough. A file system that cannot claim space is not an error.
  Result<void> reserve(std::uint64_t bytes);
  // Appends. Exhausted when the disk is full. After an error the file can only be dropped.
  Result<void> write(std::span<const std::byte> bytes);
  Result<void> write(std::string_view text) {
    return write(std::as_bytes(std::span<const char>(text.data(), text.size())));
  }
  // Makes the file durable and visible under its name. REQUIRES: called once, after no error.
  Result<void> commit();

  std::uint64_t bytes_written() const noexcept { return written_; }
  const std::string& path() const noexcept { return path_; }

 private:
  void drop() noexcept;

  int descriptor_ = -1;
  std::uint64_t written_ = 0;
  std::uint64_t reserved_ = 0;
  std::string path_;       // as given, for messages
  std::string target_;     // links resolved
  std::string temporary_;  // empty: nothing to remove
  Overwrite overwrite_ = Overwrite::kRefuse;
  bool failed_ = false;
  int slot_ = -1;  // where signals find temporary_; -1: nowhere
};

// A whole file at once: create(), write() and commit(), with their errors.
Result<void> write_file(const std::string& path, std::string_view text, Overwrite overwrite);

// Removes the temporary files of this process, which is about to end without its destructors.
void remove_temporaries() noexcept;
// From now on SIGINT, SIGTERM and SIGHUP remove the temporary files of this process, and end the
// processes that it started (base/child_process.h), before they end it as usual. A signal that is
// ignored stays ignored. Called once, by main().
void remove_temporaries_on_signals() noexcept;
// What those signals print to standard error before they end the process, for work that can be
// continued; null: nothing. `text` must live as long as the process. Thread-safe.
void say_on_signals(const char* text) noexcept;

}  // namespace paring::io
