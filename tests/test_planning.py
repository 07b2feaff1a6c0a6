# SPDX-License-Identifier: Apache-2.0
"""`paring inspect` for planning: figures are recomputed here from what they are said to be made of."""
import pytest

GIB = 1 << 30
PAGE = 32  # tokens of a page of the cache


def test_parameters_alone_tell_the_weights(paring):
    found = paring("inspect", "--params", "175e9", "--json").json()
    sizes = {row["type"]: row["bytes"] for row in found["weights"]}
    assert sizes["F32"] == 700e9 and sizes["F16"] == 350e9 and sizes["int8"] == 175e9
    assert sizes["Q8_0"] == 175e9 / 32 * 34 and sizes["Q4_0"] == 175e9 / 32 * 18 and sizes["Q4_K"] == 175e9 / 256 * 144
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


@pytest.mark.parametrize("text, count", [("7B", 7e9), ("1.5b", 1.5e9), ("175e9", 175e9), ("350M", 350e6)])
def test_parameters_are_read_as_people_write_them(paring, text, count):
    assert paring("inspect", "--params", text, "--json").json()["parameters"] == count


def test_parameters_that_are_no_number(paring):
    done = paring("inspect", "--params", "seven")
    assert done.code == 2 and "7B" in done.err


def test_gpus_needed_for_the_weights(paring):
    rows = paring("inspect", "--params", "175e9", "--gpu", "A100", "--memory", "175GB", "--json").json()["weights"]
    for row in rows:
        assert row["gpus"] == -(-row["bytes"] // (80 * GIB - GIB))
        assert row["fits_memory"] == (row["bytes"] <= 175_000_000_000)
    # A GPU smaller than what is kept free holds nothing.
    assert paring("inspect", "--params", "7e9", "--gpu", "500MB", "--json").json()["weights"][0]["gpus"] == 0


@pytest.mark.parametrize("kv", ["f32", "f16", "q8"])
def test_the_longest_context_is_the_longest(paring, model, kv):
    budget = 160_000_000
    plan = paring("inspect", model, "--memory", budget, "--json").json()["plan"]
    longest = plan["in_memory"]["longest_context"][kv]

    def needed(tokens):
        return paring("inspect", model, "--context", tokens, "--kv-type", kv, "--json").json()["memory"]["total_bytes"]

    assert 0 < longest < 8192
    assert needed(longest) <= budget < needed(longest + PAGE)


def test_layers_on_a_gpu(paring, model):
    def on(gpu):
        return paring("inspect", model, "--gpu", gpu, "--context", 2048, "--json").json()["plan"]["on_gpu"]

    whole = on("T4")
    assert whole["fits"] and whole["layers"] == whole["layers_in_all"] == 30 and whole["head"]
    assert whole["bytes"] == 16 * GIB
    need = whole["needed_bytes"]
    assert on(need)["fits"] and on(need)["layers"] == 30
    short = on(need - 1)
    assert not short["fits"] and short["layers"] == 29 and short["head"]
    assert on(GIB)["layers"] == 0 and not on(GIB)["head"]
    found = [on(GIB + size) for size in range(0, 160_000_000, 20_000_000)]
    counts = [each["layers"] for each in found if each["head"]]  # the head is placed before any layer
    assert counts == sorted(counts) and len(set(counts)) > 4


def test_the_limit_of_this_machine_follows_from_its_probes(paring, model):
    plan = paring("inspect", model, "--predict", "--json").json()["plan"]["limit_here"]
    assert plan["decode_tokens_per_second"] > 0 and plan["prefill_tokens_per_second"] > 0
    # SmolLM2 has a tied head: a token reads all weights, and half the cache of the default context.
    weights = paring("inspect", model, "--tensors", "--json").json()
    matrices = sum(tensor["bytes"] for tensor in weights["tensors"] if len(tensor["shape"]) == 2)
    cache = weights["kv_bytes_per_token"]["q8"] * weights["memory"]["context_tokens"] / 2
    assert plan["decode_bytes_per_token"] == pytest.approx(matrices + cache)
    assert plan["formula"].startswith(("memory bandwidth / ", "1 / ("))


@pytest.mark.parametrize("words", [[], ["--params", "0"], ["--params", "-3"], ["--params", "nan"], ["--params", "1e99"],
                                   ["--params", "7e9", "--gpu", "0"], ["--params", "7e9", "--gpu", "4090"],
                                   ["--params", "7e9", "--gpu", "RTX1"]])
def test_questions_without_an_answer(paring, words):
    refused = paring("inspect", *words)
    assert refused.code == 2 and refused.err.startswith("paring: error: ")


def test_a_model_and_a_number_of_parameters_exclude_each_other(paring, tiny):
    assert paring("inspect", tiny, "--params", "7e9").code == 2
