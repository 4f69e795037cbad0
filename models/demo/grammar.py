"""Templates: "[a|b]" is a free choice (nesting allowed), "{name}" a slot, a leading "?" makes a line optional."""

import re
from random import Random

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SENTENCE_START = re.compile(r"(^|[.!?] |\n)([a-zà-ÿ])")
VOWEL_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")


def choose(rng: Random, template: str) -> str:
    """Resolves every choice, the innermost first."""
    while match := CHOICE.search(template):
        template = template[: match.start()] + rng.choice(match[1].split("|")) + template[match.end() :]
    return template


def tidy(text: str) -> str:
    """Capitals at the start of sentences, "an" before vowels."""
    text = VOWEL_ARTICLE.sub(r"\1n ", text)
    return SENTENCE_START.sub(lambda m: m[1] + m[2].upper(), text)


def expand(rng: Random, template: str, **slots: str) -> str:
    return tidy(choose(rng, template).format(**slots))


def expand_all(rng: Random, templates: list[str], **slots: str) -> list[str]:
    kept = [t.removeprefix("?") for t in templates if not (t.startswith("?") and rng.random() < 0.5)]
    return [expand(rng, t, **slots) for t in kept]


def listing(items: list[str]) -> str:
    """red, green and blue"""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
