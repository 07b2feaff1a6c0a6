# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry in and out: what `paring serve` sends to a collector, and what OpenTelemetry's own SDK sends to it."""
import gzip
import http.server
import json
import pathlib
import threading
import time
import urllib.error
import urllib.request

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (ExportTraceServiceRequest,
                                                                      ExportTraceServiceResponse)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

import tiny_model
from fake_upstream import FakeUpstream
from raw_client import CHATML
from server_process import ServerProcess
from test_access import keyed
from test_otlp import attributes_of
from test_serve import post

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 6}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("otlp") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


class Collector:
    """Takes what is posted; `answers` are the statuses of the next posts, then 200."""

    def __init__(self, answers=(), delay=0.0):
        self.answers, self.delay = list(answers), delay
        self.spans, self.metrics, self.headers, self.posts = [], [], [], 0
        self.changed = threading.Condition()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                time.sleep(collector.delay)
                with collector.changed:
                    collector.posts += 1
                    status = collector.answers.pop(0) if collector.answers else 200
                    collector.headers.append(dict(self.headers))
                    if status == 200 and self.path == "/v1/traces":
                        message = ExportTraceServiceRequest.FromString(body)
                        collector.spans += [span for of_resource in message.resource_spans
                                            for scope in of_resource.scope_spans for span in scope.spans]
                    if status == 200 and self.path == "/v1/metrics":
                        collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                    collector.changed.notify_all()
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def wait(self, condition, seconds=30):
        with self.changed:
            assert self.changed.wait_for(condition, seconds), (self.posts, len(self.spans))


def test_each_request_is_a_span_of_the_callers_trace(paring, small):
    with Collector() as collector, ServerProcess(
            paring.path, f"small={small}", "--otlp-endpoint", collector.url, "--traffic", "off",
            env={"OTEL_EXPORTER_OTLP_HEADERS": "x-team=red%20one"}) as server:
        status, answer, headers = post(server, "/v1/chat/completions", CHAT, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
        assert status == 200
        post(server, "/v1/chat/completions", {**CHAT, "model": "none"})
        collector.wait(lambda: sum(span.kind == 2 for span in collector.spans) == 2 and collector.metrics)
        first = next(span for span in collector.spans if span.kind == 2 and span.name == "chat small")
        assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, SPAN)
        told = attributes_of(first)
        assert told["gen_ai.usage.input_tokens"] == answer["usage"]["prompt_tokens"]
        assert told["gen_ai.usage.output_tokens"] == answer["usage"]["completion_tokens"]
        assert headers["x-request-id"] in map(str, told.values())
        assert not any("Hello" in str(value) for value in told.values()), "no text leaves"
        children = {span.name for span in collector.spans if span.parent_span_id == first.span_id}
        assert {"prefill", "decode"} <= children
        failed = next(span for span in collector.spans if span.kind == 2 and span is not first)
        assert failed.status.code == 2 and attributes_of(failed)["error.type"] == "model_not_found"
        assert collector.headers[0]["x-team"] == "red one"
        assert server.metric("paring:otlp_spans_total") == 2
        assert server.metric("paring:otlp_spans_dropped_total") == 0
        names = {metric.name for of_resource in collector.metrics[-1].resource_metrics
                 for scope in of_resource.scope_metrics for metric in scope.metrics}
        assert {"gen_ai.client.token.usage", "gen_ai.server.request.duration"} <= names
        assert not list(pathlib.Path(server.folder).glob("traffic/*/*.db")), "it was told to keep nothing"


def test_each_kind_goes_where_its_variable_says(paring, small):
    with Collector() as spans, Collector() as metrics, ServerProcess(paring.path, f"small={small}", env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": metrics.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-team=all",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": spans.url + "/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-team=spans", "OTEL_SERVICE_NAME": "front",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=listed,deployment.environment.name=test"}) as server:
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200
        spans.wait(lambda: spans.spans)
        metrics.wait(lambda: metrics.metrics)
        assert not spans.metrics and not metrics.spans
        assert (spans.headers[0]["x-team"], metrics.headers[0]["x-team"]) == ("spans", "all")
        told = attributes_of(metrics.metrics[0].resource_metrics[0].resource)
        assert (told["service.name"], told["deployment.environment.name"]) == ("front", "test")


def test_a_collector_that_is_away_or_slow_holds_nobody_up(paring, small):
    with Collector(answers=[503] * 3, delay=0.5) as collector, ServerProcess(
            paring.path, f"small={small}", "--otlp-endpoint", collector.url) as server:
        start = time.monotonic()
        for number in range(30):
            assert post(server, "/v1/chat/completions", {**CHAT, "seed": number})[0] == 200
        assert time.monotonic() - start < 10
        # It was asked again, and got every span once.
        collector.wait(lambda: sum(span.kind == 2 for span in collector.spans) >= 30, 60)
        identifiers = [span.span_id for span in collector.spans]
        assert len(identifiers) == len(set(identifiers))
        assert server.metric("paring:otlp_posts_failed_total") >= 1
    with ServerProcess(paring.path, f"small={small}", "--otlp-endpoint", "http://127.0.0.1:9") as server:
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200
        start = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - start < 10, "nor does it hold up the end"


def test_what_a_proxy_forwards_is_a_span_without_its_texts(paring, tmp_path):
    with Collector() as collector, FakeUpstream() as upstream, ServerProcess(
            paring.path, "--upstream", upstream.url, "--data-dir", tmp_path, "--content", "full",
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, command="monitor") as server:
        body = {"model": "whole", "messages": [{"role": "user", "content": "Hello"}]}
        assert post(server, "/v1/chat/completions", body, {"traceparent": f"00-{TRACE}-{SPAN}-01"})[0] == 200
        collector.wait(lambda: collector.spans and collector.metrics)  # histograms come when spans were counted
        span, = [span for span in collector.spans if span.kind == 2]
        assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("chat whole", TRACE, SPAN)
        told = attributes_of(span)
        assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (11, 5)
        assert not any("hello" in str(value).lower() for value in told.values()), "no text leaves"
        assert server.metric("paring:otlp_spans_total") == 1


@pytest.mark.parametrize("endpoint", ["ftp://collector", "collector:4318/", "http://"])
def test_an_endpoint_that_is_none_is_refused(paring, small, endpoint):
    done = paring("serve", f"small={small}", "--port", 0, "--otlp-endpoint", endpoint)
    assert done.code != 0 and "http" in done.err


@pytest.fixture(scope="module")
def receiver(paring, small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("otlp-data")
    keys = {name: keyed(paring, folder, "--name", name, "--tenant", name, "--scopes", "inference,metrics")[1]
            for name in ("red", "blue")}
    with ServerProcess(paring.path, f"small={small}", "--data-dir", folder) as server:
        server.keys = keys
        yield server


def get(server, path, key="red"):
    request = urllib.request.Request(server.url + path, headers=server.keys[key])
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


def test_spans_of_opentelemetrys_sdk_are_rows(receiver):
    exporter = OTLPSpanExporter(endpoint=receiver.url + "/v1/traces", headers=receiver.keys["red"])
    results = []

    class Noting(SimpleSpanProcessor):
        def on_end(self, span):
            results.append(exporter.export([span]))

    provider = TracerProvider(resource=Resource.create({"service.name": "agent"}))
    provider.add_span_processor(Noting(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("chat far", attributes={
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "elsewhere", "gen_ai.request.model": "far",
            "gen_ai.response.model": "far-1", "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 11,
            "gen_ai.usage.cache_read.input_tokens": 10, "gen_ai.response.finish_reasons": ("stop",)}) as span:
        span_id = format(span.get_span_context().span_id, "016x")
    with tracer.start_as_current_span("SELECT"):
        pass
    assert results == [SpanExportResult.SUCCESS] * 2
    row, = [row for row in get(receiver, "/v1/traffic")["data"] if row["span_id"] == span_id]
    tokens = row["tokens"]
    assert (tokens["prompt_fresh"], tokens["prompt_cached"], tokens["answer_visible"]) == (20, 10, 11)
    assert row["model"].startswith("far") and row["tenant"] == "red"
    assert receiver_metric(receiver, "paring:otlp_received_spans_total") >= 1
    assert receiver_metric(receiver, "paring:otlp_received_rejected_total") >= 1
    assert get(receiver, "/v1/traffic", "blue")["data"] == []


def receiver_metric(server, name):
    request = urllib.request.Request(server.url + "/metrics", headers=server.keys["red"])
    with urllib.request.urlopen(request) as response:
        return sum(float(line.split()[-1]) for line in response.read().decode().splitlines() if line.startswith(name))


def evaluation(**attributes):
    names = {"name": "gen_ai.evaluation.name", "value": "gen_ai.evaluation.score.value", "label":
             "gen_ai.evaluation.score.label", "why": "gen_ai.evaluation.explanation", "response": "gen_ai.response.id"}
    return {names[name]: value for name, value in attributes.items()}


def test_evaluation_events_are_feedback(receiver):
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    provider = LoggerProvider(resource=Resource.create({"service.name": "judge"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(
        OTLPLogExporter(endpoint=receiver.url + "/v1/logs", headers=receiver.keys["red"])))
    logger = provider.get_logger("test")
    for attributes in (evaluation(name="Relevance", value=0.25, label="poor", why="off topic", response="chatcmpl-77"),
                       evaluation(name="Tone", label="polite", response="chatcmpl-77"),
                       evaluation(name="Relevance", value=0.75, response="chatcmpl-77")):
        logger.emit(LogRecord(timestamp=time.time_ns(), event_name="gen_ai.evaluation.result", attributes=attributes))
    scores = {score["name"]: score for score in get(receiver, "/v1/feedback?response_id=77")["data"]}
    assert len(scores) == 2
    assert scores["Relevance"]["value"] == 0.75, "the second opinion of the same judge takes the first one's place"
    assert scores["Relevance"]["source"] == "judge" and scores["Relevance"]["author"] == "judge"
    assert scores["Tone"]["value"] == "polite" and scores["Tone"]["type"] == "categorical"


def raw(server, path, body, content_type, key="red", headers=None):
    request = urllib.request.Request(server.url + path, body, {
        **(server.keys[key] if key else {}), "content-type": content_type, **(headers or {})})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


GZIP = {"content-encoding": "gzip"}
SPANS_JSON = {"resourceSpans": [{"scopeSpans": [{"spans": [
    {"traceId": TRACE, "spanId": "00000000000000aa", "name": "chat", "startTimeUnixNano": str(time.time_ns()),
     "endTimeUnixNano": str(time.time_ns() + 10**9), "attributes": [
         {"key": "gen_ai.request.model", "value": {"stringValue": "json-model"}},
         {"key": "user.id", "value": {"stringValue": "\ud800broken"}}]},
    {"traceId": TRACE, "spanId": "00000000000000ab", "name": "other"}]}]}]}


def test_json_is_read_and_what_is_left_out_is_told(receiver):
    status, body, headers = raw(receiver, "/v1/traces", json.dumps(SPANS_JSON).replace("\\ud800", "").encode(),
                                "application/json; charset=utf-8")
    assert status == 200 and headers["content-type"].startswith("application/json")
    assert json.loads(body)["partialSuccess"]["rejectedSpans"] == "1"
    assert any(row["model"] == "json-model" for row in get(receiver, "/v1/traffic")["data"])
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.add(name="nothing of a model")
    status, body, headers = raw(receiver, "/v1/traces", message.SerializeToString(), "application/x-protobuf")
    assert status == 200 and headers["content-type"] == "application/x-protobuf"
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    assert partial.rejected_spans == 1 and partial.error_message
    del message.resource_spans[:]
    spans = message.resource_spans.add().scope_spans.add().spans
    for ids in ({}, {}, {"trace_id": bytes(range(16)), "span_id": bytes(range(1, 9))}):
        span = spans.add(name="chat", start_time_unix_nano=time.time_ns(), **ids)
        span.attributes.add(key="gen_ai.request.model").value.string_value = "nameless"
    status, body, _ = raw(receiver, "/v1/traces", message.SerializeToString(), "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans == 2, "they would be one row"
    assert [row["span_id"] for row in get(receiver, "/v1/traffic")["data"] if row["model"] == "nameless"] == [
        "0102030405060708"]
    nothing = ExportLogsServiceRequest().SerializeToString()
    status, body, _ = raw(receiver, "/v1/logs", nothing, "application/x-protobuf")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
@pytest.mark.parametrize("body, content_type, status", [
    (b"{", "application/json", 400), (b"[1]", "application/json", 400),
    (b"\xff\xff\xff", "application/x-protobuf", 400), (b"x", "text/plain", 415), (b"x", "", 415)])
def test_what_is_no_otlp_is_refused(receiver, path, body, content_type, status):
    got, text, _ = raw(receiver, path, body, content_type)
    assert got == status, text
    assert json.loads(text)["error"]["message"]


def test_gzip_is_taken_up_to_a_bound(receiver):
    body = json.dumps(SPANS_JSON).replace("\\ud800", "").replace("json-model", "packed-model")
    body = body.replace("00000000000000aa", "00000000000000ac").encode()  # a span is stored once
    assert raw(receiver, "/v1/traces", gzip.compress(body), "application/json", headers=GZIP)[0] == 200
    assert any(row["model"] == "packed-model" for row in get(receiver, "/v1/traffic")["data"])
    assert raw(receiver, "/v1/logs", gzip.compress(b""), "application/x-protobuf", headers=GZIP)[0] == 200
    bomb = gzip.compress(bytes(256 << 20))
    assert len(bomb) < 1 << 20
    before = receiver.memory()
    for path in ("/v1/traces", "/v1/logs"):
        status, text, _ = raw(receiver, path, bomb, "application/x-protobuf", headers=GZIP)
        assert status == 413 and str(16 << 20) in json.loads(text)["error"]["message"]
        assert raw(receiver, path, body, "application/json", headers=GZIP)[0] == 400, "it is not what it says"
        assert raw(receiver, path, gzip.compress(body)[:-9], "application/json", headers=GZIP)[0] == 400
        assert raw(receiver, path, body, "application/json", headers={"content-encoding": "zstd"})[0] == 415
    assert receiver.memory() - before < 128 << 20, "less than what a bomb holds"
    # A route that does not unpack does not take it either.
    assert raw(receiver, "/v1/feedback", gzip.compress(b"{}"), "application/json", headers=GZIP)[0] == 415


def test_without_a_key_nothing_comes_in(receiver):
    assert raw(receiver, "/v1/traces", b"{}", "application/json", key=None)[0] == 401
