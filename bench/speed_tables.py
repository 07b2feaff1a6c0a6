#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The speed tables of docs/benchmarks.md: `paring bench --against llama.cpp` over a reference model in F16, over what
llama.cpp quantizes of it, and over other models.

    speed_tables.py --paring build/release/paring --reference F16.gguf --work FOLDER --out tables.md \\
        --model qwen2.5-0.5b.gguf=1.5,1.25 --model gemma.gguf

FOLDER keeps the quantized files and one JSON a model; what is there for the same commit and cases is not measured
again. A model's numbers are bars of its ratios, of prefill and of all else: `met` where the ratio or 80 % of the
machine's limit is reached. --check leaves with 1 when one is not. Everything after -- goes to `paring bench`, such as
--isa avx2 or --threads 2. Quantizing needs an interpreter that has llama-cpp-python: --peer-python,
PARING_PEER_PYTHON, or the one that `paring bench --against llama.cpp` has set up in the cache. Standard library only.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

# llama_ftype of llama.h
QUANTIZATIONS = {"Q8_0": 7, "Q4_0": 2, "Q4_K_M": 15}
# Of the reference: case and the ratio to reach.
REFERENCE_BARS = {
    "F16": {"prefill:512": 1.3, "decode:128": 1.25},
    "Q8_0": {"prefill:512": 1.7, "decode:128": 1.4},
    "Q4_0": {"prefill:512": 1.8, "prefill:4096": 2.2, "decode:128": 1.5, "decode:64@4096": 3.0,
             "together:8x128+128": 2.2, "together:32x128+128": 2.2},
    "Q4_K_M": {"prefill:512": 2.0, "decode:128": 1.8},
}
LIMIT_SHARE_ENOUGH = 0.8
QUANTIZE = """
import ctypes, sys
from llama_cpp import llama_cpp as api
source, target, kind = sys.argv[1], sys.argv[2], int(sys.argv[3])
params = api.llama_model_quantize_default_params()
params.ftype = kind
sys.exit(api.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)))
"""


@dataclasses.dataclass
class Job:
    label: str
    path: pathlib.Path
    bars: dict  # case -> ratio to reach, None: no bar


def peer_python(flags):
    named = flags.peer_python or os.environ.get("PARING_PEER_PYTHON")
    if named:
        return named
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    found = sorted(cache.glob("paring/peers/llama-cpp-python-*/bin/python"))
    if not found:
        sys.exit("no interpreter with llama-cpp-python: name one with --peer-python, or run "
                 "'paring bench MODEL --against llama.cpp' first, which sets one up")
    return found[-1]


def quantized(flags, kind):
    """What llama.cpp makes of the reference with its default mix, made once."""
    path = flags.work / f"{flags.reference.stem}-{kind}.gguf"
    if not path.exists():
        partial = path.with_suffix(".partial")
        done = subprocess.run([peer_python(flags), "-c", QUANTIZE, flags.reference, partial, str(QUANTIZATIONS[kind])],
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"llama.cpp cannot quantize {flags.reference} to {kind}:\n{done.stderr[-2000:]}")
        partial.rename(path)
    return path


def jobs(flags):
    listed = []
    if flags.reference:
        for label, bars in REFERENCE_BARS.items():
            path = flags.reference if label == "F16" else quantized(flags, label)
            listed.append(Job(label, path, bars))
    for text in flags.model:
        path, _, bars = text.partition("=")
        prefill, decode = (float(bar) for bar in bars.split(",")) if bars else (None, None)
        bars = {case: prefill if case.startswith("prefill") else decode for case in flags.cases.split(",")}
        listed.append(Job(pathlib.Path(path).stem, pathlib.Path(path), bars))
    return listed


def commit_of(flags):
    """As `paring --version` ends: "paring 0.1.0 (0123456789ab)"."""
    done = subprocess.run([flags.paring, "--version"], check=True, capture_output=True, text=True)
    return done.stdout.split("(")[-1].split(")")[0]


def command(flags, job):
    words = [flags.paring, "bench", job.path, "--against", "llama.cpp", "--json", "--pairs", str(flags.pairs),
             "--search", str(flags.search), "--cases", ",".join(job.bars), *flags.rest]
    if flags.peer_python:
        words += ["--peer-python", flags.peer_python]
    return [str(word) for word in words]


def measured(flags, job, commit):
    """The result of `paring bench --against`, from FOLDER when it is that of this build and these cases."""
    kept = flags.work / f"{job.path.stem}.speed.json"
    asked = [word for word in command(flags, job)[2:] if word not in ("--json", "--quiet")]
    if kept.exists():
        earlier = json.loads(kept.read_text())
        if earlier["asked"] == asked and earlier["result"]["paring"]["commit"] == commit and "dirty" not in commit:
            return earlier["result"]
    print(f"{job.label}: {', '.join(job.bars)}", file=sys.stderr, flush=True)
    done = subprocess.run(command(flags, job), stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command(flags, job))} failed with {done.returncode}")
    result = json.loads(done.stdout)
    kept.write_text(json.dumps({"asked": asked, "result": result}, indent=1))
    return result


def verdict(row, bar):
    if bar is None:
        return "", True
    if row["ratio"]["median"] >= bar:
        return f"{bar:g}, met", True
    share = row["paring"]["limit_share"]
    is_met = share >= LIMIT_SHARE_ENOUGH
    return f"{bar:g}, " + (f"met by {share:.0%} of the limit" if is_met else "missed"), is_met


def rate(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}"


def megabytes(value):
    return f"{value / 1e6:.0f} MB"


def speed_rows(job, result):
    for row in result["rows"]:
        ours, theirs, ratio = row["paring"], row["peer"], row["ratio"]
        bar, _ = verdict(row, job.bars[row["case"]])
        title = row["title"] + (" (busy)" if row["is_busy"] else "")
        speeds = f"{rate(ours['tokens_per_second'])} | {ours['limit_share']:.0%} | {rate(theirs['tokens_per_second'])}"
        yield (f"| {job.label} | {title} | {speeds} | **{ratio['median']:.2f}** | "
               f"{ratio['low']:.2f} to {ratio['high']:.2f} | {bar} | `{theirs['flags']}` |")


def agreement_rows(job, result):
    for found in result["agreement"]:
        text = (f"the same {found['greedy_tokens']} tokens" if found["is_same_text"] else
                f"part at token {found['parts_at_token'] + 1}, where llama.cpp's best two are "
                f"{found['peer_margin_there']:.2g} apart")
        yield (f"| {job.label} | `{found['peer_flags']}` | {found['kl_mean']:.2g} | {found['kl_max']:.2g} | "
               f"{found['top1']:.1%} | {text} |")


def memory_rows(job, result):
    for row in result["rows"]:
        yield (f"| {job.label} | {row['title']} | {megabytes(result['model_bytes'])} | "
               f"{megabytes(row['paring']['peak_resident_bytes'])} | "
               f"{megabytes(row['peer']['peak_resident_bytes_of_model'])} |")


def heading(flags, result):
    limits = result["limits"]
    features = result["peer"]["features"].replace(" = 1", "").strip("| ").replace(" |", ",")
    coverage = min(row["ratio"]["coverage"] for row in result["rows"])
    return (f"{result['cpu']}, {result['threads']} threads; reads {limits['read_bytes_per_second'] / 1e9:.1f} GB/s, "
            f"{limits['f32_operations_per_second'] / 1e9:.0f} GFLOP/s in f32, "
            f"{limits['int8_operations_per_second'] / 1e9:.0f} GOP/s in int8. Paring at commit "
            f"{result['paring']['commit']}, {result['paring']['isa']}; {result['peer']['package']} (ggml "
            f"{result['peer']['build']}: {features}). Medians of the ratios of {flags.pairs} pairs, A B B A; an "
            f"interval holds the true median with {coverage:.1%}.\n")


def table(titles, rows):
    return "\n".join([f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *rows]) + "\n"


def document(flags, results):
    chosen = " ".join(f"--model {pathlib.Path(text).name}" for text in flags.model)
    reference = f"--reference {flags.reference.name} " if flags.reference else ""
    extra = f" -- {' '.join(flags.rest)}" if flags.rest else ""
    parts = [heading(flags, results[0][1])]
    parts.append(table(["file", "case", "Paring tokens/s", "of limit", "llama.cpp tokens/s", "ratio", "interval", "bar",
                        "llama.cpp's fastest flags"], [line for pair in results for line in speed_rows(*pair)]))
    parts.append("Outputs, over the last 64 of 128 tokens of text and 64 greedy tokens:\n")
    parts.append(table(["file", "llama.cpp's flags", "mean KL", "largest", "top-1", "greedy texts"],
                       [line for pair in results for line in agreement_rows(*pair)]))
    parts.append("Peak memory of the process while the case ran; of llama.cpp's, the interpreter is taken off:\n")
    parts.append(table(["file", "case", "of the file", "Paring", "llama.cpp"],
                       [line for pair in results for line in memory_rows(*pair)]))
    parts.append(f"`bench/speed_tables.py --paring build/release/paring {reference}--work FOLDER --out tables.md "
                 f"--pairs {flags.pairs} {chosen}{extra}`\n".replace(" `", "`"))
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paring", required=True)
    parser.add_argument("--reference", type=pathlib.Path, help="F16 file, which is quantized as well")
    parser.add_argument("--model", action="append", default=[], metavar="FILE[=PREFILL,DECODE]")
    parser.add_argument("--cases", default="prefill:512,decode:128", help="of each --model")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--search", type=float, default=60)
    parser.add_argument("--peer-python")
    parser.add_argument("--check", action="store_true")
    words = sys.argv[1:]
    own, flags_rest = (words[:words.index("--")], words[words.index("--") + 1:]) if "--" in words else (words, [])
    flags = parser.parse_args(own)
    flags.rest = flags_rest
    flags.work.mkdir(parents=True, exist_ok=True)
    commit = commit_of(flags)
    listed = jobs(flags)
    if not listed:
        parser.error("nothing to measure: name a --reference or a --model")
    results = [(job, measured(flags, job, commit)) for job in listed]
    flags.out.write_text(document(flags, results))
    missed = [f"{job.label}: {row['title']}: {row['ratio']['median']:.2f}, the bar is {job.bars[row['case']]:g}"
              for job, result in results for row in result["rows"] if not verdict(row, job.bars[row["case"]])[1]]
    print("\n".join(missed) if missed else "every bar is met")
    return 1 if missed and flags.check else 0


if __name__ == "__main__":
    sys.exit(main())
