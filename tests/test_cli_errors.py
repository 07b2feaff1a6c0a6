# SPDX-License-Identifier: Apache-2.0
"""What goes wrong outside the program: one clear sentence with a hint, an exit code, and nothing half-written."""
import os
import resource
import stat

import pytest
import tiny_model

# Exit codes by error code: the table in src/base/result.h.
NOT_FOUND, CORRUPT, UNSUPPORTED, EXHAUSTED, IO = 3, 4, 5, 6, 10


def assert_one_sentence(done, code, *parts):
    assert done.code == code, (done.code, done.out, done.err)
    errors = [line for line in done.err.splitlines() if line.startswith("paring: error: ")]
    assert len(errors) == 1, done.err
    for part in parts:
        assert part in done.err, (part, done.err)
    assert "terminate called" not in done.err and "std::" not in done.err and "Traceback" not in done.err
    assert done.out == "" or "error" not in done.out.lower()



@pytest.mark.parametrize("command", ["inspect", "run", "bench", "eval", "optimize"])
def test_a_wrong_path(paring, tmp_path, command):
    missing = tmp_path / "no-such-model.gguf"
    more = {"run": ["hello"], "optimize": ["--file", "1MB", "--out", tmp_path / "out.gguf"]}.get(command, [])
    assert_one_sentence(paring(command, missing, *more), NOT_FOUND, "no-such-model.gguf", ";")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["inspect", "run", "eval"])
def test_a_text_file(paring, tmp_path, command):
    text = tmp_path / "notes.gguf"
    text.write_text("these are my notes about the model\n" * 100)
    more = ["hello"] if command == "run" else []
    done = paring(command, text, *more)
    assert done.code in (CORRUPT, UNSUPPORTED)
    assert_one_sentence(done, done.code, "notes.gguf", "GGUF", ";")


@pytest.mark.parametrize("kept", [0, 3, 4, 23, 24, 200, 5000, 0.5, 0.9, 0.999])
def test_a_cut_file(paring, tiny, tmp_path, kept):
    whole = tiny.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:int(kept * len(whole)) if isinstance(kept, float) else kept])
    done = paring("run", cut, "hello")
    assert done.code in (CORRUPT, UNSUPPORTED)
    assert_one_sentence(done, done.code, "cut.gguf")


def test_a_whole_tiny_model_runs(paring, tiny):
    """The cut files above fail because they are cut."""
    done = paring("run", tiny, "hello", "--max-tokens", "4")
    assert done.code == 0, done.err


def test_an_unknown_architecture(paring, tmp_path):
    path = tmp_path / "other.gguf"
    tiny_model.write(path, architecture="no_such_architecture")
    assert_one_sentence(paring("run", path, "hello"), UNSUPPORTED, "no_such_architecture", "llama", ";")


def test_a_missing_tensor(paring, tmp_path):
    path = tmp_path / "incomplete.gguf"
    tiny_model.write(path, change=lambda tensors: tensors.pop("blk.1.ffn_up.weight"))
    assert_one_sentence(paring("run", path, "hello"), CORRUPT, "blk.1.ffn_up.weight")


def test_an_unknown_command_and_option(paring, tiny):
    no_type = ["quantize", tiny, "unused.gguf", "--type", "Q9_9"]
    for words in (["shrinkify"], ["run", tiny, "--no-such-option"], no_type):
        done = paring(*words)
        assert done.code == 2, (words, done.code, done.err)
        assert done.err.strip() != ""


def test_a_file_that_is_there_is_not_replaced_unasked(paring, tiny, tmp_path):
    out = tmp_path / "out.gguf"
    out.write_bytes(b"older")
    done = paring("quantize", tiny, out, "--type", "Q8_0")
    assert done.code != 0
    assert_one_sentence(done, done.code, "out.gguf", "overwrit")
    assert out.read_bytes() == b"older"


def test_a_size_that_is_none(paring, tiny, tmp_path):
    done = paring("optimize", tiny, "--file", "a lot", "--out", tmp_path / "out.gguf")
    assert done.code == 2
    assert "a lot" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_budget_that_nothing_meets(paring, tiny, tmp_path):
    done = paring("optimize", tiny, "--file", "10kB", "--out", tmp_path / "out.gguf")
    assert done.code != 0
    assert_one_sentence(done, done.code, "kB", ";")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(paring, tiny, tmp_path):
    """Root may write everywhere, except below a file and on /proc."""
    missing = tmp_path / "no-such-folder"
    done = paring("quantize", tiny, missing / "out.gguf", "--type", "Q8_0")
    assert done.code in (NOT_FOUND, IO)
    assert_one_sentence(done, done.code, "no-such-folder", ";")
    assert not missing.exists()
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.geteuid() == 0:
        target = "/proc/out.gguf"
    else:
        target = locked / "out.gguf"
    done = paring("quantize", tiny, target, "--type", "Q8_0")
    assert done.code in (NOT_FOUND, IO)
    assert_one_sentence(done, done.code, "out.gguf", ";")
    assert list(locked.iterdir()) == []


def test_a_full_disk(paring, model, small_disk):
    out = small_disk / "out.gguf"
    done = paring("quantize", model, out, "--type", "Q8_0", "--no-importance")
    assert done.code in (IO, EXHAUSTED)
    assert_one_sentence(done, done.code, "out.gguf", ";")
    assert list(small_disk.iterdir()) == []


def test_a_full_disk_keeps_the_old_file(paring, tiny, model, small_disk):
    out = small_disk / "out.gguf"
    out.write_bytes(b"older")
    done = paring("quantize", model, out, "--type", "Q8_0", "--no-importance", "--force")
    assert done.code != 0
    assert out.read_bytes() == b"older"
    assert [p.name for p in small_disk.iterdir()] == ["out.gguf"]


def test_a_file_size_limit(paring, tiny, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))

    done = paring("quantize", tiny, tmp_path / "out.gguf", "--type", "Q8_0", before=limit)
    assert done.code in (IO, EXHAUSTED)
    assert_one_sentence(done, done.code, "out.gguf")
    assert list(tmp_path.iterdir()) == []


def test_standard_output_that_is_full(paring, tiny):
    import subprocess
    with open("/dev/full", "w") as full:
        done = subprocess.run([paring.path, "inspect", str(tiny)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode in (IO, EXHAUSTED)
    assert "No space" in done.stderr or "full" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [150, 300, 320, 360, 400, 440, 500, 600])
def test_too_little_memory(paring, reference, megabytes):
    """The file is 270 MB, its weights in memory as much again: each limit is hit at another place."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    done = paring("run", reference, "hello", "--max-tokens", "4", before=limit)
    assert_one_sentence(done, EXHAUSTED, "memory", ";")


def test_a_setting_out_of_bounds(paring, tiny):
    done = paring("run", tiny, "hello", "--threads", "9999")
    assert_one_sentence(done, 2, "threads", "9999", "256")
    done = paring("run", tiny, "hello", env={"PARING_KV_TYPE": "q3"})
    assert_one_sentence(done, 2, "PARING_KV_TYPE", "q3", "f16")


def test_an_instruction_set_that_is_none(paring, tiny):
    done = paring("run", tiny, "hello", env={"PARING_ISA": "mmx"})
    assert_one_sentence(done, NOT_FOUND, "mmx", "reference")


def test_a_prompt_longer_than_the_context(paring, tiny):
    done = paring("run", tiny, "word " * 400)
    assert done.code in (2, EXHAUSTED)
    assert_one_sentence(done, done.code, "2000", "255", ";")
