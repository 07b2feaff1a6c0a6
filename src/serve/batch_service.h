// SPDX-License-Identifier: Apache-2.0
// BatchService: files and batches of a server. It runs lines by the server's own routes, the same
// code that a request over HTTP takes, as the key that made the batch and behind everybody else.
// Thread-safe.
#pragma once

#include <cstddef>
#include <memory>

#include "serve/access/key_ring.h"
#include "serve/batch/batch_runner.h"
#include "serve/batch/batch_store.h"
#include "serve/batch/file_store.h"
#include "serve/batch/line_executor.h"
#include "serve/task_thread.h"
#include "store/control_db.h"
#include "text/chat_template.h"

namespace paring::serve {

class Server;

struct BatchServiceOptions {
  std::size_t lines_max = 16;  // that run together when nobody else asks; 0: batches wait
  FileLimits files;
  BatchInputLimits input;
};

// How many lines may run beside so many requests of others. Each request takes the place of four
// lines, since what a line adds to a step all others wait for; one line goes on as long as fewer
// requests than lines_max are served, so that a batch under steady load comes to its end.
std::size_t lines_beside(std::size_t requests, std::size_t lines_max) noexcept;

class BatchService final : private LineExecutor {
 public:
  // All must outlive this. REQUIRES: this process holds the ServingLock of `control`. Errors of
  // FileStore::open().
  static Result<std::unique_ptr<BatchService>> open(const store::ControlDb& control, Server& server,
                                                    KeyRing& keys,
                                                    const BatchServiceOptions& options);
  // stop(0), if that was not done.
  ~BatchService() override;

  FileStore& files() noexcept { return *files_; }
  BatchStore& batches() noexcept { return batches_; }
  // Where files are written and read: no thread that others wait for does it.
  TaskThread& disk() noexcept { return disk_; }
  const BatchServiceOptions& options() const noexcept { return options_; }

  // Goes on with what a process before this one left, once. Lines wait until the server is ready.
  void start() { runner_.start(); }
  // Starts no more lines, gives those that run so long, then takes them back: they run again after
  // the next start. Called while the server still answers.
  void stop(double grace_seconds) { runner_.stop(grace_seconds); }
  // Lines that were started and are not finished.
  std::size_t running() const noexcept { return static_cast<std::size_t>(place_.use_count()) - 1; }

 private:
  BatchService(const store::ControlDb& control, std::unique_ptr<FileStore> files, Server& server,
               KeyRing& keys, const BatchServiceOptions& options);
  void start(LineRequest request, std::shared_ptr<LineTicket> ticket) override;
  void run(const LineRequest& request, const std::shared_ptr<LineTicket>& ticket,
           std::shared_ptr<const void> place);

  Server& server_;
  KeyRing& keys_;
  const BatchServiceOptions options_;
  // Every line holds it once, as long as anybody works on the line.
  const std::shared_ptr<const void> place_ = std::make_shared<const char>('\0');
  std::unique_ptr<FileStore> files_;
  BatchRunner runner_;
  BatchStore batches_;
  TaskThread disk_{thread_names::kDisk};
  // Templates and tokens of lines: HTTP's workers are for others.
  TaskThread lines_{thread_names::kLines, text::kRenderStackBytes};
};

}  // namespace paring::serve
