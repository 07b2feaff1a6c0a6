#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/quant/*.bin: blocks of every format with what they must decode to.

The oracle is the `gguf` Python package, which is independent of this project. Each file holds
random blocks (any code bits; scales over the whole finite f16 range, zero and subnormals included)
followed by their f32 values, so that a decoder has to agree bit for bit.

Usage: make_quant_golden.py [OUT_FOLDER]        Needs: pip install gguf numpy
"""
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

# Where the f16 values lie in a block, and how many blocks: types of the first set, then the others
# (drawn in this order, so that files of the first stay as they are).
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q5_0": [0], "Q4_1": [0, 2], "Q5_1": [0, 2]}
LATER = {"IQ4_NL": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2],
         "Q6_K": [208], "IQ4_XS": [0]}
BLOCKS = {32: 64, 256: 20}  # by values a block


def random_halves(rng, count):
    """Finite f16 bit patterns, with the edges of the format in front."""
    halves = rng.integers(0, 1 << 16, count).astype(np.uint16)
    halves = np.where((halves & 0x7C00) == 0x7C00, halves & 0x83FF, halves)
    edges = np.array([0, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00], np.uint16)
    halves[: len(edges)] = edges
    return halves.astype(np.uint16)


def write_blocks(folder, rng, name, offsets):
    kind = GGMLQuantizationType[name]
    block_values, block_bytes = GGML_QUANT_SIZES[kind]
    count = BLOCKS[block_values]
    blocks = rng.integers(0, 256, (count, block_bytes)).astype(np.uint8)
    for offset in offsets:
        halves = random_halves(rng, count)
        rng.shuffle(halves)
        blocks[:, offset : offset + 2] = halves.view(np.uint8).reshape(count, 2)
    values = np.asarray(dequantize(blocks, kind), np.float32)
    (folder / f"{name}.bin").write_bytes(blocks.tobytes() + values.tobytes())


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "tests/data/quant"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20240611)
    for name, offsets in SCALES.items():
        write_blocks(folder, rng, name, offsets)
    # bf16: f32 inputs (every exponent, NaN left out) and what they narrow to and widen from.
    bits = rng.integers(0, 1 << 32, 2048, dtype=np.uint64).astype(np.uint32)
    bits = np.where((bits & 0x7F800000) == 0x7F800000, bits & 0xFF7FFFFF, bits).astype(np.uint32)
    bits[:4] = [0x3F808000, 0x3F818000, 0x3F807FFF, 0x80000001]  # ties and neighbours
    source = bits.view(np.float32)
    codes = quantize(source, GGMLQuantizationType.BF16)
    widened = np.asarray(dequantize(codes, GGMLQuantizationType.BF16), np.float32)
    (folder / "BF16.bin").write_bytes(source.tobytes() + codes.tobytes() + widened.tobytes())
    for name, offsets in LATER.items():
        write_blocks(folder, rng, name, offsets)


if __name__ == "__main__":
    main()
