#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What HTTP, keys and JSON cost beside the model: processor time by thread of `paring serve`.

    serve_overhead.py MODEL.gguf --paring build/release/paring [--check]

Two parts. "requests": chats with a key against a model of a few hundred kilobytes that answers one token, whole and
streamed; the time of all threads but those that compute, a request: sockets, HTTP, the key, JSON, template, tokens,
limits, the log, the answer. "streams": MODEL with 32 streams at a time; the part of the process's time that those
threads have. Times are those of the kernel's scheduler in nanoseconds (/proc/PID/task/TID/schedstat), so other work on
the machine does not count; the thread that computes alone (--threads) keeps it simple. --check leaves with 1 when a bar
is missed. Needs the packages of tests/requirements.txt.
"""
import argparse
import collections
import json
import pathlib
import re
import socket
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import raw_client  # noqa: E402
import tiny_model  # noqa: E402
from server_process import ServerProcess  # noqa: E402

KEY = "overhead-of-a-request-0123456789"
COMPUTES = re.compile(r"paring-engine|paring-\d+|paring")  # the engine, its workers, the first thread
MICROSECONDS_A_REQUEST, SHARE = 150, 0.02  # the bars


def times_of(pid):
    """Nanoseconds on a processor by name of thread."""
    times = collections.Counter()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            times[re.sub(r"-\d+$", "-N", name) if name.startswith("paring-http-") else name] += int(
                (task / "schedstat").read_text().split()[0])
        except FileNotFoundError:  # a thread that has just ended
            continue
    return times


class Client(threading.Thread):
    """Sends one request after the other over one connection until it is told to stop."""

    def __init__(self, url, body, stop):
        super().__init__(daemon=True)
        host, port = url.removeprefix("http://").split(":")
        self.address, self.stop, self.answers = (host, int(port)), stop, 0
        data = json.dumps(body).encode()
        self.request = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n"
                        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data

    def run(self):
        with socket.create_connection(self.address) as connection:
            while not self.stop.is_set():
                connection.sendall(self.request)
                if self.read(connection) != 200:
                    raise RuntimeError("the server refused a request")
                self.answers += 1

    @staticmethod
    def read(connection):
        data = b""
        while True:
            piece = connection.recv(1 << 16)
            if not piece:
                raise RuntimeError("the server closed the connection")
            data += piece
            head, found, body = data.partition(b"\r\n\r\n")
            if not found:
                continue
            length = re.search(rb"content-length: (\d+)", head.lower())
            if len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"):
                return int(head.split()[1])


def measure(server, bodies, seconds):
    """Times by thread, and how many requests were answered, over `seconds` in the middle of the load."""
    stop = threading.Event()
    clients = [Client(server.url, body, stop) for body in bodies]
    for client in clients:
        client.start()
    time.sleep(1)  # all of them run
    before, answered = times_of(server.pid), sum(client.answers for client in clients)
    tokens = server.metric("vllm:generation_tokens_total")
    time.sleep(seconds)
    after, answers = times_of(server.pid), sum(client.answers for client in clients) - answered
    tokens = server.metric("vllm:generation_tokens_total") - tokens
    stop.set()
    for client in clients:
        client.join(60)
    return collections.Counter({name: after[name] - before.get(name, 0) for name in after}), answers, tokens


def beside(times):
    return sum(time for name, time in times.items() if not COMPUTES.fullmatch(name))


def table(times, unit, count):
    for name, nanoseconds in times.most_common():
        if nanoseconds:
            print(f"    {name:16} {nanoseconds / 1e3 / count:9.1f} us a {unit}  {nanoseconds / times.total():6.1%}")


def requests(flags):
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "tiny.gguf"
        tiny_model.write(model, chat_template=raw_client.CHATML)
        with ServerProcess(flags.paring, f"tiny={model}", "--threads", 1, "--cache-bytes", 0,
                           env={"PARING_API_KEY": KEY}) as server:
            for streams in (False, True):
                body = {"messages": [{"role": "system", "content": "You are a helpful assistant."},
                                     {"role": "user", "content": "Hello, who are you?"}],
                        "max_tokens": 1, "temperature": 0, "stream": streams}
                times, answers, _ = measure(server, [body] * 4, flags.seconds)
                each = beside(times) / 1e3 / answers
                worst = max(worst, each)
                print(f"requests, {'streamed' if streams else 'whole'}: {each:.1f} us of CPU a request beside the "
                      f"model ({answers} requests in {flags.seconds} s, bar {MICROSECONDS_A_REQUEST})")
                table(times, "request", answers)
    return worst < MICROSECONDS_A_REQUEST


def streams(flags):
    with ServerProcess(flags.paring, flags.model, "--threads", flags.threads, "--cache-bytes", 0,
                       "--cache-tokens", 16384, env={"PARING_API_KEY": KEY}) as server:
        bodies = [{"messages": [{"role": "user", "content": f"Tell the story number {i} of a river and its town."}],
                   "max_tokens": 200, "ignore_eos": True, "stream": True, "seed": i} for i in range(flags.streams)]
        times, answers, tokens = measure(server, bodies, flags.seconds)
    share = beside(times) / times.total()
    print(f"streams: {share:.2%} of the CPU time at {flags.streams} streams beside the model ({tokens:.0f} tokens, "
          f"{answers} answers in {flags.seconds} s, bar {SHARE:.0%})")
    table(times, "token", tokens)
    return share < SHARE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--paring", default=str(ROOT / "build/release/paring"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--check", action="store_true")
    flags = parser.parse_args()
    met = [requests(flags), streams(flags)]
    return 0 if all(met) or not flags.check else 1


if __name__ == "__main__":
    sys.exit(main())
