"""Renders the standard conversations with Jinja2 itself, the way Hugging Face's transformers sets it up.

    python render.py TEMPLATE_FOLDER      # rewrites expectations.json beside this file; needs jinja2
    npm run format

expectations.json keeps, for each family, the template's hash and what it must render to. "dialect" says which
shape of tool calls the template needs, "differences" where our template engine is known to differ and why; both
are kept as they are.
"""

import datetime
import hashlib
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = pathlib.Path(__file__).parent
FILE = HERE / "expectations.json"
NOW = datetime.datetime(2026, 1, 5, 9, 7, 3)
DEFAULT_DIALECT = {"argumentsAsObject": True, "nullContent": False, "noTools": None}


class GenerationTag(jinja2.ext.Extension):
    """{% generation %} only marks the assistant's text; it prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(reason):
    raise jinja2.exceptions.TemplateError(reason)


def new_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", GenerationTag]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    return environment


def to_template_message(message, dialect):
    message = dict(message)
    if "tool_calls" in message:
        if message["content"] is None and not dialect["nullContent"]:
            message["content"] = ""
        if dialect["argumentsAsObject"]:
            message["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
                for call in message["tool_calls"]
            ]
    return message


def render(source, conversation, dialect):
    try:
        return new_environment().from_string(source).render(
            messages=[to_template_message(message, dialect) for message in conversation["messages"]],
            tools=conversation.get("tools", dialect["noTools"]),
            documents=None,
            add_generation_prompt=conversation["addGenerationPrompt"],
            bos_token="<s>",
            eos_token="</s>",
        )
    except Exception:
        return None


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def main(folder):
    expectations = json.loads(FILE.read_text())
    conversations = expectations["conversations"]
    for path in sorted(pathlib.Path(folder).glob("*.jinja")):
        source = path.read_text(newline="") if sys.version_info >= (3, 13) else path.open(newline="").read()
        family = expectations["families"].setdefault(path.stem, {})
        dialect = {**DEFAULT_DIALECT, **family.get("dialect", {})}
        texts = {name: render(source, conversation, dialect) for name, conversation in conversations.items()}
        family["templateSha256"] = sha256(source)
        family["plain"] = texts["plain"]
        family["toolsSha256"] = None if texts["tools"] is None else sha256(texts["tools"])
    FILE.write_text(json.dumps(expectations, indent=2, ensure_ascii=False) + "\n")


main(sys.argv[1])
