#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Errors that ggml's own encoders leave on fixed rows: the bar for ours.

Writes tests/data/quant/peer_errors.bin: 36 rows of 576 f16 values (12 gaussian, 12 heavy-tailed,
12 of SmolLM2-135M-Instruct), two importance vectors of 576 f32 (log-normal for the made rows, the
measured one of the model's first layer for its rows), then for each type of TYPES, without and with
importance, the 36 errors sum importance * (x - decoded)^2 as f64. Types with super-blocks of 256
are given the first 512 values of each row.

Usage: make_quant_peer_errors.py LIBGGML_BASE.so MODEL_F16.gguf IMATRIX.gguf
Needs: pip install gguf numpy; a shared libggml-base of llama.cpp and an imatrix made by its
llama-imatrix on the model.
"""
import ctypes
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGML_QUANT_SIZES, GGUFReader
from gguf.quants import dequantize

TYPES = ["Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "IQ4_XS"]
COLUMNS = 576
ROWS = 12  # of each kind
LAYER = "blk.0.attn_q.weight"


def encode(library, kind, rows, importance):
    block, block_bytes = GGML_QUANT_SIZES[kind]
    rows = np.ascontiguousarray(rows)
    columns = rows.shape[1]
    out = np.zeros((len(rows), columns // block * block_bytes), np.uint8)
    weights = None if importance is None else importance.ctypes.data_as(ctypes.c_void_p)
    library.ggml_quantize_chunk(int(kind), rows.ctypes.data_as(ctypes.c_void_p),
                                out.ctypes.data_as(ctypes.c_void_p), 0, len(rows), columns, weights)
    return np.asarray(dequantize(out, kind), np.float64)


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    library = ctypes.CDLL(sys.argv[1])
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                            ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                            ctypes.c_void_p]
    rng = np.random.default_rng(5)
    gaussian = rng.normal(0, 0.05, (ROWS, COLUMNS)).astype(np.float16)
    heavy = (rng.standard_t(3, (ROWS, COLUMNS)) * 0.03).astype(np.float16)
    tensors = {tensor.name: tensor for tensor in GGUFReader(sys.argv[2]).tensors}
    real = tensors[LAYER].data.view(np.float16).reshape(-1, COLUMNS)[::48][:ROWS]
    rows = np.concatenate([gaussian, heavy, real])
    made = np.exp(rng.normal(0, 1.5, COLUMNS)).astype(np.float32)
    sums = {tensor.name: tensor for tensor in GGUFReader(sys.argv[3]).tensors}
    measured = (sums[LAYER + ".in_sum2"].data.ravel() /
                sums[LAYER + ".counts"].data.ravel()[0]).astype(np.float32)
    values = rows.astype(np.float32)
    errors = []
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        columns = COLUMNS // GGML_QUANT_SIZES[kind][0] * GGML_QUANT_SIZES[kind][0]
        cut = values[:, :columns]
        plain = encode(library, kind, cut, None)
        errors.append(((cut - plain) ** 2).sum(1))
        weighted = np.concatenate([encode(library, kind, cut[:2 * ROWS], made[:columns].copy()),
                                   encode(library, kind, cut[2 * ROWS:], measured[:columns].copy())])
        importance = np.concatenate([np.tile(made[:columns], (2 * ROWS, 1)),
                                     np.tile(measured[:columns], (ROWS, 1))])
        errors.append((importance.astype(np.float64) * (cut - weighted) ** 2).sum(1))
    target = pathlib.Path(__file__).resolve().parent.parent / "tests/data/quant/peer_errors.bin"
    target.write_bytes(rows.tobytes() + made.tobytes() + measured.tobytes() +
                       np.array(errors, np.float64).tobytes())


if __name__ == "__main__":
    main()
