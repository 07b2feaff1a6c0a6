# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C: every long command says what was stopped, what is kept and how to go on, and ends by the signal, which
shells show as 130."""
import os
import pathlib
import signal
import subprocess
import time

import pytest

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    """Minutes of work for the smallest model."""
    path = tmp_path_factory.mktemp("text") / "long.txt"
    path.write_text("It was a bright cold day in April, and the clocks were striking. " * 60_000)
    return path


@pytest.mark.parametrize("command, said", [
    (["imatrix", "MODEL", "--out", "out", "--text", "TEXT"], "nothing was written"),
    (["quantize", "MODEL", "out", "--type", "Q4_0", "--calibration", "TEXT"], "nothing was written"),
    (["eval", "MODEL", "--text", "TEXT", "--context", "256"], "--journal"),
    (["eval", "MODEL", "--text", "TEXT", "--context", "256", "--journal", "journal"], "goes on where"),
], ids=["imatrix", "quantize", "eval", "eval with a journal"])
def test_ctrl_c_says_what_is_kept(paring, tiny, long_text, tmp_path, command, said):
    words = [{"MODEL": str(tiny), "TEXT": str(long_text)}.get(word, word) for word in command]
    process = subprocess.Popen([paring.path, *words], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 240
    while process.poll() is None and cpu_seconds(process.pid) < 0.3 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT, (out, errors)
    assert "paring: stopped; " in errors and said in errors
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.tmp-*"))
