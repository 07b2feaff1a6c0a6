#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/chat/golden.json: chat templates rendered as `transformers` renders them.

That is Jinja2's immutable sandbox with trimmed blocks, loop controls, raise_exception,
strftime_now and a tojson without HTML escapes. The first template is SmolLM2's own, from its GGUF
file; the others are ours and use what the templates of larger models use. Needs the packages
jinja2 and gguf.

usage: make_chat_golden.py MODEL.gguf tests/data/chat/golden.json
"""
import datetime
import json
import os
import sys
import time

import gguf
import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = 1_750_000_000  # 2025-06-15 15:06:40 UTC

TURNS = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- bos_token }}
{%- if tools is not none and tools is defined %}
    {{- "unreachable" }}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- endif %}
{{- "<|header|>system<|/header|>\\n\\nToday: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|turn|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '<|/header|>\\n\\n' + message['content'] | trim + '<|turn|>' }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|header|>tool<|/header|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|turn|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\\n\\n' }}
{%- endif %}
"""

TOOLS = """\
{%- if tools %}
    {{- '<s>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<s>system\\n' + messages[0]['content'] + '<e>\\n' }}
    {%- else %}
        {{- '<s>system\\nDefault words.<e>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or \
(message.role == "assistant" and not message.tool_calls) %}
        {{- '<s>' + message.role + '\\n' + message.content + '<e>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<s>user' }}
        {%- endif %}
        {{- '\\n<r>\\n' }}
        {{- message.content }}
        {{- '\\n</r>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<e>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<s>assistant\\n' }}
{%- endif %}
"""

THINKING = """\
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and \
not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- macro think(text) %}<think>{{ \
text.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}</think>{% endmacro \
%}
{% for message in messages %}
    {%- if message.role == 'assistant' and '</think>' in message.content %}
        {%- if loop.index0 > ns.last %}
[{{ think(message.content) }}]
        {%- endif %}
        {{- message.content.split('</think>')[-1].lstrip('\\n') }}
    {%- elif message.role == 'skip' %}
        {%- continue %}
    {%- elif message.role == 'stop' %}
        {%- break %}
    {%- else %}
{{ loop.index }}/{{ loop.length }} {{ message.role|upper }}: {{ message.content|replace('\\r\\n', '\\n')|trim }}
    {%- endif %}
    {% if not loop.last %}
    --
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
  go {{ ns.last }}
{% endif %}
"""

STRICT = """\
{{ bos_token }}{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}\
{% endif %}\
{% if message['role'] == 'user' %}{{ '[I] ' + message['content'].strip() + ' [/I]' }}\
{% elif message['role'] == 'assistant' %}{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}\
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}
"""

VALUES = """\
{%- set data = {'b': 1, 'a': [true, none, 1.5, "<x> & 'y' é \\\\ \\"z\\""], 'c': {}} %}
{{ data | tojson }}
{{ data | tojson(indent=2) }}
{{ {'k': messages[0].content} | tojson }}
{{ true }} {{ none }} {{ 3 // 2 }} {{ 7 / 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ [1, 'a', none] }}
{{ messages[0].content.upper() }}|{{ messages[0]['content'].title() }}|{{ messages | length }}
{{ messages | map(attribute='role') | join(',') }} {{ (messages | selectattr('role', 'equalto', \
'user') | list) | length }}
{% for key, value in data.items() %}{{ key }}={{ value is sequence }};{% endfor %}

{% if data.get('zz') is none %}none{% endif %} {{ data.missing is defined }} {{ undefined_name }}|
{{ 'a-b-c'.split('-') | last }} {{ '%s:%d' | format('n', 5) }} {{ "x" ~ 1 ~ none }} {{ 'abc'[1:] }} {{ 'abc'[-1] }}
{{ "yes" if messages and not false else "no" }} {{ messages[0].role in ['user', 'system'] }}
{# a comment #}
{%- raw %} {{ raw }} {% endraw %}
{% set x %}block {{ 1 + 1 }}{% endset %}{{ x }}{{ '' | default('d', true) }}
"""

SYSTEM = {"role": "system", "content": "  You answer briefly. "}
HELLO = {"role": "user", "content": "Hello, <|im_start|> \"world\"!\n"}
REPLY = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi 👋 there"}
AGAIN = {"role": "user", "content": "Γειά σου\r\n  second line  "}
CHATS = {
    "one": [HELLO],
    "system": [SYSTEM, HELLO],
    "turns": [HELLO, REPLY, AGAIN],
    "long": [SYSTEM, HELLO, REPLY, AGAIN, REPLY, HELLO],
    "tool": [HELLO, REPLY, {"role": "tool", "content": "{\"t\": 21}"},
             {"role": "tool", "content": "ok"}, REPLY],
    "control": [HELLO, {"role": "skip", "content": "s"}, REPLY, {"role": "stop", "content": "p"},
                AGAIN],
    "empty": [{"role": "user", "content": ""}],
}


class GenerationTag(jinja2.ext.Extension):
    """{% generation %} as a block that only renders what it holds."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(NOW).strftime(form)
    return env


def main() -> int:
    os.environ["TZ"] = "UTC"
    time.tzset()
    smollm2 = gguf.GGUFReader(sys.argv[1]).fields["tokenizer.chat_template"].contents()
    templates = {"smollm2": smollm2, "turns": TURNS, "tools": TOOLS, "thinking": THINKING,
                 "strict": STRICT, "values": VALUES}
    cases = []
    for name, source in templates.items():
        template = environment().from_string(source)
        for chat, messages in CHATS.items():
            for prompt in (False, True):
                case = {"template": name, "chat": chat, "add_generation_prompt": prompt}
                try:
                    case["text"] = template.render(
                        messages=messages, tools=None, documents=None, bos_token="<BOS>",
                        eos_token="<EOS>", add_generation_prompt=prompt)
                except jinja2.exceptions.TemplateError as error:
                    case["error"] = str(error)
                cases.append(case)
    golden = {"jinja2": jinja2.__version__, "now": NOW, "templates": templates, "chats": CHATS,
              "cases": cases}
    with open(sys.argv[2], "w", encoding="utf-8", newline="\n") as out:
        json.dump(golden, out, ensure_ascii=False, indent=1)
        out.write("\n")
    print(len(cases), "cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
