// SPDX-License-Identifier: Apache-2.0
// How options are shown in help: as CLI11 does, but for the options that one needs or excludes,
// which CLI11 lists by their addresses. Help and the reference page are the same in any build.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace paring::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override;
};

}  // namespace paring::cli
