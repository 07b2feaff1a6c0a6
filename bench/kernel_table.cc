// SPDX-License-Identifier: Apache-2.0
#include "kernel_table.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "cost/machine.h"
#include "kernels/ops.h"

namespace paring::bench {

namespace {

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
    end = name.find('/', begin);
    parts.push_back(name.substr(begin, end - begin));
  }
  return parts;
}

// Integer products, and attention over a cache of integers, are held against the int8 peak.
bool is_integer(const KernelFigure& figure) {
  if (figure.kernel != "attention") return figure.kernel == "matmul_q";
  const auto type = kernels::find_kv_type(figure.type);
  return type && kernels::is_integer(*type);
}

// The other benchmarks go over the same bytes again and again, in the caches.
bool reads_memory(const KernelFigure& figure) {
  return figure.kernel.starts_with("matmul") && figure.rows.size() == 1;  // 1 to 8 rows
}

std::string digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value >= 100 ? "%.0f" : "%.1f", value);
  return text;
}

std::string percent(double share) { return share > 0 ? digits(100 * share) + " %" : ""; }

std::string heading(const std::vector<cost::Probes>& probes) {
  std::string text = cost::read_machine().cpu + ", one thread, commit " + version_commit() + ".";
  for (const cost::Probes& p : probes) {
    text += " " + p.isa + ": f32 " + digits(p.f32_operations_per_second / 1e9) + " GOP/s, int8 " +
            digits(p.int8_operations_per_second / 1e9) + " GOP/s, bf16 " +
            digits(p.bf16_operations_per_second / 1e9) + " GOP/s, reads " +
            digits(p.read_bytes_per_second / 1e9) + " GB/s.";
    const std::string note = cost::busy_note(p.own_share);
    if (!note.empty()) text += " (" + note + ")";
  }
  return text + "\n";
}

std::string markdown_of(const std::vector<KernelFigure>& figures,
                        const std::vector<cost::Probes>& probes) {
  std::string text = heading(probes);
  text +=
      "\n| kernel | level | type | shape | rows | GOP/s | of peak | GB/s | of bandwidth | of limit "
      "|\n|---|---|---|---|---:|---:|---:|---:|---:|---:|\n";
  for (const KernelFigure& f : figures) {
    text += "| " + f.kernel + " | " + f.level + " | " + f.type + " | " + f.shape + " | " + f.rows +
            " | " + digits(f.gops) + " | " + percent(f.of_peak) + " | " + digits(f.gigabytes) +
            " | " + percent(f.of_bandwidth) + " | " + percent(std::max(f.of_peak, f.of_bandwidth)) +
            " |\n";
  }
  return text;
}

nlohmann::ordered_json json_of(const std::vector<KernelFigure>& figures,
                               const std::vector<cost::Probes>& probes) {
  nlohmann::ordered_json json;
  json["cpu"] = cost::read_machine().cpu;
  json["commit"] = version_commit();
  json["threads"] = 1;
  for (const cost::Probes& p : probes) {
    json["peaks"][p.isa] = {{"f32_gops", p.f32_operations_per_second / 1e9},
                            {"int8_gops", p.int8_operations_per_second / 1e9},
                            {"bf16_gops", p.bf16_operations_per_second / 1e9},
                            {"read_gigabytes_per_second", p.read_bytes_per_second / 1e9},
                            {"own_time_share", p.own_share}};
  }
  json["kernels"] = nlohmann::ordered_json::array();
  for (const KernelFigure& f : figures) {
    json["kernels"].push_back({{"kernel", f.kernel},
                               {"level", f.level},
                               {"type", f.type},
                               {"shape", f.shape},
                               {"rows", f.rows},
                               {"gops", f.gops},
                               {"gigabytes_per_second", f.gigabytes},
                               {"of_peak", f.of_peak},
                               {"of_bandwidth", f.of_bandwidth}});
  }
  return json;
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) std::fprintf(stderr, "kernels_bench: cannot write '%s'\n", path.c_str());
  return static_cast<bool>(out);
}

}  // namespace

// Measured when the first figure of a level comes.
const cost::Probes* KernelTableReporter::probes(const std::string& level) {
  for (const cost::Probes& known : probes_) {
    if (known.isa == level) return &known;
  }
  const auto executor = Executor::create({.threads = 1});
  if (!executor) return nullptr;
  auto measured = cost::measure_probes(*executor.value(), {.isa = level});
  if (!measured) return nullptr;
  probes_.push_back(std::move(*measured));
  return &probes_.back();
}

void KernelTableReporter::ReportRuns(const std::vector<Run>& runs) {
  benchmark::ConsoleReporter::ReportRuns(runs);
  for (const Run& run : runs) {
    const std::vector<std::string> parts = split(run.benchmark_name());
    if (parts.size() < 4 || run.error_occurred || run.run_type != Run::RT_Iteration) continue;
    KernelFigure figure{parts[0], parts[1], parts[2], parts[3], parts.size() > 4 ? parts[4] : ""};
    const auto counter = [&](const char* name) {
      const auto found = run.counters.find(name);
      return found == run.counters.end() ? 0.0 : found->second.value;
    };
    figure.gops = counter("GOPS");
    figure.gigabytes = counter("GB/s");
    if (const cost::Probes* peak = probes(figure.level)) {
      const double operations = figure.kernel == "matmul_bf16" ? peak->bf16_operations_per_second
                                : is_integer(figure)           ? peak->int8_operations_per_second
                                                               : peak->f32_operations_per_second;
      figure.of_peak = figure.gops * 1e9 / operations;
      if (reads_memory(figure)) {
        figure.of_bandwidth = figure.gigabytes * 1e9 / peak->read_bytes_per_second;
      }
    }
    figures_.push_back(std::move(figure));
  }
}

bool KernelTableReporter::write(const std::string& markdown_path,
                                const std::string& json_path) const {
  bool is_written = true;
  if (!markdown_path.empty())
    is_written = write_file(markdown_path, markdown_of(figures_, probes_));
  if (!json_path.empty()) {
    is_written = write_file(json_path, json_of(figures_, probes_).dump(2) + "\n") && is_written;
  }
  return is_written;
}

}  // namespace paring::bench
