# SPDX-License-Identifier: Apache-2.0
"""LoRA adapters in llama.cpp's files and in PEFT's folders, as a user meets them: the text of a model with one is that
of merged weights. What folders compute is held to PEFT itself in the unit tests."""
import functools
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import tiny_model
from gguf import GGUFReader, GGUFWriter
from test_pull import Hub, call

RANK, ALPHA = 4, 8.0
EXACT = ("--numerics", "exact", "--max-tokens", "24", "--raw", "--json")


def adapter_tensors(base):
    rng = np.random.default_rng(5)
    tensors = {}
    for name, values in base.items():
        if name.startswith("blk.") and values.ndim == 2:
            rows, columns = values.shape
            tensors[f"{name}.lora_a"] = rng.normal(size=(RANK, columns)).astype(np.float32) * 0.1
            tensors[f"{name}.lora_b"] = rng.normal(size=(rows, RANK)).astype(np.float32) * 0.1
    return tensors


def write_adapter(path, tensors, architecture="llama", kind="adapter"):
    writer = GGUFWriter(str(path), architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    found = {}

    def widen(tensors):
        for name in tensors:
            tensors[name] = tensors[name].astype(np.float32)
        found.update(tensors)

    def merge(scale):
        def change(tensors):
            widen(tensors)
            for name, values in adapter_tensors(tensors).items():
                if name.endswith(".lora_a"):
                    name = name.removesuffix(".lora_a")
                    up = adapter_tensors(tensors)[f"{name}.lora_b"]
                    tensors[name] = tensors[name] + np.float32(scale * ALPHA / RANK) * (up @ values)
        return change

    paths = {key: folder / f"{key}.gguf" for key in ("base", "merged", "half")}
    tiny_model.write(paths["base"], change=widen)
    paths["adapter"] = write_adapter(folder / "adapter.gguf", adapter_tensors(found))
    tiny_model.write(paths["merged"], change=merge(1))
    tiny_model.write(paths["half"], change=merge(0.5))
    return paths


def answer(paring, model, *words):
    return paring("run", model, "A question", *EXACT, *words).json()["text"]


def test_the_text_is_that_of_merged_weights(paring, models):
    base = answer(paring, models["base"])
    adapted = answer(paring, models["base"], "--lora", models["adapter"])
    assert adapted == answer(paring, models["merged"]) != base
    halved = answer(paring, models["base"], "--lora", models["adapter"], "--lora-scale", "0.5")
    assert halved == answer(paring, models["half"]) != adapted
    assert answer(paring, models["base"], "--lora", models["adapter"], "--lora-scale", "0") == base


def test_what_is_no_adapter_for_this_model_is_refused(paring, models, tmp_path):
    done = paring("run", models["base"], "x", "--lora", models["merged"])
    assert done.code == 2 and "is no adapter" in done.err and "convert_lora_to_gguf" in done.err
    other = write_adapter(tmp_path / "other.gguf", {"blk.0.attn_q.weight.lora_a": np.zeros((2, 64), np.float32),
                                                    "blk.0.attn_q.weight.lora_b": np.zeros((128, 2), np.float32)})
    done = paring("run", models["base"], "x", "--lora", other)
    assert done.code != 0 and "blk.0.attn_q.weight.lora_a" in done.err and "128 x 128" in done.err
    done = paring("run", models["base"], "x", "--lora", tmp_path / "missing.gguf")
    assert done.code != 0 and "missing.gguf" in done.err
    assert paring("run", models["base"], "x", "--lora-scale", "2").code == 2


MODULES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
           "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
           "ffn_down": "mlp.down_proj"}
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": sorted(
    name.split(".")[1] for name in MODULES.values()), "bias": "none", "task_type": "CAUSAL_LM", "use_dora": False}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        begin, data = len(data), data + values.tobytes()
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def hugging_face_rows(values, heads):
    """Rows of queries or keys from GGUF's order, pair by pair, to halves: what PEFT adapters are trained on."""
    return np.ascontiguousarray(values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape))


def write_peft(folder, tensors, **fields):
    """The folder that PEFT would save of what write_adapter() writes."""
    folder.mkdir(exist_ok=True)
    renamed = {}
    for name, values in tensors.items():
        _, layer, matrix, _, part = name.split(".")
        if part == "lora_b" and matrix in ("attn_q", "attn_k"):
            values = hugging_face_rows(values, tiny_model.HEADS if matrix == "attn_q" else tiny_model.KV_HEADS)
        kind = {"lora_a": "lora_A", "lora_b": "lora_B"}[part]
        renamed[f"base_model.model.model.layers.{layer}.{MODULES[matrix]}.{kind}.weight"] = values
    write_safetensors(folder / "adapter_model.safetensors", renamed)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | fields))
    return folder


def tensors_of(adapter):
    return {t.name: t.data.copy() for t in GGUFReader(adapter).tensors}


@pytest.fixture(scope="module")
def peft(models, tmp_path_factory):
    return write_peft(tmp_path_factory.mktemp("peft") / "adapter", tensors_of(models["adapter"]))


def test_a_folder_of_peft_is_the_same_adapter(paring, models, peft, tmp_path):
    merged, half = (answer(paring, models[key]) for key in ("merged", "half"))
    assert answer(paring, models["base"], "--lora", peft) == merged
    assert answer(paring, models["base"], "--lora", peft, "--lora-scale", "0.5") == half
    # A base model in Hugging Face layout takes both forms of adapter.
    assert paring("export", models["base"], "--out", tmp_path / "base").code == 0
    assert answer(paring, tmp_path / "base", "--lora", peft) == merged
    assert answer(paring, tmp_path / "base", "--lora", models["adapter"]) == merged
    # alpha / sqrt(rank) of half the alpha is alpha / rank, for rank 4.
    fields = {"use_rslora": True, "lora_alpha": 1, "alpha_pattern": {
        module.split(".")[1]: ALPHA / 2 for module in MODULES.values()}}
    stabilized = write_peft(tmp_path / "stabilized", tensors_of(models["adapter"]), **fields)
    assert answer(paring, models["base"], "--lora", stabilized) == merged


def test_a_damaged_folder_is_refused_by_name(paring, models, peft, tmp_path):
    def refused(says, change, code=None):
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(peft, folder)
        change(folder)
        done = paring("run", models["base"], "x", "--lora", folder)
        assert done.code in ([code] if code else [2, 3, 4, 5]) and says in done.err, (says, done.err)
        assert done.err.count("\n") <= 2

    def config(**fields):
        return lambda folder: (folder / "adapter_config.json").write_text(json.dumps(CONFIG | fields))

    def cut(size):
        return lambda folder: os.truncate(folder / "adapter_model.safetensors", size)

    def other(**shapes):
        tensors = {name.replace("__", "."): np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return lambda folder: write_peft(folder, tensors)

    def spoil(folder):
        path = folder / "adapter_model.safetensors"
        path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", float("nan")))

    refused("adapter_config.json", lambda folder: (folder / "adapter_config.json").unlink())
    refused("adapter_model.safetensors", lambda folder: (folder / "adapter_model.safetensors").unlink(), 3)
    refused("adapter_config.json", lambda folder: (folder / "adapter_config.json").write_text("[]"), 4)
    for size in (0, 7, 5000, os.path.getsize(peft / "adapter_model.safetensors") - 1):
        refused("adapter_model.safetensors", cut(size), 4)
    refused("not finite", spoil, 4)
    refused("'r' is 0", config(r=0), 4)
    refused("'r' is 2000", config(r=2000), 4)
    refused("is 8, its tensors have 4", config(r=8), 4)
    refused("'use_dora' is true", config(use_dora=True), 5)
    refused("'peft_type' is 'LOHA'", config(peft_type="LOHA"), 5)
    refused("'bias' is 'all'", config(bias="all"), 5)
    refused("'modules_to_save' is a list of 1", config(modules_to_save=["lm_head"]), 5)
    refused("model's matrix is 128 x 128",
            other(blk__0__attn_output__weight__lora_a=(4, 64), blk__0__attn_output__weight__lora_b=(128, 4)), 4)
    refused("the model has 2", other(blk__7__attn_output__weight__lora_a=(4, 128),
                                     blk__7__attn_output__weight__lora_b=(128, 4)), 4)
    done = paring("run", models["base"], "x", "--lora", peft.parent)
    assert done.code == 5 and "without adapter_config.json" in done.err


def test_a_scale_beyond_all_numbers_is_named(paring, models, peft):
    for scale, says in (("1e30", "not finite"), ("3e38", "infinite")):
        for adapter in (peft, models["adapter"]):
            done = paring("run", models["base"], "A question", *EXACT, "--lora", adapter, "--lora-scale", scale)
            assert done.code == 2 and str(adapter) in done.err and scale.replace("e", "e+") in done.err
            assert says in done.err and "weights are damaged" not in done.err
    assert paring("run", models["base"], "x", "--lora", peft, "--lora-scale", "nan").code == 2


@pytest.fixture
def hub(peft, models):
    files = {path.name: path.read_bytes() for path in peft.iterdir()}
    server = Hub(files | {"README.md": b"a card", "adapter_model.bin": b"pickle"})
    yield server
    server.close()


def test_adapters_are_fetched_by_name_and_then_found_offline(paring, models, hub, tmp_path):
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_CACHE": "", "no_proxy": "*"}
    run = functools.partial(call, paring, settings, "run", models["base"], "A question", *EXACT)
    merged = answer(paring, models["merged"])
    assert run("--lora", "hf:owner/tiny").json()["text"] == merged
    seen = len(hub.seen)
    assert run("--lora", "hf:owner/tiny", HF_HUB_OFFLINE="1").json()["text"] == merged and len(hub.seen) == seen
    snapshot, = pathlib.Path(tmp_path, "home/hub/models--owner--tiny/snapshots").iterdir()
    assert sorted(path.name for path in snapshot.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    # As a model it is refused with the way to use it.
    done = call(paring, settings, "run", "hf:owner/tiny", "x")
    assert done.code == 3 and "--lora hf:owner/tiny" in done.err
    hub.files["adapter-Q8_0.gguf"] = models["adapter"].read_bytes()
    assert run("--lora", "hf:owner/tiny:Q8_0").json()["text"] == merged


def test_pull_fetches_adapters(paring, hub, tmp_path):
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_CACHE": "", "no_proxy": "*"}
    files = call(paring, settings, "pull", "hf:owner/tiny", "--json").json()["files"]
    assert [file["path"] for file in files] == ["adapter_model.safetensors", "adapter_config.json"]


def memory_group():
    """A control group of our own and the file of its limit; a skip where the system does not let us make one."""
    own = {}
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update({name: path.lstrip("/") for name in controllers.split(",")})
    versions = (("memory/" + own.get("memory", ""), "memory.limit_in_bytes"), (own.get("", ""), "memory.max"))
    for folder, limit in versions:
        group = pathlib.Path("/sys/fs/cgroup", folder, f"paring-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            return group, group / limit
        group.rmdir()
    pytest.skip("making a control group needs root")


def peak_bytes(paring, *words):
    """Through a small process between, as a child begins with the peak of the one that it was forked from."""
    script = "import os, sys; p = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); print(*os.wait4(p, 0)[1:])"
    done = subprocess.run([sys.executable, "-c", script, paring.path, *map(str, words)], capture_output=True, text=True)
    status, usage = done.stdout.splitlines()[-1].split(" ", 1)
    assert status == "0", done.stderr
    return int(usage.split("ru_maxrss=")[1].split(",")[0]) * 1024


def test_memory_for_an_adapter_is_checked_before_the_model_is_loaded(paring, models, tmp_path):
    """The limit leaves room for the model, but not for an adapter of rank 1024."""
    tensors = {}
    for name, values in tensors_of(models["adapter"]).items():
        shape = (1024, values.shape[1]) if name.endswith("_a") else (values.shape[0], 1024)
        tensors[name] = np.zeros(shape, np.float32)
    wide = write_peft(tmp_path / "wide", tensors, r=1024)
    words = ("run", models["base"], "x", "--raw", "--max-tokens", "1", "--threads", "1")
    plain, adapted = peak_bytes(paring, *words), peak_bytes(paring, *words, "--lora", wide)
    added = sum(values.nbytes for values in tensors.values()) + 3 * 256 * 1024 * 4
    assert adapted - plain == pytest.approx(added, rel=0.15)
    group, limit = memory_group()

    def enter():
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        limit.write_text(str(plain + added // 4))
        assert paring(*words, before=enter).code == 0
        done = paring(*words, "--lora", wide, before=enter)
        assert done.code == 6 and "of memory are needed" in done.err
        limit.write_text(str(adapted + added // 2))
        done = paring(*words, "--lora", wide, before=enter)
        assert done.code == 0, done.err
    finally:
        group.rmdir()
