#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How well `paring advise` predicts: the head of the Azure conversation trace (bench/data), prompts divided by 32 and
answers by 4, is served as it is, advice is asked for, each of three actions is taken, and the same is served again.

    advice_prediction.py MODEL --types Q4_0 --paring build/release/paring [--scenarios 4] [--requests 160] [--json FILE]

The trace has lengths only. In front of every prompt stands one of a few instructions (real services have them), and a
share of the requests repeats an earlier one word for word; both are drawn by the scenario's number, as are the place in
the trace and the number of clients, each of which sends the next request when it has its answer. Actions: the cache of
answers, the prefix cache, another type of weights (made by `paring quantize`). What an action changes is measured
against the present set-up served once more right before it, so that other load on the machine changes both.

A prediction is a metric of an action: throughput, time between tokens, memory. It is kept when the measured value lies
in its 90 % interval and that is no wider than plus or minus 25 %. --check leaves with 1 when fewer than 8 of 10 are
kept, or the median error of throughput or inter-token time reaches 10 %, or that of memory 5 %.
"""
import argparse
import concurrent.futures
import csv
import http.client
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from server_process import ServerProcess  # noqa: E402

PROMPT_DIVISOR, ANSWER_DIVISOR = 32, 4
WIDEST = 0.25
METRICS = {"answer_tokens_per_second": 0.10, "inter_token_seconds": 0.10, "memory_bytes": 0.05}
ACTIONS = ("response_cache", "prefix_cache", "weight_type")
PLAIN = ["--no-prefix-cache", "--cache-bytes", "0", "--no-speculation"]


def trace():
    with open(ROOT / "bench/data/azure_conversation_head.csv", newline="") as file:
        return [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]


class Scenario:
    """Which requests come, of how many clients; a function of its number."""

    def __init__(self, number, requests, vocabulary):
        draw = random.Random(number)
        self.number = number
        self.clients = draw.choice([1, 2, 4, 8])
        self.groups = draw.choice([2, 4, 8])
        self.instruction = draw.choice([96, 192, 320])
        self.repeats = draw.choice([0.1, 0.2, 0.35])
        rows = trace()
        first = draw.randrange(len(rows) - requests)
        instructions = [[draw.randrange(1000, vocabulary) for _ in range(self.instruction)] for _ in range(self.groups)]
        self.requests = []
        for context, generated in rows[first:first + requests]:
            if self.requests and draw.random() < self.repeats:
                self.requests.append(draw.choice(self.requests))
                continue
            own = [draw.randrange(1000, vocabulary) for _ in range(max(context // PROMPT_DIVISOR, 1))]
            self.requests.append((draw.choice(instructions) + own, max(generated // ANSWER_DIVISOR, 2)))

    def title(self):
        return (f"scenario {self.number}: {self.clients} clients, {self.groups} instructions of {self.instruction} "
                f"tokens, {100 * self.repeats:.0f} % repeats")


def run(paring, model, scenario, flags, data):
    """Serves all requests; what was measured."""
    with ServerProcess(paring, model, "--data-dir", data, *flags) as server:
        url = urllib.parse.urlparse(server.url)

        def one_client(requests):
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
            tokens = 0
            for prompt, answer in requests:
                body = json.dumps({"prompt": prompt, "max_tokens": answer, "temperature": 0,
                                   "ignore_eos": True})
                connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
                response = connection.getresponse()
                reply = json.loads(response.read())
                if response.status != 200:
                    raise RuntimeError(reply)
                tokens += reply["usage"]["completion_tokens"]
            connection.close()
            return tokens

        def gaps():
            return [server.metric(f"vllm:inter_token_latency_seconds_{part}") for part in ("sum", "count")]

        one_client([([5] * 40, 8)] * 2)  # everything is touched once
        before = gaps()
        waiting = iter(scenario.requests)  # one list for all: who is free takes the next
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(scenario.clients) as pool:
            tokens = sum(pool.map(lambda _: one_client(waiting), range(scenario.clients)))
        wall = time.monotonic() - began
        after = gaps()
        memory = server.memory()
        server.end()  # what steps took is written at the end
    return {"answer_tokens_per_second": tokens / wall,
            "inter_token_seconds": (after[0] - before[0]) / max(after[1] - before[1], 1),
            "memory_bytes": memory, "wall_seconds": wall}


def advice_of(paring, data, scenario, kind, candidate):
    done = subprocess.run([paring, "advise", "--data-dir", str(data), "--clients", str(scenario.clients), "--json",
                           "--types", kind, "--candidate", candidate],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def judge(scenario, action, predicted, measured, before):
    rows = []
    for metric in METRICS:
        found = [entry for entry in predicted["metrics"] if entry["metric"] == metric]
        if not found:
            continue
        entry, value = found[0], measured[metric]
        width = max(entry["high"] / entry["expected"] - 1, 1 - entry["low"] / entry["expected"])
        rows.append({"scenario": scenario.number, "action": action, "metric": metric, "now": entry["now"],
                     "before": before[metric], "expected": entry["expected"], "low": entry["low"],
                     "high": entry["high"], "measured": value, "error": entry["expected"] / value - 1,
                     "width": width, "is_kept": entry["low"] <= value <= entry["high"] and width <= WIDEST})
    return rows


def report(rows):
    print(f"{'action':15} {'metric':26} {'kept':>9} {'median error':>13} {'p90':>7} {'widest':>7}")
    ok = True
    kept = sum(row["is_kept"] for row in rows)
    for action in ACTIONS:
        for metric in METRICS:
            mine = [row for row in rows if row["action"] == action and row["metric"] == metric]
            if not mine:
                continue
            errors = sorted(abs(row["error"]) for row in mine)
            print(f"{action:15} {metric:26} {sum(r['is_kept'] for r in mine):4} of {len(mine):2} "
                  f"{100 * statistics.median(errors):11.1f} % {100 * errors[int(0.9 * (len(errors) - 1))]:5.1f} % "
                  f"{100 * max(r['width'] for r in mine):5.1f} %")
    for metric, bar in METRICS.items():
        errors = [abs(row["error"]) for row in rows if row["metric"] == metric]
        median = statistics.median(errors)
        ok = ok and median < bar
        print(f"{metric}: median error {100 * median:.1f} % (bar {100 * bar:.0f} %)")
    print(f"kept {kept} of {len(rows)} ({100 * kept / len(rows):.0f} %, bar 80 %)")
    return ok and kept >= 0.8 * len(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--types", default="Q4_0", help="the type of weights that is tried")
    parser.add_argument("--small", help="the model in that type; made when there is none")
    parser.add_argument("--paring", default=str(ROOT / "build/release/paring"))
    parser.add_argument("--scenarios", type=int, default=4)
    parser.add_argument("--first", type=int, default=1, help="number of the first scenario")
    parser.add_argument("--requests", type=int, default=160)
    parser.add_argument("--vocabulary", type=int, default=40000, help="prompts take token ids below it")
    parser.add_argument("--actions", default=",".join(ACTIONS), help="which are taken")
    parser.add_argument("--json", help="all predictions and what was measured go there")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        small = pathlib.Path(args.small or folder / "small.gguf")
        if not small.exists():
            subprocess.run([args.paring, "quantize", args.model, str(small), "--type", args.types],
                           check=True, capture_output=True)
        for number in range(args.first, args.first + args.scenarios):
            scenario = Scenario(number, args.requests, args.vocabulary)
            data = folder / "data"
            shutil.rmtree(data, ignore_errors=True)
            before = run(args.paring, args.model, scenario, PLAIN, data)
            predicted = advice_of(args.paring, data, scenario, args.types, str(small))
            print(f"{scenario.title()}; {before['answer_tokens_per_second']:.1f} tokens/s in "
                  f"{before['wall_seconds']:.1f} s, replay {predicted['present']['answer_tokens_per_second']:.1f}")
            taken = {"response_cache": (args.model, ["--no-prefix-cache", "--no-speculation"]),
                     "prefix_cache": (args.model, ["--cache-bytes", "0", "--no-speculation"]),
                     "weight_type": (str(small), PLAIN)}
            for action in args.actions.split(","):
                model, flags = taken[action]
                found = [entry for entry in predicted["advice"] if entry["action"] == action and
                         (action != "weight_type" or entry.get("change"))]
                if not found:
                    print(f"    {action}: no advice")
                    continue
                for name in ("after", "beside"):
                    shutil.rmtree(folder / name, ignore_errors=True)
                # Beside the present set-up again, so that a machine that others use more than before changes both.
                beside = run(args.paring, args.model, scenario, PLAIN, folder / "beside")
                measured = run(args.paring, model, scenario, flags, folder / "after")
                for metric in ("answer_tokens_per_second", "inter_token_seconds"):
                    measured[metric] *= before[metric] / beside[metric]
                for row in judge(scenario, action, found[0], measured, before):
                    rows.append(row)
                    print(f"    {action:15} {row['metric']:26} {row['before']:12.5g} -> {row['measured']:12.5g}  "
                          f"predicted {row['expected']:.5g} ({row['low']:.5g} to {row['high']:.5g}) "
                          f"{100 * row['error']:+.1f} % {'' if row['is_kept'] else 'MISSED'}", flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))
    sys.exit(0 if report(rows) or not args.check else 1)


if __name__ == "__main__":
    main()
