"""Writes the training and the held-out documents of both stages, one JSON object a line, all different.

    python corpus.py --documents 40000

Every document comes from the grammar in this folder; nothing is taken from anywhere else.
"""

import argparse
import json
from collections.abc import Iterator
from random import Random

import chats
import practice
from facts import fact
from paths import BUILD
from stories import long_story, story
from topics import diary, explanation, poem

HELD_OUT_EVERY = 100


def told(rng: Random) -> dict:
    tale = story(rng)
    return {"text": f"{tale.title}\n\n{tale.text}" if rng.random() < 0.3 else tale.text}


def told_at_length(rng: Random) -> dict:
    if rng.random() < 0.2:
        return {"text": diary(rng)}
    tale = long_story(rng, chapters=rng.randint(2, 6))
    return {"text": f"{tale.title}\n\n{tale.text}"}


def reading(rng: Random) -> dict:
    """Plain statements, questions and answers, verse: text without chat markup."""
    shape = rng.random()
    if shape < 0.4:
        return {"text": " ".join(fact(rng)[1] for _ in range(rng.randint(1, 6)))}
    if shape < 0.7:
        return {"text": "\n\n".join("Q: {}\nA: {}".format(*fact(rng)[:2]) for _ in range(rng.randint(1, 5)))}
    return {"text": explanation(rng)[1] if shape < 0.85 else poem(rng)[1]}


FIRST_STAGE = {
    chats.talk: 36, chats.story_chat: 13, chats.comprehension: 12, chats.instructed: 10, chats.long_chat: 3,
    chats.marathon: 2, told: 14, told_at_length: 3, reading: 7,
}  # fmt: skip
SECOND_STAGE = {
    chats.talk: 20, chats.story_chat: 9, chats.comprehension: 8, chats.instructed: 8, chats.long_chat: 3,
    chats.marathon: 2, told: 6, told_at_length: 2, reading: 4, practice.one_question: 30, practice.recall: 18,
    practice.named_story: 5, practice.named_system: 4,
}  # fmt: skip
STAGES = {1: FIRST_STAGE, 2: SECOND_STAGE}


def documents(stage: int, count: int) -> Iterator[str]:
    """Yields `count` different documents as JSON."""
    rng, seen = Random(stage), set()
    makers, weights = list(STAGES[stage]), list(STAGES[stage].values())
    while len(seen) < count:
        document = rng.choices(makers, weights)[0](rng)
        if stage == 2:
            document = practice.untidy(rng, document)
        line = json.dumps(document, ensure_ascii=False)
        if line not in seen:
            seen.add(line)
            yield line


def write_stage(stage: int, count: int) -> None:
    with (
        open(BUILD / f"train{stage}.jsonl", "w", encoding="utf-8") as train,
        open(BUILD / f"heldout{stage}.jsonl", "w", encoding="utf-8") as heldout,
    ):
        for number, line in enumerate(documents(stage, count)):
            print(line, file=heldout if number % HELD_OUT_EVERY == 0 else train)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=40_000)
    options = parser.parse_args()
    for stage in STAGES:
        write_stage(stage, options.documents)


if __name__ == "__main__":
    main()
