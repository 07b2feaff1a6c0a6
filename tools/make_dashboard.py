#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes deploy/grafana/paring.json, the Grafana dashboard: make_dashboard.py > deploy/grafana/paring.json

The list of panels below is what to edit. Panels of one row share the width; `$instance` is the server chosen above.
"""
import json

WIDTH = 24
S = '{instance=~"$instance"}'


def s(labels=""):
    return '{instance=~"$instance"' + (f", {labels}" if labels else "") + "}"


def rate(name, labels="", by="instance"):
    return f"sum by ({by}) (rate({name}{s(labels)}[$__rate_interval]))"


def quantile(q, name):
    return f"histogram_quantile({q}, sum by (le) (rate({name}_bucket{S}[$__rate_interval])))"


def line(title, unit, *series, stack=False, text="", upper=None, steps=None):
    """series: (expression, legend)."""
    custom = {"fillOpacity": 20 if stack else 5, "showPoints": "never", "spanNulls": False,
              "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
    defaults = {"unit": unit, "custom": custom, "min": 0}
    if upper is not None:
        defaults["max"] = upper
    if steps:
        colours = ["green", "yellow", "red"]
        defaults["thresholds"] = {"mode": "absolute", "steps": [
            {"color": colours[i], "value": value} for i, value in enumerate([None, *steps])]}
        custom["thresholdsStyle"] = {"mode": "dashed"}
    return {"type": "timeseries", "title": title, "description": text,
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                        "tooltip": {"mode": "multi", "sort": "desc"}},
            "series": [(expr, legend, "time_series") for expr, legend in series]}


def tile(title, unit, expr, steps=(), text=""):
    colours = ["green", "yellow", "red"]
    thresholds = [{"color": colours[i], "value": value} for i, value in enumerate([None, *steps])]
    return {"type": "stat", "title": title, "description": text,
            "fieldConfig": {"defaults": {"unit": unit, "noValue": "no traffic",
                                         "thresholds": {"mode": "absolute", "steps": thresholds}}, "overrides": []},
            "options": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "area",
                        "colorMode": "value", "justifyMode": "auto", "orientation": "auto", "textMode": "auto"},
            "series": [(expr, "", "time_series")]}


def heat(title, name):
    expr = f"sum by (le) (increase({name}_bucket{S}[$__rate_interval]))"
    return {"type": "heatmap", "title": title, "description": "Requests or tokens by how long they took.",
            "fieldConfig": {"defaults": {}, "overrides": []},
            "options": {"calculate": False, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                        "yAxis": {"unit": "s"}, "tooltip": {"show": True, "yHistogram": True},
                        "legend": {"show": True}},
            "series": [(expr, "{{le}}", "heatmap")]}


def table(title, text, *series):
    return {"type": "table", "title": title, "description": text,
            "fieldConfig": {"defaults": {}, "overrides": []}, "options": {"showHeader": True},
            "transformations": [{"id": "merge", "options": {}}],
            "series": [(expr, legend, "table") for expr, legend in series]}


def percentiles(name):
    mean = f"sum(rate({name}_sum{S}[$__rate_interval])) / (sum(rate({name}_count{S}[$__rate_interval])) > 0)"
    return [(quantile(q, name), f"p{round(100 * q)}") for q in (0.5, 0.95, 0.99)] + [(mean, "mean")]


TTFT = "vllm:time_to_first_token_seconds"
ITL = "vllm:inter_token_latency_seconds"
E2E = "vllm:e2e_request_latency_seconds"
QUEUE = "vllm:request_queue_time_seconds"


def mean_of(name):
    return f"sum(rate({name}_sum{S}[$__rate_interval])) / (sum(rate({name}_count{S}[$__rate_interval])) > 0)"


# (title of the section, rows of panels, height of each row)
SECTIONS = [
    ("Overview", [(4, [
        tile("Requests a second", "reqps", f"sum(rate(vllm:request_success_total{S}[$__rate_interval]))"),
        tile("Tokens a second", "short", f"sum(rate(vllm:generation_tokens_total{S}[$__rate_interval]))"),
        tile("First token, p95", "s", quantile(0.95, TTFT), (1, 2.5)),
        tile("Between tokens, p95", "s", quantile(0.95, ITL), (0.1, 0.25)),
        tile("Errors", "percentunit", f"max(paring:errors:ratio5m{S})", (0.001, 0.01)),
        tile("Cache of keys and values", "percentunit", f"max(vllm:kv_cache_usage_perc{S})", (0.9, 0.98)),
        tile("Joules a token", "joule", f"max(paring:energy_joules_per_token:ratio5m{S})",
             text="Measured or estimated: see the panel Energy."),
        tile("Live answers drifted", "short", f"max(paring:quality_live_drifted{S})", (1,))])]),
    ("Load", [(8, [
        line("Tokens a second", "short", (rate("vllm:generation_tokens_total"), "generated"),
             (rate("vllm:prompt_tokens_by_source_total", by="source"), "prompt, {{source}}")),
        line("Requests by how they ended", "reqps", (rate("vllm:request_success_total", by="finished_reason"),
                                                     "{{finished_reason}}"), stack=True)]), (8, [
        line("Tokens of a request", "short", (quantile(0.5, "vllm:request_prompt_tokens"), "prompt p50"),
             (quantile(0.95, "vllm:request_prompt_tokens"), "prompt p95"),
             (quantile(0.5, "vllm:request_generation_tokens"), "answer p50"),
             (quantile(0.95, "vllm:request_generation_tokens"), "answer p95")),
        line("Tokens a step", "short", (quantile(0.5, "vllm:iteration_tokens_total"), "p50"),
             (quantile(0.95, "vllm:iteration_tokens_total"), "p95"))])]),
    ("Latency", [(8, [line("First token", "s", *percentiles(TTFT), steps=(1, 2.5)),
                      line("Between two tokens", "s", *percentiles(ITL)),
                      line("Whole answer", "s", *percentiles(E2E))]),
                 (8, [heat("First token", TTFT), heat("Between two tokens", ITL), heat("Whole answer", E2E)]),
                 (8, [line("Where the time goes, mean of a request", "s", (mean_of(QUEUE), "queue"),
                           (mean_of("vllm:request_prefill_time_seconds"), "prompt"),
                           (mean_of("vllm:request_decode_time_seconds"), "answer"), stack=True),
                      line("Time a token, mean of a request", "s",
                           *percentiles("vllm:request_time_per_output_token_seconds"))])]),
    ("Queue and cache of keys and values", [(8, [
        line("Requests", "short", (f"sum by (model_name) (vllm:num_requests_running{S})", "{{model_name}} running"),
             (f"sum by (model_name) (vllm:num_requests_waiting{S})", "{{model_name}} waiting"),
             (f"sum by (model_name) (paring:model_requests_waiting{S})", "{{model_name}} waiting for the model")),
        line("Queue time", "s", *percentiles(QUEUE)),
        line("Pages in use", "percentunit", (f"max by (model_name) (vllm:kv_cache_usage_perc{S})", "{{model_name}}"),
             upper=1, steps=(0.9, 0.98)),
        line("Set back for want of pages", "ops", (rate("vllm:num_preemptions_total"), "{{instance}}"))])]),
    ("Caches and guesses", [(8, [
        line("Prompt tokens from cached prefixes", "percentunit",
             (f"max by (instance) (paring:prefix_cache_hits:ratio5m{S})", "{{instance}}"), upper=1),
        line("Requests answered from a cache", "reqps", (rate("paring:response_cache_hits_total"), "equal"),
             (rate("paring:semantic_cache_hits_total"), "same meaning"),
             (rate("paring:semantic_cache_false_hits_total"), "of those, wrong")),
        line("Guessed tokens that were right", "percentunit",
             (f"sum(rate(vllm:spec_decode_num_accepted_tokens_total{S}[$__rate_interval])) / "
              f"(sum(rate(vllm:spec_decode_num_draft_tokens_total{S}[$__rate_interval])) > 0)", "accepted"),
             upper=1)])]),
    ("Cost and energy", [(8, [
        line("Energy", "watt", (rate("paring:energy_joules_total", by="account"), "{{account}}"),
             (f"max(paring:energy_is_measured{S})", "1: measured, 0: estimated"), stack=False),
        line("Joules a token", "joule", (f"max by (instance) (paring:energy_joules_per_token:ratio5m{S})",
                                         "{{instance}}"),
             (f"max by (instance) (paring:energy_joules_per_token{S})", "{{instance}} since its start")),
        line("Part of energy while idle", "percentunit", (f"max by (instance) (paring:energy_idle:ratio1h{S})",
                                                          "{{instance}}"), upper=1),
        line("Money for a million tokens", "short",
             (f"1e6 * max by (instance, currency) (paring:money_per_token:ratio5m{S})", "{{instance}} {{currency}}"),
             (f"1e6 * max by (instance, currency) (paring:money_per_token{S})",
              "{{instance}} {{currency}} since its start"),
             text="Nothing without a price book (--price-book).")])]),
    ("Errors and loss", [(8, [
        line("Errors", "percentunit", (f"max by (instance) (paring:errors:ratio5m{S})", "{{instance}} 5 min"),
             (f"max by (instance) (paring:errors:ratio1h{S})", "{{instance}} 1 h"), steps=(0.001, 0.01)),
        line("Refused and gone", "reqps", (rate("vllm:admission_rejections_total"), "no room"),
             (rate("paring:http_requests_refused_total"), "malformed"),
             (rate("paring:http_timeouts_total"), "too slow"),
             (rate("paring:http_clients_gone_total"), "client left")),
        line("Rows of requests", "ops", (rate("paring:traffic_rows_total"), "written"),
             (rate("paring:traffic_dropped_total", by="reason"), "lost: {{reason}}"))])]),
    ("Roofline", [(8, [
        line("Use of the machine's limits while computing", "percentunit",
             (f"max by (model_name, limit) (paring:roofline_use:ratio5m{S})", "{{model_name}} {{limit}}"),
             (f"max by (model_name, limit) (paring:roofline_use{S})", "{{model_name}} {{limit}} since it was loaded"),
             upper=1, text="Needs `paring info` once on the server's machine (paring:machine_is_measured)."),
        line("Bytes read a second while computing", "Bps",
             (f"sum by (model_name) (rate(paring:model_read_bytes_total{S}[$__rate_interval])) / "
              f"(sum by (model_name) (rate(paring:model_step_seconds_total{S}[$__rate_interval])) > 0)",
              "{{model_name}}"),
             (f"max(paring:machine_read_bytes_per_second{S})", "measured limit")),
        line("Operations a second while computing", "ops",
             (f"sum by (model_name) (rate(paring:model_operations_total{S}[$__rate_interval])) / "
              f"(sum by (model_name) (rate(paring:model_step_seconds_total{S}[$__rate_interval])) > 0)",
              "{{model_name}}"),
             (f"max by (type) (paring:machine_operations_per_second{S})", "measured limit, {{type}}")),
        line("Operations a byte", "short",
             (f"sum by (model_name) (rate(paring:model_operations_total{S}[$__rate_interval])) / "
              f"(sum by (model_name) (rate(paring:model_read_bytes_total{S}[$__rate_interval])) > 0)",
              "{{model_name}}"),
             (f"max by (type) (paring:machine_operations_per_second{S}) / on () group_left () "
              f"max(paring:machine_read_bytes_per_second{S})", "ridge point, {{type}}"))])]),
    ("Quality", [(8, [
        line("KL of live answers from the original, nats a token", "short",
             (f"max by (model_name) (paring:quality_live_kl{S})", "{{model_name}}"),
             (f"max by (model_name) (paring:quality_live_kl_lower{S})", "{{model_name}} lower"),
             (f"max by (model_name) (paring:quality_live_kl_upper{S})", "{{model_name}} upper"),
             (f"max by (model_name) (paring:certificate_kl{S})", "{{model_name}} certificate")),
        line("Same likeliest token as the original", "percentunit",
             (f"max by (model_name) (paring:quality_live_top1{S})", "{{model_name}} live"),
             (f"max by (model_name) (paring:certificate_top1{S})", "{{model_name}} certificate"), upper=1),
        line("Mean of scores", "short", (f"max by (score, source) (paring:score_mean{S})", "{{score}} by {{source}}")),
        line("Scores", "short", (f"sum by (score, source) (paring:score_count{S})", "{{score}} by {{source}}"))]), (7, [
        table("Certificates", "What each model lost against its original, on holdout text.",
              (f"max by (model_name, variant) (paring:certificate_kl{S})", "KL"),
              (f"max by (model_name, variant) (paring:certificate_top1{S})", "top-1"),
              (f"max by (model_name, variant) (paring:certificate_perplexity_ratio{S})", "perplexity ratio"),
              (f"max by (model_name, variant) (paring:certificate_bytes_ratio{S})", "bytes ratio"))])]),
    ("Machine", [(8, [
        line("Busy CPUs", "short", (f"max by (instance) (paring:host_busy_cpus{S})", "{{instance}} machine"),
             (f"max by (instance) (paring:process_busy_cpus{S})", "{{instance}} server")),
        line("Memory", "bytes", (f"max by (instance) (paring:process_resident_memory_bytes{S})", "{{instance}} server"),
             (f"max by (instance) (paring:host_memory_available_bytes{S})", "{{instance}} available")),
        line("Bytes moved by memory controllers", "Bps",
             (f"sum by (instance) (rate(paring:host_memory_moved_bytes_total{S}[$__rate_interval]))", "{{instance}}"),
             text="Counters of the hardware, where the system lets us look; most virtual machines do not."),
        line("GPUs", "percentunit", (f"max by (instance, gpu) (paring:gpu_use_ratio{S})", "{{instance}} {{gpu}} use"),
             (f"max by (instance, gpu) (paring:gpu_memory_used_bytes{S} / paring:gpu_memory_total_bytes{S})",
              "{{instance}} {{gpu}} memory"), upper=1),
        line("Power of GPUs", "watt", (f"max by (instance, gpu) (paring:gpu_power_watts{S})",
                                         "{{instance}} {{gpu}}"))])]),
]


def placed():
    panels, y = [], 0
    source = {"type": "prometheus", "uid": "${datasource}"}
    for title, rows in SECTIONS:
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], "id": len(panels) + 1,
                       "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        y += 1
        for height, row in rows:
            edges = [WIDTH * i // len(row) for i in range(len(row) + 1)]
            for panel, left, right in zip(row, edges, edges[1:]):
                panel = dict(panel)
                panel["targets"] = [
                    {"datasource": source, "expr": expr, "legendFormat": legend, "format": form,
                     "refId": chr(ord("A") + i),
                     "instant": form == "table", "range": form != "table"}
                    for i, (expr, legend, form) in enumerate(panel.pop("series"))]
                panels.append({**panel, "id": len(panels) + 1, "datasource": source,
                               "gridPos": {"x": left, "y": y, "w": right - left, "h": height}})
            y += height
    return panels


def dashboard():
    return {
        "uid": "paring", "title": "Paring", "tags": ["paring", "llm"], "schemaVersion": 38, "version": 1,
        "description": "Load, latency, caches, cost, energy, limits of the machine and quality of paring serve.",
        "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "", "links": [],
        "time": {"from": "now-1h", "to": "now"}, "annotations": {"list": []},
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0},
            {"name": "instance", "label": "Server", "type": "query", "multi": True, "includeAll": True,
             "allValue": ".*",
             "refresh": 2, "hide": 0, "sort": 1, "datasource": {"type": "prometheus", "uid": "${datasource}"},
             "definition": "label_values(vllm:generation_tokens_total, instance)",
             "query": {"query": "label_values(vllm:generation_tokens_total, instance)", "refId": "instance"},
             "current": {"text": ["All"], "value": ["$__all"]}}]},
        "panels": placed()}


def text():
    """A line for each panel, so that a change shows as one."""
    whole = dashboard()
    panels = ",\n".join("  " + json.dumps(panel) for panel in whole.pop("panels"))
    return json.dumps(whole, indent=1)[:-2] + ',\n "panels": [\n' + panels + "\n ]\n}\n"


if __name__ == "__main__":
    print(text(), end="")
