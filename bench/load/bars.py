# SPDX-License-Identifier: Apache-2.0
"""What the comparison is to show, and whether it does. A ratio is Paring's figure over the peer's, a repeat each."""
import math
import statistics

LATENCY_MAX, TOKENS_MIN, GOODPUT_MIN, REUSED_MIN, GAP_MAX = 0.5, 2.2, 2.0, 0.9, 3.0


def ratios(ours, theirs):
    """Median, least and largest of the ratios of repeats that belong together; none (NaN) meets no bar."""
    values = [one / other if other else math.nan for one, other in zip(ours, theirs)]
    return {"median": statistics.median(values), "least": min(values), "largest": max(values)}


def of_rows(rows, figure):
    return ratios([figure(row) for row in rows["paring"]], [figure(row) for row in rows["llama-server"]])


def best_goodput(trace, name, repeat):
    """Over all loads that were offered."""
    return max(load[name][repeat]["goodput"] for load in trace["loads"])


def goodput_ratios(trace, repeats):
    return ratios(*([best_goodput(trace, name, repeat) for repeat in range(repeats)]
                    for name in ("paring", "llama-server")))


def bar(what, value, limit, is_most):
    return {"what": what, "value": value, "limit": limit, "is_most": is_most,
            "is_met": value <= limit if is_most else value >= limit}


def of_trace(name, trace, repeats):
    yield bar(f"{name}: output tokens/s with many clients",
              of_rows(trace["bears"], lambda row: row["tokens_per_second"])["median"], TOKENS_MIN, False)
    for load in trace.get("loads", []):
        if load["load"] > 1:
            continue
        for percent in ("p50", "p99"):
            value = of_rows(load, lambda row, percent=percent: row["ttft"][percent])["median"]
            yield bar(f"{name}: {percent} of the first token's time at {load['load']:g}", value, LATENCY_MAX, True)
    if trace.get("loads"):
        yield bar(f"{name}: requests a second within the objective", goodput_ratios(trace, repeats)["median"],
                  GOODPUT_MIN, False)


def of(result):
    found = []
    for name, trace in result.get("traces", {}).items():
        found += of_trace(name, trace, result["repeats"])
    if "chats" in result:
        reused = statistics.median(row["reused"] for row in result["chats"]["paring"])
        found.append(bar("conversations: reusable tokens from the cache", reused, REUSED_MIN, False))
    if "long" in result:
        ratio = statistics.median(row["ratio"] for row in result["long"]["paring"])
        found.append(bar("long prompt: worst gap of streams over their median", ratio, GAP_MAX, True))
    return found
