# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's own collector (tests/collector, built by ./test where Go is) reads what Paring sends, and sends it
what an application told the collector."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

import tiny_model
from conftest import ROOT
from raw_client import CHATML
from server_process import ServerProcess
from test_access import keyed
from test_serve import post

PROGRAM = pathlib.Path(os.environ.get("PARING_TEST_COLLECTOR", ROOT / "build/otel-collector/collector"))
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 6}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ANSWERS = 5
READY_SECONDS = 60

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="there is no collector: ./test builds it from tests/collector where Go is")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("collector") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


class Collector:
    """Runs until the end of the block, then has written all it took."""

    def __init__(self, folder, exporters, kinds=("traces", "metrics")):
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        config = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": address}}}},
            "exporters": exporters,
            "service": {
                "telemetry": {"metrics": {"level": "none"}},  # else it takes a port of its own
                "pipelines": {kind: {"receivers": ["otlp"], "exporters": list(exporters)}
                              for kind in kinds}}}
        path = folder / "collector.json"
        path.write_text(json.dumps(config))
        self.log = []
        self.process = subprocess.Popen([PROGRAM, "--config", path], stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._ready.wait(READY_SECONDS) or self.process.poll() is not None:
            self.process.kill()
            raise RuntimeError("the collector did not start: " + "".join(self.log))

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            if "Everything is ready" in line:
                self._ready.set()
        self._ready.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(30) == 0, "".join(self.log)
        finally:
            self.process.kill()
            self._reader.join(5)


def parts_of(path, of_resource, of_scope, name):
    """What lies in the lines of the collector's file, each with the resource that it is of."""
    found = []
    for line in path.read_text().splitlines():
        for resource in json.loads(line).get(of_resource, []):
            for scope in resource.get(of_scope, []):
                found += [(resource["resource"], each) for each in scope[name]]
    return found


def attributes_of(item):
    values = {}
    for each in item["attributes"]:
        (kind, value), = each["value"].items()
        values[each["key"]] = int(value) if kind == "intValue" else value
    return values


def test_a_real_collector_reads_spans_and_histograms(paring, small, tmp_path):
    told = tmp_path / "told.jsonl"
    with Collector(tmp_path, {"file": {"path": str(told)}}) as collector:
        with ServerProcess(paring.path, f"small={small}", "--otlp-endpoint", collector.url) as server:
            status, answer, _ = post(server, "/v1/chat/completions", CHAT, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
            assert status == 200
            for number in range(1, ANSWERS):
                assert post(server, "/v1/chat/completions", {**CHAT, "seed": number})[0] == 200
            assert server.end() == 0, "what waits is sent before the end"
    spans = parts_of(told, "resourceSpans", "scopeSpans", "spans")
    for resource, _ in spans:
        assert attributes_of(resource)["service.name"] == "paring"
    requests = [span for _, span in spans if span["name"] == "chat small"]
    assert len(requests) == ANSWERS and len({span["spanId"] for _, span in spans}) == len(spans)
    first, = [span for span in requests if span["traceId"] == TRACE]
    assert first["parentSpanId"] == SPAN and first["kind"] == 2
    told_of_first = attributes_of(first)
    assert told_of_first["gen_ai.usage.input_tokens"] == answer["usage"]["prompt_tokens"]
    assert told_of_first["gen_ai.usage.output_tokens"] == answer["usage"]["completion_tokens"]
    children = {span["name"] for _, span in spans if span.get("parentSpanId") == first["spanId"]}
    assert {"prefill", "decode"} <= children
    newest = {}  # cumulative: the last one of a name counts
    for _, metric in parts_of(told, "resourceMetrics", "scopeMetrics", "metrics"):
        newest[metric["name"]] = metric["histogram"]
    durations = newest["gen_ai.server.request.duration"]
    assert durations["aggregationTemporality"] == 2
    assert sum(int(point["count"]) for point in durations["dataPoints"]) == ANSWERS
    assert {"gen_ai.client.token.usage", "gen_ai.server.time_to_first_token"} <= set(newest)


def test_a_real_collector_hands_on_the_spans_of_others(paring, small, tmp_path):
    _, key = keyed(paring, tmp_path / "data", "--name", "red", "--tenant", "red", "--scopes", "inference,metrics")
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path / "data") as server:
        # Without a queue the application hears what Paring answered. Its spans are compressed, as by default.
        paring_exporter = {"endpoint": server.url, "headers": key,
                           "sending_queue": {"enabled": False}, "retry_on_failure": {"enabled": False}}
        with Collector(tmp_path, {"otlp_http": paring_exporter}, kinds=["traces"]) as collector:
            exporter = OTLPSpanExporter(endpoint=collector.url + "/v1/traces")
            results = []

            class Noting(SimpleSpanProcessor):
                def on_end(self, span):
                    results.append(exporter.export([span]))

            provider = TracerProvider(resource=Resource.create({"service.name": "agent"}))
            provider.add_span_processor(Noting(exporter))
            tracer = provider.get_tracer("test")
            for number in range(ANSWERS):
                with tracer.start_as_current_span("chat far", attributes={
                        "gen_ai.operation.name": "chat", "gen_ai.request.model": "far",
                        "gen_ai.usage.input_tokens": 30 + number, "gen_ai.usage.output_tokens": 11}):
                    pass
        assert results == [SpanExportResult.SUCCESS] * ANSWERS, "".join(collector.log)
        rows = json.loads(server.get("/v1/traffic", key))["data"]
        assert sorted(row["tokens"]["prompt_fresh"] for row in rows) == [30 + number for number in range(ANSWERS)]
        assert {row["tenant"] for row in rows} == {"red"}
