#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/chat/tools.json: conversations with tools as `transformers` renders them.

The templates are those of the GGUF files given (SmolLM2 and Qwen2.5, both Apache-2.0) and two of our
own that use what Llama 3's and Gemma's use. Needs the packages transformers, jinja2 and gguf.

usage: make_tool_chat_golden.py tests/data/chat/tools.json MODEL.gguf...
"""
import datetime
import json
import os
import sys
import time

import gguf
from transformers.utils import chat_template_utils

NOW = 1_750_000_000

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a place, \"now\" & <later>",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "Stadt, z. B. Köln"},
        "days": {"type": "integer", "minimum": 1, "maximum": 1.5e16, "default": 0.00001},
        "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["place"]}}}
SEARCH = {"type": "function", "function": {
    "name": "search", "description": "", "parameters": {"type": "object", "properties": {
        "q": {"type": "string"}, "deep": {"type": "boolean", "default": False},
        "n": {"type": ["number", "null"], "default": 1.0}}, "additionalProperties": False}}}
USER = {"role": "user", "content": "Hello, <|im_start|> \"world\"!\n"}
REPLY = {"role": "assistant", "content": "Hi 👋 there"}
SYSTEM = {"role": "system", "content": "  You answer briefly. "}
CALL = {"role": "assistant", "content": "", "tool_calls": [{
    "id": "abcdefghi", "type": "function",
    "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": 2}}}]}
CALLS = {"role": "assistant", "content": "Both:", "tool_calls": [
    CALL["tool_calls"][0],
    {"id": "abcdefgh2", "type": "function", "function": {
        "name": "search", "arguments": {"q": "a 'b' \"c\"", "n": 1.5, "deep": True}}}]}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "{\"t\": 21}"}
OTHER = {"role": "tool", "name": "search", "tool_call_id": "abcdefgh2", "content": "ok\n"}
CHATS = {"one": [USER], "system": [SYSTEM, USER], "turns": [USER, REPLY, USER],
         "call": [SYSTEM, USER, CALL, RESULT], "call and answer": [USER, CALL, RESULT, REPLY, USER],
         "calls": [USER, CALLS, RESULT, OTHER]}
TOOLS = {"none": None, "two": [WEATHER, SEARCH]}

HEADERS = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = "" %}
{%- endif %}
{{- "<|header|>system<|/header|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today: " + strftime_now("%d %b %Y") + "\\n\\n" + system + "<|turn|>" }}
{%- if tools is not none and messages | length != 0 %}
    {{- '<|header|>user<|/header|>\\n\\nFunctions:\\n' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- "<|turn|>" }}
{%- endif %}
{%- for message in messages %}
    {%- if 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|header|>assistant<|/header|>\\n\\n' }}
        {{- '{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}<|turn|>" }}
    {%- elif message.role == "tool" %}
        {{- "<|header|>ipython<|/header|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|turn|>" }}
    {%- else %}
        {{- '<|header|>' + message['role'] + '<|/header|>\\n\\n'+ message['content'] | trim + '<|turn|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\\n\\n' }}
{%- endif %}
"""

ALTERNATING = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}\
{{ '<turn>' + role + '\\n' + message['content'] | trim + '</turn>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{'<turn>model\\n'}}{% endif %}
"""


def main() -> int:
    os.environ["TZ"] = "UTC"
    time.tzset()
    templates = {"headers": HEADERS, "alternating": ALTERNATING}
    for path in sys.argv[2:]:
        fields = gguf.GGUFReader(path).fields
        templates[fields["general.name"].contents()] = fields["tokenizer.chat_template"].contents()
    cases = []
    for name, source in templates.items():
        template = chat_template_utils._compile_jinja_template(source)
        template.environment.globals["strftime_now"] = template.globals["strftime_now"] = (
            lambda form: datetime.datetime.fromtimestamp(NOW).strftime(form))
        for chat, messages in CHATS.items():
            for offer, tools in TOOLS.items():
                for prompt in (False, True):
                    case = {"template": name, "chat": chat, "tools": offer,
                            "add_generation_prompt": prompt}
                    try:
                        case["text"] = template.render(
                            messages=messages, tools=tools, documents=None, bos_token="<BOS>",
                            eos_token="<EOS>", add_generation_prompt=prompt)
                    except Exception as error:  # whatever the template raises is the answer
                        case["error"] = str(error)
                    cases.append(case)
    golden = {"now": NOW, "templates": templates, "chats": CHATS, "tools": TOOLS, "cases": cases}
    with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as out:
        json.dump(golden, out, ensure_ascii=False, indent=1)
        out.write("\n")
    print(len(cases), "cases", sum("error" in case for case in cases), "refused", list(templates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
