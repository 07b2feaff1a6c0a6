# SPDX-License-Identifier: Apache-2.0
"""What `paring inspect` predicts, against what happens: files that `quantize` writes, memory and speed of `bench`."""
import json

import pytest

KV_TOLERANCE = 0.15    # of the growth of the peak that a longer context causes
PEAK_TOLERANCE = 0.15  # measure::kPeakTolerance
PROBE_TOLERANCE = 0.6  # two measurements of a shared machine's bandwidth


def test_files_are_exactly_as_large_as_predicted(paring, tiny, tmp_path):
    predicted = paring("inspect", tiny, "--json").json()["quantized_file_bytes"]
    assert {"F32", "F16", "Q8_0", "Q4_0", "Q4_K"} <= set(predicted)
    for kind, size in predicted.items():
        out = tmp_path / f"{kind}.gguf"
        done = paring("quantize", tiny, out, "--type", kind, "--no-importance")
        if size is None:
            assert done.code == 2 and "256" in done.err, "rows of 128 are no whole blocks"
        else:
            assert done.code == 0 and out.stat().st_size == size, (kind, done.err)


def test_the_prediction_holds_for_what_was_quantized_before(paring, tiny, tmp_path):
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    assert paring("quantize", tiny, first, "--type", "Q8_0", "--no-importance").code == 0
    size = paring("inspect", first, "--json").json()["quantized_file_bytes"]["Q4_0"]
    assert paring("quantize", first, second, "--type", "Q4_0", "--no-importance").code == 0
    assert second.stat().st_size == size


@pytest.mark.slow
def test_a_real_models_file_is_exactly_as_large_as_predicted(paring, reference, tmp_path):
    size = paring("inspect", reference, "--json").json()["quantized_file_bytes"]["Q4_0"]
    out = tmp_path / "q4.gguf"
    assert paring("quantize", reference, out, "--type", "Q4_0", "--no-importance").code == 0
    assert out.stat().st_size == size


def run(paring, model, depth, *words):
    common = [*words, "--threads", "1"]
    bench = paring("bench", model, "--prefill", "0", "--decode", "2", "--depth", depth, "--repetitions", "1", *common,
                   "--json").json()
    found = paring("inspect", model, "--context", depth + 3, *common, "--json").json()
    return bench, found


@pytest.mark.slow
@pytest.mark.parametrize("kv", ["f32", "q8"])
def test_memory_is_as_predicted(paring, model, kv):
    short, long = 64, 3072
    (first, found), (second, later) = (run(paring, model, depth, "--kv-type", kv) for depth in (short, long))
    assert first["memory"]["weight_bytes"] == pytest.approx(found["memory"]["weight_bytes"], rel=1e-3)
    for bench, each in ((first, found), (second, later)):
        assert bench["memory"]["kv_bytes"] == each["memory"]["kv_bytes"]
        peak = bench["memory"]["peak_resident_bytes"]
        assert peak == pytest.approx(each["memory"]["process_peak_bytes"], rel=PEAK_TOLERANCE), (kv, peak)
    grown = second["memory"]["peak_resident_bytes"] - first["memory"]["peak_resident_bytes"]
    cache = found["kv_bytes_per_token"][kv] * (long - short)
    buffers = second["memory"]["buffer_bytes"] - first["memory"]["buffer_bytes"]
    assert grown == pytest.approx(cache + buffers, rel=KV_TOLERANCE)


@pytest.mark.slow
def test_the_limits_are_those_of_bench(paring, model):
    """Same formula, same bytes; the probes of the machine are measured twice."""
    bench = paring("bench", model, "--prefill", "512", "--decode", "8", "--depth", "1020", "--repetitions", "1",
                   "--json").json()
    plan = paring("inspect", model, "--context", "2048", "--predict", "--json").json()["plan"]["limit_here"]
    assert plan["decode_bytes_per_token"] == pytest.approx(bench["decode"]["bytes_per_token"], rel=1e-3)
    ratio = plan["decode_tokens_per_second"] / bench["decode"]["limit_tokens_per_second"]
    assert 1 - PROBE_TOLERANCE < ratio < 1 / (1 - PROBE_TOLERANCE)
    # Nothing runs faster than the limit, but for what a cache holds. How much slower is the other load's business.
    assert 0 < bench["decode"]["tokens_per_second"] < 1.5 * bench["decode"]["limit_tokens_per_second"]
