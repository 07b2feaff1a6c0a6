// SPDX-License-Identifier: Apache-2.0
// The signals that a server waits for.
#pragma once

#include <signal.h>

namespace paring::cli {

// SIGINT, SIGTERM and SIGHUP, taken by the thread that waits for them and by no other: made before
// other threads are.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  int wait() const;
  // Whether one to end has come meanwhile.
  bool has_another() const;

 private:
  sigset_t set_;
  sigset_t before_;
};

}  // namespace paring::cli
