# SPDX-License-Identifier: Apache-2.0
"""What is sent to OpenTelemetry's collectors, read by OpenTelemetry's own package. The bytes are those of
src/monitor/otlp_writer_test.cc, which fails where the writer writes others."""
import pytest
from conftest import ROOT
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

SECOND = 10**9
STARTED = 1795392000 * SECOND + SECOND // 4


def read(name, message):
    message.ParseFromString(bytes.fromhex((ROOT / "tests/data/otlp" / name).read_text()))
    assert_all_known(message)
    return message


def assert_all_known(message):
    """Fields that the package does not know would be kept, and come out again behind the others."""
    size = message.ByteSize()
    message.DiscardUnknownFields()
    assert message.ByteSize() == size


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind)


def attributes_of(message):
    names = [each.key for each in message.attributes]
    assert len(names) == len(set(names)), "an attribute is there once"
    return {each.key: value_of(each.value) for each in message.attributes}


@pytest.fixture(scope="module")
def spans():
    (of_resource,) = read("traces.hex", ExportTraceServiceRequest()).resource_spans
    assert attributes_of(of_resource.resource) == {"service.name": "paring", "service.version": "0.1.0"}
    (of_scope,) = of_resource.scope_spans
    assert (of_scope.scope.name, of_scope.scope.version) == ("paring", "0.1.0")
    return list(of_scope.spans)


def test_a_row_is_a_span_with_its_parts_as_children(spans):
    server, queue, prefill, decode, _ = spans
    assert server.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert server.span_id.hex() == "b7ad6b7169203331"
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert (server.name, server.kind) == ("chat small", Span.SPAN_KIND_SERVER)
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (STARTED, STARTED + 2 * SECOND)
    assert server.status.code == Status.STATUS_CODE_UNSET
    starts = [STARTED, STARTED + SECOND // 2, STARTED + SECOND * 3 // 4, STARTED + SECOND * 7 // 4]
    for name, child, start, end in zip(("queue", "prefill", "decode"), (queue, prefill, decode), starts, starts[1:]):
        assert (child.name, child.kind) == (name, Span.SPAN_KIND_INTERNAL)
        assert (child.trace_id, child.parent_span_id) == (server.trace_id, server.span_id)
        assert (child.start_time_unix_nano, child.end_time_unix_nano) == (start, end)
    assert len({span.span_id for span in spans}) == len(spans)
    assert {len(span.span_id) for span in spans} == {8}


def test_attributes_are_those_of_the_row(spans):
    assert attributes_of(spans[0]) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "paring", "gen_ai.request.model": "small",
        "gen_ai.response.id": "req_1", "gen_ai.conversation.id": "talk", "user.id": "ann",
        "http.route": "/v1/chat/completions", "http.response.status_code": 200,
        "gen_ai.usage.input_tokens": 128, "gen_ai.usage.cache_read.input_tokens": 28,
        "gen_ai.usage.output_tokens": 50, "gen_ai.usage.reasoning.output_tokens": 10,
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.response.time_to_first_chunk": 0.75,
        "gen_ai.latency.time_in_queue": 0.5, "gen_ai.latency.time_in_model_prefill": 0.25,
        "gen_ai.latency.time_in_model_decode": 1.0, "server.address": "llm.example", "server.port": 8080,
        "paring.key.id": "key_7", "paring.tenant": "team", "paring.variant": "small-q4",
        "paring.usage.drafted_tokens": 12, "paring.usage.accepted_tokens": 9, "paring.kv.peak_pages": 6,
        "paring.preemptions": 1, "paring.operations": 3e9, "paring.bytes_read": 5e8, "paring.energy.joules": 12.5,
        "paring.energy.kind": "measured", "paring.cost.hardware": 0.5, "paring.cost.energy": 0.25,
        "paring.cost.tokens": 0.125, "paring.cost.currency": "EUR", "paring.cache.verdict": "none",
        "paring.is_complete": True}


def test_a_row_without_ids_that_failed(spans):
    failed = spans[-1]
    assert (len(failed.trace_id), len(failed.span_id), failed.parent_span_id) == (16, 8, b"")
    assert any(failed.trace_id) and failed.trace_id != spans[0].trace_id
    assert failed.name == "embeddings small"
    assert (failed.status.code, failed.status.message) == (Status.STATUS_CODE_ERROR, "overloaded")
    assert attributes_of(failed)["error.type"] == "overloaded"


def test_histograms():
    (of_resource,) = read("metrics.hex", ExportMetricsServiceRequest()).resource_metrics
    assert attributes_of(of_resource.resource)["service.name"] == "paring"
    metrics = {metric.name: metric for metric in of_resource.scope_metrics[0].metrics}
    points = {}
    for name, metric in metrics.items():
        assert metric.histogram.aggregation_temporality == 2, "cumulative"
        for point in metric.histogram.data_points:
            assert point.start_time_unix_nano == 1795391000 * SECOND
            assert point.time_unix_nano == 1795392010 * SECOND + SECOND // 2
            assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
            assert sum(point.bucket_counts) == point.count
            of_point = attributes_of(point)
            assert of_point["gen_ai.provider.name"] == "paring"
            assert of_point["gen_ai.request.model"] == "small"
            what = of_point.get("gen_ai.token.type", of_point.get("error.type", ""))
            points[name, of_point["gen_ai.operation.name"], what] = point
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "gen_ai.server.request.duration": "s", "gen_ai.server.time_to_first_token": "s",
        "gen_ai.server.time_per_output_token": "s", "gen_ai.client.token.usage": "{token}"}
    assert {key: (point.count, pytest.approx(point.sum)) for key, point in points.items()} == {
        ("gen_ai.server.request.duration", "chat", ""): (2, 2.01),
        ("gen_ai.server.request.duration", "embeddings", "overloaded"): (1, 0.04),
        ("gen_ai.server.time_to_first_token", "chat", ""): (2, 1.5),
        ("gen_ai.server.time_per_output_token", "chat", ""): (2, 2 / 49),
        ("gen_ai.client.token.usage", "chat", "input"): (2, 256),
        ("gen_ai.client.token.usage", "chat", "output"): (2, 100)}
    duration = points["gen_ai.server.request.duration", "chat", ""]
    assert list(duration.explicit_bounds) == [0.01 * 2**i for i in range(14)]
    # A value at a bound is of the bucket that ends there.
    assert {i: count for i, count in enumerate(duration.bucket_counts) if count} == {0: 1, 8: 1}


def attribute(name, value):
    if isinstance(value, list):
        return KeyValue(key=name, value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=value[0])])))
    kind = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
    return KeyValue(key=name, value=AnyValue(**{kind: value}))


def test_the_spans_of_others_that_the_reader_reads_are_such():
    """src/monitor/otlp_reader_test.cc reads this file."""
    call = Span(trace_id=bytes(range(16)), span_id=bytes(range(1, 9)), parent_span_id=bytes(range(2, 10)),
                trace_state="a=b", name="chat gpt", kind=Span.SPAN_KIND_CLIENT, flags=1,
                start_time_unix_nano=STARTED, end_time_unix_nano=STARTED + 3 * SECOND // 2,
                status=Status(code=Status.STATUS_CODE_OK), events=[Span.Event(name="seen", time_unix_nano=STARTED)])
    call.attributes.extend(attribute(*each) for each in {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt",
        "gen_ai.response.id": "resp_9", "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 70,
        "gen_ai.usage.cache_read.input_tokens": 256, "gen_ai.usage.reasoning.output_tokens": 20,
        "gen_ai.response.finish_reasons": ["length"], "gen_ai.request.temperature": 0.5,
        "gen_ai.response.time_to_first_chunk": 0.25, "paring.tenant": "somebody else"}.items())
    other = Span(trace_id=bytes(range(16)), span_id=bytes(range(3, 11)), name="GET /", start_time_unix_nano=STARTED)
    message = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[call, other])])])
    there = bytes.fromhex((ROOT / "tests/data/otlp/foreign.hex").read_text())
    assert message.SerializeToString(deterministic=True) == there
