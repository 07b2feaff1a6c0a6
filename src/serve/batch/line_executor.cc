// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/line_executor.h"

#include <utility>

namespace paring::serve {

LineTicket::~LineTicket() {
  if (!finished_) return;
  LineAnswer lost;
  if (is_cancelled()) lost.kind = LineAnswer::Kind::kCancelled;
  lost.status = 500;
  lost.body =
      R"({"error":{"message":"the server could not answer because of a problem of its own",)"
      R"("type":"server_error","param":null,"code":null}})";
  finish(std::move(lost));
}

void LineTicket::finish(LineAnswer answer) {
  Finished finished;
  std::function<void()> dropped;  // destroyed without the lock: it may hold who holds this
  {
    const std::lock_guard lock(mutex_);
    finished = std::exchange(finished_, nullptr);
    dropped = std::exchange(on_cancel_, nullptr);
  }
  if (finished) finished(std::move(answer));
}

void LineTicket::on_cancel(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!finished_) return;
    if (!is_cancelled_.load()) {
      on_cancel_ = std::move(callback);
      return;
    }
  }
  callback();
}

void LineTicket::cancel() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    is_cancelled_.store(true);
    callback = std::exchange(on_cancel_, nullptr);
  }
  if (callback) callback();
}

}  // namespace paring::serve
