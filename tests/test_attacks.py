# SPDX-License-Identifier: Apache-2.0
"""What hostile files, people and systems do to the program: signals, races, templates that mean harm."""
import json
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
    # A type that takes seconds to encode, so that the signal comes before the end.
    process = start(paring, "quantize", model, out, "--type", "IQ4_NL", "--no-importance", "--force")
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
    "containing itself": ("{% set n = namespace(x=1) %}{% set n.x = n %}{{ n }}", 2, "namespace"),
    "nested values": ("{% set n = namespace(x=[]) %}{% for i in range(100) %}{% for j in range(10000) %}"
                      "{% set n.x = [n.x] %}{% endfor %}{% endfor %}", EXHAUSTED, "134217728 bytes"),
    "a long sum": ("{{ 1" + "+1" * 120_000 + " }}", CORRUPT, "tokens in one tag"),
    "a long chain": ("{{ a" + ".a" * 120_000 + " }}", CORRUPT, "tokens in one tag"),
    "many signs": ("{{ " + "-" * 250_000 + "1 }}", CORRUPT, "tokens in one tag"),
    "many negations": ("{{ " + "not " * 60_000 + "1 }}", CORRUPT, "tokens in one tag"),
    "long texts searched": ("{% set k = 10000000 %}{% set a = 'a' * k %}{% for i in range(100000) %}"
                            "{% set x = a.count('aab') %}{% endfor %}", EXHAUSTED, "134217728 bytes"),
    "long texts compared": ("{% set k = 10000000 %}{% set a = 'a' * k %}{% set b = 'a' * k %}"
                            "{% for i in range(100000) %}{% set x = a >= b %}{% endfor %}",
                            EXHAUSTED, "134217728 bytes"),
    "long texts indexed": ("{% set k = 10000000 %}{% set a = 'a' * k %}{% for i in range(100000) %}"
                           "{% set x = a[9999999] %}{% endfor %}", EXHAUSTED, "134217728 bytes"),
    "many to strip": ("{% set k = 1000000 %}{% set a = 'a' * k %}{% set b = 'b' * k %}{{ a.strip(b ~ 'a') }}",
                      EXHAUSTED, "134217728 bytes"),
    "lists of one long text": ("{% set k = 1000000 %}{% set a = ['a' * k] * k %}{{ a | max }}", EXHAUSTED,
                               "134217728 bytes"),
    "a test of each item": ("{% set k = 40 %}{% set a = range(20000) | list * k %}"
                            "{{ a | select('in', a) | list }}", EXHAUSTED, "134217728 bytes"),
    "division by zero": ("{{ 4 is divisibleby(0) }}", 2, "zero"),
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


REALS = [("run", "--temperature"), ("run", "--top-p"), ("run", "--min-p"), ("run", "--repetition-penalty"),
         ("optimize", "--kl"), ("optimize", "--speed"), ("optimize", "--file"), ("optimize", "--memory"),
         ("optimize", "--time"), ("inspect", "--memory"), ("inspect", "--params"), ("inspect", "--gpu")]
COUNTS = [("run", "--max-tokens"), ("run", "--top-k"), ("run", "--threads"), ("run", "--context"),
          ("bench", "--prefill"), ("bench", "--decode"), ("bench", "--depth"), ("bench", "--repetitions"),
          ("eval", "--windows"), ("eval", "--context"), ("eval", "--limit"), ("eval", "--shots")]


@pytest.mark.parametrize("command, flag", REALS + COUNTS)
def test_no_number_is_taken_for_one(paring, tmp_path, command, flag):
    """Refused while the command line is read: before the model, which does not exist here."""
    more = {"optimize": ["--out", tmp_path / "out.gguf"], "eval": ["--tasks", "copa"]}.get(command, [])
    if flag in ("--windows", "--context"):
        more = []
    for value in ("nan", "inf", "-inf", "-1", "1e400", "1;2", "12abc"):
        done = paring(command, tmp_path / "no.gguf", flag, value, *more)
        assert_one_sentence(done, 2, "GPU" if flag == "--gpu" else flag, ";")
        assert "no.gguf" not in done.err


HOSTILE_SETTINGS = {
    "PARING_THREADS": ["-1", "nan", "1e3", "99999999999999999999", " 2", "two", ""],
    "PARING_CONTEXT_TOKENS": ["-1", "18446744073709551616", "0x10"],
    "PARING_KV_TYPE": ["q8;", "Q9", "x" * 100_000],
    "PARING_LOG_LEVEL": ["\x1b[31mred", "all"],
}


@pytest.mark.parametrize("name", HOSTILE_SETTINGS)
def test_hostile_settings(paring, tiny, tmp_path, name):
    for value in HOSTILE_SETTINGS[name]:
        done = paring("inspect", tiny, env={name: value})
        assert_one_sentence(done, 2, name, ";")
        assert "\x1b" not in done.err and len(done.err) < 1000
        config = tmp_path / "paring.yaml"
        key = name[len("PARING_"):].lower()
        config.write_text(f"{key}: {json.dumps(value)}\n")
        assert_one_sentence(paring("inspect", tiny, "--config", config), 2, key, "line 1", ";")
    for content in ("threads: [1, 2]", "- 1", "threads: {a: {b: 1}}", "a: &a [*a]", "threads: 1\nthreads: 2", "\t- x:",
                    "{" * 10_000, "threads: !!binary x", "x" * (1 << 21)):
        config.write_text(content)
        done = paring("inspect", tiny, "--config", config)
        assert done.code in (2, 3, 6), (content[:40], done.err)
        assert_one_sentence(done, done.code, "paring.yaml")


def test_a_reader_that_goes_away(paring, tiny, tmp_path):
    """paring ... | head: the program ends at once, without words and without leaving anything."""
    for words in (["run", tiny, "hello", "--max-tokens", "200"], ["inspect", tiny, "--tensors"], ["--help"],
                  ["quantize", tiny, tmp_path / "out.gguf", "--type", "Q8_0", "--no-importance"]):
        process = start(paring, *words)
        process.stdout.close()
        assert process.wait(timeout=60) == 141, process.stderr.read()
        assert "error" not in process.stderr.read()
    assert [entry.name for entry in tmp_path.iterdir()] in ([], ["out.gguf"])


def test_without_standard_streams(paring, tiny, tmp_path):
    """The first file that a program opens would get the number of a closed stream, and its output."""
    out = tmp_path / "out.gguf"
    words = f"{paring.path} quantize {tiny} {out} --type Q8_0 --no-importance"
    done = subprocess.run(["bash", "-c", words + " <&- >&- 2>&-"], timeout=60)
    assert done.returncode == 10
    assert paring("run", out, "hello", "--max-tokens", "2").code == 0
    words = ["bash", "-c", f"{paring.path} inspect {tiny} >&-"]
    done = subprocess.run(words, timeout=60, capture_output=True, text=True)
    assert done.returncode == 10 and "standard output" in done.stderr


@pytest.mark.parametrize("change", ["cut", "written to"])
def test_a_model_that_changes_meanwhile_is_no_model(paring, model, tmp_path, change):
    source = tmp_path / "in.gguf"
    source.write_bytes(model.read_bytes())
    process = start(paring, "quantize", source, tmp_path / "out.gguf", "--type", "IQ4_NL", "--no-importance")
    wait_for_temporary(process, tmp_path, "out.gguf")
    with open(source, "r+b") as file:
        if change == "cut":
            file.truncate(1 << 20)
        else:
            file.seek(-1000, os.SEEK_END)
            file.write(b"other bytes")
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 10, errors
    assert errors.count("paring: error: ") == 1 and ("was changed" in errors or "became shorter" in errors)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.gguf"]


def test_paths_that_are_no_files(paring, tiny, tmp_path):
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    empty = tmp_path / "folder"
    empty.mkdir()
    loop = tmp_path / "loop.gguf"
    loop.symlink_to(loop)
    for path in (pipe, loop, "/dev/zero", empty):
        for words in (("inspect", path), ("run", path, "hi"), ("eval", path),
                      ("eval", tiny, "--text", path, "--context", "64"),
                      ("quantize", tiny, tmp_path / "out.gguf", "--type", "Q4_0", "--imatrix", path)):
            done = paring(*words, timeout=60)
            assert done.code in (2, 3, 4, 5, 10), (words, done.err)
            assert_one_sentence(done, done.code, str(path), ";")
    for path in (pipe, loop, "/dev/null", empty, empty / "missing" / "out.gguf", str(empty) + "/"):
        for words in (("quantize", tiny, path, "--type", "Q8_0", "--no-importance", "--force"),
                      ("optimize", tiny, "--file", "1MB", "--out", path, "--force"),
                      ("imatrix", tiny, "--out", path, "--force")):
            done = paring(*words, timeout=60)
            assert done.code in (2, 3, 10), (words, done.err)
            assert_one_sentence(done, done.code, str(path).rstrip("/"), ";")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "loop.gguf", "pipe.gguf"]
    assert list(empty.iterdir()) == []


def wait_for(condition, process):
    for _ in range(12_000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    pytest.fail("it did not happen in 60 s")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_search_keeps_its_journal(paring, tiny, tmp_path, number):
    out = tmp_path / "out.gguf"
    words = ("optimize", tiny, "--file", "400kB", "--time", "5min", "--out", out)
    process = start(paring, *words)
    journal = tmp_path / "out.gguf.search" / "measurements.jsonl"
    wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 6, process)
    process.send_signal(number)
    process.send_signal(number)  # an impatient user
    process.communicate(timeout=60)
    assert process.returncode == -number
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.gguf.search"]
    assert not [entry for entry in journal.parent.iterdir() if ".tmp-" in entry.name]
    done = paring(*words, "--json").json()
    assert done["search"]["recalled"] > 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.gguf", "out.html"]


@pytest.mark.slow
def test_a_full_disk_under_optimize(paring, tiny, small_disk):
    (small_disk / "ballast").write_bytes(bytes(1_900_000))
    done = paring("optimize", tiny, "--file", "400kB", "--time", "5min", "--out", small_disk / "out.gguf")
    assert_one_sentence(done, EXHAUSTED, "winner.gguf", ";")
    left = sorted(entry.name for entry in small_disk.iterdir())
    assert left in (["ballast"], ["ballast", "out.gguf.search"])
    assert not list(small_disk.rglob("*.tmp-*"))
    (small_disk / "ballast").unlink()
    assert paring("optimize", tiny, "--file", "400kB", "--time", "5min", "--out", small_disk / "out.gguf").code == 0
