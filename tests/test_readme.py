# SPDX-License-Identifier: Apache-2.0
"""The commands in README.md and docs/howto that are marked with `sh test` run as they stand, those of one document in
order and in one folder, and leave with 0."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MARKED = re.compile(r"^```sh test\n(.*?)^```", re.M | re.S)
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs/howto").glob("*.md"))]
BLOCKS = [(path.stem, block) for path in DOCUMENTS for block in MARKED.findall(path.read_text("utf-8"))]


@pytest.fixture(scope="module")
def places(tmp_path_factory, paring, model, reference):
    """A folder for each document that looks like the root after ./quickstart; what the commands write stays in it."""
    made = {}

    def place(document):
        if document not in made:
            folder = made[document] = tmp_path_factory.mktemp(document)
            (folder / "build/release").mkdir(parents=True)
            (folder / "build/release/paring").symlink_to(paring.path)
            (folder / "models").mkdir()
            for path in (model, reference):
                (folder / "models" / path.name).symlink_to(path)
            (folder / "tests").symlink_to(ROOT / "tests")
        return made[document]

    return place


def test_there_are_commands_to_run():
    counts = {path.stem: 0 for path in DOCUMENTS}
    for document, _ in BLOCKS:
        counts[document] += 1
    assert counts["README"] >= 5
    for document in ("plan-with-inspect", "export-to-hugging-face", "quantize-with-an-imatrix",
                     "install-completion-and-man-page"):
        assert counts[document] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("document, block", BLOCKS,
                         ids=[f"{name}-{block.split('paring ')[1].split()[0]}" for name, block in BLOCKS])
def test_a_block_runs_as_written(places, document, block):
    place = places(document)
    settings = {**os.environ, "HOME": str(place), "PATH": f"{place / 'build/release'}:{os.environ['PATH']}"}
    settings.pop("XDG_DATA_HOME", None)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=place, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=900, env=settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != ""


def test_every_command_named_in_the_readme_exists(paring):
    named = set(re.findall(r"build/release/paring ([a-z]+)", README))
    assert {"inspect", "info", "run", "bench", "eval", "quantize", "optimize"} <= named
    for command in sorted(named):
        done = paring(command, "--help")
        assert done.code == 0, (command, done.err)
        assert command in done.out
