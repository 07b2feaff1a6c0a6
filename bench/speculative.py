#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What speculative decoding gains on editing and summarising, plain and guessing interleaved (A B B A).

Each prompt of data/editing_prompts.json is answered greedily by `paring run`, without and with
guesses in turn; the answers must be the same. Prints for each prompt the time of decoding and of
the whole answer without guesses over that with them (medians of the rounds), and of all prompts
together the ratio of the sums and the geometric mean; with --json one object.

Usage: speculative.py --paring BIN [--how auto] [--draft-model SMALL.gguf] MODEL.gguf
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "editing_prompts.json")


def answer(args, prompt, guesses):
    how = args.how if guesses else "off"
    command = [args.paring, "run", args.model, "--json", "--quiet", "--speculative", how,
               "--max-tokens", str(args.max_tokens), "--draft-tokens", str(args.draft_tokens)]
    if args.threads:
        command += ["--threads", str(args.threads)]
    if guesses and args.draft_model:
        command += ["--draft-model", args.draft_model]
    done = subprocess.run(command + [prompt], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def decode_seconds(result):
    return result["decode"]["seconds"]


def answer_seconds(result):
    return result["decode"]["seconds"] + result["prefill"]["seconds"]


def measure(args, prompt):
    plain, guessed = [], []
    for turn in range(args.rounds):
        for guesses in (False, True, True, False) if turn % 2 == 0 else (True, False, False, True):
            (guessed if guesses else plain).append(answer(args, prompt["prompt"], guesses))
    texts = {result["text"] for result in plain + guessed}
    if len(texts) != 1:
        sys.exit(f"{prompt['name']}: the answers differ:\n" + "\n---\n".join(sorted(texts)))
    speculation = guessed[0].get("speculation", {})
    row = {"name": prompt["name"], "kind": prompt["kind"],
           "generated_tokens": plain[0]["generated_tokens"],
           "plain_decode_seconds": statistics.median(map(decode_seconds, plain)),
           "decode_seconds": statistics.median(map(decode_seconds, guessed)),
           "plain_answer_seconds": statistics.median(map(answer_seconds, plain)),
           "answer_seconds": statistics.median(map(answer_seconds, guessed)),
           "acceptance_rate": speculation.get("acceptance_rate", 0.0),
           "accepted_tokens_mean": speculation.get("accepted_tokens_mean", 0.0),
           "predicted_gain": statistics.median(r["speculation"]["predicted_gain"] for r in guessed
                                               if "speculation" in r) if speculation else 1.0}
    row["decode_gain"] = row["plain_decode_seconds"] / row["decode_seconds"]
    row["answer_gain"] = row["plain_answer_seconds"] / row["answer_seconds"]
    return row


def total(rows, what):
    together = sum(row[f"plain_{what}_seconds"] for row in rows) / sum(row[f"{what}_seconds"] for row in rows)
    mean = math.exp(statistics.fmean(math.log(row[f"{what}_gain"]) for row in rows))
    return {"together": together, "geometric_mean": mean, "least": min(row[f"{what}_gain"] for row in rows)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paring", required=True)
    parser.add_argument("--how", default="auto", choices=["auto", "ngram", "draft"])
    parser.add_argument("--draft-model")
    parser.add_argument("--draft-tokens", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1, help="of two runs of each kind")
    parser.add_argument("--only", action="append", metavar="NAME", help="prompts to run; default: all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("model")
    args = parser.parse_args()
    with open(DATA, encoding="utf-8") as file:
        prompts = json.load(file)["prompts"]
    chosen = [prompt for prompt in prompts if not args.only or prompt["name"] in args.only]
    if not chosen:
        parser.error("--only names no prompt; there are " + ", ".join(prompt["name"] for prompt in prompts))
    rows = []
    for prompt in chosen:
        print(f"{prompt['name']} ...", file=sys.stderr, flush=True)
        rows.append(measure(args, prompt))
    result = {"model": os.path.basename(args.model), "how": args.how,
              "draft_model": os.path.basename(args.draft_model or ""), "prompts": rows,
              "decode_gain": total(rows, "decode"), "answer_gain": total(rows, "answer")}
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{result['model']}, --speculative {args.how} {result['draft_model']}".rstrip())
    print("| prompt | tokens | accepted | tokens a draft | decode gain | answer gain |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['generated_tokens']} | {100 * row['acceptance_rate']:.0f} % | "
              f"{row['accepted_tokens_mean']:.1f} | {row['decode_gain']:.2f} | {row['answer_gain']:.2f} |")
    for what in ("decode", "answer"):
        gain = result[f"{what}_gain"]
        print(f"{what}: {gain['together']:.2f} times as fast over all, geometric mean "
              f"{gain['geometric_mean']:.2f}, least {gain['least']:.2f}")


if __name__ == "__main__":
    main()
