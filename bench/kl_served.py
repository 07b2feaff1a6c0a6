#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each engine's own numerics add to a file: KL of the engine's default run to exact numerics on the same weights.

Exact is each side's own: Paring's --numerics exact; llama.cpp on the file decoded to F32 with F32 keys and values. Both
read the same windows of 512 tokens and score the second halves. A type is fair game when Paring's figure is not larger.

Usage: kl_served.py --paring BIN --llama DIR --text FILE [--windows 16] [--threads 2] [--work DIR] MODEL.gguf...
Needs numpy and gguf (tests/requirements.txt), and room in --work for a decoded file and its logits.
"""
import argparse
import json
import os
import sys
import tempfile

from kl_judge import Judge, run

HERE = os.path.dirname(os.path.abspath(__file__))


def paring_kl(args, model):
    text = run([args.paring, "eval", model, "--against", model, "--text", args.text, "--windows", args.windows,
                "--threads", args.threads, "--numerics", "served", "--json", "--quiet", *args.paring_flag])
    return json.loads(text[text.index("{"):])["divergence"]["kl"]["mean"]


def llama_kl(args, judge, model):
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        decoded, base = os.path.join(folder, "decoded.gguf"), os.path.join(folder, "exact.logits")
        run([sys.executable, os.path.join(HERE, "..", "tools", "decode_f32.py"), model, decoded])
        judge.base(decoded, base, "-ctk", "f32", "-ctv", "f32")
        os.remove(decoded)
        return judge.kl(model, base)["kl"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.gguf")
    parser.add_argument("--paring", required=True)
    parser.add_argument("--llama", required=True, help="folder with llama-perplexity and its libraries")
    parser.add_argument("--text", required=True)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default=None, help="folder for the decoded file and its logits")
    parser.add_argument("--paring-flag", action="append", default=[], help="passed on to paring eval, such as --kv=f16")
    args = parser.parse_args()
    judge = Judge(args.llama, args.text, args.windows, args.threads)
    print("| file | llama.cpp | Paring | ratio |\n|---|---|---|---|", flush=True)
    for model in args.models:
        ours = paring_kl(args, model)
        theirs = llama_kl(args, judge, model)
        print(f"| {os.path.basename(model)} | {theirs:.6f} | {ours:.6f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
