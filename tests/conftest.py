# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: the built program, the models, and a way to run one with the other."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = "models/SmolLM2-135M-Instruct.Q4_1.gguf"
REFERENCE = "models/smollm2-135m-reference-f16.gguf"
EVALUATION_TEXT = "tests/data/wikitext2/wiki.test.head.raw"


class Finished:
    """A run that ended: exit code, standard output, standard error."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        assert self.code == 0, self.err
        return json.loads(self.out)


class Paring:
    def __init__(self, path):
        self.path = path

    def __call__(self, *words, timeout=600, env=None, before=None):
        settings = {k: v for k, v in os.environ.items() if not k.startswith("PARING_")}
        settings.update(env or {})
        done = subprocess.run([self.path, *map(str, words)], cwd=ROOT, env=settings, preexec_fn=before,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        return Finished(done)


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def paring():
    candidates = [os.environ.get("PARING_BIN", ""), "build/ci/paring", "build/release/paring", "build/dev/paring"]
    for candidate in filter(None, candidates):
        path = ROOT / candidate
        if os.access(path, os.X_OK):
            return Paring(str(path))
    pytest.fail("no program to test: build one (cmake --workflow --preset dev) or set PARING_BIN")


def prepared(path, function):
    """A model that the functions of tools/setup.sh fetch or make; they do nothing when it is there."""
    script = f"set -euo pipefail; . tools/setup.sh; python_environment tools/requirements.txt; fetch_model; {function}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0 or not (ROOT / path).exists():
        pytest.fail(f"{path} cannot be prepared: {done.stdout}{done.stderr}")
    return ROOT / path


@pytest.fixture(scope="session")
def model():
    """SmolLM2-135M-Instruct, Q4_1, as published."""
    return prepared(MODEL, "true")


@pytest.fixture(scope="session")
def reference():
    """The F16 model made from it, off the quantization grid."""
    return prepared(REFERENCE, "make_reference")


@pytest.fixture(scope="session")
def decoded(model, tmp_path_factory):
    """The published file with every tensor decoded to F32."""
    out = ROOT / "models" / "smollm2-135m-f32.gguf"
    stamp = out.with_suffix(".gguf.made-from")
    tools = "".join((ROOT / "tools" / name).read_text() for name in ("decode_f32.py", "gguf_files.py"))
    if not out.exists() or not stamp.exists() or stamp.read_text() != tools:
        stamp.unlink(missing_ok=True)
        subprocess.run([sys.executable, ROOT / "tools/decode_f32.py", model, out], check=True)
        stamp.write_text(tools)
    return out


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A llama model of a few hundred kilobytes with random weights: loads in no time, says nonsense."""
    import tiny_model
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    tiny_model.write(path)
    return path


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where the process may mount one."""
    point = tmp_path / "small"
    point.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", point], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", point], check=True)
