"""Writes the GGUF files: matrices as Q8_0, norms as F32, everything a llama.cpp loader wants to know.

python export.py headway-demo draft tiny-random
"""

import json
import shutil
import sys

import torch
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, quants
from tokenizers import Tokenizer

from model import NORM_EPS, ROPE_BASE, SHAPES, Llama, Shape
from paths import BUILD, HERE
from train import load_weights
from vocabulary import (
    BEGIN_ID,
    CHAT_TEMPLATE,
    END_OF_TEXT_ID,
    PRE_TOKENIZER,
    SPECIALS,
    TURN_END_ID,
    load_tokenizer,
)  # fmt: skip

TITLES = {
    "headway-demo": ("Headway Demo", "A toy trained from scratch on generated stories and small talk."),
    "draft": ("Headway Demo Draft", "A smaller toy with the same vocabulary, to draft tokens for Headway Demo."),
    "tiny-random": ("Headway Tiny Random", "Random weights, for tests of loading and of shapes."),
}

BLOCK_NAMES = {
    "attention_norm": "attn_norm", "attention.q": "attn_q", "attention.k": "attn_k", "attention.v": "attn_v",
    "attention.output": "attn_output", "feed_forward_norm": "ffn_norm", "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up", "feed_forward.down": "ffn_down",
}  # fmt: skip
OUTER_NAMES = {"embedding": "token_embd", "norm": "output_norm", "head": "output"}


def gguf_name(name: str) -> str:
    """blocks.3.attention.q.weight is blk.3.attn_q.weight."""
    stem = name.removesuffix(".weight")
    if not stem.startswith("blocks."):
        return f"{OUTER_NAMES[stem]}.weight"
    _, layer, rest = stem.split(".", 2)
    return f"blk.{layer}.{BLOCK_NAMES[rest]}.weight"


def add_shape(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embed)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(NORM_EPS)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_vocab_size(shape.vocab)


def merges_of(tokenizer: Tokenizer) -> list[str]:
    return [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def add_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer, *, add_bos: bool) -> None:
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    types = [TokenType.CONTROL if t in SPECIALS else TokenType.NORMAL for t in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges_of(tokenizer))
    writer.add_bos_token_id(BEGIN_ID)
    writer.add_eos_token_id(END_OF_TEXT_ID)
    writer.add_eot_token_id(TURN_END_ID)
    writer.add_pad_token_id(END_OF_TEXT_ID)
    writer.add_add_bos_token(add_bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_weights(writer: GGUFWriter, model: Llama) -> None:
    for name, parameter in model.named_parameters():
        values = parameter.detach().float().numpy()
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values)
            continue
        packed = quants.quantize(values, GGMLQuantizationType.Q8_0)
        writer.add_tensor(gguf_name(name), packed, raw_dtype=GGMLQuantizationType.Q8_0)


def size_label(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}K"


def load_model(name: str) -> Llama:
    torch.manual_seed(11)
    model = Llama(SHAPES[name])
    if name != "tiny-random":
        load_weights(model, BUILD / f"{name}.pt")
    return model


def export(name: str) -> None:
    model, (title, description) = load_model(name), TITLES[name]
    path, unfinished = HERE / f"{name}.gguf", BUILD / f"{name}.gguf"
    writer = GGUFWriter(unfinished, "llama")
    writer.add_name(title)
    writer.add_description(description)
    writer.add_author("The Headway authors")
    writer.add_license("MIT")
    writer.add_languages(["en"])
    writer.add_size_label(size_label(model.parameter_count()))
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(2)
    add_shape(writer, model.shape)
    random_weights = name == "tiny-random"
    add_tokenizer(writer, load_tokenizer("random" if random_weights else "demo"), add_bos=not random_weights)
    add_weights(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shutil.copy(unfinished, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)  # a server may have the old file mapped
    print(f"{path.name}: {model.parameter_count():,} parameters, {path.stat().st_size:,} bytes")


def main() -> None:
    for name in sys.argv[1:]:
        export(name)


if __name__ == "__main__":
    main()
