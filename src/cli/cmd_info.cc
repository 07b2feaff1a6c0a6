// SPDX-License-Identifier: Apache-2.0
// paring info: this machine as the engine sees it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/figures.h"
#include "cli/machine_figures.h"
#include "cli/table.h"
#include "cost/energy.h"
#include "cost/machine.h"
#include "cost/probes.h"
#include "kernels/op_list.h"
#include "kernels/ops.h"

namespace paring::cli {

namespace {

struct Info {
  cost::Machine machine;
  cost::Probes probes;
  std::vector<std::string> energy_domains;
  std::string energy_error;
};

Result<Info> collect(Context& context) {
  Info info;
  info.machine = cost::read_machine();
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(info.probes, cost::measure_probes(*executor));
  const Result<cost::EnergyReader> energy = cost::EnergyReader::create();
  if (energy) {
    info.energy_domains = energy->domains();
  } else {
    info.energy_error = energy.error().text();
  }
  return info;
}

std::string implementation_of(const kernels::OpName& op) {
  const kernels::KernelTable& table = kernels::kernels();
  if (!op.is_there(table)) return "none";
  const bool is_bf16 = std::string_view(op.name) == "matmul_bf16";
  return is_bf16 && !kernels::check_fast() ? "not on this CPU" : kernels::origin_of(op, table);
}

Json to_json(const Info& info) {
  const cost::Machine& m = info.machine;
  Json json;
  json["cpu"] = m.cpu;
  json["cpu_flags"] = m.isa_flags;
  json["isa"] = kernels::kernels().isa;
  for (const kernels::IsaLevel& level : kernels::isa_levels()) {
    const char* missing = level.missing();
    json["isa_levels"].push_back({{"name", level.name},
                                  {"supported", missing == nullptr},
                                  {"missing", missing == nullptr ? Json() : Json(missing)}});
  }
  for (const kernels::OpName& op : kernels::op_names()) {
    json["operations"][op.name] = implementation_of(op);
  }
  json["logical_cpus"] = m.logical_cpus;
  json["cores"] = m.cores;
  json["usable_cores"] = m.usable_cores;
  json["cpu_quota"] = m.cpu_quota ? Json(*m.cpu_quota) : Json();
  json["cache"] = {{"l1d_bytes", m.l1d_bytes}, {"l2_bytes", m.l2_bytes}, {"l3_bytes", m.l3_bytes}};
  json["memory"] = {
      {"bytes", m.memory_bytes},
      {"limit_bytes", m.memory_limit_bytes ? Json(*m.memory_limit_bytes) : Json()},
      {"available_bytes", m.memory_available_bytes ? Json(*m.memory_available_bytes) : Json()}};
  json["threads"] = info.probes.threads;
  json["limits"] = limits_json(info.probes);
  json["energy"] = {{"available", !info.energy_domains.empty()}, {"domains", info.energy_domains}};
  json["version"] = version();
  json["commit"] = version_commit();
  return json;
}

std::string bytes_or_unknown(std::uint64_t bytes) {
  return bytes == 0 ? "not known" : format_bytes(bytes);
}

std::string to_text(const Info& info) {
  const cost::Machine& m = info.machine;
  Facts facts;
  facts.add("cpu", m.cpu.empty() ? "not known" : m.cpu);
  std::string flags;
  for (const std::string& flag : m.isa_flags) flags += (flags.empty() ? "" : " ") + flag;
  facts.add("flags", flags);
  facts.add("cores", fmt::format("{} usable; {} physical, {} logical CPUs in the affinity mask{}",
                                 m.usable_cores, m.cores, m.logical_cpus,
                                 m.cpu_quota ? fmt::format(", quota {:.2f} CPUs", *m.cpu_quota)
                                             : std::string(", no quota")));
  facts.add("caches", fmt::format("L1d {}, L2 {} a core; L3 {}", bytes_or_unknown(m.l1d_bytes),
                                  bytes_or_unknown(m.l2_bytes), bytes_or_unknown(m.l3_bytes)));
  facts.add("memory",
            fmt::format("{}{}{}", bytes_or_unknown(m.memory_bytes),
                        m.memory_limit_bytes ? ", limited to " + format_bytes(*m.memory_limit_bytes)
                                             : std::string(),
                        m.memory_available_bytes
                            ? ", available " + format_bytes(*m.memory_available_bytes)
                            : std::string()));
  facts.gap();
  facts.add("with " + counted(info.probes.threads, "thread"), "measured");
  facts.add("memory bandwidth",
            format_bytes(static_cast<std::uint64_t>(info.probes.read_bytes_per_second)) + "/s");
  facts.add("f32 peak", format_operations(info.probes.f32_operations_per_second) + "/s");
  facts.add("int8 peak", format_operations(info.probes.int8_operations_per_second) + "/s");
  const double bf16 = info.probes.bf16_operations_per_second;
  facts.add("bf16 peak", bf16 > 0 ? format_operations(bf16) + "/s" : "no products in BF16");
  const std::string busy = cost::busy_note(info.probes.own_share);
  if (!busy.empty()) facts.add("these figures", busy + ": the machine can do more");
  facts.add("energy counters",
            info.energy_domains.empty() ? "not available: " + info.energy_error : "available");
  facts.gap();
  facts.add("kernels", kernels::kernels().isa);
  for (const kernels::IsaLevel& level : kernels::isa_levels()) {
    const char* missing = level.missing();
    facts.add(fmt::format("  {}", level.name),
              missing == nullptr ? "runs here" : fmt::format("does not run here: {}", missing));
  }
  Table table({{"operation"}, {"implementation"}});
  for (const kernels::OpName& op : kernels::op_names()) {
    table.add({op.name, implementation_of(op)});
  }
  facts.gap();
  facts.add("paring", fmt::format("{} ({})", version(), version_commit()));
  return facts.render() + "\n" + table.render();
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto is_json = std::make_shared<bool>(false);
  add_json_flag(app, *is_json);
  return [is_json](Context& context) -> Result<void> {
    PARING_TRY(const Info info, collect(context));
    // For `paring serve`. A figure that cannot be kept was measured all the same.
    const Result<std::string> path = machine_figures_path();
    if (path) {
      if (const auto kept = save_machine_figures(*path, info.machine.cpu, info.probes); !kept) {
        log_warning("figures of this machine are not kept: " + kept.error().text());
      }
    }
    if (*is_json) {
      context.output().write_json(to_json(info));
    } else {
      context.output().write(to_text(info));
    }
    return {};
  };
}

}  // namespace

extern const Command kInfo;
const Command kInfo{"info", "This machine: CPU, kernels, cores, memory, measured limits",
                    "  paring info\n"
                    "  paring info --json --threads 1\n",
                    /*is_hidden=*/false, define};

}  // namespace paring::cli
