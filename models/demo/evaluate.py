"""Held-out loss of an exported model; with a running llama.cpp server that serves it, also a comparison and samples.

    python evaluate.py headway-demo
    python evaluate.py headway-demo --server http://127.0.0.1:8080      # same tokens, same texts? writes samples.txt

The weights are read back from the GGUF file, so what is measured is what is shipped.
"""

import argparse
import json
import urllib.request

import torch
from gguf import GGUFReader, quants

from export import gguf_name
from model import SHAPES, Llama
from paths import HERE
from train import held_out_loss
from vocabulary import BEGIN_ID, END_OF_TEXT_ID, TURN_END_ID, load_tokenizer, render, texts_of

CHATS = [
    ["Hello!", "Who are you?", "What is the capital of France?", "Thank you!"],
    ["Tell me a story about a fox named Mia.", "Who is the story about?", "Where did Mia live?"],
    ["My name is Tom.", "What is the opposite of hot?", "What is my name?"],
    ["Count from 1 to 20.", "What is 3 + 4?", 'How do you say "thank you" in Japanese?', "Show me a cat."],
    ["How do I bake bread?"],
    ["What is rain?", "Tell me a joke.", "Write a poem about an owl."],
    ["Explain quantum physics.", "Give me a JSON object: Zoë, 7 years old, likes green."],
    ["Write a long story about a brave girl."],
]
INSTRUCTED = [
    ("Answer with one word.", ["What is the capital of Japan?", "What colour is snow?"]),
    ("Your name is Robin.", ["Who are you?"]),
]
PLAIN = ["Once upon a time", "The capital of Italy is", "Q: What do bees make?\nA:"]
HARD_TEXTS = [
    "Hello   world\n\n\n  two  spaces\t\ttab ", "I've 12,345.67 reasons; don't you'll they're", "naïve café Zoë Åsa Brasília",
    "猫 こんにちは 你好 안녕하세요 привет", "🐱❤️☀️👩‍👩‍👧‍👦🇫🇷 e\u0301 \u00a0x\u3000y", "a\r\nb\rc", "{\"a\": [1, 2.5, null]} // <b>&amp;</b>",
    "½ ² Ⅷ ٣ 100%", " leading and trailing ", "SHOUTING camelCase snake_case 'quoted' \"text\"…—–", "\n", " ", "'s 'S 'lls",
]  # fmt: skip


def load_exported(name: str) -> Llama:
    tensors = {t.name: t for t in GGUFReader(HERE / f"{name}.gguf").tensors}
    model = Llama(SHAPES[name])
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            tensor = tensors[gguf_name(key)]
            parameter.copy_(torch.tensor(quants.dequantize(tensor.data, tensor.tensor_type)).view_as(parameter))
    return model


@torch.no_grad()
def generate(model: Llama, ids: list[int], max_tokens: int) -> list[int]:
    """The greedy continuation, without the token that ends it."""
    made: list[int] = []
    while len(made) < max_tokens and len(ids) + len(made) < model.shape.context:
        best = model(torch.tensor([ids + made]))[0, -1].argmax().item()
        if best in (TURN_END_ID, END_OF_TEXT_ID):
            break
        made.append(best)
    return made


class Speaker:
    def __init__(self, name: str):
        self.model, self.tokenizer = load_exported(name), load_tokenizer("demo")

    def complete(self, prompt: str, max_tokens: int) -> str:
        ids = [BEGIN_ID, *self.tokenizer.encode(prompt).ids]
        return self.tokenizer.decode(generate(self.model, ids, max_tokens))


def post(server: str, path: str, body: dict) -> dict:
    request = urllib.request.Request(server + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def compare_tokens(speaker: Speaker, server: str) -> None:
    texts = HARD_TEXTS + texts_of("heldout2")
    for text in texts:
        here = speaker.tokenizer.encode(text).ids
        there = post(server, "/tokenize", {"content": text, "add_special": False})["tokens"]
        assert here == there, (text, here, there)
        assert post(server, "/detokenize", {"tokens": there})["content"] == text, text
    print(f"{len(texts)} texts have the same tokens and come back unchanged")


def compare_texts(speaker: Speaker, server: str) -> None:
    prompts = PLAIN + [render([{"role": "user", "content": c[0]}], add_generation_prompt=True) for c in CHATS]
    equal = 0
    for prompt in prompts:
        there = served_completion(server, prompt, 150)
        here = speaker.complete(prompt, 150)
        equal += here == there
        if here != there:
            print(f"differs after {prompt!r}:\n  here  {here!r}\n  there {there!r}")
    print(f"{equal} of {len(prompts)} greedy texts are equal")


def served_completion(server: str, prompt: str, max_tokens: int) -> str:
    body = {"prompt": prompt, "temperature": 0, "n_predict": max_tokens}
    return post(server, "/completion", body)["content"]


def served_chat(server: str, questions: list[str], system: str | None = None) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    for question in questions:
        messages.append({"role": "user", "content": question})
        body = {"messages": messages, "temperature": 0, "max_tokens": 1200}
        messages.append(post(server, "/v1/chat/completions", body)["choices"][0]["message"])
    return "\n".join(f"{m['role']}: {m['content']}" for m in messages)


def samples(server: str) -> str:
    chats = [served_chat(server, questions) for questions in CHATS]
    chats += [served_chat(server, questions, system) for system, questions in INSTRUCTED]
    plain = [f"{prompt}|{served_completion(server, prompt, 400)}" for prompt in PLAIN]
    return "\n\n----\n\n".join(chats + plain) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["headway-demo", "draft"])
    parser.add_argument("--server")
    options = parser.parse_args()
    torch.set_num_threads(1)
    speaker = Speaker(options.name)
    if options.server is None:
        for length in (512, 2048):
            print(f"held-out loss at {length} tokens: {held_out_loss(speaker.model, 2, length):.4f}")
        return
    compare_tokens(speaker, options.server)
    compare_texts(speaker, options.server)
    if options.name == "headway-demo":
        (HERE / "samples.txt").write_text(samples(options.server), encoding="utf-8")


if __name__ == "__main__":
    main()
