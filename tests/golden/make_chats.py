"""Texts that transformers makes of messages by chat templates.

    pip install transformers==4.57.6 jinja2 && python tests/golden/make_chats.py

The templates are written for this: each uses what templates of published checkpoints use.
"""

import json
import pathlib

import transformers
from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}

TEMPLATES = {
    # Turns between marks; a system message is made where there is none.
    "marks": """{%- if messages[0]['role'] == 'system' -%}
{%- set system = messages[0]['content'] -%}
{%- set rest = messages[1:] -%}
{%- else -%}
{%- set system = 'You help.' -%}
{%- set rest = messages -%}
{%- endif -%}
{{- '<|im_start|>system\\n' + system + '<|im_end|>\\n' -}}
{%- for message in rest %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}""",
    # Roles must take turns; the system's message goes into the first of the user.
    "turns": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'].strip() + '\\n\\n' %}{% else %}{% set loop_messages = messages %}{% set system_message = '' %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 %}{% set content = system_message + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content | trim + ' ' + eos_token }}{% endif %}{% endfor %}""",
    # Lines and blocks without dashes: the line of a block goes with it.
    "lines": """{% for message in messages %}
{% if message['role'] == 'user' %}
<|user|>
{{ message['content'] }}{{ eos_token }}
{% elif message['role'] == 'system' %}
<|system|>
{{ message['content'] }}{{ eos_token }}
{% else %}
<|assistant|>
{{ message['content'] }}{{ eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
<|assistant|>
{% endif %}
{% endfor %}
""",
    # Contents of parts, JSON, a namespace, tests, methods of texts.
    "parts": """{%- set ns = namespace(count=0, last='') -%}
{%- for message in messages if message.role != 'system' -%}
{%- set ns.count = ns.count + 1 -%}
{%- if message.content is string -%}
{%- set text = message.content -%}
{%- elif message.content is iterable -%}
{%- set text = message.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join(' ') -%}
{%- else -%}
{{- raise_exception('Content is ' ~ message.content) -}}
{%- endif -%}
{%- if '</think>' in text %}{% set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif -%}
{%- set ns.last = message.role -%}
{{- ns.count ~ '. ' ~ message.role.upper() ~ ': ' ~ text.rstrip() ~ '\\n' -}}
{%- if message.tool_calls is defined and message.tool_calls -%}
{{- message.tool_calls | tojson -}}{{- '\\n' -}}{{- message.tool_calls[0] | tojson(indent=2) -}}{{- '\\n' -}}
{%- endif -%}
{%- endfor -%}
{{- 'tools' if tools else 'no tools' -}}{{- '|' ~ ns.last.title() ~ '|' ~ ('none' if documents is none else 'some') ~ '|' -}}
{{- 'there' if missing is defined else 'missing' -}}{%- if messages | length > 2 %}{{ '|' ~ messages[-1].content[:3] ~ '|' ~ messages[::-1][0].role }}{% endif -%}""",
}

MESSAGES = [
    [{"role": "user", "content": "Hello & <welcome>, \"you\"!"}],
    [{"role": "system", "content": "  Be brief. "}, {"role": "user", "content": " What is 2 + 2?\n"}],
    [
        {"role": "user", "content": "Ünï — 日本語 🙂"},
        {"role": "assistant", "content": " Yes.\n\n"},
        {"role": "user", "content": "Why?"},
    ],
    [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": "<think>no</think>\n\nc"},
        {"role": "user", "content": ""},
    ],
    [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
    [{"role": "user", "content": 7}],
    [
        {"role": "user", "content": [{"type": "text", "text": "in"}, {"type": "image"}, {"type": "text", "text": "parts"}]},
    ],
    [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "w", "arguments": {"city": "Zürich", "days": [1, 2.5, None, True]}}}],
        },
    ],
]


def main():
    cases = []
    for name, template in TEMPLATES.items():
        for messages in MESSAGES:
            case = {"template": name, "messages": messages}
            try:
                texts, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True, **SPECIAL)
                case["text"] = texts[0]
            except Exception as error:
                # Only what a template itself refuses has to be refused with its words.
                if "roles must" not in str(error) and "Content is" not in str(error):
                    continue
                case["error"] = str(error)
            cases.append(case)
    golden = {"reference": f"transformers {transformers.__version__}", "special": SPECIAL, "templates": TEMPLATES, "cases": cases}
    path = pathlib.Path(__file__).parent / "chats.json"
    path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    print(len(cases), "cases", sum("error" in case for case in cases), "refused")


if __name__ == "__main__":
    main()
