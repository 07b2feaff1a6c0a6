# SPDX-License-Identifier: Apache-2.0
"""LoRA adapters in llama.cpp's files, as a user meets them: the text of a model with one is that of merged weights."""
import numpy as np
import pytest
import tiny_model
from gguf import GGUFWriter

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
