# SPDX-License-Identifier: Apache-2.0
"""Schemathesis reads /openapi.json and sends what it says, and what it forbids, to every route: none may answer with a
5xx, and the server goes on."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import raw_client
import tiny_model
from server_process import ServerProcess
from test_serve import post

# Made by chance, bodies ask for answers of any length and number; the context ends them.
CONTEXT = 64


@pytest.fixture(scope="module")
def server(paring, root, tmp_path_factory):
    path = tmp_path_factory.mktemp("schemathesis") / "small.gguf"
    tiny_model.write(path, chat_template=raw_client.CHATML)
    encoders = [f"{name}={root / 'tests/data/encoders' / name}" for name in ("bert-mean", "bert-rank", "bert-classes")]
    with ServerProcess(paring.path, f"small={path}", *encoders, "--threads", 1, "--context-tokens", CONTEXT) as running:
        yield running


def run(server, tmp_path, seconds, seed):
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    # One worker: Hypothesis reads the source of functions with `ast`, which two threads must not do in CPython 3.11.
    words = [program, "run", f"{server.url}/openapi.json", "--checks", "not_a_server_error", "--max-examples", 100000,
             "--phases", "examples,coverage,fuzzing", "--max-time", seconds, "--request-timeout", 60, "--workers", 1,
             "--seed", seed, "--continue-on-failure", "--no-color", "--suppress-health-check", "all"]
    environment = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(list(map(str, words)), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    selected, total = re.search(r"Selected: (\d+)/(\d+)", done.stdout).groups()
    tested = re.search(r"Tested: (\d+)", done.stdout).group(1)
    # All routes but that of the document, which it has read already.
    routes = len(json.loads(server.get("/openapi.json"))["paths"]) - 1
    assert selected == total == tested and int(total) >= routes, done.stdout[-3000:]
    assert int(re.search(r"(\d+) generated", done.stdout).group(1)) > 10 * int(total), done.stdout[-3000:]
    assert server.process.poll() is None, "".join(server.log)[-3000:]
    # After all that it answers as before.
    status, answer, _ = post(server, "/v1/completions", {"model": "small", "prompt": "x", "max_tokens": 2})
    assert status == 200, answer


@pytest.mark.slow
def test_no_request_that_the_document_describes_or_forbids_is_a_5xx(server, tmp_path):
    run(server, tmp_path, 120, 1)


@pytest.mark.long
def test_no_request_is_a_5xx_for_longer(server, tmp_path):
    run(server, tmp_path, 1200, 2)
