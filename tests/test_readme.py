# SPDX-License-Identifier: Apache-2.0
"""The commands in README.md that are marked with `sh test` run as they stand, in order, and leave with 0."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh test\n(.*?)^```", README, re.M | re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory, paring, model, reference):
    """A folder that looks like the root after ./quickstart; what the commands write stays in it."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "build/release").mkdir(parents=True)
    (folder / "build/release/paring").symlink_to(paring.path)
    (folder / "models").mkdir()
    for path in (model, reference):
        (folder / "models" / path.name).symlink_to(path)
    (folder / "tests").symlink_to(ROOT / "tests")
    return folder


def test_there_are_commands_to_run():
    assert len(BLOCKS) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=[b.split("paring ")[1].split()[0] for b in BLOCKS])
def test_a_block_runs_as_written(place, block):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=place, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=900, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != ""


def test_every_command_named_in_the_readme_exists(paring):
    named = set(re.findall(r"build/release/paring ([a-z]+)", README))
    assert {"inspect", "info", "run", "bench", "eval", "quantize", "optimize"} <= named
    for command in sorted(named):
        done = paring(command, "--help")
        assert done.code == 0, (command, done.err)
        assert command in done.out
