#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `paring monitor` costs a request: its processor time by thread, with rows being written.

    proxy_overhead.py --paring build/release/paring [--check]

The upstream is a stand-in that answers at once: a short answer, and a stream of 100 chunks in ten writes or, the worst
case, in a hundred; both again with prompts and answers kept as they are or redacted, with spans sent to a collector
(which takes them and answers at once), and with all of that. Clients keep their connections and send one request after
the other. Times are those of the kernel's scheduler in nanoseconds (/proc/PID/task/TID/schedstat), so the stand-ins and
the clients do not count. --check leaves with 1 when a short answer takes more than the bar.
"""
import argparse
import contextlib
import http.server
import json
import pathlib
import re
import socket
import sqlite3
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

from serve_overhead import Client, table, times_of  # noqa: E402
from server_process import ServerProcess  # noqa: E402

MICROSECONDS_A_REQUEST = 150
CHUNKS = 100
USAGE = {"prompt_tokens": 20, "completion_tokens": CHUNKS, "total_tokens": 120}


def whole():
    body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE, "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello! " * 20}}]}).encode()
    return [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body]


def streamed(writes):
    events = []
    for i in range(CHUNKS):
        chunk = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1, "model": "m",
                 "choices": [{"index": 0, "delta": {"content": f" word{i}"}, "finish_reason": None}]}
        events.append(f"data: {json.dumps(chunk)}\n\n".encode())
    events[-1] += f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\ndata: [DONE]\n\n".encode()
    framed = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    each = CHUNKS // writes
    parts = [b"".join(framed[i:i + each]) for i in range(0, CHUNKS, each)]
    parts[-1] += b"0\r\n\r\n"
    return [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", *parts]


class Upstream(threading.Thread):
    """Reads requests and sends the answer that its case has, in so many writes with a pause between them."""

    def __init__(self, parts, pause):
        super().__init__(daemon=True)
        self.parts, self.pause = parts, pause
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        with connection, contextlib.suppress(OSError):
            while piece := connection.recv(1 << 16):
                data += piece
                head, found, body = data.partition(b"\r\n\r\n")
                if not found or len(body) < int(re.search(rb"content-length: (\d+)", head.lower())[1]):
                    continue
                data = b""
                for part in self.parts:
                    connection.sendall(part)
                    if self.pause:
                        time.sleep(self.pause)


def rows_in(folder):
    return sum(sqlite3.connect(day).execute("SELECT count(*) FROM requests").fetchone()[0]
               for day in pathlib.Path(folder).glob("traffic/default/????-??-??.db"))


class Collector:
    """Takes what is posted."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def measure(flags, name, parts, pause, clients_count, words=()):
    with tempfile.TemporaryDirectory() as folder:
        upstream = Upstream(parts, pause)
        with ServerProcess(flags.paring, "--upstream", upstream.url, "--data-dir", folder, "--log-level", "error",
                           *words, command="monitor") as proxy:
            body = {"model": "m", "stream": len(parts) > 1, "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Hello, who are you? " * 5}]}
            stop = threading.Event()
            clients = [Client(proxy.url, body, stop) for _ in range(clients_count)]
            for client in clients:
                client.start()
            time.sleep(1)  # all of them run
            before, answered = times_of(proxy.pid), sum(client.answers for client in clients)
            time.sleep(flags.seconds)
            after, answers = times_of(proxy.pid), sum(client.answers for client in clients) - answered
            stop.set()
            for client in clients:
                client.join(60)
            in_all = sum(client.answers for client in clients)
            dropped = proxy.metric("paring:traffic_dropped_total")
            # A ring and memory are bounded: with content faster than the disk some of it is left out, and counted.
            lost = {what: proxy.metric(f"paring:{what}_dropped_total") for what in ("traffic_content", "otlp_spans")}
            proxy.end()
        upstream.listener.close()
        rows = rows_in(folder)
    times = after - before
    each = times.total() / 1e3 / answers
    print(f"{name}, {clients_count} at a time: {each:.1f} us of CPU a request ({answers} requests in "
          f"{flags.seconds} s; {rows} rows for {in_all} answers, {dropped:.0f} dropped"
          + "".join(f", {what} dropped: {count:.0f}" for what, count in lost.items() if count) + ")")
    table(times, "request", answers)
    return each, rows + dropped == in_all


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paring", default=str(ROOT / "build/release/paring"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--check", action="store_true")
    flags = parser.parse_args()
    met = True
    for clients in (1, 8):
        each, is_kept = measure(flags, "short answers", whole(), 0, clients)
        met &= each < MICROSECONDS_A_REQUEST and is_kept
    collector = Collector()
    exporter = ("--otlp-endpoint", collector.url)
    redacted = ("--content", "redacted")
    for name, words in (("content as it is", ("--content", "full")), ("content redacted", redacted),
                        ("spans sent", exporter), ("content redacted, spans sent", (*redacted, *exporter))):
        each, is_kept = measure(flags, f"short answers, {name}", whole(), 0, 8, words)
        met &= each < MICROSECONDS_A_REQUEST and is_kept
        measure(flags, f"streams of {CHUNKS} chunks in 10 writes, {name}", streamed(10), 0.002, 8, words)
    measure(flags, f"streams of {CHUNKS} chunks in 10 writes", streamed(10), 0.002, 8)
    measure(flags, f"streams of {CHUNKS} chunks in {CHUNKS} writes", streamed(CHUNKS), 0.001, 8)
    return 0 if met or not flags.check else 1


if __name__ == "__main__":
    sys.exit(main())
