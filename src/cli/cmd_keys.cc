// SPDX-License-Identifier: Apache-2.0
// paring keys: API keys of the server, in its database. A running server sees changes at once.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "serve/access/key_admin.h"
#include "serve/access/key_file.h"
#include "store/audit.h"
#include "store/data_folder.h"
#include "store/ledger.h"

namespace paring::cli {

namespace {

struct KeysFlags {
  std::string action;
  std::string which;
  std::string name;
  std::string tenant = serve::kDefaultTenant;
  std::string scopes = serve::default_scopes().text();
  std::string lifetime;
  std::int64_t requests_per_minute = 0;  // 0: no limit, as below
  std::int64_t tokens_per_minute = 0;
  std::int64_t concurrent = 0;
  std::int64_t weight = 100;
  std::int64_t tokens_per_day = 0;
  std::int64_t tokens_per_month = 0;
  std::int64_t tokens_in_all = 0;
  std::int64_t last = 100;
  bool is_json = false;
};

std::optional<std::int64_t> limit_of(std::int64_t flag) {
  return flag == 0 ? std::nullopt : std::optional(flag);
}

Result<serve::KeySpec> spec_of(const KeysFlags& flags) {
  serve::KeySpec spec;
  spec.name = flags.name;
  spec.tenant = flags.tenant;
  PARING_TRY(spec.scopes, serve::parse_scopes(flags.scopes));
  if (!flags.lifetime.empty()) {
    if (flags.lifetime.find_first_not_of("0123456789.") == std::string::npos) {
      return invalid_argument(fmt::format("--expires-in {} has no unit", flags.lifetime),
                              "write 90d, 12h or 30min");
    }
    PARING_TRY(spec.lifetime_seconds, parse_duration(flags.lifetime));
  }
  spec.limits = {.requests_per_minute = limit_of(flags.requests_per_minute),
                 .tokens_per_minute = limit_of(flags.tokens_per_minute),
                 .concurrent_requests = limit_of(flags.concurrent),
                 .weight = flags.weight};
  const std::pair<store::BudgetPeriod, std::int64_t> budgets[] = {
      {store::BudgetPeriod::kDay, flags.tokens_per_day},
      {store::BudgetPeriod::kMonth, flags.tokens_per_month},
      {store::BudgetPeriod::kTotal, flags.tokens_in_all}};
  for (const auto& [period, tokens] : budgets) {
    if (tokens != 0) spec.limits.budgets.push_back({period, tokens});
  }
  return spec;
}

std::string time_text(std::optional<std::int64_t> at_s) {
  return at_s ? format_utc(static_cast<double>(*at_s)) : "";
}

std::string state_of(const store::KeyRow& key) {
  if (key.revoked_s) return "revoked";
  const double now = system_clock().wall_seconds();
  return key.expires_s && static_cast<double>(*key.expires_s) <= now ? "expired" : "active";
}

Json optional_json(std::optional<std::int64_t> value) { return value ? Json(*value) : Json(); }

Json limits_json(const store::KeyLimits& limits) {
  Json budgets = Json::object();
  for (const store::Budget& budget : limits.budgets) {
    budgets[store::budget_period_name(budget.period)] = budget.tokens;
  }
  return {{"requests_per_minute", optional_json(limits.requests_per_minute)},
          {"tokens_per_minute", optional_json(limits.tokens_per_minute)},
          {"concurrent_requests", optional_json(limits.concurrent_requests)},
          {"weight", limits.weight},
          {"budget_tokens", budgets}};
}

Json key_json(const store::KeyRow& key) {
  return {{"id", key.id},
          {"name", key.name},
          {"tenant", key.tenant},
          {"begins_with", "pk-" + key.lookup},
          {"scopes", key.scopes},
          {"state", state_of(key)},
          {"created_at", key.created_s},
          {"expires_at", optional_json(key.expires_s)},
          {"revoked_at", optional_json(key.revoked_s)},
          {"last_used_at", optional_json(key.last_used_s)},
          {"limits", limits_json(key.limits)}};
}

void add_limit(Facts& facts, const char* name, std::optional<std::int64_t> limit) {
  if (limit) facts.add(name, group_digits(static_cast<std::uint64_t>(*limit)));
}

std::string facts_text(const store::KeyRow& key, const std::vector<store::SpendRow>& spend) {
  Facts facts;
  facts.add("id", key.id);
  facts.add("name", key.name);
  facts.add("tenant", key.tenant);
  facts.add("begins with", "pk-" + key.lookup);
  facts.add("scopes", key.scopes);
  facts.add("state", state_of(key));
  facts.add("created", time_text(key.created_s));
  if (key.expires_s) facts.add("expires", time_text(key.expires_s));
  if (key.revoked_s) facts.add("revoked", time_text(key.revoked_s));
  facts.add("last used", key.last_used_s ? time_text(key.last_used_s) : "never");
  add_limit(facts, "requests a minute", key.limits.requests_per_minute);
  add_limit(facts, "tokens a minute", key.limits.tokens_per_minute);
  add_limit(facts, "concurrent", key.limits.concurrent_requests);
  facts.add("weight", std::to_string(key.limits.weight));
  for (const store::Budget& budget : key.limits.budgets) {
    std::string text = fmt::format("{} tokens", budget.tokens);
    for (const store::SpendRow& row : spend) {
      if (row.period != budget.period) continue;
      text += fmt::format(", {} used, {} reserved", row.settled, row.reserved);
    }
    facts.add(fmt::format("budget ({})", store::budget_period_name(budget.period)), text);
  }
  return facts.render();
}

Result<void> create(Context& context, const KeysFlags& flags, const serve::KeyAdmin& admin) {
  PARING_TRY(const serve::KeySpec spec, spec_of(flags));
  PARING_TRY(const serve::CreatedKey created, admin.create(spec));
  if (flags.is_json) {
    Json json = key_json(created.row);
    json["key"] = created.text;
    context.output().write_json(json);
    return {};
  }
  context.output().write(facts_text(created.row, {}) + "\n" + created.text + "\n");
  print_note(
      fmt::format("this is the only time that the key is shown; requests bring it like this: "
                  "curl -H 'Authorization: Bearer KEY' http://127.0.0.1:{}/v1/models",
                  context.settings().serve_port));
  return {};
}

Result<void> show(Context& context, const KeysFlags& flags, const store::ControlDb& control,
                  const serve::KeyAdmin& admin) {
  PARING_TRY(const store::KeyRow key, admin.find(flags.which));
  const auto now_s = static_cast<std::int64_t>(system_clock().wall_seconds());
  PARING_TRY(const std::vector<store::SpendRow> spend, store::Ledger(control).spend(key.id, now_s));
  if (!flags.is_json) {
    context.output().write(facts_text(key, spend));
    return {};
  }
  Json json = key_json(key);
  for (const store::SpendRow& row : spend) {
    json["spend"][store::budget_period_name(row.period)] = {
        {"since", row.start_s}, {"settled_tokens", row.settled}, {"reserved_tokens", row.reserved}};
  }
  context.output().write_json(json);
  return {};
}

Result<void> revoke(Context& context, const KeysFlags& flags, const serve::KeyAdmin& admin) {
  PARING_TRY(const store::KeyRow key, admin.find(flags.which));
  PARING_TRY(const bool is_new, admin.revoke(key.id));
  if (flags.is_json) {
    context.output().write_json({{"id", key.id}, {"name", key.name}, {"was_active", is_new}});
    return {};
  }
  context.output().write(
      fmt::format("{} '{}' {}\n", key.id, key.name, is_new ? "is revoked" : "was revoked before"));
  return {};
}

Result<void> list(Context& context, const KeysFlags& flags, const serve::KeyAdmin& admin) {
  PARING_TRY(const std::vector<store::KeyRow> keys, admin.list());
  // A server takes them as well.
  PARING_TRY(
      const std::vector<serve::FileKey> others,
      serve::operator_keys(context.settings().api_key_file, std::getenv(serve::kKeyVariable)));
  if (flags.is_json) {
    Json json = {{"keys", Json::array()}, {"file_keys", Json::array()}};
    for (const store::KeyRow& key : keys) json["keys"].push_back(key_json(key));
    for (const serve::FileKey& key : others) {
      json["file_keys"].push_back({{"id", key.principal.key_id},
                                   {"name", key.principal.name},
                                   {"tenant", key.principal.tenant},
                                   {"scopes", key.principal.scopes.text()},
                                   {"limits", limits_json(key.principal.limits)}});
    }
    context.output().write_json(json);
    return {};
  }
  Table table({{"id"}, {"name"}, {"tenant"}, {"scopes"}, {"state"}, {"expires"}, {"last used"}});
  for (const store::KeyRow& key : keys) {
    table.add({key.id, key.name, key.tenant, key.scopes, state_of(key), time_text(key.expires_s),
               time_text(key.last_used_s)});
  }
  for (const serve::FileKey& key : others) {
    table.add({key.principal.key_id, key.principal.name, key.principal.tenant,
               key.principal.scopes.text(), "active", "", ""});
  }
  context.output().write(table.render());
  return {};
}

Result<void> audit(Context& context, const KeysFlags& flags, const store::ControlDb& control) {
  PARING_TRY(const std::vector<store::AuditRow> rows, store::AuditLog(control).tail(flags.last));
  if (flags.is_json) {
    Json json = Json::array();
    for (const store::AuditRow& row : rows) {
      json.push_back({{"id", row.id},
                      {"at", row.at_s},
                      {"actor", row.actor},
                      {"action", row.action},
                      {"object", row.object},
                      {"result", row.result},
                      {"detail", row.detail}});
    }
    context.output().write_json({{"rows", std::move(json)}});
    return {};
  }
  Table table({{"time"}, {"actor"}, {"action"}, {"object"}, {"result"}, {"detail"}});
  for (const store::AuditRow& row : rows) {
    table.add({time_text(row.at_s), row.actor, row.action, row.object, row.result, row.detail});
  }
  context.output().write(table.render());
  return {};
}

Result<void> run(Context& context, KeysFlags flags) {
  const bool needs_key = flags.action == "revoke" || flags.action == "show";
  if (flags.action == "create" && !flags.which.empty()) {
    if (!flags.name.empty()) return invalid_argument("the new key is given two names");
    flags.name = std::exchange(flags.which, {});
  }
  if (needs_key != !flags.which.empty()) {
    return invalid_argument(needs_key ? fmt::format("'keys {}' needs a KEY", flags.action)
                                      : fmt::format("'keys {}' takes no KEY", flags.action),
                            "'paring keys list' shows ids and names");
  }
  if (flags.action == "create" && flags.name.empty()) {
    return invalid_argument("a key needs a name", "'paring keys create NAME'");
  }
  PARING_TRY(const std::string folder, store::data_folder(context.settings().data_dir, environ));
  PARING_TRY(const store::ControlDb control, store::ControlDb::open({.folder = folder}));
  const serve::KeyAdmin admin(control, "cli");
  if (flags.action == "create") return create(context, flags, admin);
  if (flags.action == "revoke") return revoke(context, flags, admin);
  if (flags.action == "show") return show(context, flags, control, admin);
  if (flags.action == "audit") return audit(context, flags, control);
  return list(context, flags, admin);
}

void add_limits(CLI::App& app, KeysFlags& flags) {
  const auto add = [&](const char* name, std::int64_t& target, const char* help) {
    app.add_option(name, target, help)
        ->type_name("N")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  };
  add("--requests-per-minute", flags.requests_per_minute, "Most requests a minute");
  add("--tokens-per-minute", flags.tokens_per_minute, "Most tokens a minute, prompts and answers");
  add("--concurrent", flags.concurrent, "Most requests at a time");
  add("--weight", flags.weight, "Share of the machine beside other keys (default 100)");
  add("--tokens-per-day", flags.tokens_per_day, "Budget of tokens a day (UTC)");
  add("--tokens-per-month", flags.tokens_per_month, "Budget of tokens a month (UTC)");
  add("--tokens-in-all", flags.tokens_in_all, "Budget of tokens for good");
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<KeysFlags>();
  app.add_option("ACTION", flags->action, "create, list, show, revoke or audit")
      ->required()
      ->type_name("")
      ->check(CLI::IsMember({"create", "list", "show", "revoke", "audit"}));
  app.add_option("KEY", flags->which,
                 "Id, name or first letters, for show and revoke; name, for create")
      ->type_name("");
  app.add_option("--name", flags->name, "Name of the new key")->type_name("NAME");
  app.add_option("--tenant", flags->tenant, "Whose files, batches and caches it shares")
      ->type_name("NAME");
  app.add_option("--scopes", flags->scopes,
                 "What it may do: " + serve::all_scopes().text() + " (default " +
                     serve::default_scopes().text() + ")")
      ->type_name("SCOPES");
  app.add_option("--expires-in", flags->lifetime, "Until it expires, such as 90d or 12h")
      ->type_name("TIME");
  add_limits(app, *flags);
  app.add_option("--last", flags->last, "Rows of the audit log, the newest (default 100)")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kKeys;
const Command kKeys{"keys", "Makes, lists and revokes API keys of the server, prints its audit log",
                    "  paring keys create laptop\n"
                    "  paring keys create ci --scopes inference --expires-in 90d "
                    "--tokens-per-day 1000000\n"
                    "  paring keys list\n"
                    "  paring keys revoke ci\n"
                    "  paring keys audit --last 20\n"
                    "A running server that uses the same --data-dir sees every change at once.\n",
                    /*is_hidden=*/false, define};

}  // namespace paring::cli
