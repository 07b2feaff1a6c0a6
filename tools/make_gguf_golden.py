#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GGUF files exchanged with the `gguf` Python package, the format's own reader and writer.

Without options: writes tests/data/gguf/from_python.gguf, which the unit tests read.
--check FILE: reads a file that the unit tests wrote (tests/data/gguf/from_paring.gguf) and exits
with 1 unless every key, type, shape and byte is what the test put in.

Usage: make_gguf_golden.py [--check FILE]        Needs: pip install gguf numpy
"""
import argparse
import pathlib

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

SCALARS = [
    ("t.u8", 255, GGUFValueType.UINT8),
    ("t.i8", -128, GGUFValueType.INT8),
    ("t.u16", 65535, GGUFValueType.UINT16),
    ("t.i16", -32768, GGUFValueType.INT16),
    ("t.u32", 4294967295, GGUFValueType.UINT32),
    ("t.i32", -2147483648, GGUFValueType.INT32),
    ("t.u64", 18446744073709551615, GGUFValueType.UINT64),
    ("t.i64", -9223372036854775808, GGUFValueType.INT64),
    ("t.f32", 1.5, GGUFValueType.FLOAT32),
    ("t.f64", 0.1, GGUFValueType.FLOAT64),
    ("t.bool", True, GGUFValueType.BOOL),
    ("t.string", "h\u00e9llo \u4e16\u754c", GGUFValueType.STRING),
]
ARRAYS = [
    ("a.i32", [-1, 0, 7], GGUFValueType.INT32),
    ("a.f32", [0.5, -2.0], GGUFValueType.FLOAT32),
    ("a.bool", [True, False, True], GGUFValueType.BOOL),
    ("a.string", ["<s>", "", "\u0120the"], GGUFValueType.STRING),
]


def tensors():
    f32 = np.arange(12, dtype=np.float32).reshape(3, 4) / 4
    f16 = np.arange(10, dtype=np.float16) - 5
    q8 = np.zeros((2, 34), np.uint8)
    q8[:, 2:] = np.arange(64, dtype=np.uint8).reshape(2, 32)
    q8[:, :2] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    return [("m.f32", f32, None), ("v.f16", f16, None), ("m.q8_0", q8, GGMLQuantizationType.Q8_0)]


def write(path):
    writer = GGUFWriter(path, "llama")
    for key, value, kind in SCALARS:
        writer.add_key_value(key, value, kind)
    for key, value, kind in ARRAYS:
        writer.add_key_value(key, value, GGUFValueType.ARRAY, kind)
    for name, data, kind in tensors():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(path):
    reader = GGUFReader(path)
    wrong = []
    for key, value, kind in SCALARS + ARRAYS:
        field = reader.fields.get(key)
        expected = [GGUFValueType.ARRAY, kind] if isinstance(value, list) else [kind]
        if field is None or list(field.types[:2]) != expected or field.contents() != value:
            wrong.append(f"key {key}: {field and (field.types, field.contents())}")
    found = {tensor.name: tensor for tensor in reader.tensors}
    for name, data, _ in tensors():
        if name not in found or found[name].data.tobytes() != data.tobytes():
            wrong.append(f"tensor {name}")
    if [tensor.name for tensor in reader.tensors] != [name for name, _, _ in tensors()]:
        wrong.append("order of tensors")
    if wrong:
        raise SystemExit("\n".join([f"{path} differs:"] + wrong))
    print(f"{path}: {len(SCALARS + ARRAYS)} keys and {len(found)} tensors as expected")


def main():
    folder = pathlib.Path(__file__).resolve().parent.parent / "tests/data/gguf"
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="FILE")
    args = parser.parse_args()
    if args.check:
        check(args.check)
        return
    folder.mkdir(parents=True, exist_ok=True)
    write(str(folder / "from_python.gguf"))


if __name__ == "__main__":
    main()
