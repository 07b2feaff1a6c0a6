#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What keeping account of every request costs at 32 streams.

    meter_overhead.py MODEL.gguf --paring build/release/paring [--pairs 7] [--seconds 6] [--instructions] [--check]

Processor time: two servers, one that keeps rows (`--traffic async`, the default) and one that does not
(`--traffic off`), get the same load in turns, so that what else the machine does meets both alike; the ratio of
nanoseconds a token is told as the median of the pairs with their range, beside the time of the threads that do nothing
else (rows, energy, retention), which is exact. The account of the engine's steps (who had which part of a step)
cannot be switched off: --instructions counts what it executes, by valgrind's callgrind, of all that the engine
executes for 32 streams (with the kernels of AVX2, which valgrind knows; fewer instructions in the kernels than with
AVX-512 would make its part smaller than it is, more make it larger: it is told for what was run). --check leaves with 1
where a bar (1 %) is missed.
"""
import argparse
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

from serve_overhead import KEY, Client, times_of  # noqa: E402
from server_process import ServerProcess  # noqa: E402

BAR = 0.01
METER_THREADS = re.compile(r"paring-(traffic|energy|retain)$")
# Inclusive of what they call: the account of steps, and the row of a request.
METER_FUNCTIONS = ["BatchEngine::meter(", "Server::keep(", "TrafficWriter::run", "EnergyMeter::sample("]


def bodies(count, tokens):
    return [{"messages": [{"role": "user", "content": f"Tell the story number {i} of a river and its town."}],
             "max_tokens": tokens, "ignore_eos": True, "stream": True, "seed": i} for i in range(count)]


def load(server, streams, seconds):
    """Nanoseconds by thread and tokens, over `seconds` of the load."""
    stop = threading.Event()
    clients = [Client(server.url, body, stop) for body in bodies(streams, 100)]
    for client in clients:
        client.start()
    time.sleep(1)
    before, tokens = times_of(server.pid), server.metric("vllm:generation_tokens_total")
    time.sleep(seconds)
    after, made = times_of(server.pid), server.metric("vllm:generation_tokens_total") - tokens
    stop.set()
    for client in clients:
        client.join(120)
    return {name: after[name] - before.get(name, 0) for name in after}, made


def processor_time(flags):
    words = ["--threads", flags.threads, "--cache-bytes", 0, "--cache-tokens", 16384]
    environment = {"PARING_API_KEY": KEY}
    ratios, parts = [], []
    with ServerProcess(flags.paring, flags.model, *words, env=environment) as on, \
            ServerProcess(flags.paring, flags.model, *words, "--traffic", "off", env=environment) as off:
        for pair in range(flags.pairs):
            order = [(on, "on"), (off, "off")]
            each = {}
            for server, name in order if pair % 2 == 0 else order[::-1]:
                times, tokens = load(server, flags.streams, flags.seconds)
                each[name] = sum(times.values()) / tokens
                if name == "on":
                    own = sum(time for thread, time in times.items() if METER_THREADS.search(thread))
                    parts.append(own / sum(times.values()))
            ratios.append(each["on"] / each["off"])
            print(f"pair {pair + 1}: {each['on'] / 1e3:.1f} us a token with rows, {each['off'] / 1e3:.1f} without: "
                  f"{ratios[-1] - 1:+.2%}; threads of the meter {parts[-1]:.3%}", flush=True)
    print(f"processor time at {flags.streams} streams: {statistics.median(ratios) - 1:+.2%} with rows (median of "
          f"{flags.pairs} pairs, {min(ratios) - 1:+.2%} to {max(ratios) - 1:+.2%}); threads of the meter alone "
          f"{statistics.median(parts):.3%} (bar {BAR:.0%})")
    return statistics.median(parts) < BAR


def instructions(flags):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        script = pathlib.Path(folder) / "paring"
        script.write_text(f"#!/bin/sh\nexec valgrind -q --tool=callgrind --callgrind-out-file={out} "
                          f"{pathlib.Path(flags.paring).resolve()} \"$@\"\n")
        script.chmod(0o700)
        with ServerProcess(str(script), flags.model, "--threads", 1, "--cache-bytes", 0, "--cache-tokens", 16384,
                           "--stall-seconds", 3600, "--drain-seconds", 600,
                           env={"PARING_API_KEY": KEY, "PARING_ISA": "avx2"}) as server:
            stop = threading.Event()
            stop.set()  # one request each
            clients = [Client(server.url, body, stop) for body in bodies(flags.streams, flags.tokens)]
            for client in clients:
                client.stop = threading.Event()
                client.start()
            for client in clients:
                client.stop.set()
            for client in clients:
                client.join(1800)
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(600)
        text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out], capture_output=True,
                              text=True, check=True).stdout
    rows = [(int(found[1].replace(",", "")), found[2]) for found in
            re.finditer(r"^\s*([\d,]+) \([ \d.]+%\)\s+(.*)$", text, re.M)]
    step = max(count for count, name in rows if "BatchEngine::step(" in name)
    total = 0
    for function in METER_FUNCTIONS:
        count = max((count for count, name in rows if function in name), default=0)
        total += count
        print(f"    {function.rstrip('('):24} {count:14,} instructions, {count / step:.4%} of the engine's steps")
    print(f"instructions at {flags.streams} streams: {total / step:.3%} of {step:,} in the engine's steps "
          f"(bar {BAR:.0%})")
    return total / step < BAR


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--paring", default=str(ROOT / "build/release/paring"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--tokens", type=int, default=12, help="of each answer, for --instructions")
    parser.add_argument("--check", action="store_true")
    flags = parser.parse_args()
    met = [processor_time(flags)] if flags.pairs else []
    if flags.instructions:
        met.append(instructions(flags))
    return 0 if all(met) or not flags.check else 1


if __name__ == "__main__":
    sys.exit(main())
