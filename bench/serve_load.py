#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`paring serve` beside llama-server under load, on the same file with the same threads, in one run.

    serve_load.py MODEL.gguf --paring build/release/paring --peer /path/to/llama-server --threads 2

Four parts (--parts): what each bears (many clients, each with one request at a time), requests in the rhythm of real
traces at shares of what the peer bears, conversations with a shared system prompt, and one very long prompt beside
running streams (--long-model). The peer runs at the fastest of several flags, which a short search finds. One server
runs at a time, A B B A; every measurement is kept in --work and not made again for the same programs, so that a run
that was stopped goes on. A run with the defaults is a look and takes about ten minutes; for figures to publish take
--seconds 60 --repeats 5 on a quiet machine. Writes OUT.json and OUT.md; --check leaves with 1 when a bar is missed.
Standard library only.
"""
import argparse
import pathlib
import sys

from load import report, servers, workloads
from load.comparison import Comparison

PARTS = ("bears", "arrivals", "chats", "long")


def fractions(text):
    return [float(item) for item in text.split(",")]


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--paring", default="build/release/paring")
    parser.add_argument("--peer", required=True, help="llama-server")
    parser.add_argument("--paring-flags", default="", help="more flags for paring serve, in one word")
    parser.add_argument("--peer-flags", default="", help="more flags for llama-server, in one word")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), metavar=",".join(PARTS))
    parser.add_argument("--trace", action="append", metavar="azure|mooncake|FILE", help="default: azure and mooncake")
    parser.add_argument("--loads", type=fractions, default=[0.5, 0.8, 1.0, 2.5],
                        help="offered, as parts of what the peer bears; the bars of latency hold up to 1")
    parser.add_argument("--seconds", type=float, default=10, help="of arrivals, and of each closed loop")
    parser.add_argument("--repeats", type=int, default=2, help="of each measurement, A B B A")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", type=int, default=32, help="of the closed loop")
    parser.add_argument("--slots", default="8,16,32", help="llama-server's -np that are tried")
    parser.add_argument("--cache-tokens", type=int, default=65536, help="of paring's keys and values")
    parser.add_argument("--users", type=int, default=4, help="of the conversations")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--long-model", type=pathlib.Path, help="of the part long; without it there is none")
    parser.add_argument("--long-tokens", type=int, default=32700)
    parser.add_argument("--long-context-tokens", type=int, default=32768)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/serve-load"))
    parser.add_argument("--out", type=pathlib.Path, help="without ending; default: WORK/report")
    parser.add_argument("--check", action="store_true")
    flags = parser.parse_args(words)
    unknown = set(flags.parts) - set(PARTS)
    if unknown:
        parser.error(f"--parts knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    flags.trace = flags.trace or ["azure", "mooncake"]
    flags.slots = [int(item) for item in flags.slots.split(",")]
    flags.out = flags.out or flags.work / "report"
    return flags


def main(words):
    flags = arguments(words)
    flags.work.mkdir(parents=True, exist_ok=True)
    try:
        result = Comparison(flags).run()
    except (servers.StartFailed, workloads.NotWhole) as error:
        sys.exit(str(error))
    flags.out.with_suffix(".json").write_text(report.as_json(result))
    text = report.as_markdown(result)
    flags.out.with_suffix(".md").write_text(text)
    print(text)
    missed = [bar for bar in result["bars"] if not bar["is_met"]]
    return 1 if missed and flags.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
