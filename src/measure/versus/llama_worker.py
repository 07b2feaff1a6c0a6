# SPDX-License-Identifier: Apache-2.0
"""llama.cpp, or ik_llama.cpp where the argument says so, as a peer of `paring bench --against`: one request a line on
standard input, one answer a line on standard output, both JSON. The program holds this text and starts it with
`python -c`; docs/howto/compare-with-llama-cpp.md describes the protocol.

Timed are the calls of llama_decode and llama_synchronize alone. Between requests the process sleeps in a read.
Needs llama-cpp-python or ik-llama-cpp-python, of which only the thin layer over the C functions is used, and numpy.
"""
import ctypes
import json
import os
import sys
import time

import numpy as np

PROTOCOL = 1
WARM_UP_STEPS = 4  # single tokens before the clock runs; as many as Paring computes
WARM_UP_PROMPT = 32
OPENMP_THREADS_MAX = 512  # GGML_MAX_N_THREADS


class Refused(Exception):
    """A request that cannot be carried out; its text goes to the user."""


class ThreadPoolParams(ctypes.Structure):
    _fields_ = [("cpumask", ctypes.c_bool * OPENMP_THREADS_MAX), ("n_threads", ctypes.c_int), ("prio", ctypes.c_int),
                ("poll", ctypes.c_uint32), ("strict_cpu", ctypes.c_bool), ("paused", ctypes.c_bool)]


class LlamaCpp:
    """The C functions of llama.cpp, and what the build says of itself."""

    NAME, PACKAGE = "llama.cpp", "llama-cpp-python"

    def __init__(self):
        import llama_cpp
        self.api = llama_cpp.llama_cpp
        self.package = llama_cpp.__version__
        self.api.llama_backend_init()
        self.features = self.api.llama_print_system_info().decode(errors="replace").strip()
        self.has_openmp = "OPENMP = 1" in self.features
        base = os.environ.get("LLAMA_CPP_LIB_PATH", os.path.join(os.path.dirname(llama_cpp.__file__), "lib"))
        self.build = self.ggml_text(base, "ggml_version") + " " + self.ggml_text(base, "ggml_commit")
        self.cpu = None if self.has_openmp else ctypes.CDLL(os.path.join(base, "libggml-cpu.so"))
        self.base = None if self.has_openmp else ctypes.CDLL(os.path.join(base, "libggml-base.so"))

    @staticmethod
    def ggml_text(folder, function):
        try:
            found = getattr(ctypes.CDLL(os.path.join(folder, "libggml-base.so")), function)
        except (OSError, AttributeError):
            return ""
        found.restype = ctypes.c_char_p
        return found().decode(errors="replace")

    def attach_threads(self, context, threads):
        """Without OpenMP, llama.cpp starts threads for every step unless it is given a pool, as its own tools do."""
        if self.has_openmp:
            return
        params = ThreadPoolParams()
        self.base.ggml_threadpool_params_init(ctypes.byref(params), ctypes.c_int(threads))
        self.cpu.ggml_threadpool_new.restype = ctypes.c_void_p
        pool = ctypes.c_void_p(self.cpu.ggml_threadpool_new(ctypes.byref(params)))
        attach = self.api._lib.llama_attach_threadpool
        attach.restype = None
        attach(ctypes.c_void_p(context), pool, pool)


    def model_params(self, repack):
        params = self.api.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = repack
        return params

    def context_params(self, flags, _sequences):
        params = self.api.llama_context_default_params()
        params.flash_attn_type = 1 if flags["flash_attention"] else 0
        params.kv_unified = flags["unified"]
        params.no_perf = True
        return params

    def free_model(self, model):
        self.api.llama_model_free(model)

    def synchronize(self, context):
        self.api.llama_synchronize(context)

    def clear(self, context):
        self.api.llama_memory_clear(self.api.llama_get_memory(context), False)

    def state(self, context):
        """What the first sequence has in the cache, as bytes."""
        size = self.api.llama_state_seq_get_size(context, 0)
        state = (ctypes.c_uint8 * size)()
        return state if self.api.llama_state_seq_get_data(context, state, size, 0) == size else None

    def set_state(self, context, state):
        return self.api.llama_state_seq_set_data(context, state, len(state), 0) == len(state)


class IkLlamaCpp(LlamaCpp):
    """Those of ik_llama.cpp, which left llama.cpp's interface as it was in 2024."""

    NAME, PACKAGE = "ik_llama.cpp", "ik-llama-cpp-python"

    def __init__(self):  # pylint: disable=super-init-not-called
        import ik_llama_cpp
        from ik_llama_cpp import _ctypes_api
        self.api = _ctypes_api
        self.package = ik_llama_cpp.__version__
        self.lib = _ctypes_api._lib  # pylint: disable=protected-access
        size, context, data = ctypes.c_size_t, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8)
        for name, result, arguments in (
                ("llama_print_system_info", ctypes.c_char_p, []), ("llama_synchronize", None, [context]),
                ("llama_state_seq_get_size", size, [context, ctypes.c_int32, ctypes.c_uint32]),
                ("llama_state_seq_get_data", size, [context, data, size, ctypes.c_int32, ctypes.c_uint32]),
                ("llama_state_seq_set_data", size, [context, data, size, ctypes.c_int32, ctypes.c_uint32])):
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments
        self.api.llama_backend_init()
        self.features = self.lib.llama_print_system_info().decode(errors="replace").strip(" |\n")
        self.build = ""

    def attach_threads(self, context, threads):
        pass  # it has a pool of its own

    def model_params(self, repack):
        params = self.api.llama_model_default_params()
        params.n_gpu_layers = 0
        params.repack_tensors = repack
        params.use_mmap = not repack  # as its own tools do
        return params

    def context_params(self, flags, sequences):
        if flags["unified"] and sequences > 1:
            raise Refused("ik_llama.cpp has one cache for all sequences")
        if flags["flash_attention"] and sequences > 1:
            raise Refused("flash attention of ik_llama.cpp ends the process on rows that see none of a block of keys")
        params = self.api.llama_context_default_params()
        params.flash_attn = flags["flash_attention"]
        return params

    def free_model(self, model):
        self.api.llama_free_model(model)

    def synchronize(self, context):
        self.lib.llama_synchronize(context)

    def clear(self, context):
        self.api.llama_kv_cache_clear(context)

    def state(self, context):
        size = self.lib.llama_state_seq_get_size(context, 0, 0)
        state = (ctypes.c_uint8 * size)()
        return state if self.lib.llama_state_seq_get_data(context, state, size, 0, 0) == size else None

    def set_state(self, context, state):
        return self.lib.llama_state_seq_set_data(context, state, len(state), 0, 0) == len(state)


class Session:
    """One model, one context, and the case that `run` times."""

    def __init__(self, library):
        self.library = library
        self.api = self.library.api
        self.model, self.loaded, self.context, self.batch = None, None, None, None
        self.case, self.state = None, None

    # ---- model and context

    def load(self, path, repack):
        if self.loaded == (path, repack):
            return
        self.drop_context()
        if self.model:
            self.library.free_model(self.model)
        self.model, self.loaded = None, None
        self.model = self.api.llama_model_load_from_file(path.encode(), self.library.model_params(repack))
        if not self.model:
            raise Refused(f"{self.library.NAME} cannot load this model")
        self.loaded = (path, repack)
        self.vocabulary = self.api.llama_vocab_n_tokens(self.api.llama_model_get_vocab(self.model))

    def drop_context(self):
        if self.batch is not None:
            self.api.llama_batch_free(self.batch)
        if self.context:
            self.api.llama_free(self.context)
        self.context, self.batch, self.state, self.case = None, None, None, None

    def open_context(self, flags, sequences, tokens):
        """A cache of `tokens` for each sequence."""
        self.drop_context()
        api = self.api
        cache = {"f16": 1, "q8_0": 8}[flags["kv_type"]]  # ggml_type
        params = self.library.context_params(flags, sequences)
        rounded = -(-tokens // 256) * 256
        params.n_ctx = rounded * sequences
        params.n_batch = max(flags["batch"], sequences)
        params.n_ubatch = flags["ubatch"]
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = flags["threads"]
        params.type_k = params.type_v = cache
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            raise Refused(f"{self.library.NAME} cannot make a context with these flags")
        self.library.attach_threads(self.context, flags["threads"])
        self.capacity = params.n_batch
        self.batch = api.llama_batch_init(self.capacity, 0, 1)

    # ---- steps

    def fill(self, rows):
        """rows: (token, position, sequence, whether logits are wanted)."""
        self.batch.n_tokens = len(rows)
        for i, (token, position, sequence, wants_logits) in enumerate(rows):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = 1 if wants_logits else 0

    def step(self, rows):
        """Seconds of one llama_decode."""
        self.fill(rows)
        begin = time.perf_counter()
        status = self.api.llama_decode(self.context, self.batch)
        self.library.synchronize(self.context)
        seconds = time.perf_counter() - begin
        if status != 0:
            raise Refused(f"llama_decode of {len(rows)} tokens failed with {status}")
        return seconds

    def steps(self, rows):
        return sum(self.step(rows[i:i + self.capacity]) for i in range(0, len(rows), self.capacity))

    def prompt(self, tokens, sequence=0):
        last = len(tokens) - 1
        return [(token, i, sequence, i == last) for i, token in enumerate(tokens)]

    def clear(self):
        self.library.clear(self.context)

    # ---- cases

    def prepare(self, request):
        case = request["case"]
        prompts = request["prompts"]
        length = max(map(len, prompts)) + case["decode"]
        self.load(request["model"], request["flags"]["repack"])
        self.open_context(request["flags"], len(prompts), length)
        self.prompts, self.tail = prompts, request["tail"]
        with_depth = case["kind"] == "decode"
        self.clear()
        if with_depth and prompts[0]:
            self.steps(self.prompt(prompts[0]))
            self.state = self.library.state(self.context)
            if self.state is None:
                raise Refused(f"{self.library.NAME} cannot keep the state of a sequence")
        self.case = case
        reset_peak()
        self.run()  # touches the cache and the buffers for the first time
        return {"vocabulary": self.vocabulary}

    def run(self):
        if self.case is None:
            raise Refused("nothing is prepared")
        return {"prefill": self.run_prefill, "decode": self.run_decode, "together": self.run_together}[
            self.case["kind"]]()

    def run_prefill(self):
        prompt = self.prompts[0]
        self.clear()
        self.steps(self.prompt(prompt[:WARM_UP_PROMPT]))
        self.clear()
        return {"seconds": self.steps(self.prompt(prompt))}

    def restore(self):
        self.clear()
        if self.state is not None and not self.library.set_state(self.context, self.state):
            raise Refused(f"{self.library.NAME} cannot restore the state of a sequence")

    def run_decode(self):
        depth = len(self.prompts[0])
        self.restore()
        for i, token in enumerate(self.tail[:WARM_UP_STEPS]):
            self.step([(token, depth + i, 0, True)])
        self.restore()
        return {"seconds": sum(self.step([(token, depth + i, 0, True)]) for i, token in enumerate(self.tail))}

    def run_together(self):
        self.clear()
        self.steps(self.prompt(self.prompts[0][:WARM_UP_PROMPT]))
        self.clear()
        rows = [row for i, prompt in enumerate(self.prompts) for row in self.prompt(prompt, i)]
        self.steps(rows)
        length = len(self.prompts[0])
        return {"seconds": sum(self.step([(token, length + i, s, True) for s in range(len(self.prompts))])
                               for i, token in enumerate(self.tail))}

    # ---- output

    def logits(self, index):
        pointer = self.api.llama_get_logits_ith(self.context, index)
        if not pointer:
            raise Refused(f"{self.library.NAME} has no logits of a token")
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self.vocabulary,))

    def compare(self, request):
        """Logits of the last `rows` tokens to a file, then `steps` tokens one by one, each the most likely one."""
        tokens, rows, steps = request["tokens"], request["rows"], request["steps"]
        self.load(request["model"], request["flags"]["repack"])
        self.open_context(request["flags"], 1, len(tokens) + steps)
        if len(tokens) > self.capacity:
            raise Refused(f"{len(tokens)} tokens do not fit a batch of {self.capacity}")
        first = len(tokens) - rows
        self.step([(token, i, 0, i >= first) for i, token in enumerate(tokens)])
        with open(request["logits"], "wb") as out:
            for i in range(first, len(tokens)):
                out.write(self.logits(i).tobytes())
        found, margins, index = [], [], len(tokens) - 1
        for i in range(steps):
            row = self.logits(index)
            token = int(row.argmax())
            best, second = np.partition(row, -2)[[-1, -2]]
            found.append(token)
            margins.append(float(best - second))
            self.step([(token, len(tokens) + i, 0, True)])
            index = 0
        self.drop_context()
        return {"tokens": found, "margins": margins, "vocabulary": self.vocabulary}

    def hello(self):
        library = self.library
        return {"protocol": PROTOCOL, "name": library.NAME, "package": f"{library.PACKAGE} {library.package}",
                "build": library.build.strip(), "features": library.features}


def peak_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")
    except OSError:
        pass  # then the peak is that of the whole run, which is no less


def answer(session, request):
    return {"hello": session.hello, "run": session.run, "prepare": lambda: session.prepare(request),
            "compare": lambda: session.compare(request)}[request["do"]]()


def main():
    # What the library prints must not end up between the answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    engine = {kind.NAME: kind for kind in (LlamaCpp, IkLlamaCpp)}[sys.argv[1]]
    try:
        session = Session(engine())
    except Exception as problem:  # pylint: disable=broad-except
        channel.write(json.dumps({"id": 0, "error": f"cannot use {engine.PACKAGE}: {problem}"}) + "\n")
        channel.flush()
        return 1
    asleep_since = time.process_time()
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.process_time()
        try:
            reply = answer(session, request)
            reply["peak_bytes"] = peak_bytes()
        except Refused as problem:
            reply = {"error": str(problem)}
        except Exception as problem:  # pylint: disable=broad-except
            reply = {"error": f"{type(problem).__name__}: {problem}"}
        end = time.process_time()
        reply.update(id=request["id"], cpu_seconds=end - begin, idle_cpu_seconds=begin - asleep_since)
        channel.write(json.dumps(reply) + "\n")
        channel.flush()
        asleep_since = time.process_time()
    return 0


if __name__ == "__main__":
    sys.exit(main())
