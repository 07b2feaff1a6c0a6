#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets into fuzz/corpus/: small files that the parsers accept, one for every feature
that a mutation should start from. Standard library only; the seeds are under version control."""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5

# Kind (JSON schema, expression, grammar), name, source.
CONSTRAINTS = [
    (0, "allof",
     '{"allOf":[{"properties":{"a":{"type":"integer"}}},{"required":["a"],"maxProperti'
     'es":3}],"type":"object"}'),
    (1, "class",
     '[^\\x00-\\x1f"\\\\]*\\p{Lu}(?i:abc)+'),
    (1, "dots",
     '(?s:.*)</x>'),
    (2, "json",
     'start: "<" %json {"type": "integer"} ">"\n'),
    (2, "lark",
     'start: "a" NAME ("," NAME)* | list\nlist[lazy]: /.*;/\nNAME: /[a-z]+/ & ~/abc/\n%ig'
     'nore / +/\n'),
    (0, "map",
     '{"patternProperties":{"^x_":{"type":"boolean"}},"additionalProperties":false,"mi'
     'nProperties":1}'),
    (0, "object",
     '{"type":"object","properties":{"a":{"type":"integer","minimum":-3},"b":{"type":['
     '"string","null"],"maxLength":5}},"required":["a"],"additionalProperties":false}'),
    (0, "oneof",
     '{"oneOf":[{"type":"object","properties":{"k":{"const":"a"}},"required":["k"]},{"'
     'type":"object","properties":{"k":{"const":"b"},"n":{"type":"number","multipleOf"'
     ':0.5}},"required":["k"]}]}'),
    (0, "refs",
     '{"$defs":{"n":{"type":"object","properties":{"v":{"const":"x"},"c":{"type":"arra'
     'y","items":{"$ref":"#/$defs/n"},"maxItems":3}},"required":["v"]}},"$ref":"#/$def'
     's/n"}'),
    (2, "rules",
     'start: e\ne: t | e "+" t\nt: "(" e ")" | N\nN: "0".."9"{1,3}\n'),
    (0, "strings",
     '{"type":"array","prefixItems":[{"format":"date"},{"pattern":"^[a-c]{2,4}$"},{"en'
     'um":["x",1,null,{"a":[]}]}],"items":{"type":"string","minLength":2},"minItems":3'
     '}'),
    (1, "words",
     '([a-z]{1,5} ?){2,3}(yes|no)\\.'),
]

def put(target, name, data):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key, kind, value):
    head = text(key) + struct.pack("<I", kind)
    if kind == STRING:
        return head + text(value)
    if kind != ARRAY:
        return head + struct.pack({U32: "<I", F32: "<f", BOOL: "<B"}[kind], value)
    item, items = value
    body = b"".join(text(i) if item == STRING else struct.pack({F32: "<f", I32: "<i"}[item], i) for i in items)
    return head + struct.pack("<IQ", item, len(items)) + body


def gguf(entries, tensors=()):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entry(*e) for e in entries)
    data = b""
    for name, shape, values in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{len(values)}f", *values).ljust((4 * len(values) + 31) // 32 * 32, b"\0")
    return head.ljust((len(head) + 31) // 32 * 32, b"\0") + data


BYTE_ALPHABET = [chr(c) for c in [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]]
BYTE_ALPHABET += [chr(0x100 + i) for i in range(256 - len(BYTE_ALPHABET))]


def architecture(name, **more):
    keys = [("general.architecture", STRING, name), (f"{name}.block_count", U32, 2),
            (f"{name}.context_length", U32, 64), (f"{name}.embedding_length", U32, 64),
            (f"{name}.feed_forward_length", U32, 64), (f"{name}.attention.head_count", U32, 2),
            (f"{name}.attention.head_count_kv", U32, 1), (f"{name}.attention.layer_norm_rms_epsilon", F32, 1e-5),
            (f"{name}.rope.freq_base", F32, 1e4)]
    for key, (kind, value) in more.items():
        keys.append((f"{name}.{key.replace('__', '.')}", kind, value))
    return keys


def tokenizer(model, tokens, types, **more):
    keys = [("tokenizer.ggml.model", STRING, model), ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
            ("tokenizer.ggml.token_type", ARRAY, (I32, types))]
    return keys + [(f"tokenizer.ggml.{k}", *v) for k, v in more.items()]


def gguf_metadata():
    bpe = BYTE_ALPHABET + ["He", "ll", "<|im_end|>"]
    yield "llama_bpe", architecture("llama", rope__dimension_count=(U32, 32)) + tokenizer(
        "gpt2", bpe, [1] * 258 + [3], pre=(STRING, "smollm"), merges=(ARRAY, (STRING, ["H e", "l l"])),
        bos_token_id=(U32, 258), eos_token_id=(U32, 258), add_bos_token=(BOOL, 0))
    spm = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["\u2581", "He", "\u2581He"]
    yield "gemma3_spm", architecture("gemma3", attention__sliding_window=(U32, 16), attention__key_length=(U32, 32),
                                     attention__value_length=(U32, 32)) + tokenizer(
        "llama", spm, [2, 3, 3] + [6] * 256 + [1] * 3, scores=(ARRAY, (F32, [-float(i) for i in range(262)])),
        add_space_prefix=(BOOL, 1))
    yield "qwen2_yarn", architecture("qwen2", rope__scaling__type=(STRING, "yarn"), rope__scaling__factor=(F32, 4.0),
                                     rope__scaling__original_context_length=(U32, 32))
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", "\u2581Hello", "w", "o", "r", "l", "d", ","]
    yield "unigram", architecture("phi3") + tokenizer(
        "t5", pieces, [3, 3, 2] + [1] * 8, scores=(ARRAY, (F32, [0.0] * 3 + [-float(i) for i in range(1, 9)])))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581hello", "wor", "##ld", "\u2581w", "123"]
    yield "word_piece", architecture("gemma2") + tokenizer("bert", words, [3, 3, 3, 3, 1, 1, 1, 1, 1],
                                                           bos_token_id=(U32, 2), eos_token_id=(U32, 3))


def safetensors(header, data=b""):
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


CONFIG = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
          "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
          "rope_theta": 1e4, "tie_word_embeddings": True, "vocab_size": 8}


def configs():
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 8192}
    yield "llama", {**CONFIG, "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "rope_scaling": llama3}
    yield "mistral", {**CONFIG, "architectures": ["MistralForCausalLM"], "sliding_window": 128, "head_dim": 32}
    yield "qwen2", {**CONFIG, "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": False,
                    "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}
    yield "qwen3", {**CONFIG, "architectures": ["Qwen3ForCausalLM"], "attention_bias": False,
                    "rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 5000.0}}
    yield "gemma2", {**CONFIG, "architectures": ["Gemma2ForCausalLM"], "query_pre_attn_scalar": 32,
                     "attn_logit_softcapping": 50.0, "final_logit_softcapping": None, "sliding_window": 64}
    yield "gemma3", {**CONFIG, "architectures": ["Gemma3ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh",
                     "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16,
                     "rope_local_base_freq": 1e4}
    yield "phi3", {**CONFIG, "architectures": ["Phi3ForCausalLM"], "original_max_position_embeddings": 64,
                   "rope_scaling": {"type": "longrope", "long_factor": [2] * 16, "short_factor": [1.5] * 16}}


def tokenizer_jsons():
    added = [{"id": 258, "content": "<|im_end|>", "special": True, "normalized": False, "lstrip": False,
              "rstrip": False, "single_word": False}]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocabulary = {t: i for i, t in enumerate(BYTE_ALPHABET + ["He", "ll"])}
    frame = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
             "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level}
    yield "byte_level", {**frame, "model": {"type": "BPE", "vocab": vocabulary, "merges": [["H", "e"], ["l", "l"]]}}
    spm = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["\u2581", "H", "e", "He"]
    yield "spm", {**frame, "added_tokens": [], "pre_tokenizer": None,
                  "normalizer": {"type": "Sequence", "normalizers": [
                      {"type": "Prepend", "prepend": "\u2581"},
                      {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
                  "decoder": {"type": "Sequence", "decoders": [
                      {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                      {"type": "ByteFallback"}, {"type": "Fuse"},
                      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
                  "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(spm)}, "merges": ["H e"],
                            "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True}}
    meta = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    yield "unigram", {**frame, "added_tokens": [], "pre_tokenizer": meta, "decoder": meta,
                      "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
                                "vocab": [["<unk>", 0.0], ["\u2581", -1.0], ["H", -2.0], ["ello", -3.5]]}}
    yield "word_piece", {**frame, "added_tokens": [],
                         "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                                        "strip_accents": None, "lowercase": True},
                         "pre_tokenizer": {"type": "BertPreTokenizer"},
                         "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
                         "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                                   "max_input_chars_per_word": 100,
                                   "vocab": {"[UNK]": 0, "hello": 1, "w": 2, "##ld": 3}}}


TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
              "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "checks": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0)"
              " %}{{ raise_exception('roles must alternate') }}{% endif %}[INST] {{ message['content'] | trim }}"
              " [/INST]{{ eos_token }}{% endfor %}",
    "macros": "{%- macro show(x, deep=false) -%}{{ x | tojson }}{%- endmacro -%}{%- set ns = namespace(n=0) -%}"
              "{%- for m in messages[1:] -%}{%- set ns.n = ns.n + m.content | length -%}{{ show(m) }}{%- endfor -%}"
              "{{ ns.n }} {{ strftime_now('%d %b %Y') }} {{ 'x' * 3 }} {{ range(4) | list }}",
    "tags": "{%}{% generation %}{{ 1 }}{%- endgeneration -%}{#}{{}}{%",
    "loops": "{% for i in range(100) %}{% for j in range(100) %}{{ i ~ j }}{% endfor %}{% endfor %}",
}


def main():
    for name, keys in gguf_metadata():
        put("gguf_metadata", name, gguf(keys))
    put("gguf", "tensors", gguf([("general.alignment", U32, 32)], [("a", (4, 2), range(8)), ("b", (3,), range(3))]))
    put("safetensors", "three", safetensors(
        {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
         "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [8, 20]},
         "c": {"dtype": "I64", "shape": [], "data_offsets": [20, 28]}}, bytes(range(28))))
    put("safetensors", "empty", safetensors({}))
    put("safetensors", "small_types", safetensors(
        {"f8": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
         "f4": {"dtype": "F4", "shape": [2, 2], "data_offsets": [4, 6]}}, bytes(6)))
    for name, config in configs():
        put("hf_config", name, json.dumps(config))
    for name, data in tokenizer_jsons():
        put("tokenizer_json", name, json.dumps(data, ensure_ascii=False))
    for name, source in TEMPLATES.items():
        put("template", name, source)
    put("imatrix", "gguf", gguf(
        [("general.type", STRING, "imatrix"), ("imatrix.datasets", ARRAY, (STRING, ["text"])),
         ("imatrix.chunk_count", U32, 1), ("imatrix.chunk_size", U32, 512)],
        [("blk.0.attn_q.weight.in_sum2", (4, 1), [1.0, 2.0, 0.0, 4.0]),
         ("blk.0.attn_q.weight.counts", (1, 1), [512.0])]))
    older = struct.pack("<i", 1) + struct.pack("<i", 7) + b"a.weight"[:7] + struct.pack("<ii", 2, 3)
    put("imatrix", "older", older + struct.pack("<3f", 1.0, 0.5, 2.0) + struct.pack("<ii", 2, 4) + b"text")
    put("yaml", "settings", "threads: 2\nkv_type: q8\nserve:\n  port: 8080\n  host: \"127.0.0.1\"\n# a comment\n")
    put("yaml", "quotes", "a: 'it''s'\nb: \"x\\n\"\nc: 1e5\n\"d\": ~\n")
    for kind, name, source in CONSTRAINTS:
        put("constraint", name, bytes([kind]) + source.encode())


if __name__ == "__main__":
    main()
