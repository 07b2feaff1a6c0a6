# SPDX-License-Identifier: Apache-2.0
"""Encoders: embeddings, reranking and classification against transformers on tiny random models
(tests/data/encoders, made by tools/make_encoders.py), from folders and from GGUF files."""
import json
import pathlib
import shutil
import struct

import numpy as np
import pytest
from gguf import GGUFReader

FOLDER = pathlib.Path(__file__).resolve().parent / "data/encoders"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())["models"]
PLAIN = [name for name, rows in EXPECTED.items() if "vector" in rows[0]]
HEADS = [name for name, rows in EXPECTED.items() if "outputs" in rows[0]]
CLASSES = [name for name in HEADS if name != "bert-rank"]


def texts_of(name):
    return [row["text"] for row in EXPECTED[name]]


def embed(paring, model, *words):
    found = paring("embed", model, *words, "--json").json()
    return found, [np.array(row["embedding"]) for row in found["embeddings"]]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def gguf(paring, tmp_path_factory):
    """The models as GGUF files with the weights of the folders, made when asked for."""
    root, made = tmp_path_factory.mktemp("encoders"), {}

    def make(name, kind="F16"):
        key = f"{name}-{kind}.gguf"
        if key not in made:
            done = paring("quantize", FOLDER / name, root / key, "--type", kind)
            assert done.code == 0, done.err
            made[key] = root / key
        return made[key]
    return make


@pytest.mark.parametrize("name", PLAIN)
def test_vectors_are_those_of_transformers(paring, name):
    found, vectors = embed(paring, FOLDER / name, *texts_of(name), "--numerics", "exact")
    assert [row["tokens"] for row in found["embeddings"]] == [len(row["ids"]) for row in EXPECTED[name]]
    for vector, row in zip(vectors, EXPECTED[name]):
        expected = np.array(row["vector"])
        assert np.abs(vector - expected).max() < 2e-5 * max(1.0, np.abs(expected).max()), row["text"]


@pytest.mark.parametrize("name", PLAIN)
def test_without_pooling_each_token_has_its_state(paring, name):
    _, states = embed(paring, FOLDER / name, *texts_of(name), "--pooling", "none", "--numerics", "exact")
    for state, row in zip(states, EXPECTED[name]):
        assert state.shape == (len(row["ids"]), 64)
        assert np.abs(state[-1] - np.array(row["last_state"])).max() < 2e-5


@pytest.mark.parametrize("name", CLASSES)
def test_outputs_of_heads_are_those_of_transformers(paring, name):
    found = paring("classify", FOLDER / name, *texts_of(name), "--numerics", "exact", "--json").json()
    config = json.loads((FOLDER / name / "config.json").read_text())
    names = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    for result, row in zip(found["results"], EXPECTED[name]):
        assert [each["label"] for each in result["labels"]] == names
        logits = np.array([each["logit"] for each in result["labels"]])
        assert np.abs(logits - np.array(row["outputs"])).max() < 5e-5
        shares = np.array([each["probability"] for each in result["labels"]])
        if found["problem_type"] == "multi_label_classification":
            assert np.abs(shares - 1 / (1 + np.exp(-logits))).max() < 1e-6
        else:
            assert np.abs(shares - np.exp(logits) / np.exp(logits).sum()).max() < 1e-6


def rerank(paring, model, pair, *words):
    return paring("rerank", model, "--query", pair[0], pair[1], *words, "--json").json()["results"]


def test_a_cross_encoder_reads_pairs_as_transformers_does(paring):
    for row in EXPECTED["bert-rank"]:
        result, = rerank(paring, FOLDER / "bert-rank", row["text"], "--numerics", "exact")
        assert abs(result["logit"] - row["outputs"][0]) < 5e-5
        assert abs(result["score"] - 1 / (1 + np.exp(-row["outputs"][0]))) < 1e-5


def test_reranking_puts_the_best_first_and_keeps_the_numbers(paring):
    documents = [row["text"][1] for row in EXPECTED["bert-rank"]]
    found = paring("rerank", FOLDER / "bert-rank", "--query", "fox", *documents, "--json").json()["results"]
    assert [each["logit"] for each in found] == sorted((each["logit"] for each in found), reverse=True)
    assert all(each["text"] == documents[each["index"]] for each in found)
    top = paring("rerank", FOLDER / "bert-rank", "--query", "fox", *documents, "--top", "1", "--json").json()["results"]
    assert top == found[:1]


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_gguf_file_computes_what_its_folder_computes(paring, gguf, name):
    """WordPiece is then encoded by code of ours, and special tokens follow from the header."""
    model = gguf(name)
    for row in EXPECTED[name]:
        if "vector" in row:
            _, (vector,) = embed(paring, model, row["text"], "--numerics", "exact")
            assert np.abs(vector - np.array(row["vector"])).max() < 2e-5 * max(1, np.abs(row["vector"]).max())
        elif name == "bert-rank":
            result, = rerank(paring, model, row["text"], "--numerics", "exact")
            assert abs(result["logit"] - row["outputs"][0]) < 5e-5
        else:
            result, = paring("classify", model, row["text"], "--numerics", "exact", "--json").json()["results"]
            assert np.abs(np.array([x["logit"] for x in result["labels"]]) - row["outputs"]).max() < 5e-5


@pytest.mark.parametrize("numerics", ["exact", "served"])
def test_a_text_has_one_result_in_any_company_and_for_any_threads(paring, gguf, numerics):
    model = gguf("bert-mean", "Q8_0")
    texts = texts_of("bert-mean") * 30  # several steps
    words = ("--numerics", numerics)
    alone = [embed(paring, model, text, "--threads", "1", *words)[1][0] for text in texts_of("bert-mean")]
    for threads in ("1", "2"):
        _, together = embed(paring, model, *texts, "--threads", threads, *words)
        _, backwards = embed(paring, model, *reversed(texts), "--threads", threads, *words)
        for i, vector in enumerate(together):
            assert np.array_equal(vector, alone[i % len(alone)])
            assert np.array_equal(backwards[-1 - i], vector)


@pytest.mark.parametrize("kind,least", [("Q8_0", 0.999), ("Q5_1", 0.98), ("Q4_0", 0.95)])
def test_quantized_encoders_stay_close(paring, gguf, kind, least):
    for name in ("bert-mean", "distilbert"):
        _, vectors = embed(paring, gguf(name, kind), *texts_of(name))
        for vector, row in zip(vectors, EXPECTED[name]):
            assert cosine(vector, np.array(row["vector"])) > least


@pytest.mark.parametrize("name,types", [("bert-mean", 2), ("distilbert", 1)])
def test_other_programs_find_what_they_ask_for(gguf, name, types):
    """llama.cpp refuses a BERT file without the number of token types, adds tables of positions and types in F32 alone,
    and pools nothing where no kind is named."""
    reader = GGUFReader(gguf(name, "Q8_0"))
    assert reader.fields["tokenizer.ggml.token_type_count"].contents() == types
    assert reader.fields["bert.pooling_type"].contents() in (1, 2)  # mean, first token
    tables = [t for t in reader.tensors if t.name in ("position_embd.weight", "token_types.weight")]
    assert tables and all(t.tensor_type.name == "F32" for t in tables)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_export_gives_the_folder_back(paring, gguf, name, tmp_path):
    done = paring("export", gguf(name), "--out", tmp_path / "model")
    assert done.code == 0, done.err
    words = ("--numerics", "exact", "--json")
    if "vector" in EXPECTED[name][0]:
        _, there = embed(paring, FOLDER / name, *texts_of(name), "--numerics", "exact")
        _, here = embed(paring, tmp_path / "model", *texts_of(name), "--numerics", "exact")
        assert all(np.array_equal(a, b) for a, b in zip(here, there))
    elif name != "bert-rank":
        there = paring("classify", FOLDER / name, *texts_of(name), *words).json()["results"]
        assert paring("classify", tmp_path / "model", *texts_of(name), *words).json()["results"] == there
    else:
        pair = EXPECTED[name][2]["text"]
        there = rerank(paring, FOLDER / name, pair)
        assert rerank(paring, tmp_path / "model", pair) == there
    config, original = (json.loads((path / "config.json").read_text())
                        for path in (tmp_path / "model", FOLDER / name))
    for key in ("architectures", "model_type", "id2label", "max_position_embeddings", "hidden_size", "dim"):
        assert config.get(key) == original.get(key), key


def test_texts_come_from_files_lines_and_json_lines(paring, tmp_path):
    texts = texts_of("bert-mean")
    _, expected = embed(paring, FOLDER / "bert-mean", *texts)
    (tmp_path / "lines.txt").write_text("".join(text + "\n" for text in texts))
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    for words in (("--file", tmp_path / "lines.txt"), ("--file", tmp_path / "lines.jsonl", "--field", "body")):
        _, found = embed(paring, FOLDER / "bert-mean", *words)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected)) and len(found) == len(expected)
    npy = tmp_path / "vectors.npy"
    assert paring("embed", FOLDER / "bert-mean", *texts, "--npy", npy).code == 0
    matrix = np.load(npy)
    assert matrix.dtype == np.float32 and np.array_equal(matrix, np.array(expected, np.float32))
    lines = paring("embed", FOLDER / "bert-mean", *texts).out.splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(len(texts)))


def test_length_of_vectors_follows_the_model_and_the_flag(paring):
    for name, is_unit in (("bert-mean", True), ("bert-cls", False), ("distilbert", True)):
        found, (vector,) = embed(paring, FOLDER / name, "a fox")
        assert found["normalized"] == is_unit
        assert (abs(np.linalg.norm(vector) - 1) < 1e-5) == is_unit
        found, (other,) = embed(paring, FOLDER / name, "a fox", "--no-normalize" if is_unit else "--normalize")
        assert cosine(vector, other) > 0.999999 and found["normalized"] != is_unit


def test_long_texts_are_refused_or_cut(paring):
    long = "fox " * 200
    done = paring("embed", FOLDER / "bert-mean", "a", long)
    assert done.code != 0 and "text 2: the text has 202 tokens, the limit is 128" in done.err
    assert "--truncate" in done.err
    found, (cut,) = embed(paring, FOLDER / "bert-mean", long, "--truncate")
    assert found["embeddings"][0]["tokens"] == 128 and found["work"]["cut_texts"] == 1
    _, (same,) = embed(paring, FOLDER / "bert-mean", "fox " * 126)
    assert np.array_equal(cut, same)
    found, _ = embed(paring, FOLDER / "bert-mean", long, "--truncate", "--max-tokens", "10")
    assert found["embeddings"][0]["tokens"] == 10
    result, = rerank(paring, FOLDER / "bert-rank", ("fox", long), "--truncate")
    kept, = rerank(paring, FOLDER / "bert-rank", ("fox", "fox " * 124))
    assert result["logit"] == kept["logit"]
    done = paring("rerank", FOLDER / "bert-rank", "--query", long, "a", "--truncate")
    assert done.code != 0 and "shorten its first part" in done.err


def test_inspect_tells_what_an_encoder_is(paring):
    found = paring("inspect", FOLDER / "bert-classes", "--json").json()
    assert found["architecture"] == "bert" and found["hyper_parameters"]["layers"] == 2
    assert found["hyper_parameters"]["encoder"]["labels"] == ["red", "green", "blue"]
    assert found["hyper_parameters"]["encoder"]["activation"] == "relu"
    text = paring("inspect", FOLDER / "bert-mean").out
    assert "mean of all tokens" in text and "rotary" not in text and "cache" not in text


def test_agreement_of_vectors_is_judged_by_lines(paring, gguf, tmp_path):
    text = tmp_path / "texts.txt"
    text.write_text("\n\n".join(texts_of("bert-mean")) + "\n")
    found = paring("eval", gguf("bert-mean", "Q8_0"), "--against", FOLDER / "bert-mean", "--text", text,
                   "--json").json()
    _, base = embed(paring, FOLDER / "bert-mean", *texts_of("bert-mean"), "--numerics", "exact")
    _, here = embed(paring, gguf("bert-mean", "Q8_0"), *texts_of("bert-mean"))
    cosines = sorted(cosine(a, b) for a, b in zip(here, base))
    assert found["texts"] == 5 and found["cut_texts"] == 0
    assert abs(found["cosine"]["min"] - cosines[0]) < 1e-6 and abs(found["cosine"]["mean"] - np.mean(cosines)) < 1e-6
    itself = paring("eval", FOLDER / "bert-classes", "--text", text, "--numerics", "exact", "--json").json()
    assert itself["cosine"]["min"] > 1 - 1e-9 and itself["outputs"]["same_label"] == 1
    assert itself["outputs"]["largest_difference"] == 0
    done = paring("eval", FOLDER / "bert-mean", "--windows", "3")
    assert done.code == 2 and "--windows is for models that generate text" in done.err


@pytest.mark.parametrize("words", [("run", "{}", "hello"), ("bench", "{}"), ("imatrix", "{}", "--out", "x.imatrix"),
                                   ("optimize", "{}", "--out", "x.gguf", "--file", "1MB"),
                                   ("eval", "{}", "--tasks", "copa")])
def test_commands_for_decoders_say_so(paring, words):
    done = paring(*(word.format(FOLDER / "bert-mean") for word in words))
    assert done.code == 2 and "is an encoder" in done.err, done.err


def test_commands_for_encoders_say_so(paring, tiny):
    done = paring("embed", tiny, "hello")
    assert done.code == 2 and "is a decoder" in done.err
    done = paring("classify", FOLDER / "bert-mean", "hello")
    assert done.code == 2 and "no classification head" in done.err
    done = paring("rerank", FOLDER / "bert-classes", "--query", "a", "b")
    assert done.code == 2 and "has 3 labels" in done.err


@pytest.fixture
def copy(tmp_path):
    """A folder whose files a test may change."""
    def make(name="bert-mean"):
        path = tmp_path / name
        shutil.copytree(FOLDER / name, path)
        return path
    return make


def change_json(path, **values):
    content = json.loads(path.read_text())
    content.update(values)
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


@pytest.mark.parametrize("values,message", [
    (dict(num_attention_heads=3), "64 is not a multiple of head_count 3"),
    (dict(num_attention_heads=4), "a head width of 16"),
    (dict(num_hidden_layers=3), "is missing"),
    (dict(num_hidden_layers=1), "is of layer 1"),
    (dict(num_hidden_layers=10 ** 9), "block_count is 1000000000"),
    (dict(max_position_embeddings=127), "has 128 rows of 64 values, the hyper-parameters ask for 127"),
    (dict(hidden_size=2 ** 31), "it must be between"),
    (dict(max_position_embeddings=2 ** 31 - 1), "it must be between"),
    (dict(intermediate_size=95), "must have shape [95]"),
    (dict(layer_norm_eps=-1.0), "layer_norm_epsilon is -1"),
    (dict(hidden_act="swish"), "'hidden_act' is 'swish'"),
    (dict(position_embedding_type="relative_key"), "'position_embedding_type' is 'relative_key'"),
    (dict(is_decoder=True), "'is_decoder' is true"),
    (dict(architectures=["BertForQuestionAnswering"]), "BertForQuestionAnswering"),
])
def test_a_damaged_configuration_is_one_sentence(paring, copy, values, message):
    folder = copy()
    change_json(folder / "config.json", **values)
    done = paring("embed", folder, "hello")
    assert done.code not in (0, 1) and message in done.err and done.err.count("\n") <= 2, done.err


@pytest.mark.parametrize("values,message", [
    (dict(pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True), "'pooling_mode_max_tokens' is true"),
    (dict(pooling_mode_cls_token=True), "beside another kind of pooling"),
    (dict(pooling_mode="weightedmean"), "'pooling_mode' is 'weightedmean'"),
])
def test_unknown_pooling_is_refused(paring, copy, values, message):
    folder = copy()
    change_json(folder / "1_Pooling/config.json", **values)
    done = paring("embed", folder, "hello")
    assert done.code != 0 and message in done.err


def test_a_module_that_changes_vectors_is_refused(paring, copy):
    folder = copy()
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (folder / "modules.json").write_text(json.dumps(modules))
    done = paring("embed", folder, "hello")
    assert done.code != 0 and "models.Dense" in done.err


def rewrite(path, edit):
    """Changes the header of a safetensors file; `edit` may rename or drop entries."""
    raw = path.read_bytes()
    length, = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length:])


def test_a_missing_renamed_or_unknown_tensor_is_named(paring, copy):
    folder = copy()
    original = (folder / "model.safetensors").read_bytes()
    cases = [("embeddings.position_embeddings.weight", "x.y", "'x.y' is not known"),
             ("encoder.layer.1.output.LayerNorm.bias", "cls.seq.bias", "layer_output_norm.bias' is missing"),
             ("encoder.layer.0.attention.self.key.bias", "pooler.x.bias", "'pooler.x.bias' is not known")]
    for name, to, message in cases:
        (folder / "model.safetensors").write_bytes(original)
        rewrite(folder / "model.safetensors", lambda header: header.__setitem__(to, header.pop(name)))
        done = paring("embed", folder, "hello")
        assert done.code not in (0, 1) and message in done.err, done.err


def test_weights_that_are_no_numbers_are_an_error(paring, copy):
    folder = copy()
    raw = bytearray((folder / "model.safetensors").read_bytes())
    length, = struct.unpack("<Q", raw[:8])
    entry = json.loads(bytes(raw[8:8 + length]))["encoder.layer.0.output.dense.weight"]
    begin = 8 + length + entry["data_offsets"][0]
    raw[begin:begin + 2] = struct.pack("<H", 0x7E00)
    (folder / "model.safetensors").write_bytes(raw)
    done = paring("embed", folder, "hello")
    assert done.code != 0 and "not finite numbers" in done.err
