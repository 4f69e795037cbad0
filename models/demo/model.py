"""A small Llama: RMSNorm, rotary positions, SwiGLU, optional grouped-query attention.

Rotary pairs are (2i, 2i+1), the layout that the GGUF architecture "llama" expects, so the query and key
matrices are exported without any permutation.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-5
ROPE_BASE = 10_000.0


@dataclass(frozen=True)
class Shape:
    """Sizes of one model. Every matrix row is a multiple of 32 values long, as Q8_0 blocks need."""

    vocab: int
    embed: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    context: int = 2048
    tied: bool = False

    @property
    def head_dim(self) -> int:
        return self.embed // self.heads


SHAPES = {
    "headway-demo": Shape(vocab=2048, embed=256, layers=4, heads=4, kv_heads=4, feed_forward=640),
    "draft": Shape(vocab=2048, embed=96, layers=2, heads=3, kv_heads=3, feed_forward=256, tied=True),
    "tiny-random": Shape(vocab=8192, embed=64, layers=2, heads=4, kv_heads=2, feed_forward=192, tied=True),
}


class Norm(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPS) * self.weight


def rotary_table(shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, each [context, head_dim / 2]."""
    exponents = torch.arange(0, shape.head_dim, 2).float() / shape.head_dim
    angles = torch.outer(torch.arange(shape.context).float(), ROPE_BASE**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotates the pairs of x [batch, heads, length, head_dim] by their positions' angles."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.q = nn.Linear(shape.embed, shape.embed, bias=False)
        self.k = nn.Linear(shape.embed, shape.kv_heads * shape.head_dim, bias=False)
        self.v = nn.Linear(shape.embed, shape.kv_heads * shape.head_dim, bias=False)
        self.output = nn.Linear(shape.embed, shape.embed, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, length, embed = x.shape

        def split(values: torch.Tensor) -> torch.Tensor:
            return values.view(batch, length, -1, self.shape.head_dim).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        groups = self.shape.heads // self.shape.kv_heads
        if groups > 1:
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, embed))


class FeedForward(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.gate = nn.Linear(shape.embed, shape.feed_forward, bias=False)
        self.up = nn.Linear(shape.embed, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.embed, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.attention_norm = Norm(shape.embed)
        self.attention = Attention(shape)
        self.feed_forward_norm = Norm(shape.embed)
        self.feed_forward = FeedForward(shape)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Llama(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.embed)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.embed)
        self.head = nn.Linear(shape.embed, shape.vocab, bias=False)
        if shape.tied:
            self.head.weight = self.embedding.weight
        cos, sin = rotary_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.apply(self._init)

    def _init(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(
                module.weight, std=0.02 if isinstance(module, nn.Embedding) else module.in_features**-0.5 / 2
            )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [batch, length, vocab] of tokens [batch, length]."""
        length = tokens.shape[1]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        return self.head(self.norm(x))

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())
