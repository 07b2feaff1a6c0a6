# SPDX-License-Identifier: Apache-2.0
"""Reading a GGUF file as float32 arrays and writing one tensor after the other, for the tools beside it."""
import hashlib
import os

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize

# What the writer sets itself, or what is not true of the new file any more.
OWN_KEYS = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")
FILE_TYPE = {"F32": 0, "F16": 1}  # llama.cpp's general.file_type


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Source:
    """An open GGUF file."""

    def __init__(self, path):
        self.path = path
        self.reader = GGUFReader(path)
        self.architecture = self.reader.fields["general.architecture"].contents()
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}

    def number(self, key):
        return self.reader.fields[f"{self.architecture}.{key}"].contents()

    def decoded(self, name):
        """float32, rows are outputs, columns are inputs."""
        tensor = self.tensors[name]
        return np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)


def write_like(source, out, matrix_type, labels, change=lambda name, values: values):
    """Writes a copy of `source` whose matrices have the type F32 or F16 (vectors stay F32) and whose metadata has
    `labels` in addition. `change` gets each decoded tensor. The file gets its name only when it is complete."""
    part = f"{out}.part"
    writer = GGUFWriter(part, source.architecture)
    for field in source.reader.fields.values():
        if field.name.startswith(OWN_KEYS) or field.name in labels:
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for key, text in labels.items():
        writer.add_string(key, text)
    writer.add_file_type(FILE_TYPE[matrix_type])
    kinds = {}
    for name, tensor in source.tensors.items():
        shape = tuple(int(n) for n in reversed(tensor.shape))
        kinds[name] = np.dtype(np.float16 if matrix_type == "F16" and len(shape) > 1 else np.float32)
        raw = GGMLQuantizationType.F16 if kinds[name] == np.float16 else GGMLQuantizationType.F32
        writer.add_tensor_info(name, shape, kinds[name], int(np.prod(shape)) * kinds[name].itemsize, raw)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name in source.tensors:
            writer.write_tensor_data(np.ascontiguousarray(change(name, source.decoded(name)).astype(kinds[name])))
        writer.close()
        os.replace(part, out)
    finally:
        if os.path.exists(part):
            os.remove(part)
