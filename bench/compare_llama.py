#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of `paring bench` beside llama.cpp's `llama-bench`, in one interleaved run (A B B A ...).

For each model: llama.cpp first tries its flash-attention flags and keeps the faster; then PAIRS pairs
are measured in alternating order. Prints medians, the median of the paired ratios and a bootstrap
interval of it, as a table and with --json as one object.

Usage: compare_llama.py --paring BIN --llama DIR [--threads 2] [--pairs 7] MODEL.gguf...
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys


def run(command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def paring_speeds(args, model):
    result = json.loads(run([args.paring, "bench", model, "--threads", str(args.threads),
                             "--prefill", str(args.prefill), "--decode", str(args.decode),
                             "--repetitions", "1", "--json", "--quiet"]))
    return {phase: result[phase]["tokens_per_second"] for phase in ("prefill", "decode")}, result


def llama_speeds(args, model, flash):
    env = dict(os.environ, LD_LIBRARY_PATH=args.llama)
    rows = json.loads(run([os.path.join(args.llama, "llama-bench"), "-m", model, "-t", str(args.threads),
                           "-p", str(args.prefill), "-n", str(args.decode), "-r", "1", "-fa", str(flash),
                           "-o", "json"], env))
    speeds = {}
    for row in rows:
        speeds["prefill" if row["n_prompt"] else "decode"] = row["avg_ts"]
    return speeds, rows[0].get("build_commit", "unknown")


def interval(ratios, rounds=2000):
    chooser = random.Random(1)
    medians = sorted(statistics.median(chooser.choices(ratios, k=len(ratios))) for _ in range(rounds))
    return medians[int(0.025 * rounds)], medians[int(0.975 * rounds)]


def measure(args, model):
    flash = max((0, 1), key=lambda flag: sum(llama_speeds(args, model, flag)[0].values()))
    ours, theirs, info = [], [], {}
    for pair in range(args.pairs):
        for side in ("paring", "llama") if pair % 2 == 0 else ("llama", "paring"):
            if side == "paring":
                speeds, info = paring_speeds(args, model)
                ours.append(speeds)
            else:
                speeds, commit = llama_speeds(args, model, flash)
                theirs.append(speeds)
    result = {"model": os.path.basename(model), "llama_flags": f"-fa {flash}", "llama_commit": commit,
              "pairs": args.pairs, "isa": info.get("isa"), "cpu": info.get("cpu"), "commit": info.get("commit")}
    for phase in ("prefill", "decode"):
        ratios = [a[phase] / b[phase] for a, b in zip(ours, theirs)]
        low, high = interval(ratios)
        result[phase] = {"paring": statistics.median(a[phase] for a in ours),
                         "llama": statistics.median(b[phase] for b in theirs),
                         "ratio": statistics.median(ratios), "ratio_low": low, "ratio_high": high,
                         "paring_limit_share": info[phase].get("limit_share")}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--paring", required=True)
    parser.add_argument("--llama", required=True, help="folder with llama-bench and its libraries")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = [measure(args, model) for model in args.models]
    if args.json:
        print(json.dumps(results, indent=1))
        return
    print("| model | phase | paring t/s | llama.cpp t/s | ratio | 95 % interval |\n|---|---|---|---|---|---|")
    for result in results:
        for phase in ("prefill", "decode"):
            row = result[phase]
            print(f"| {result['model']} | {phase} {getattr(args, phase)} | {row['paring']:.1f} | {row['llama']:.1f} | "
                  f"{row['ratio']:.2f} | {row['ratio_low']:.2f} to {row['ratio_high']:.2f} |")
    first = results[0]
    flags = ", ".join(sorted({result["llama_flags"] for result in results}))
    print(f"\ncpu {first['cpu']}, isa {first['isa']}, {args.threads} threads, {args.pairs} pairs, "
          f"paring {first['commit']}, llama.cpp {first['llama_commit']}, flags {flags}")


if __name__ == "__main__":
    main()
