# SPDX-License-Identifier: Apache-2.0
"""What deploy/ and the Dockerfile promise: systemd takes the unit and is told what it waits for,
the image's health check works."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from server_process import ServerProcess


def unit(root):
    """The unit's settings: a name may stand more than once."""
    found = {}
    for line in (root / "deploy/paring.service").read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_systemd_takes_the_unit(root, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "paring"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (root / "deploy/paring.service").read_text()
    assert text.count("/usr/bin/paring ") == 1
    path = tmp_path / "paring.service"
    # The manual page is looked for as well, and need not be installed here.
    path.write_text(text.replace("/usr/bin/paring ", f"{program} ").replace("Documentation=man:paring(1)\n", ""))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
    assert done.returncode == 0 and "paring.service" not in done.stdout + done.stderr, done.stderr
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:]


def test_the_unit_fits_the_server(root, paring, tmp_path):
    settings = unit(root)
    reference = (root / "docs/reference/settings.md").read_text()
    values = {name: int(value) for name, value in
              re.findall(r"^\| `serve_(drain_seconds|stall_seconds)` .*? \| `(\d+)` \|", reference, re.M)}
    assert int(settings["TimeoutStopSec"][0]) > values["drain_seconds"]
    assert int(settings["WatchdogSec"][0]) > values["stall_seconds"]
    assert settings["Type"] == ["notify"] and settings["User"] == ["paring"] and settings["NotifyAccess"] == ["main"]
    done = paring("serve", "/no/such/model.gguf", "--port", 0, "--data-dir", tmp_path)
    assert str(done.code) in settings["RestartPreventExitStatus"][0].split(), done.err


class StandIn:
    """Stands for systemd: the socket that NOTIFY_SOCKET names."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)
        self.messages = []

    def until(self, wanted):
        while wanted not in (self.messages or [""])[-1]:
            self.messages.append(self.socket.recv(4096).decode())
        return self.messages[-1]

    def waiting(self):
        """What has come and was not read."""
        self.socket.settimeout(0)
        found = []
        try:
            while True:
                found.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            self.socket.settimeout(20)
            return found


def test_systemd_is_told_as_the_unit_says(root, paring, model, tmp_path):
    """ExecStart as it stands in the unit, with paths of this test, and the watchdog's time made short."""
    command = unit(root)["ExecStart"][0].replace("/usr/bin/paring", paring.path)
    (tmp_path / "paring.yaml").write_text("serve:\n  port: 0\n")
    command = command.replace("/etc/paring/paring.yaml", str(tmp_path / "paring.yaml"))
    words = [w for word in command.split() for w in ([f"chat={model}"] if word == "$SERVED_MODELS" else [word])]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PARING_")}
    variables = dict(value.split("=", 1) for value in unit(root)["Environment"])
    environment.update({k: v.replace("%S", str(tmp_path)).replace("%C", str(tmp_path)) for k, v in variables.items()})
    systemd = StandIn(tmp_path / "notify")
    environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        ready = systemd.until("READY=1")
        url = re.search(r"STATUS=serves 1 model at (\S+)", ready)[1]
        before = "".join(systemd.messages)
        assert "STATUS=loads models" in before and "WATCHDOG" not in before
        urllib.request.urlopen(url + "/readyz", timeout=10).read()
        begin = time.monotonic()
        for _ in range(4):
            systemd.messages.clear()
            systemd.until("WATCHDOG=1")
        assert 0.15 < time.monotonic() - begin < 5  # four of them, 0.1 s apart
        maps = open(f"/proc/{process.pid}/maps").read()
        assert "rwx" not in maps, "MemoryDenyWriteExecute would not let it run"
        process.send_signal(signal.SIGTERM)
        systemd.until("STOPPING=1")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_systemd_is_not_told_of_a_life_that_is_none(paring, model, tmp_path):
    """A stopped process says nothing: that is what systemd's watchdog is for."""
    systemd = StandIn(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000", "WATCHDOG_PID": ""}
    with ServerProcess(paring.path, f"chat={model}", env=environment) as server:
        systemd.until("WATCHDOG=1")
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        systemd.waiting()
        time.sleep(0.3)
        assert systemd.waiting() == []
        server.process.send_signal(signal.SIGCONT)
        systemd.messages.clear()
        systemd.until("WATCHDOG=1")


def docker(root, word):
    text = (root / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^\s*{word}\s+(.*)$", text.split("FROM debian:12-slim")[-1], re.M)


def test_the_image_serves_and_knows_how_it_is(root, paring, model, tmp_path):
    command = json.loads(docker(root, "CMD")[-1])
    assert json.loads(docker(root, "ENTRYPOINT")[-1]) == ["paring"] and command[0] == "serve"
    variables = dict(pair.split("=") for pair in docker(root, "ENV")[-1].split())
    assert variables["PARING_PORT"] == docker(root, "EXPOSE")[-1]
    # As the image starts it, but for a free port and a model of this test; without a key it must not.
    words = [str(model) if word == "/models/model.gguf" else word for word in command[1:]]
    data = ["--data-dir", tmp_path / "data"]
    assert words[0] == str(model) and paring("serve", *words, "--port", 0, *data).code == 2
    check = json.loads(re.search(r"CMD (\[.*\])", docker(root, "HEALTHCHECK")[-1])[1])

    def health(port):
        return subprocess.run(check, env={**os.environ, "PARING_PORT": str(port)}, capture_output=True,
                              timeout=5).returncode

    with ServerProcess(paring.path, *words, *data, env={"PARING_API_KEY": "a-key-of-this-test-0123"}) as server:
        port = int(server.url.rsplit(":", 1)[1])
        assert health(port) == 0
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            health(port)
        server.process.send_signal(signal.SIGCONT)
        server.end()
        assert health(port) != 0
