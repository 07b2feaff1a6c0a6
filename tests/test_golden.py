# SPDX-License-Identifier: Apache-2.0
"""Perplexity of the whole pinned text, as a user measures it, against llama.cpp's (tests/data/golden/smollm2.json)."""
import json

import pytest
from conftest import EVALUATION_TEXT, ROOT

GOLDEN = json.loads((ROOT / "tests/data/golden/smollm2.json").read_text())
AGREEMENT = 5e-4  # relative


def evaluate(paring, path, *more):
    result = paring("eval", path, "--text", ROOT / EVALUATION_TEXT, "--windows", GOLDEN["windows"], "--json",
                    "--quiet", *more, timeout=1800).json()
    assert result["text"]["sha256"] == GOLDEN["text_sha256"]
    assert result["text"]["scored_tokens"] == GOLDEN["scored_tokens"]
    return result


@pytest.mark.slow
def test_exact_perplexity_of_the_published_model(paring, model):
    result = evaluate(paring, model, "--numerics", "exact", "--kv-type", "f32")
    assert result["perplexity"]["value"] == pytest.approx(GOLDEN["perplexity"], rel=AGREEMENT)


@pytest.mark.slow
def test_exact_perplexity_of_the_reference(paring, reference):
    expected = GOLDEN["also_perplexity"]["reference-f16-seed1"]
    result = evaluate(paring, reference, "--numerics", "exact", "--kv-type", "f32")
    assert result["perplexity"]["value"] == pytest.approx(expected, rel=AGREEMENT)


@pytest.mark.slow
def test_served_numerics_cost_little(paring, model):
    """The base runs in exact numerics beside it: what is left is the rounding of activations and of the cache."""
    result = evaluate(paring, model, "--against", model)
    assert 1e-5 < result["divergence"]["kl"]["mean"] < 0.01
    assert result["divergence"]["top1"]["share"] > 0.93


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_every_instruction_set_gives_the_same_perplexity(paring, model, isa):
    levels = paring("info", "--json").out
    if f'"{isa}"' not in levels:
        pytest.skip(f"this CPU lacks {isa}")
    done = paring("eval", model, "--text", ROOT / EVALUATION_TEXT, "--windows", 2, "--json", "--quiet",
                  env={"PARING_ISA": isa})
    again = paring("eval", model, "--text", ROOT / EVALUATION_TEXT, "--windows", 2, "--json", "--quiet",
                   "--threads", 1, env={"PARING_ISA": isa})
    assert done.json()["isa"] == isa
    assert done.json()["perplexity"] == again.json()["perplexity"]
