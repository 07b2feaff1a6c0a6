# SPDX-License-Identifier: Apache-2.0
"""Every class of hostile model file that the field has met, by parser: refused in a sentence that names file, field,
value and limit, in less than a second of processor time and in little memory."""
import json
import resource
import shutil
import struct

import pytest
import tiny_model
from gguf import GGUFReader
from test_cli_errors import assert_one_sentence

SECONDS_MAX = 1.0
MEMORY_MAX = 1 << 30
REFUSALS = (2, 4, 5, 6)  # invalid argument, corrupt, unsupported, exhausted: exit codes of src/base/result.h
DEEP = "[" * 100_000 + "]" * 100_000

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACKS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


# ---- the bytes of a GGUF header


def text(value, length=None):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def payload(kind, value):
    return text(value) if kind == STRING else struct.pack("<" + PACKS[kind], value)


def kv(key, kind, value):
    return text(key) + struct.pack("<I", kind) + payload(kind, value)


def array(key, kind, items, count=None):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(items) if count is None else count)
    return head + b"".join(payload(kind, item) for item in items)


def tensor(name, shape, kind=0, offset=0, dimensions=None):
    lengths = b"".join(struct.pack("<Q", length) for length in shape)
    count = len(shape) if dimensions is None else dimensions
    return text(name) + struct.pack("<I", count) + lengths + struct.pack("<IQ", kind, offset)


def header(tensors=(), keys=(), data=64, magic=b"GGUF", version=3, tensor_count=None, key_count=None):
    count = len(tensors) if tensor_count is None else tensor_count
    keys_said = len(keys) if key_count is None else key_count
    raw = magic + struct.pack("<IQQ", version, count, keys_said) + b"".join(keys) + b"".join(tensors)
    return raw + bytes(-len(raw) % 32) + bytes(data)


ARCHITECTURE = kv("general.architecture", STRING, "llama")
M = 1 << 64
HEADERS = {
    "no magic": (header(magic=b"GGUG"), "is no GGUF file"),
    "version 0": (header(version=0), "version 0"),
    "version 99": (header(version=99), "version 99"),
    "big-endian": (header(version=3 << 24), "big-endian"),
    "count of tensors": (header(tensor_count=1 << 63), "9223372036854775808"),
    "count of keys": (header(key_count=1 << 63), "9223372036854775808"),
    "count that a multiplication wraps": (header(tensor_count=(1 << 64) // 24 + 1), "tensors"),
    "length of a key": (header(keys=[text(b"k", length=M - 1)]), "18446744073709551615"),
    "length of a text": (header(keys=[text("k") + struct.pack("<IQ", STRING, 1 << 62)]), "4611686018427387904"),
    "count of an array": (header(keys=[array("k", U8, [], count=1 << 60)]), "'k'", str(1 << 60)),
    "count of an array that wraps": (header(keys=[array("k", U64, [], count=(1 << 61) + 1)]), "'k'"),
    "arrays in arrays": (header(keys=[text("k") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 50]),
                         "deep"),
    "type of a value": (header(keys=[text("k") + struct.pack("<II", 77, 0)]), "'k'", "77"),
    "a bool of 2": (header(keys=[kv("k", BOOL, 2)]), "'k'", "2"),
    "a key twice": (header(keys=[ARCHITECTURE, ARCHITECTURE]), "'general.architecture'", "twice"),
    "alignment 0": (header(keys=[kv("general.alignment", U32, 0)]), "'general.alignment'", "0"),
    "alignment 3": (header(keys=[kv("general.alignment", U32, 3)]), "'general.alignment'", "3"),
    "alignment 2^63": (header(keys=[kv("general.alignment", U64, 1 << 63)]), "'general.alignment'", str(1 << 63)),
    "alignment of text": (header(keys=[kv("general.alignment", STRING, "x")]), "'general.alignment'", "string"),
    "no dimension": (header([tensor("t", [])]), "'t'", "0 dimensions"),
    "dimensions": (header([tensor("t", [1] * 9)]), "'t'", "9"),
    "dimensions beyond the file": (header([tensor("t", [1], dimensions=1 << 31)]), "'t'", str(1 << 31)),
    "a dimension of 0": (header([tensor("t", [32, 0])]), "'t'", "0"),
    "values that wrap": (header([tensor("t", [1 << 33, 1 << 33])]), "'t'", str(1 << 33)),
    "bytes that wrap": (header([tensor("t", [(1 << 62) + 1])]), "'t'"),
    "sum of bytes that wraps": (header([tensor("a", [1 << 59]), tensor("b", [1 << 59], offset=1 << 61)]), "a"),
    "an offset beyond the file": (header([tensor("t", [8], offset=1 << 40)]), "'t'", str((1 << 40) + 96)),
    "an offset that padding wraps": (header([tensor("t", [8], offset=M - 32)]), "'t'"),
    "a tensor past the end": (header([tensor("t", [1024])]), "'t'", "4160"),
    "an offset off the alignment": (header([tensor("t", [8], offset=7)]), "'t'", "7"),
    "tensors that overlap": (header([tensor("a", [16]), tensor("b", [8], offset=32)], data=128), "begins before"),
    "a tensor twice": (header([tensor("a", [8]), tensor("a", [8], offset=32)], data=128), "'a'", "twice"),
    "an unknown type": (header([tensor("t", [8], kind=9999)]), "'t'", "9999"),
    "a type taken away": (header([tensor("t", [32], kind=4)]), "'t'", "4"),
    "rows that are no blocks": (header([tensor("t", [33], kind=2)]), "'t'", "33"),
    "an empty name": (header([tensor("", [8])]), "name"),
    "nothing but zeros": (bytes(4096), "zero bytes"),
    "an empty file": (b"", "empty"),
    "the magic alone": (b"GGUF", "ends"),
}


# ---- a small whole model, one value changed


LLAMA = "llama."
HYPER_PARAMETERS = [
    ("block_count", U32, 0), ("block_count", U32, 1 << 31), ("block_count", U64, 1 << 63), ("block_count", I32, -1),
    ("block_count", F32, 2.0), ("block_count", STRING, "two"), ("embedding_length", U32, 0),
    ("embedding_length", U32, 1 << 30), ("embedding_length", U32, 65), ("feed_forward_length", U32, 0),
    ("feed_forward_length", U64, 1 << 62), ("context_length", U32, 0), ("context_length", U64, M - 1),
    ("attention.head_count", U32, 0), ("attention.head_count", U32, 3), ("attention.head_count", U64, M - 1),
    ("attention.head_count_kv", U32, 0), ("attention.head_count_kv", U32, 7), ("attention.head_count_kv", I64, -1),
    ("attention.key_length", U32, 0), ("attention.key_length", U32, 1 << 31), ("attention.key_length", U32, 7),
    ("attention.layer_norm_rms_epsilon", F32, float("nan")), ("attention.layer_norm_rms_epsilon", F32, -1.0),
    ("attention.layer_norm_rms_epsilon", F64, 1e300), ("rope.freq_base", F64, 1e300), ("rope.freq_base", F32, 0.0),
    ("rope.freq_base", F32, -1.0), ("rope.freq_base", F32, float("nan")), ("rope.freq_base", F32, float("inf")),
    ("rope.dimension_count", U32, 0), ("rope.dimension_count", U32, 1 << 20), ("rope.dimension_count", U32, 3),
    ("rope.scaling.factor", F64, 1e300), ("rope.scaling.factor", F32, float("nan")), ("rope.scaling.factor", F32, -2.0),
    ("rope.scaling.type", STRING, "spiral"), ("attention.sliding_window", U64, 1 << 62), ("expert_count", U32, 8),
]
TOKENIZER = [
    ("tokenizer.ggml.bos_token_id", U32, 1 << 31), ("tokenizer.ggml.eos_token_id", I32, -5),
    ("tokenizer.ggml.model", STRING, "magic"), ("tokenizer.ggml.model", U32, 1),
    ("tokenizer.ggml.pre", STRING, "no-such-split"), ("tokenizer.ggml.add_bos_token", STRING, "yes"),
    ("tokenizer.chat_template", U32, 1),
]


def entry(field):
    """The bytes of one key of a GGUFReader, as they stand in the file."""
    return b"".join(bytes(part.tobytes()) for part in field.parts)


def changed_model(tiny, key, replacement):
    """The tiny model with the entry `key` replaced by other bytes, or put in."""
    reader = GGUFReader(tiny)
    keys = {field.name: entry(field) for field in reader.fields.values() if not field.name.startswith("GGUF.")}
    keys[key] = replacement
    infos = [tensor(each.name, [int(n) for n in each.shape], each.tensor_type, each.data_offset - reader.data_offset)
             for each in reader.tensors]
    raw = header(infos, list(keys.values()), data=0)
    return raw + tiny.read_bytes()[reader.data_offset:]


TOKENS = "tokenizer.ggml.tokens"
TYPES = "tokenizer.ggml.token_type"
MERGES = "tokenizer.ggml.merges"
SCORES = "tokenizer.ggml.scores"
COUNT = 288
# Five lists of 2^24 bytes, which take eight times as much once read.
WIDE = b"".join(text(f"general.bytes{i}") + struct.pack("<IIQ", ARRAY, U8, 1 << 24) + bytes(1 << 24) for i in range(5))
ARRAYS = {
    "tokens missing": (TOKENS, array(TOKENS, STRING, ["a"] * 3), TOKENS),
    "tokens of numbers": (TOKENS, array(TOKENS, U32, [1] * COUNT), TOKENS),
    "tokens all alike": (TOKENS, array(TOKENS, STRING, ["a"] * COUNT), "token"),
    "an empty list of tokens": (TOKENS, array(TOKENS, STRING, []), "vocabulary has 0 tokens"),
    "a token that is too long": (TOKENS, array(TOKENS, STRING, ["x" * (1 << 20)] + [str(i) for i in range(COUNT - 1)]),
                                 "1048576"),
    "types of another count": (TYPES, array(TYPES, I32, [1] * 7), "7 token types"),
    "a type that is none": (TYPES, array(TYPES, I32, [1234] * COUNT), "token_type", "1234"),
    "a merge of one part": (MERGES, array(MERGES, STRING, ["ab"]), "merge"),
    "a merge of unknown tokens": (MERGES, array(MERGES, STRING, ["no such"]), "merge"),
    "merges of numbers": (MERGES, array(MERGES, I32, [1]), MERGES),
    "a score that is infinite": (SCORES, array(SCORES, F32, [float("inf")] * COUNT), "score of token 0"),
    "a score that is no number": (SCORES, array(SCORES, F32, [float("nan")] * COUNT), "score of token 0"),
    "a map of normal forms that is no bytes": ("tokenizer.ggml.precompiled_charsmap", array(
        "tokenizer.ggml.precompiled_charsmap", I32, [1 << 20]), "precompiled_charsmap", "1048576"),
    "metadata that widens": ("general.bytes", WIDE, "memory", "536870912"),
}


# ---- the test of all of them


@pytest.fixture(scope="module")
def figures():
    """Seconds of each class, printed at the end as a table."""
    taken = {}
    yield taken
    slowest = sorted(taken.items(), key=lambda item: -item[1])[:5]
    print(f"\n{len(taken)} hostile files refused; the slowest:")
    for name, seconds in slowest:
        print(f"  {seconds:.3f} s  {name}")


def limit_memory():
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX, MEMORY_MAX))


def refused(paring, figures, name, words, parts):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = paring(*words, timeout=60, before=limit_memory)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.code in REFUSALS, (done.code, done.out, done.err)
    assert_one_sentence(done, done.code, *parts)
    assert "memory ran out" not in done.err
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures[name] = seconds
    assert seconds < SECONDS_MAX, f"{seconds:.2f} s: {done.err}"


@pytest.mark.parametrize("name", HEADERS)
def test_gguf_headers(paring, figures, tmp_path, name):
    raw, *parts = HEADERS[name]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(raw)
    refused(paring, figures, f"GGUF: {name}", ("inspect", path), ["hostile.gguf", ";", *parts])


@pytest.mark.parametrize("suffix, kind, value", HYPER_PARAMETERS)
def test_hyper_parameters(paring, figures, tiny, tmp_path, suffix, kind, value):
    path = tmp_path / "hostile.gguf"
    path.write_bytes(changed_model(tiny, LLAMA + suffix, kv(LLAMA + suffix, kind, value)))
    shown = [] if kind == STRING else [str(value).split(".")[0]]
    refused(paring, figures, f"hyper-parameter: {suffix} = {value}", ("run", path, "hi", "--max-tokens", "1"),
            ["hostile.gguf", suffix.split(".")[-1] if value != 7 else "", ";", *shown])


@pytest.mark.parametrize("key, kind, value", TOKENIZER)
def test_tokenizer_keys(paring, figures, tiny, tmp_path, key, kind, value):
    path = tmp_path / "hostile.gguf"
    path.write_bytes(changed_model(tiny, key, kv(key, kind, value)))
    refused(paring, figures, f"GGUF tokenizer: {key} = {value}", ("run", path, "hi", "--max-tokens", "1"),
            ["hostile.gguf", key if key != "tokenizer.ggml.pre" else "no-such-split", ";"])


@pytest.mark.parametrize("name", ARRAYS)
def test_tokenizer_lists(paring, figures, tiny, tmp_path, name):
    key, raw, *parts = ARRAYS[name]
    path = tmp_path / "hostile.gguf"
    whole = changed_model(tiny, key, raw)
    if name == "metadata that widens":  # five keys instead of one
        count = struct.unpack_from("<Q", whole, 16)[0]
        whole = whole[:16] + struct.pack("<Q", count + 4) + whole[24:]
    path.write_bytes(whole)
    refused(paring, figures, f"GGUF tokenizer: {name}", ("run", path, "hi", "--max-tokens", "1"),
            ["hostile.gguf", ";", *parts])


SPM_BYTES = ["<0x-1>", "<0xGG>", "<0x100>", "<0x>", "<0x1>", "<0x 1>", "<0x+1>"]


@pytest.mark.parametrize("token", SPM_BYTES)
def test_byte_tokens(paring, figures, tiny, tmp_path, token):
    """A byte token whose number is none: read as one, it would be an index outside of a table."""
    tokens = ["<unk>", "<s>", "</s>", token] + [f"t{i}" for i in range(COUNT - 4)]
    kinds = [2, 3, 3, 6] + [1] * (COUNT - 4)
    path = tmp_path / "hostile.gguf"
    path.write_bytes(changed_model(tiny, TOKENS, array(TOKENS, STRING, tokens)))
    path.write_bytes(changed_model(path, TYPES, array(TYPES, I32, kinds)))
    path.write_bytes(changed_model(path, SCORES, array(SCORES, F32, [0.0] * COUNT)))
    path.write_bytes(changed_model(path, "tokenizer.ggml.model", kv("tokenizer.ggml.model", STRING, "llama")))
    refused(paring, figures, f"GGUF tokenizer: byte token {token}", ("run", path, "hi", "--max-tokens", "1"),
            ["hostile.gguf", TOKENS, "token 3", f'"{token}"', "; byte tokens are <0x00> to <0xFF>"])


# ---- folders


@pytest.fixture(scope="module")
def folder(paring, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("folder") / "model"
    done = paring("export", tiny, "--out", out)
    assert done.code == 0, done.err
    return out


def safetensors(table, data=64, length=None):
    raw = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data)


def one(kind="F32", shape=(16,), begin=0, end=64):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


SAFETENSORS = {
    "length of the header": (safetensors({}, length=M - 1), str(M - 1)),
    "a header beyond the file": (safetensors({}, length=1 << 20), "1048576"),
    "a header of 0 bytes": (safetensors(b""), "header"),
    "no JSON": (safetensors(b"{nonsense}"), "JSON"),
    "a list": (safetensors(b"[]"), "object"),
    "a deep header": (safetensors(('{"a":' + DEEP + "}").encode()), "deep"),
    "a tensor twice": (safetensors(b'{"a":%b,"a":%b}' % ((json.dumps(one()).encode(),) * 2)), "'a'"),
    "an unknown type": (safetensors({"a": one(kind="Q9")}), "'a'", "Q9"),
    "a negative dimension": (safetensors({"a": one(shape=(-16,))}), "'a'"),
    "a shape that wraps": (safetensors({"a": one(shape=(1 << 33, 1 << 33))}), "'a'"),
    "a shape of another size": (safetensors({"a": one(shape=(17,))}), "'a'", "68"),
    "offsets that go backwards": (safetensors({"a": one(begin=64, end=0)}), "'a'"),
    "an offset beyond the file": (safetensors({"a": one(end=1 << 40)}), "'a'"),
    "a negative offset": (safetensors({"a": one(begin=-1)}), "'a'"),
    "an offset that is no integer": (safetensors({"a": one(begin=0.5)}), "'a'"),
    "tensors that overlap": (safetensors({"a": one(), "b": one()}), "'b'"),
    "a hole between tensors": (safetensors({"a": one(), "b": one(begin=128, end=192)}, data=192), "'b'"),
    "bytes that no tensor has": (safetensors({"a": one()}, data=128), "64"),
    "nine dimensions": (safetensors({"a": one(shape=(1,) * 8 + (16,))}), "'a'", "8 dimensions"),
    "a tensor without a shape": (safetensors({"a": {"dtype": "F32", "data_offsets": [0, 64]}}), "'a'"),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(paring, figures, folder, tmp_path, name):
    raw, *parts = SAFETENSORS[name]
    copy = tmp_path / "hostile"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").write_bytes(raw)
    refused(paring, figures, f"safetensors: {name}", ("inspect", copy), ["model.safetensors", ";", *parts])


CONFIGS = {
    "deep": ({"x": None}, "deep"),
    "no JSON": (None, "JSON"),
    "hidden_size 0": ({"hidden_size": 0}, "hidden_size", "0"),
    "hidden_size -1": ({"hidden_size": -1}, "hidden_size", "-1"),
    "hidden_size 2^62": ({"hidden_size": 1 << 62}, "hidden_size", str(1 << 62)),
    "hidden_size of text": ({"hidden_size": "wide"}, "hidden_size", "string"),
    "hidden_size of a fraction": ({"hidden_size": 64.5}, "hidden_size", "64.5"),
    "num_hidden_layers 2^31": ({"num_hidden_layers": 1 << 31}, "num_hidden_layers", str(1 << 31)),
    "num_hidden_layers 0": ({"num_hidden_layers": 0}, "num_hidden_layers", "0"),
    "num_attention_heads 0": ({"num_attention_heads": 0}, "num_attention_heads", "0"),
    "num_key_value_heads 3": ({"num_key_value_heads": 3}, "head"),
    "rope_theta 1e300": ({"rope_theta": 1e300}, "rope_theta", "1e+300"),
    "rope_theta -1": ({"rope_theta": -1.0}, "rope_theta", "-1"),
    "rms_norm_eps 1e30": ({"rms_norm_eps": 1e30}, "rms_norm_eps", "1e+30"),
    "max_position_embeddings 0": ({"max_position_embeddings": 0}, "max_position_embeddings", "0"),
    "unknown architecture": ({"architectures": ["NoSuchModel"]}, "NoSuchModel"),
    "architectures of numbers": ({"architectures": 7}, "architectures"),
    "rope_scaling that is unknown": ({"rope_scaling": {"rope_type": "spiral", "factor": 2}}, "spiral"),
    "rope_scaling of 0": ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "factor"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config_json(paring, figures, folder, tmp_path, name):
    change, *parts = CONFIGS[name]
    copy = tmp_path / "hostile"
    shutil.copytree(folder, copy)
    path = copy / "config.json"
    if name == "deep":
        path.write_text('{"x":' + DEEP + "}")
    elif change is None:
        path.write_text("{" * 10)
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(paring, figures, f"config.json: {name}", ("inspect", copy), ["hostile", ";", *parts])


def change_vocabulary(change):
    def apply(tokenizer):
        change(tokenizer["model"]["vocab"], tokenizer)
    return apply


def set_model(**values):
    return lambda tokenizer: tokenizer["model"].update(values)


TOKENIZERS = {
    "no JSON": ("JSON",),
    "a model that is unknown": (set_model(type="Magic"), "Magic"),
    "no model": (lambda tokenizer: tokenizer.pop("model"), "model"),
    "an id twice": (change_vocabulary(lambda vocab, _: vocab.update({next(iter(vocab)): 7})), "7"),
    "an id of 2^40": (change_vocabulary(lambda vocab, _: vocab.update({"zzz": 1 << 40})), str(1 << 40)),
    "an id of -1": (change_vocabulary(lambda vocab, _: vocab.update({"zzz": -1})), "-1"),
    "a vocabulary of a list": (set_model(vocab=[1, 2]), "vocab"),
    "a merge of unknown tokens": (set_model(merges=[["no", "such"]]), "merge"),
    "a merge of three": (set_model(merges=[["a", "b", "c"]]), "merge"),
    "merges of numbers": (set_model(merges=[1, 2]), "merge"),
    "an added token beyond all": (lambda tokenizer: tokenizer["added_tokens"].append(
        {"id": 1 << 31, "content": "<x>", "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False}), str(1 << 31)),
    "a pattern that is none": (lambda tokenizer: tokenizer.update(pre_tokenizer={
        "type": "Split", "pattern": {"Regex": "(((("}, "behavior": "Isolated", "invert": False}), ""),
    "a normalizer that is unknown": (lambda tokenizer: tokenizer.update(normalizer={"type": "Magic"}), ""),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokenizer_json(paring, figures, folder, tmp_path, name):
    *change, part = TOKENIZERS[name]
    copy = tmp_path / "hostile"
    shutil.copytree(folder, copy)
    path = copy / "tokenizer.json"
    if name == "no JSON":
        path.write_text("{nonsense}")
    else:
        tokenizer = json.loads(path.read_text())
        change[0](tokenizer)
        path.write_text(json.dumps(tokenizer))
    refused(paring, figures, f"tokenizer.json: {name}", ("run", copy, "hi", "--max-tokens", "1"),
            ["hostile", ";", part])


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                                  "model.safetensors.index.json"])
def test_deep_json(paring, figures, folder, tmp_path, name):
    copy = tmp_path / "hostile"
    shutil.copytree(folder, copy)
    if name.endswith("index.json"):
        (copy / "model.safetensors").unlink()
    (copy / name).write_text('{"x":' + DEEP + "}")
    refused(paring, figures, f"deep JSON: {name}", ("run", copy, "hi", "--max-tokens", "1"),
            ["hostile", name, "64 levels", "; a model's file ", "fetch it again"])


def test_deep_json_of_a_chat(paring, figures, tiny, tmp_path):
    tools = tmp_path / "tools.json"
    tools.write_text(DEEP)
    refused(paring, figures, "deep JSON: tools", ("run", tiny, "hi", "--tools", tools, "--max-tokens", "1"),
            ["tools", "64 levels", "; send less of it"])


def test_an_index_that_leaves_its_folder(paring, figures, folder, tmp_path):
    for shard in ("../model.safetensors", "/etc/passwd", "a/b.safetensors", "x" * 300 + ".safetensors"):
        copy = tmp_path / f"hostile{len(shard)}"
        shutil.copytree(folder, copy)
        (copy / "model.safetensors").unlink()
        (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
        refused(paring, figures, f"index: {shard[:20]}", ("inspect", copy), ["index.json", ";"])


# ---- importance matrices


def older(entries=1, name=b"blk.0.attn_q.weight", calls=1, values=(1.0,) * 128, name_length=None, count=None):
    raw = struct.pack("<i", entries)
    for _ in range(max(0, min(entries, 3))):
        raw += struct.pack("<i", len(name) if name_length is None else name_length) + name
        raw += struct.pack("<ii", calls, len(values) if count is None else count)
        raw += b"".join(struct.pack("<f", value) for value in values)
    return raw + struct.pack("<ii", 1, 0)


IMATRICES = {
    "no entry": (older(entries=0), "0"),
    "a negative count of entries": (older(entries=-1), "-1"),
    "2^31 - 1 entries": (older(entries=(1 << 31) - 1), str((1 << 31) - 1)),
    "a negative length of a name": (older(name_length=-1), "-1"),
    "a name beyond the file": (older(name_length=1 << 30), str(1 << 30)),
    "negative calls": (older(calls=-3), "-3"),
    "a negative count of values": (older(count=-1), "-1"),
    "values beyond the file": (older(count=1 << 30), str(1 << 30)),
    "a value that is no number": (older(values=[float("nan")] * 128), "blk.0.attn_q.weight"),
    "an infinite value": (older(values=[float("inf")] * 128), "blk.0.attn_q.weight"),
    "a negative value": (older(values=[-1.0] * 128), "blk.0.attn_q.weight"),
    "an entry twice": (older(entries=2), "blk.0.attn_q.weight"),
    "columns of another model": (older(values=[1.0] * 32), "blk.0.attn_q.weight", "32"),
    "GGUF without entries": (header(keys=[kv("general.type", STRING, "imatrix")]), "imatrix"),
}


@pytest.mark.parametrize("name", IMATRICES)
def test_importance_matrices(paring, figures, tiny, tmp_path, name):
    raw, *parts = IMATRICES[name]
    path = tmp_path / "hostile.imatrix"
    path.write_bytes(raw)
    words = ("quantize", tiny, tmp_path / "out.gguf", "--type", "Q4_0", "--imatrix", path)
    refused(paring, figures, f"imatrix: {name}", words, ["hostile.imatrix", ";", *parts])
    assert [each.name for each in tmp_path.iterdir()] == ["hostile.imatrix"]
