# SPDX-License-Identifier: Apache-2.0
"""What test_serve_litellm.py has LiteLLM do, in an environment of its own: prints one JSON object of what it got."""
import json
import os
import sys

SERVER = os.environ["BASE_URL"]
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}},
                   "required": ["on"], "additionalProperties": False}}}
CITY = {"type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "is_capital": {"type": "boolean"}},
        "required": ["name", "is_capital"], "additionalProperties": False}
asked_hosts = set()


def watch(event, details):
    """Nobody but the server is to be asked, not even where somebody is."""
    if event == "socket.getaddrinfo":
        asked_hosts.add(str(details[0]))
    if event == "socket.connect":
        asked_hosts.add(str(details[1][0] if isinstance(details[1], tuple) else details[1]))


sys.addaudithook(watch)
import litellm  # noqa: E402  watched from its first line on


def ask(model="smol", **more):
    return litellm.completion(model=f"openai/{model}", api_base=SERVER, max_retries=0,
                              **{"messages": MESSAGES, "api_key": os.environ["API_KEY"], "temperature": 0,
                                 "max_tokens": 16, **more})


def failure(**more):
    """Class and status of what is raised."""
    try:
        ask(**more)
    except Exception as error:  # which class it is, is what is asked
        return [type(error).__name__, getattr(error, "status_code", None), str(error)]
    return ["none", 200, ""]


def main():
    found = {"errors": {}}
    plain = ask()
    found["chat"], found["usage"] = plain.choices[0].message.content, plain.usage.model_dump()
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    found["stream"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    found["stream_usage"] = [chunk.usage.model_dump() for chunk in chunks if getattr(chunk, "usage", None)]
    found["rebuilt"] = litellm.stream_chunk_builder(chunks, messages=MESSAGES).choices[0].message.content
    tools = {"tools": [TOOL], "parallel_tool_calls": False, "max_tokens": 100, "temperature": 1, "seed": 3}
    called = ask("tools", **tools, tool_choice={"type": "function", "function": {"name": "weather"}})
    found["calls"] = [[call.id, call.function.name, call.function.arguments]
                      for call in called.choices[0].message.tool_calls]
    found["calls_reason"] = called.choices[0].finish_reason
    parts = list(ask("tools", **tools, tool_choice="required", stream=True))
    built = litellm.stream_chunk_builder(parts, messages=MESSAGES).choices[0].message.tool_calls
    found["streamed_calls"] = [[call.function.name, call.function.arguments] for call in built]
    shaped = ask(max_tokens=80, response_format={
        "type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}})
    found["shaped"] = shaped.choices[0].message.content
    several = ask(n=3, temperature=1.2, seed=11, logprobs=True, top_logprobs=2)
    found["several"] = [choice.message.content for choice in several.choices]
    found["logprobs"] = [[entry.logprob, len(entry.top_logprobs)] for entry in several.choices[0].logprobs.content]
    vectors = litellm.embedding(model="openai/bert", api_base=SERVER, api_key=os.environ["API_KEY"],
                                input=["a text", "another"], encoding_format="float")
    found["vectors"] = [item["embedding"] for item in vectors.data]
    ranked = litellm.rerank(model="hosted_vllm/rank", api_base=SERVER, api_key=os.environ["API_KEY"], query="fox",
                            documents=json.loads(os.environ["DOCUMENTS"]), top_n=2)
    found["ranked"] = [[one["index"], one["relevance_score"]] for one in ranked.results]
    found["errors"]["key"] = failure(api_key="wrong-and-long-enough-to-be-one")
    found["errors"]["model"] = failure(model="other")
    found["errors"]["value"] = failure(seed="x")
    found["errors"]["long"] = failure(messages=[{"role": "user", "content": "word " * 2000}])
    ask(api_key=os.environ["POOR_KEY"], max_tokens=1)  # the one request of its minute
    found["errors"]["rate"] = failure(api_key=os.environ["POOR_KEY"])
    found["hosts"] = sorted(asked_hosts)
    print(json.dumps(found))


main()
