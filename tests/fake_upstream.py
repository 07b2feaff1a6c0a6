# SPDX-License-Identifier: Apache-2.0
"""Stands in for another engine behind `paring monitor`: answers by the model that a request names, and keeps what it
was sent. Models: "whole", "stream", "uncounted" (a stream that says no tokens), "error", "hang", "cut", "cut-stream",
"huge", "slow" (a stream that goes on until it is let go)."""
import http.server
import json
import socket
import threading

CHUNKS = 7
HUGE = 8 << 20


def chunk(text=None, end=None, usage=None):
    choices = [] if usage else [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": end}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": choices,
            "usage": usage}


USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16,
         "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}

# As vLLM has them: one family of our own names, one histogram, and one that we have with another type.
METRICS = """# HELP vllm:generation_tokens_total Tokens.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="theirs"} TOKENS
# TYPE vllm:request_prompt_tokens histogram
vllm:request_prompt_tokens_bucket{le="10.0"} 1
vllm:request_prompt_tokens_bucket{le="+Inf"} 2
vllm:request_prompt_tokens_sum 30
vllm:request_prompt_tokens_count 2
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 3
# TYPE vllm:num_requests_running counter
vllm:num_requests_running 9
what is this
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.note(b"")
        if self.path == "/metrics":
            return self.metrics()
        self.answer(200, {"object": "list", "data": [{"id": "whole", "object": "model"}]})

        return None

    do_HEAD = do_GET

    def metrics(self):
        self.server.scrapes += 1
        data = METRICS.replace("TOKENS", str(100 * self.server.scrapes)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def note(self, body):
        with self.server.lock:
            self.server.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body,
                                         self.client_address[1]))

    def answer(self, status, value, **headers):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Request-Id", "of-upstream")
        self.send_header("X-Ratelimit-Remaining", "3")
        self.send_header("Connection", "keep-alive, X-Hop")
        self.send_header("X-Hop", "not yours")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.note(body)
        asked = json.loads(body)
        kind = asked["model"]
        if self.path.endswith("/embeddings"):
            self.answer(200, {"object": "list", "model": kind, "data": [{"embedding": [0.5, 1], "index": 0}],
                              "usage": {"prompt_tokens": 6, "total_tokens": 6}})
        elif self.path.endswith("/messages"):
            self.messages(asked)
        elif kind == "error":
            self.answer(429, {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}})
        elif kind == "hang":
            self.server.released.wait(60)
            self.close_connection = True
        elif kind == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"mod")
            self.cut()
        elif kind == "huge":
            self.answer(200, {"model": kind, "text": "x" * HUGE, "usage": USAGE})
        elif asked.get("stream"):
            try:
                self.stream(kind)
            except OSError:
                self.server.left.set()
                self.close_connection = True
        else:
            self.answer(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "served", "usage": USAGE,
                              "choices": [{"index": 0, "finish_reason": "stop",
                                           "message": {"role": "assistant", "content": "hello"}}]})

    def messages(self, asked):
        usage = {"input_tokens": 3, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5, "output_tokens": 9}
        if asked.get("stream"):
            return self.message_events(asked, usage)
        self.answer(200, {"id": "m", "type": "message", "role": "assistant", "model": asked["model"], "usage": usage,
                          "content": [{"type": "text", "text": "hi"}], "stop_reason": "max_tokens"})

    def message_events(self, asked, usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        events = [{"type": "message_start", "message": {
            "id": "m", "type": "message", "role": "assistant", "model": asked["model"], "content": [],
            "usage": {**usage, "output_tokens": 1}}}, block]
        events += [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"word {i} "}}
                   for i in range(CHUNKS)]
        events += [{"type": "content_block_stop", "index": 0},
                   {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
                   {"type": "message_stop"}]
        for event in events:
            self.send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def cut(self):
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def send(self, text):
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def stream(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events = [chunk(f"word {i} ") for i in range(CHUNKS)]
        for event in events:
            self.send(f"data: {json.dumps(event)}\n\n")
        if kind == "cut-stream":
            self.send(f"data: {json.dumps(chunk('half'))[:20]}")
            self.cut()
            return
        if kind == "slow":
            while not self.server.released.wait(0.01):
                self.send(f"data: {json.dumps(chunk('more'))}\n\n")
        self.send(f"data: {json.dumps(chunk(end='length'))}\n\n")
        if kind != "uncounted":
            self.send(f"data: {json.dumps(chunk(usage=USAGE))}\n\n")
        self.send("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")


class FakeUpstream(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        self.lock, self.requests = threading.Lock(), []
        self.scrapes = 0
        self.released, self.left = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):  # of clients that leave
        pass

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()
