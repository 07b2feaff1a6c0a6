// SPDX-License-Identifier: Apache-2.0
#include "cli/signals.h"

#include <pthread.h>

#include <csignal>

namespace paring::cli {

Signals::Signals() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGINT);
  sigaddset(&set_, SIGTERM);
  sigaddset(&set_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set_, &before_);
}

Signals::~Signals() {
  // One that came late is dropped: the process is about to end anyway.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int Signals::wait() const {
  int signal = 0;
  sigwait(&set_, &signal);
  return signal;
}

bool Signals::has_another() const {
  const timespec no_time = {};
  int signal = 0;
  do signal = sigtimedwait(&set_, nullptr, &no_time);
  while (signal == SIGHUP);
  return signal > 0;
}

}  // namespace paring::cli
