# SPDX-License-Identifier: Apache-2.0
"""The models that figures are quoted on are made the same way everywhere, byte for byte."""
import hashlib

import pytest
from gguf import GGMLQuantizationType, GGUFReader

# Every tensor's name, type and bytes, in file order, for seed 1.
TENSORS_SHA256 = "1040c979d61316b18aef1d1eb85eb642dee4f9be482c715497f7ec046ebb59c0"


def tensors_sha256(path):
    digest = hashlib.sha256()
    for tensor in GGUFReader(path).tensors:
        digest.update(f"{tensor.name} {tensor.tensor_type.name}\n".encode())
        digest.update(tensor.data.tobytes())
    return digest.hexdigest()


def test_the_reference_has_the_pinned_bytes(reference):
    assert tensors_sha256(reference) == TENSORS_SHA256


def test_the_reference_says_that_it_was_made(reference, model):
    fields = GGUFReader(reference).fields
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert fields["paring.made_from"].contents() == f"sha256:{digest}"
    assert "made" in fields["general.name"].contents()


def test_the_reference_lies_on_no_grid_of_its_source(reference, model):
    """In the source a group of 32 weights has at most 16 values; in the reference nearly every weight differs."""
    import numpy as np
    from gguf.quants import dequantize
    name = "blk.3.ffn_up.weight"

    def values_per_group(path):
        tensor = next(t for t in GGUFReader(path).tensors if t.name == name)
        groups = np.array(dequantize(tensor.data, tensor.tensor_type))[:64].reshape(-1, 32)
        return np.mean([len(np.unique(g)) for g in groups])

    assert values_per_group(model) <= 16
    assert values_per_group(reference) > 28


def test_vectors_stay_f32_and_matrices_become_f16(reference):
    kinds = {(len(t.shape) > 1, t.tensor_type) for t in GGUFReader(reference).tensors}
    assert kinds == {(True, GGMLQuantizationType.F16), (False, GGMLQuantizationType.F32)}


@pytest.mark.parametrize("architecture", ["qwen2"])
def test_another_architecture_is_refused(architecture, tmp_path, root):
    import subprocess
    import sys
    import tiny_model
    tiny_model.write(tmp_path / "other.gguf", architecture=architecture)
    done = subprocess.run([sys.executable, root / "tools/make_reference.py", tmp_path / "other.gguf",
                           tmp_path / "out.gguf"], capture_output=True, text=True)
    assert done.returncode != 0 and architecture in done.stderr
    assert not (tmp_path / "out.gguf").exists()
