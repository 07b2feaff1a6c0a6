# SPDX-License-Identifier: Apache-2.0
"""What hostile files, people and systems do to the program: signals, races, templates that mean harm."""
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import tiny_model
from test_cli_errors import CORRUPT, EXHAUSTED, UNSUPPORTED, assert_one_sentence


def start(paring, *words):
    settings = {k: v for k, v in os.environ.items() if not k.startswith("PARING_")}
    return subprocess.Popen([paring.path, *map(str, words)], env=settings, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_temporary(process, folder, name):
    """Until the process has begun to write `name`; its temporary file has the name as its first part."""
    for _ in range(6000):
        if any(entry.name.startswith(name + ".tmp-") for entry in folder.iterdir()):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    pytest.fail("nothing was written in 30 s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("old", [None, b"older"])
def test_a_signal_while_writing_leaves_nothing_behind(paring, model, tmp_path, number, old):
    out = tmp_path / "out.gguf"
    if old:
        out.write_bytes(old)
    process = start(paring, "quantize", model, out, "--type", "Q8_0", "--no-importance", "--force")
    wait_for_temporary(process, tmp_path, "out.gguf")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    assert [entry.name for entry in tmp_path.iterdir()] == (["out.gguf"] if old else [])
    assert not old or out.read_bytes() == old


def test_an_ignored_signal_stays_ignored(paring, tiny, tmp_path):
    """nohup and the shell's background jobs ignore signals for the programs that they start."""
    words = [paring.path, "quantize", tiny, tmp_path / "out.gguf", "--type", "Q8_0", "--no-importance"]
    process = subprocess.Popen([*map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    for _ in range(50):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.001)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    assert (tmp_path / "out.gguf").exists()


def damaged(path, tensor, value, dtype=np.float16):
    def change(tensors):
        tensors[tensor] = tensors[tensor].astype(dtype)
        tensors[tensor].flat[5] = value

    tiny_model.write(path, change=change)
    return path


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("tensor", ["token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight"])
def test_damaged_weights_give_no_answer_and_no_figure(paring, tmp_path, tensor, value):
    path = damaged(tmp_path / "damaged.gguf", tensor, value)
    done = paring("run", path, "hello", "--max-tokens", "4")
    assert_one_sentence(done, CORRUPT, "damaged.gguf", "finite", ";")
    assert done.out == ""
    done = paring("eval", path, "--context", "32", "--windows", "4")
    assert_one_sentence(done, CORRUPT, "finite", "window", ";")
    assert "nan" not in done.out
    done = paring("eval", path, "--context", "32", "--windows", "4", "--against", path)
    assert_one_sentence(done, CORRUPT, "finite", ";")
    done = paring("quantize", path, tmp_path / "out.gguf", "--type", "Q8_0", "--no-importance")
    assert_one_sentence(done, CORRUPT, tensor, "finite", ";")
    assert [entry.name for entry in tmp_path.iterdir()] == ["damaged.gguf"]


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_a_weight_beyond_a_type_is_refused(paring, tmp_path, kind):
    path = damaged(tmp_path / "large.gguf", "blk.0.attn_q.weight", 1e30, dtype=np.float32)
    done = paring("quantize", path, tmp_path / "out.gguf", "--type", kind, "--no-importance")
    assert_one_sentence(done, UNSUPPORTED, "blk.0.attn_q.weight", kind, "BF16", ";")
    assert [entry.name for entry in tmp_path.iterdir()] == ["large.gguf"]
    assert paring("quantize", path, tmp_path / "out.gguf", "--type", "BF16", "--no-importance").code == 0


LOOP = "{% set n = namespace(x='aaaa') %}{% for i in range(64) %}{% set n.x = "
HOSTILE_TEMPLATES = {
    "doubling": (LOOP + "n.x ~ n.x %}{% endfor %}", EXHAUSTED, "134217728 bytes"),
    "replacing": (LOOP + "n.x | replace('a', n.x) %}{% endfor %}", EXHAUSTED, "134217728 bytes"),
    "containing itself": ("{% set n = namespace(x=1) %}{% set n.x = n %}{{ n }}", 2, "nested deeper"),
    "nested values": ("{% set n = namespace(x=[]) %}{% for i in range(100) %}{% for j in range(10000) %}"
                      "{% set n.x = [n.x] %}{% endfor %}{% endfor %}", EXHAUSTED, "134217728 bytes"),
    "a long sum": ("{{ 1" + "+1" * 120_000 + " }}", CORRUPT, "tokens in one tag"),
    "a long chain": ("{{ a" + ".a" * 120_000 + " }}", CORRUPT, "tokens in one tag"),
    "many signs": ("{{ " + "-" * 250_000 + "1 }}", CORRUPT, "tokens in one tag"),
    "many negations": ("{{ " + "not " * 60_000 + "1 }}", CORRUPT, "tokens in one tag"),
    "no template": ("{{ unclosed", CORRUPT, "does not parse"),
    "a refusal": ("{{ raise_exception('no system role') }}", 2, "no system role"),
}


@pytest.mark.parametrize("name", HOSTILE_TEMPLATES)
def test_a_hostile_template_is_an_error(paring, tmp_path, name):
    template, code, part = HOSTILE_TEMPLATES[name]
    path = tmp_path / "template.gguf"
    tiny_model.write(path, chat_template=template)
    assert_one_sentence(paring("run", path, "hello", "--max-tokens", "4"), code, part, "--raw", ";")
    assert paring("run", path, "hello", "--raw", "--max-tokens", "4").code == 0


def test_two_paths_to_one_file(paring, tiny, tmp_path):
    whole = tiny.read_bytes()
    link = tmp_path / "link.gguf"
    link.symlink_to(tiny)
    for out in (tiny, link):
        done = paring("quantize", tiny, out, "--type", "Q8_0", "--no-importance", "--force")
        assert_one_sentence(done, 2, "same file", ";")
    optimize = ("optimize", tiny, "--file", "1MB", "--force", "--out")
    for words in ((tiny,), (tmp_path / "out.gguf", "--report", tiny),
                  (tmp_path / "out.gguf", "--report", tmp_path / "." / "out.gguf")):
        assert_one_sentence(paring(*optimize, *words), 2, "same file", ";")
    assert tiny.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["link.gguf"]


@pytest.mark.slow
def test_a_file_that_appears_meanwhile_is_kept(paring, model, tmp_path):
    """Two runs with one output and no --force: the first to end wins, the other says so."""
    out = tmp_path / "out.gguf"
    runs = [start(paring, "quantize", model, out, "--type", "Q8_0", "--no-importance") for _ in range(2)]
    errors = [run.communicate(timeout=300)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2], errors
    assert any("out.gguf' exists already" in error for error in errors)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.gguf"]


def test_numbers_that_wrap_around(paring, tiny):
    for words in (("eval", tiny, "--windows", "-1"), ("eval", tiny, "--windows", "18446744073709551616"),
                  ("run", tiny, "hi", "--top-k", "-1"), ("run", tiny, "hi", "--top-k", "99999999999999999999")):
        assert_one_sentence(paring(*words), 2, words[-2], words[-1])
    assert_one_sentence(paring("bench", tiny, "--prefill", "0", "--decode", "0"), 2, "nothing", ";")
