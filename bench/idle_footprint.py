#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a server takes while nobody asks: memory in RAM and processor time, of `paring monitor` and of `paring serve`.

    idle_footprint.py --paring build/release/paring [MODEL] [--seconds 60] [--check]

The proxy stands before an upstream that nobody calls, with rows, keys and its page as by default. Processor time is
that of the kernel's scheduler in nanoseconds (/proc/PID/task/TID/schedstat), by thread. --check leaves with 1 when the
proxy takes more than a bar. MODEL is for `paring serve`; without it only the proxy is measured.
"""
import argparse
import pathlib
import socket
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from server_process import ServerProcess  # noqa: E402

MEGABYTES = 50
PERCENT_OF_A_CORE = 0.5
SETTLE_SECONDS = 3  # what starting leaves behind: files, first samples


def times_of(pid):
    """Nanoseconds of each thread, by its name; threads of one name together."""
    times = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            times[name] = times.get(name, 0) + int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:  # it ended meanwhile
            continue
    return times


def status_bytes(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def measure(title, server, seconds):
    time.sleep(SETTLE_SECONDS)
    before, began = times_of(server.pid), time.monotonic()
    time.sleep(seconds)
    after, wall = times_of(server.pid), time.monotonic() - began
    shares = {name: (after[name] - before.get(name, 0)) / 1e9 / wall * 100 for name in after}
    resident, own = status_bytes(server.pid, "VmRSS"), status_bytes(server.pid, "RssAnon")
    total = sum(shares.values())
    print(f"{title}: {resident / 1e6:.1f} MB in RAM ({own / 1e6:.1f} MB its own), {total:.3f} % of a core "
          f"in {wall:.0f} s")
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        if share >= 0.001:
            print(f"    {name:16} {share:.3f} %")
    return resident / 1e6, total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--paring", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--check", action="store_true")
    words = parser.parse_args()
    program = str(pathlib.Path(words.paring).resolve())
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as upstream:
        url = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        with ServerProcess(program, "--upstream", url, "--data-dir", folder, command="monitor") as server:
            megabytes, percent = measure("paring monitor", server, words.seconds)
    if words.model:
        with ServerProcess(program, words.model) as server:
            measure("paring serve", server, words.seconds)
    if words.check and (megabytes > MEGABYTES or percent > PERCENT_OF_A_CORE):
        print(f"above the bars: {MEGABYTES} MB, {PERCENT_OF_A_CORE} % of a core", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
