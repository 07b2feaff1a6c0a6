# SPDX-License-Identifier: Apache-2.0
"""The result of serve_load.py as JSON and as Markdown."""
import json
import math
import statistics

from load import bars

NAMES = ("paring", "llama-server")
OTHERS_MAX = 0.1  # of a processor: more, and figures are those of a busy machine


def without_nan(value):
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(result):
    return json.dumps(without_nan(result), indent=1) + "\n"


def table(titles, rows):
    return "\n".join([f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *rows]) + "\n"


def row(*cells):
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def seconds(value):
    if not math.isfinite(value):
        return "none"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.0f} ms" if value >= 0.1 else f"{1000 * value:.1f} ms"


def ratio_text(found):
    return f"{found['median']:.2f} ({found['least']:.2f} to {found['largest']:.2f})"


def middle(rows, figure):
    return statistics.median(map(figure, rows))


def measurements(result):
    """Every measurement of both servers."""
    for trace in result.get("traces", {}).values():
        for rows in [trace["bears"], *trace.get("loads", [])]:
            yield from (one for name in NAMES for one in rows[name])
    for part in ("chats", "long"):
        if part in result:
            yield from (one for name in NAMES for one in result[part][name])


def heading(result):
    machine = result["machine"]
    shares = [one["shares"] for one in measurements(result)]
    coverage = 1 - 2 ** (1 - result["repeats"])
    text = (f"{machine['cpu']}, {machine['cpus']} processors ({', '.join(machine['isa'])}), Linux {machine['kernel']}; "
            f"{result['model']}, {result['threads']} threads each. {result['versions']['paring']}; llama-server "
            f"{result['versions']['llama-server']}. {result['repeats']} repeats of {result['seconds']:g} s, one server "
            f"at a time, A B B A; ratios are Paring's figure over the peer's, median and range of the repeats, which "
            f"holds the true median with {coverage:.0%}.\n")
    if shares:
        client, others = max(one["client"] for one in shares), [one["others"] for one in shares]
        text += (f"\nThe client (Python {machine['python']}) took at most {client:.1%} of one processor, which it "
                 f"shares with the servers; all else {statistics.median(others):.1%} in the median and "
                 f"{max(others):.1%} at most")
        busy = sum(share > OTHERS_MAX for share in others)
        text += f": **the machine was busy in {busy} of {len(others)} measurements**.\n" if busy else ".\n"
    return text


def commands(rows):
    return "\n".join(f"- `{command}`" for command in
                     dict.fromkeys(one["command"] for name in NAMES for one in rows[name])) + "\n"


LATENCIES = [("ttft", "p50"), ("ttft", "p90"), ("ttft", "p99"), ("itl", "p50"), ("itl", "p99"), ("itl", "worst"),
             ("e2e", "p50"), ("e2e", "p90"), ("e2e", "p99")]


def load_rows(load):
    offered = f"{load['load']:g}"
    for what, percent in LATENCIES:
        def figure(one, what=what, percent=percent):
            return one[what][percent]
        yield row(offered, f"{what.upper()} {percent}", *(seconds(middle(load[name], figure)) for name in NAMES),
                  ratio_text(bars.of_rows(load, figure)))

    def good(name):
        return (f"{middle(load[name], lambda one: one['goodput']):.2f} "
                f"({middle(load[name], lambda one: one['good']):.0%} of all)")
    yield row(offered, "requests/s within the objective", *map(good, NAMES),
              ratio_text(bars.of_rows(load, lambda one: one["goodput"])))


def speed_rows(speeds):
    def rate(one):
        return one["tokens_per_second"]
    yield row("output tokens/s", *(f"{middle(speeds[name], rate):.0f}" for name in NAMES),
              ratio_text(bars.of_rows(speeds, rate)))
    yield row("peak memory", *(f"{max(one['peak_bytes'] for one in speeds[name]) / 1e6:.0f} MB" for name in NAMES), "")


def objective_text(trace):
    objective, unloaded = trace["objective"], trace["objective"]["unloaded"]
    return (f"1 is {trace['requests_per_second_at_1']:.2f} requests/s, what the peer bears. The objective: first token "
            f"within {seconds(objective['ttft'])}, 10 times the peer's unloaded {seconds(unloaded['ttft'])}, and "
            f"{seconds(objective['gap'])} between tokens in the mean, 3 times its {seconds(unloaded['gap'])}.\n")


def outcome_text(trace):
    texts = [one for load in trace["loads"] for one in load["agreement"]]
    text = (f"Greedy texts: {statistics.fmean(one['equal'] for one in texts):.0%} the same on both, "
            f"{statistics.fmean(one['prefix'] for one in texts):.0%} of a text in the mean before they part.")
    for name in NAMES:
        ran = [one for load in trace["loads"] for one in load[name]]
        text += (f" {name}: {sum(len(one['failures']) for one in ran)} requests failed, "
                 f"{sum(one['other_lengths'] for one in ran)} had another length than asked for.")
    return text + "\n"


def trace_part(name, trace, result):
    searched = ", ".join(f"{one['slots']} {one['layout']} {one['tokens_per_second']:.0f}" for one in trace["search"])
    parts = [f"## Requests of the trace {name}\n",
             f"{trace['requests']} requests; in the mean {trace['prompt_tokens']:.0f} prompt and "
             f"{trace['output_tokens']:.0f} output tokens. The peer's output tokens/s by slots and layout of its cache "
             f"in a short search: {searched}. Commands:\n", commands(trace["bears"]),
             table([f"{result['clients']} clients", *NAMES, "ratio"], speed_rows(trace["bears"]))]
    if trace.get("loads"):
        lines = [line for load in trace["loads"] for line in load_rows(load)]
        parts += [objective_text(trace), table(["load", "", *NAMES, "ratio"], lines), outcome_text(trace)]
    return parts


def chats_part(chats):
    turns = range(len(chats["paring"][0]["ttft"]))
    lines = []
    for turn in turns:
        def ttft(one, turn=turn):
            return one["ttft"][turn]
        lines.append(row(turn + 1, *(seconds(middle(chats[name], ttft)) for name in NAMES),
                         ratio_text(bars.of_rows(chats, ttft))))
    reused = " and ".join(f"{middle(chats[name], lambda one: one['reused']):.1%} ({name})" for name in NAMES)
    return ["## Conversations with a shared system prompt\n", commands(chats),
            f"Reusable tokens that came from the cache: {reused}. Time of the first token by turn:\n",
            table(["turn", *NAMES, "ratio"], lines)]


def long_part(long):
    figures = (("worst gap", "worst_gap"), ("p99 gap", "p99_gap"), ("median gap", "median_gap"),
               ("median gap before it came", "median_gap_before"), ("first token of the long prompt", "ttft"))
    lines = [row(title, *(seconds(middle(long[name], lambda one, key=key: one[key])) for name in NAMES),
                 ratio_text(bars.of_rows(long, lambda one, key=key: one[key]))) for title, key in figures]
    shares = (f"{middle(long[name], lambda one: one['ratio']):.2f}" for name in NAMES)
    lines.append(row("worst over median", *shares, ""))
    return [f"## Four streams while a prompt of {long['paring'][0]['prompt_tokens']} tokens is read\n", commands(long),
            table(["", *NAMES, "ratio"], lines)]


def bars_part(found):
    lines = [row(one["what"], f"{one['value']:.3g}", f"{'at most' if one['is_most'] else 'at least'} {one['limit']:g}",
                 "met" if one["is_met"] else "**missed**") for one in found]
    return ["## Bars\n", table(["figure", "value", "bar", ""], lines)]


def as_markdown(result):
    parts = ["# paring serve beside llama-server\n", heading(result)]
    for name, trace in result.get("traces", {}).items():
        parts += trace_part(name, trace, result)
    if "chats" in result:
        parts += chats_part(result["chats"])
    if "long" in result:
        parts += long_part(result["long"])
    parts += bars_part(result["bars"])
    return "\n".join(parts)
