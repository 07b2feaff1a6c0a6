# SPDX-License-Identifier: Apache-2.0
"""Starts `paring serve`, or another command that serves, as a user would, waits until it answers, and ends it."""
import contextlib
import os
import pathlib
import re
import signal
import shutil
import subprocess
import tempfile
import threading
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent


class ServerProcess:
    """A server on a free port of the loopback address. Use as a context manager."""

    def __init__(self, program, *words, env=None, port=0, command="serve"):
        settings = {k: v for k, v in os.environ.items() if not k.startswith("PARING_")}
        settings.update(env or {})
        self.key = (settings.get("PARING_API_KEY") or " ").split(" ")[0]
        self.folder = None
        if "--data-dir" not in words:  # one server owns a folder
            self.folder = tempfile.mkdtemp(prefix="paring-serve-")
            words = [*words, "--data-dir", self.folder]
        self.process = subprocess.Popen([program, command, *map(str, words), "--port", str(port)], cwd=ROOT,
                                        env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.log = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        line = self.process.stdout.readline()
        found = re.search(r" at (\S+)$", line)
        if not found:
            self.process.wait(30)
            self._reader.join(5)
            raise RuntimeError(f"the server did not start: {''.join(self.log)}")
        self.url = found.group(1)

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    @property
    def pid(self):
        return self.process.pid

    def get(self, path, headers=None):
        if self.key:
            headers = {"authorization": f"Bearer {self.key}", **(headers or {})}
        request = urllib.request.Request(self.url + path, headers=headers or {})
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read().decode()

    def metric(self, name):
        """The sum of a metric's samples, whatever their labels."""
        values = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", self.get("/metrics"), re.M)
        return sum(map(float, values))

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        """What is open: a path or a kind for each descriptor. Not those of databases, whose readers are kept when idle,
        up to eight."""
        folder = pathlib.Path(f"/proc/{self.pid}/fd")
        names = []
        for descriptor in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                names.append(os.readlink(descriptor))
        return sorted(name for name in names if ".db" not in name)

    def end(self, how=signal.SIGTERM, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
