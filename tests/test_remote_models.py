# SPDX-License-Identifier: Apache-2.0
"""`paring inspect` of models that are not here: headers over HTTP ranges, config.json alone, and servers that lie."""
import hashlib
import http.server
import json
import struct
import threading

import http_answers
import numpy as np
import pytest

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
RANGE_BYTES = 1 << 20  # of the first request for a GGUF header


class Repository:
    """One repository on a server of its own; `answer` may take over for a path."""

    def __init__(self, files):
        self.files, self.sizes, self.seen, self.answers = files, {}, [], {}
        self.has_ranges = True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(handler):
                outer.seen.append((handler.path, handler.headers.get("Range")))
                for part, answer in outer.answers.items():
                    if part in handler.path:
                        return answer(handler)
                return outer.serve(handler)

            def log_message(handler, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def ranges(self, path):
        return [wanted for seen, wanted in self.seen if seen.endswith("/" + path)]

    send = staticmethod(http_answers.send)

    def listing(self):
        return {"sha": COMMIT, "siblings": [
            {"rfilename": path, "size": self.sizes.get(path, len(data)),
             "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
            for path, data in self.files.items()]}

    def serve(self, handler):
        if handler.path.startswith("/api/models/owner/tiny/revision/main"):
            return self.send(handler, 200, json.dumps(self.listing()).encode())
        path = handler.path.removeprefix(f"/owner/tiny/resolve/{COMMIT}/")
        if path not in self.files:
            return self.send(handler, 404)
        data, wanted = self.files[path], handler.headers.get("Range")
        if not wanted or not self.has_ranges:
            return self.send(handler, 200, data)
        first, last = wanted.removeprefix("bytes=").split("-")
        piece = data[int(first):int(last) + 1]
        where = f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
        return self.send(handler, 206, piece, [("Content-Range", where)])


@pytest.fixture
def serve():
    servers = []

    def start(files):
        servers.append(Repository(files))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def look(paring, tmp_path):
    def call(repository, name="hf:owner/tiny", *words, **env):
        settings = {"HF_ENDPOINT": repository.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "",
                    "HF_HUB_OFFLINE": "", "HF_HUB_CACHE": "", "no_proxy": "*", "HUGGING_FACE_HUB_TOKEN": "",
                    "HF_TOKEN_PATH": "", **env}
        return paring("inspect", name, "--json", *words, env=settings, timeout=300)

    return call


@pytest.fixture(scope="module")
def folder(paring, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("remote") / "model"
    assert paring("export", tiny, "--out", path).code == 0
    return path


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# What needs the tokenizer, which is not fetched of a folder.
OF_THE_TOKENIZER = {"tokenizer", "vocabulary", "has_chat_template", "quantized_file_bytes"}


def same_model(remote, local, but=frozenset()):
    """Everything that planning tells but where the model lies."""
    skipped = {"file", "origin", "fetched_bytes", "name", *but}

    def told(found):
        kept = {key: value for key, value in found.items() if key not in skipped}
        if OF_THE_TOKENIZER <= skipped:
            kept["memory"] = {k: v for k, v in found["memory"].items() if k != "process_peak_bytes"}
        return kept

    assert told(remote) == told(local)


def test_a_gguf_file_is_known_by_its_header(look, serve, paring, tiny, tmp_path):
    # Behind the header there is more than is fetched, and nobody asks for it.
    padded = tiny.read_bytes()
    repository = serve({"tiny-F16.gguf": padded})
    words = ["--memory", "64MB", "--gpu", "8GB", "--context", "128", "--tensors"]
    remote = look(repository, "hf:owner/tiny", *words).json()
    same_model(remote, paring("inspect", tiny, *words, "--json").json())
    assert remote["origin"] == "headers" and remote["file"] == "hf:owner/tiny"
    assert repository.ranges("tiny-F16.gguf") == [f"bytes=0-{min(RANGE_BYTES, len(padded)) - 1}"]
    assert not (tmp_path / "home").exists(), "looking at a model keeps nothing"


def long_header(path, values=200_000):
    """A GGUF file whose header is longer than one request, and whose weights are longer than that."""
    from gguf import GGUFWriter
    writer = GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list([f"token{i}" for i in range(values)])
    rng = np.random.default_rng(1)
    writer.add_tensor("token_embd.weight", rng.normal(size=(96_000, 64)).astype(np.float16))
    for name, shape in {"attn_norm": (64,), "ffn_norm": (64,), **{n: (64, 64) for n in (
            "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}}.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(shape, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(64, np.float32))
    writer.add_tensor("rope_freqs.weight", np.full(32, 2, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_long_header_is_read_on_and_the_weights_are_not(look, serve, paring, tmp_path):
    path = tmp_path / "long.gguf"
    long_header(path)
    data = path.read_bytes()
    repository = serve({"long.gguf": data})
    remote = look(repository).json()
    same_model(remote, paring("inspect", path, "--json").json())
    ranges = repository.ranges("long.gguf")
    assert ranges[:2] == [f"bytes=0-{RANGE_BYTES - 1}", f"bytes={RANGE_BYTES}-{2 * RANGE_BYTES - 1}"]
    # The rotary divisors are the one tensor whose values count: 32 floats at the end.
    first, last = map(int, ranges[-1].removeprefix("bytes=").split("-"))
    assert last - first + 1 == 32 * 4 and data[first:last + 1] == np.full(32, 2, np.float32).tobytes()
    assert remote["fetched_bytes"] == 2 ** (len(ranges) - 2) * RANGE_BYTES + 32 * 4 < len(data) / 2
    # A server without ranges can show the beginning of a file only.
    repository.has_ranges = False
    refused = look(repository)
    assert refused.code != 0 and "parts of a file" in refused.err and "paring pull" in refused.err


def test_a_server_without_ranges_is_left_when_there_is_enough(look, serve, paring, tiny):
    repository = serve({"tiny.gguf": tiny.read_bytes()})
    repository.has_ranges = False
    same_model(look(repository).json(), paring("inspect", tiny, "--json").json())


def test_a_folder_is_known_by_config_and_headers(look, serve, paring, folder):
    repository = serve(files_of(folder))
    remote = look(repository, "hf:owner/tiny", "--gpu", "8GB").json()
    local = paring("inspect", folder, "--gpu", "8GB", "--json").json()
    same_model(remote, local, OF_THE_TOKENIZER)
    assert remote["origin"] == "headers" and remote["tokenizer"] == "none"
    header = struct.unpack("<Q", (folder / "model.safetensors").read_bytes()[:8])[0]
    assert repository.ranges("model.safetensors") == ["bytes=0-7", f"bytes=8-{8 + header - 1}"]
    assert not repository.ranges("tokenizer.json")


def test_shards_are_those_of_the_index(look, serve, paring, folder):
    files = files_of(folder)
    raw = files.pop("model.safetensors")
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + length])
    header.pop("__metadata__", None)
    names = sorted(header, key=lambda name: header[name]["data_offsets"][0])
    index = {}
    for number, part in enumerate((names[:5], names[5:]), 1):
        at, own, data = 0, {}, b""
        for name in part:
            begin, end = header[name]["data_offsets"]
            own[name] = {**header[name], "data_offsets": [at, at + end - begin]}
            data += raw[8 + length + begin:8 + length + end]
            at += end - begin
        text = json.dumps(own).encode()
        file = f"model-{number:05}-of-00002.safetensors"
        files[file] = struct.pack("<Q", len(text)) + text + data
        index.update(dict.fromkeys(part, file))
    files["model.safetensors.index.json"] = json.dumps({"weight_map": index}).encode()
    local = paring("inspect", folder, "--json").json()
    same_model(look(serve(files)).json(), local, OF_THE_TOKENIZER | {"file_bytes"})
    # The index names a tensor that its file does not hold.
    index[names[5]] = "model-00001-of-00002.safetensors"
    files["model.safetensors.index.json"] = json.dumps({"weight_map": index}).encode()
    refused = look(serve(files))
    assert refused.code == 4 and names[5] in refused.err


@pytest.mark.parametrize("is_here", [True, False])
def test_config_alone_implies_what_the_folder_holds(look, serve, paring, folder, is_here):
    config = (folder / "config.json").read_bytes()
    if is_here:
        found = paring("inspect", folder / "config.json", "--tensors", "--json").json()
    else:
        found = look(serve({"config.json": config, "pytorch_model.bin": b"not looked at"}), "hf:owner/tiny",
                     "--tensors").json()
    assert found["origin"] == "config"
    same_model(found, paring("inspect", folder, "--tensors", "--json").json(),
               OF_THE_TOKENIZER | {"file_bytes"})
    assert found["file_bytes"] == 2 * found["parameters"], "all in float16, as config.json says"


LLAMA3 = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}


def config_of(name, width, ffn, layers, heads, kv_heads, vocabulary, is_tied, **more):
    return {"architectures": [name], "hidden_size": width, "intermediate_size": ffn, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocabulary,
            "tie_word_embeddings": is_tied, "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, **more}


# Parameters as the models' authors count them, on the pages of the published weights.
PUBLISHED = {
    "SmolLM2-135M": (134_515_008, config_of("LlamaForCausalLM", 576, 1536, 30, 9, 3, 49152, True)),
    "Llama-3.2-1B": (1_235_814_400, config_of("LlamaForCausalLM", 2048, 8192, 16, 32, 8, 128256, True, head_dim=64,
                                              rope_scaling=LLAMA3)),
    "Qwen2.5-0.5B": (494_032_768, config_of("Qwen2ForCausalLM", 896, 4864, 24, 14, 2, 151936, True)),
    "Qwen3-0.6B": (596_049_920, config_of("Qwen3ForCausalLM", 1024, 3072, 28, 16, 8, 151936, True, head_dim=128)),
    "Gemma-3-270M": (268_098_176, config_of("Gemma3ForCausalLM", 640, 2048, 18, 4, 1, 262144, True, head_dim=256,
                                            hidden_activation="gelu_pytorch_tanh", sliding_window=512,
                                            query_pre_attn_scalar=256)),
    "Phi-3-mini-4k": (3_821_079_552, config_of("Phi3ForCausalLM", 3072, 8192, 32, 32, 32, 32064, False)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_have_the_published_parameters(paring, tmp_path, name):
    count, config = PUBLISHED[name]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    found = paring("inspect", path, "--tensors", "--memory", "8GB", "--json").json()
    made = sum(tensor["shape"][0] for tensor in found["tensors"] if tensor["name"] == "rope_freqs.weight")
    assert found["parameters"] - made == count
    assert found["plan"]["in_memory"]["longest_context"]["q8"] > 0


def html(handler):
    Repository.send(handler, 200, b"<!DOCTYPE html><html>Please log in</html>")


def circle(handler):
    Repository.send(handler, 302, b"", [("Location", handler.path)])


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    try:
        while True:
            handler.wfile.write(b" " * (1 << 20))
    except OSError:
        pass


def longer(handler):
    first = (handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0]
    Repository.send(handler, 206, b"GGUF" + bytes(1 << 22), [("Content-Range", f"bytes {first}-9/{1 << 40}")])


def other_range(handler):
    Repository.send(handler, 206, b"GGUF" + bytes(96), [("Content-Range", "bytes 100-199/200")])


def no_range(handler):
    Repository.send(handler, 206, b"GGUF" + bytes(96))


def short(handler):
    handler.send_response(206)
    handler.send_header("Content-Range", "bytes 0-1000/1000000")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"GGUF")
    handler.close_connection = True


def status(code):
    return lambda handler: Repository.send(handler, code)


HOSTILE = {"html": (html, (3, 4)), "circle": (circle, (6,)), "endless": (endless, (4, 6)), "longer": (longer, (4,)),
           "other_range": (other_range, (4,)), "no_range": (no_range, (4,)), "short": (short, (4, 7)),
           "401": (status(401), (3,)), "403": (status(403), (3,)), "404": (status(404), (3,)),
           "429": (status(429), (7,)), "500": (status(500), (7,)), "418": (status(418), (3,))}
ATTEMPTS = 3


@pytest.mark.parametrize("where", ["/api/", "tiny.gguf", "config.json"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_server_is_refused_with_a_sentence(look, serve, tiny, folder, where, kind):
    answer, codes = HOSTILE[kind]
    files = files_of(folder) if where == "config.json" else {"tiny.gguf": tiny.read_bytes()}
    repository = serve(files)
    repository.answers[where] = answer
    refused = look(repository)
    is_partial = kind in ("longer", "other_range", "no_range", "short") and where == "/api/"
    assert refused.code != 0 and refused.err.splitlines()[-1] != "" and "paring: error: " in refused.err, refused.err
    assert is_partial or refused.code in codes, (refused.code, refused.err)
    if kind in ("429", "500"):
        assert len([path for path, _ in repository.seen if where in path]) == ATTEMPTS


def test_what_fails_for_the_moment_is_tried_again(look, serve, paring, tiny):
    repository = serve({"tiny.gguf": tiny.read_bytes()})
    faults = [503, 429]

    def answer(handler):
        return Repository.send(handler, faults.pop()) if faults else repository.serve(handler)

    repository.answers["tiny.gguf"] = answer
    same_model(look(repository).json(), paring("inspect", tiny, "--json").json())
    assert len(repository.ranges("tiny.gguf")) == 3


@pytest.mark.parametrize("size", [10, 1 << 60])
def test_a_size_that_is_a_lie(look, serve, tiny, size):
    repository = serve({"tiny.gguf": tiny.read_bytes()})
    repository.sizes["tiny.gguf"] = size
    refused = look(repository)
    assert refused.code == 4 and "paring: error: " in refused.err


@pytest.mark.parametrize("config", [b"", b"[]", b"{", b"<html>", b'{"architectures": ["Unheard"]}',
                                    b'{"architectures": ["LlamaForCausalLM"]}'])
def test_a_config_that_is_none(paring, tmp_path, config):
    path = tmp_path / "config.json"
    path.write_bytes(config)
    refused = paring("inspect", path)
    assert refused.code in (3, 4, 5) and "config.json" in refused.err


@pytest.mark.parametrize("key,value,named", [
    ("vocab_size", 0, "vocab_size"), ("vocab_size", 1 << 40, "vocab_size"), ("hidden_size", -1, "hidden_size"),
    ("num_hidden_layers", 1 << 30, "block_count"), ("dtype", "float8", "dtype"), ("mlp_bias", True, "mlp_bias"),
    ("torch_dtype", 7, "torch_dtype")])
def test_an_absurd_config_is_refused(paring, folder, tmp_path, key, value, named):
    config = json.loads((folder / "config.json").read_text())
    if key == "torch_dtype":
        config.pop("dtype", None)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, key: value}))
    refused = paring("inspect", path)
    assert refused.code in (4, 5) and named in refused.err


def test_offline_says_so(look, serve, tiny):
    refused = look(serve({"tiny.gguf": tiny.read_bytes()}), HF_HUB_OFFLINE="1")
    assert refused.code == 7 and "HF_HUB_OFFLINE" in refused.err
