# SPDX-License-Identifier: Apache-2.0
"""`paring quantize` with every type: what fits, what does not, and what the file then holds."""
import numpy as np
import pytest
import tiny_model
from gguf import GGUFReader
from gguf.quants import dequantize

INVALID, UNSUPPORTED = 2, 5
# Root of the mean square error over that of the weights (gaussian ones): twice as much would be one bit less.
BLOCKS = {"Q8_0": 0.01, "Q5_1": 0.05, "Q5_0": 0.055, "Q4_1": 0.1, "Q4_0": 0.11, "IQ4_NL": 0.1}
SUPER_BLOCKS = {"Q6_K": 0.03, "Q5_K": 0.05, "Q4_K": 0.1, "IQ4_XS": 0.1, "Q3_K": 0.22, "Q2_K": 0.4}
FITTING = {"blk.0.ffn_down.weight", "blk.1.ffn_down.weight"}  # rows of 256; all others have 128


def decoded(path):
    tensors = {}
    for tensor in GGUFReader(path).tensors:
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        tensors[tensor.name] = (tensor.tensor_type.name, values)
    return tensors


@pytest.mark.parametrize("kind", [*BLOCKS, *SUPER_BLOCKS])
def test_every_type_is_written_near_the_original(paring, tiny, tmp_path, kind):
    out = tmp_path / "small.gguf"
    more = ["--fallback", "q8_0"] if kind in SUPER_BLOCKS else []
    result = paring("quantize", tiny, out, "--type", kind, *more, "--no-importance", "--json").json()
    original, small = decoded(tiny), decoded(out)
    assert original.keys() == small.keys()
    for name, (stored, values) in small.items():
        before, wanted = original[name]
        if values.ndim == 1:
            assert stored == before and np.array_equal(values, wanted)
            continue
        fits = kind in BLOCKS or name in FITTING
        assert stored == (kind if fits else "Q8_0"), name
        lost = np.sqrt(np.mean((values - wanted) ** 2) / np.mean(wanted**2))
        assert 0 < lost < (BLOCKS | SUPER_BLOCKS)[stored], (name, lost)
    fallen = {name for name, (stored, values) in small.items() if values.ndim == 2} - FITTING
    assert (set(result["fallback"]["tensors"]) == fallen) if more else (result["fallback"] is None)
    run = paring("run", out, "hello", "--max-tokens", "4")
    assert run.code == 0, run.err


def test_a_fallback_is_printed_and_recorded(paring, tiny, tmp_path):
    out = tmp_path / "small.gguf"
    done = paring("quantize", tiny, out, "--type", "Q4_K", "--fallback", "Q5_0", "--no-importance")
    assert done.code == 0, done.err
    for part in ("2 of 15 matrices Q4_K", "13 Q5_0", "token_embd.weight", "128"):
        assert part in done.out, (part, done.out)
    fields = GGUFReader(out).fields
    assert fields["paring.quantize.type"].contents() == "Q4_K"
    assert fields["paring.quantize.fallback"].contents() == "Q5_0"
    assert len(fields["paring.quantize.fallback_tensors"].contents()) == 13


@pytest.mark.parametrize("more", [[], ["--fallback", "Q6_K"]])
def test_a_type_that_does_not_fit_is_refused_by_name(paring, tiny, tmp_path, more):
    done = paring("quantize", tiny, tmp_path / "small.gguf", "--type", "Q4_K", *more)
    assert done.code == INVALID
    for part in ("token_embd.weight", "128", "256", "IQ4_NL"):
        assert part in done.err, (part, done.err)
    assert ("--fallback" in done.err) == (not more)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["I8", "I32", "F64", "IQ2_XXS"])
def test_a_type_that_cannot_be_written_is_refused(paring, tiny, tmp_path, kind):
    done = paring("quantize", tiny, tmp_path / "small.gguf", "--type", kind)
    assert done.code == UNSUPPORTED and kind in done.err and "Q4_K" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["blk.1.ffn_up.weight", "blk.0.attn_norm.weight"])
def test_integers_where_weights_should_be(paring, tmp_path, name):
    path = tmp_path / "integers.gguf"
    tiny_model.write(path, change=lambda tensors: tensors.update({name: np.ones_like(tensors[name], np.int32)}))
    types = {t["type"] for t in paring("inspect", path, "--json").json()["types"]}
    assert "I32" in types
    done = paring("run", path, "hello")
    assert done.code == UNSUPPORTED
    for part in ("integers.gguf", name, "I32"):
        assert part in done.err, (part, done.err)


@pytest.mark.parametrize("command", ["quantize", "optimize"])
def test_only_types_that_can_be_written_are_offered(paring, tiny, tmp_path, command):
    out = tmp_path / "small.gguf"
    for kind, said in (("IQ2_XXS", "cannot write type 'IQ2_XXS'"), ("Q9", "unknown type 'Q9'"),
                       ("Q4_K_M", "did you mean Q4_K?")):
        words = [tiny, out, "--type", kind] if command == "quantize" else [
            tiny, "--file", "300kB", "--types", kind, "--out", out]
        done = paring(command, *words)
        assert done.code == (UNSUPPORTED if kind == "IQ2_XXS" else INVALID) and said in done.err, done.err
        offered = done.err.split("Types that can be written: ")[1].strip().split(", ")
        assert set(BLOCKS) | set(SUPER_BLOCKS) | {"F32", "F16", "BF16"} == set(offered)
    assert ", ".join(offered) in paring("quantize", "--help").out.replace("\n", " ")
    done = paring("export", tiny, "--out", tmp_path / "folder", "--type", "Q4_0")
    assert done.code == INVALID and "F32, F16 or BF16" in done.err


def test_an_imatrix_of_as_much_text_as_asked_for(paring, tiny, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("All work and no play makes a dull text. " * 200)
    whole = paring("imatrix", tiny, "--out", tmp_path / "a.gguf", "--text", text, "--json").json()
    some = paring("imatrix", tiny, "--out", tmp_path / "b.gguf", "--text", text, "--windows", 3, "--json").json()
    assert some["tokens"] == 3 * 512 < whole["tokens"]
    assert paring("quantize", tiny, tmp_path / "q.gguf", "--type", "Q4_0", "--imatrix", tmp_path / "b.gguf").code == 0
