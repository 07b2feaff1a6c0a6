// SPDX-License-Identifier: Apache-2.0
// paring pull: fetches a model from a hub into the local cache.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "hub/hub_name.h"
#include "hub/hub_settings.h"
#include "hub/pull.h"
#include "io/printable.h"

namespace paring::cli {

namespace {

struct PullFlags {
  std::string model;
  bool lists = false;
  bool is_json = false;
};

Json files_json(const std::vector<hub::HubFile>& files) {
  Json json = Json::array();
  for (const hub::HubFile& file : files) {
    json.push_back({{"path", file.path}, {"bytes", file.bytes}, {"hash", file.hash}});
  }
  return json;
}

std::string files_text(const std::vector<hub::HubFile>& files) {
  Table table({{"file", Align::kLeft}, {"size", Align::kRight}, {"hash", Align::kLeft}});
  for (const hub::HubFile& file : files) {
    table.add({io::printable(file.path), format_bytes(file.bytes), file.hash.substr(0, 12)});
  }
  return table.render();
}

Result<void> list(Context& context, const PullFlags& flags, const hub::HubName& name,
                  const hub::HubSettings& settings) {
  PARING_TRY(const hub::HubListing listing, hub::list_files(name, settings));
  if (flags.is_json) {
    context.output().write_json({{"repository", name.repository()},
                                 {"revision", name.revision},
                                 {"commit", listing.commit},
                                 {"files", files_json(listing.files)}});
    return {};
  }
  context.output().write(files_text(listing.files));
  return {};
}

Result<void> run(Context& context, const PullFlags& flags) {
  PARING_TRY(const hub::HubName name, hub::parse_hub_name(flags.model));
  PARING_TRY(const hub::HubSettings settings, hub::read_hub_settings(environ));
  if (flags.lists) return list(context, flags, name, settings);
  const OnInterrupt interrupted(
      "\nparing: stopped; what was fetched is kept, and the same command goes on from there\n");
  PARING_TRY(const hub::PulledModel model,
             hub::pull(name, hub::HubContent::kAny, settings, context.progress()));
  if (flags.is_json) {
    context.output().write_json({{"repository", name.repository()},
                                 {"revision", name.revision},
                                 {"commit", model.commit},
                                 {"path", model.path},
                                 {"bytes", model.bytes},
                                 {"downloaded_bytes", model.downloaded_bytes},
                                 {"files", files_json(model.files)}});
    return {};
  }
  context.output().write(files_text(model.files));
  Facts facts;
  facts.add("commit", model.commit);
  facts.add("in all", format_bytes(model.bytes));
  facts.add("downloaded now", format_bytes(model.downloaded_bytes));
  facts.add("path", io::printable(model.path));
  context.output().write("\n" + facts.render());
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<PullFlags>();
  app.add_option("MODEL", flags->model,
                 "hf:OWNER/NAME[@REVISION][:FILE]; FILE is a path or a tag such as Q4_K_M")
      ->required()
      ->type_name("");
  app.add_flag("--list", flags->lists, "Only list what the repository holds");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kPull;
const Command kPull{"pull", "Fetches a model from the Hugging Face hub",
                    "  paring pull hf:owner/name\n"
                    "  paring pull hf:owner/name:Q4_K_M\n"
                    "  paring pull hf:owner/name@v1.0 --list\n"
                    "HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_CACHE are read as the hub's own\n"
                    "tools read them; what they have fetched is found, and the other way round.\n",
                    /*is_hidden=*/false, define};

}  // namespace paring::cli
