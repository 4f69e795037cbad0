"""Byte-level BPE vocabularies, the chat markup, and the encoding of the corpus.

    python vocabulary.py        # trains both vocabularies, writes the token streams into build/

The split of text into words is that of llama.cpp's pre-tokenizer "smollm": every digit alone, then GPT-2's rule.
"""

import json
import random

import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from paths import BUILD

PRE_TOKENIZER = "smollm"
BEGIN, END_OF_TEXT, TURN_START, TURN_END = "<|begin|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = [BEGIN, END_OF_TEXT, TURN_START, TURN_END]
BEGIN_ID, END_OF_TEXT_ID, TURN_START_ID, TURN_END_ID = range(4)

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def new_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_tokenizer(texts: list[str], size: int) -> Tokenizer:
    tokenizer = new_tokenizer()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    assert tokenizer.get_vocab_size() == size, tokenizer.get_vocab_size()
    return tokenizer


def load_tokenizer(name: str) -> Tokenizer:
    return Tokenizer.from_file(str(BUILD / f"{name}.tokenizer.json"))


def turn_text(message: dict[str, str]) -> str:
    return f"{TURN_START}{message['role']}\n{message['content']}{TURN_END}\n"


def render(messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
    """The same text as CHAT_TEMPLATE gives."""
    return "".join(map(turn_text, messages)) + (f"{TURN_START}assistant\n" if add_generation_prompt else "")


def encode_document(tokenizer: Tokenizer, document: dict) -> tuple[list[int], list[int]]:
    """Token ids of one document and, for each, 1 where it is a prompt's and 0 where the model should say it."""
    if "text" in document:
        ids = [BEGIN_ID, *tokenizer.encode(document["text"]).ids, END_OF_TEXT_ID]
        return ids, [0] * len(ids)
    ids, is_prompt = [BEGIN_ID], [1]
    for message in document["messages"]:
        head = tokenizer.encode(f"{TURN_START}{message['role']}\n").ids
        body = [*tokenizer.encode(message["content"]).ids, TURN_END_ID]
        tail = tokenizer.encode("\n").ids
        ids += head + body + tail
        is_prompt += [1] * len(head) + [int(message["role"] != "assistant")] * len(body) + [1] * len(tail)
    return ids, is_prompt


def write_stream(tokenizer: Tokenizer, split: str) -> None:
    ids, is_prompt = [], []
    for line in (BUILD / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
        document_ids, document_prompt = encode_document(tokenizer, json.loads(line))
        ids += document_ids
        is_prompt += document_prompt
    numpy.array(ids, dtype=numpy.uint16).tofile(BUILD / f"{split}.tokens")
    numpy.array(is_prompt, dtype=numpy.uint8).tofile(BUILD / f"{split}.prompt")
    print(f"{split}: {len(ids):,} tokens")


def invented_words(count: int) -> list[str]:
    """Pronounceable nonsense that fills the larger vocabulary of the random test model."""
    draw = random.Random(3)
    syllables = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "r", "s", "l")]
    return [" " + "".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(count)]


def texts_of(split: str) -> list[str]:
    documents = map(json.loads, (BUILD / f"{split}.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        d["text"] if "text" in d else "\n".join(f"{m['role']}\n{m['content']}" for m in d["messages"])
        for d in documents
    ]


def main() -> None:
    texts = texts_of("train1")[:30_000]
    demo = train_tokenizer(texts, 2048)
    demo.save(str(BUILD / "demo.tokenizer.json"))
    train_tokenizer(texts[:4_000] + invented_words(20_000), 8192).save(str(BUILD / "random.tokenizer.json"))
    for split in ("train1", "heldout1", "train2", "heldout2"):
        write_stream(demo, split)


if __name__ == "__main__":
    main()
