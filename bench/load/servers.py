# SPDX-License-Identifier: Apache-2.0
"""The two servers: started, watched and ended. One runs at a time, so that neither disturbs the other."""
import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

START_SECONDS_MAX = 180
LAYOUTS = ("split", "unified")
HTTP_THREADS = 512  # llama-server keeps one busy for each connection


class StartFailed(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server. `name` is "paring" or "llama-server"; use as a context manager."""

    def __init__(self, name, words, env=None):
        self.name, self.words = name, [str(word) for word in words]
        self.host, self.port = "127.0.0.1", free_port()
        self.log = tempfile.TemporaryFile()
        command = self.words + ["--host", self.host, "--port", str(self.port)]
        settings = {key: value for key, value in os.environ.items() if not key.startswith(("PARING_", "LLAMA_ARG_"))}
        self.process = subprocess.Popen(command, env=settings | (env or {}), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        try:
            self._wait()
        except StartFailed:
            self.end()
            raise

    def _wait(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StartFailed(f"{' '.join(self.words)} ended with {self.process.returncode}:\n{self.last_words()}")
            try:
                self.get("/health")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        raise StartFailed(f"{self.words[0]} was not ready within {START_SECONDS_MAX} s:\n{self.last_words()}")

    def last_words(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]

    def _open(self, request):
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read().decode()

    def get(self, path):
        return self._open(f"http://{self.host}:{self.port}{path}")

    def post(self, path, body):
        request = urllib.request.Request(f"http://{self.host}:{self.port}{path}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        return json.loads(self._open(request))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a server is to hold. llama-server's layout "split" gives every slot a cache of its own, "unified" one cache
    for all; Paring has one for all and no slots."""
    model: pathlib.Path
    slots: int
    context_tokens: int  # of one request
    layout: str = "split"

    def identity(self):
        return [self.model.name, self.model.stat().st_size, self.slots, self.context_tokens, self.layout]


def paring_words(flags, shape):
    words = [flags.paring, "serve", shape.model, "--threads", flags.threads, "--context-tokens", shape.context_tokens,
             "--cache-tokens", max(flags.cache_tokens, 2 * shape.context_tokens), "--data-dir", flags.work / "data"]
    return words + flags.paring_flags.split()


def peer_words(flags, shape):
    words = [flags.peer, "-m", shape.model, "-t", flags.threads, "-tb", flags.threads, "-np", shape.slots,
             "-c", shape.slots * shape.context_tokens, "-kvu" if shape.layout == "unified" else "-no-kvu", "-fa", "on",
             "--cont-batching", "--threads-http", HTTP_THREADS, "--no-webui"]
    return words + flags.peer_flags.split()


def peer_environment(flags):
    """A build that was not installed finds its libraries beside itself."""
    return {"LD_LIBRARY_PATH": f"{pathlib.Path(flags.peer).parent}:{os.environ.get('LD_LIBRARY_PATH', '')}"}


def start(flags, name, shape):
    if name == "paring":
        return Server(name, paring_words(flags, shape))
    return Server(name, peer_words(flags, shape), peer_environment(flags))


def version_of(program, env=None):
    done = subprocess.run([program, "--version"], capture_output=True, text=True, env=os.environ | (env or {}))
    return " ".join((done.stdout + done.stderr).split()) or f"no version ({done.returncode})"
