"""Trains one model on the encoded corpus, on one CPU thread.

    python train.py headway-demo --stage 1 --minutes 42
    python train.py headway-demo --stage 2 --minutes 36 --rate 0.015
    python train.py headway-demo --stage 2 --minutes 20 --rate 0.008 --seed 2
    python train.py draft --stage 2 --minutes 5

The second stage goes on with the first one's weights, if there are any. Hidden matrices are trained with Muon
(orthogonalised momentum, https://kellerjordan.github.io/posts/muon/), which needs far fewer tokens than Adam at this
size; embeddings, head and norms with AdamW. Most steps see 512-token windows; every eighth sees 2,048 tokens, so that
all positions of the context are trained. A running average of the weights is what is saved. The run may be paused with
SIGSTOP; on SIGTERM it saves and ends.
"""

import argparse
import math
import signal
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

from model import SHAPES, Llama
from paths import BUILD, LOG

TOKENS_PER_STEP = 4096
WINDOW = 512
LONG_EVERY = 8
WARMUP_STEPS = 40
AVERAGE_DECAY = 0.98
PAUSE_SECONDS = 20.0  # a step that took longer was paused, and does not count against the time budget
SAVE_EVERY = 100
PROMPT_WEIGHT = 0.2  # what a user or a system prompt says matters less than what is answered


class Muon(torch.optim.Optimizer):
    def __init__(self, params, rate: float, momentum: float = 0.95, decay: float = 0.05):
        super().__init__(params, {"lr": rate, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
                velocity.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonal(p.grad.lerp(velocity, group["momentum"]))
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(update, alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrix, roughly, by a quintic Newton-Schulz iteration."""
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(rounds):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).float()


class Windows:
    """Random windows of the token stream, each with the loss weights of its targets."""

    def __init__(self, split: str, seed: int):
        self.tokens = numpy.fromfile(BUILD / f"{split}.tokens", dtype=numpy.uint16)
        self.is_prompt = numpy.fromfile(BUILD / f"{split}.prompt", dtype=numpy.uint8)
        self.random = numpy.random.default_rng(seed)

    def draw(self, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        starts = self.random.integers(0, len(self.tokens) - length - 1, TOKENS_PER_STEP // length)
        rows = torch.from_numpy(numpy.stack([self.tokens[s : s + length + 1] for s in starts]).astype(numpy.int64))
        prompt = torch.from_numpy(numpy.stack([self.is_prompt[s + 1 : s + length + 1] for s in starts]))
        return rows[:, :-1], rows[:, 1:], torch.where(prompt == 1, PROMPT_WEIGHT, 1.0)


def loss_of(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    each = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return (each * weights.flatten()).sum() / weights.sum()


@torch.no_grad()
def held_out_loss(model: Llama, stage: int, length: int = WINDOW, batches: int = 6) -> float:
    """Mean loss per token of what the model itself would say (prompts left out)."""
    windows, total = Windows(f"heldout{stage}", seed=7), 0.0
    for _ in range(batches):
        inputs, targets, weights = windows.draw(length)
        total += loss_of(model(inputs), targets, (weights == 1.0).float()).item()
    return total / batches


def rate_factor(step: int, progress: float) -> float:
    """Warm up, then fall linearly to a fiftieth."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - 0.98 * progress)


def optimizers_of(model: Llama, rate: float) -> list[torch.optim.Optimizer]:
    hidden = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not h for h in hidden)]
    return [Muon(hidden, rate), torch.optim.AdamW(others, lr=rate * 0.2, betas=(0.9, 0.95), weight_decay=0.0)]


@torch.no_grad()
def load_weights(model: Llama, path: Path) -> None:
    saved = torch.load(path, weights_only=True)
    for name, parameter in model.named_parameters():
        parameter.copy_(saved[name])


class Run:
    def __init__(self, name: str, stage: int, *, seed: int, steps: int, minutes: float, rate: float):
        self.name, self.stage, self.seed = name, stage, seed
        self.steps, self.budget_seconds, self.rate = steps, minutes * 60, rate
        self.model = Llama(SHAPES[name])
        if stage == 2 and (BUILD / f"{name}.pt").exists():
            load_weights(self.model, BUILD / f"{name}.pt")
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.stopped = False
        self.log = LOG.open("a", buffering=1)

    def note(self, line: str) -> None:
        print(line, flush=True)
        print(line, file=self.log)

    def save(self) -> None:
        torch.save(
            dict(zip((n for n, _ in self.model.named_parameters()), self.average, strict=True)), BUILD / "saving.pt"
        )
        (BUILD / "saving.pt").replace(BUILD / f"{self.name}.pt")

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        keep = min(AVERAGE_DECAY, step / (step + 10))
        for mean, p in zip(self.average, self.model.parameters(), strict=True):
            mean.lerp_(p, 1 - keep)

    def averaged_model(self) -> Llama:
        model = Llama(self.model.shape)
        with torch.no_grad():
            for p, mean in zip(model.parameters(), self.average, strict=True):
                p.copy_(mean)
        return model

    def train_step(self, windows: Windows, step: int) -> float:
        length = self.model.shape.context if step % LONG_EVERY == LONG_EVERY - 1 else WINDOW
        inputs, targets, weights = windows.draw(length)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(inputs)
        loss = loss_of(logits, targets, weights)
        loss.backward()
        return loss.item()

    def train(self) -> None:
        self.note(
            f"# {self.name}, stage {self.stage}: {self.model.parameter_count():,} parameters, steps of {TOKENS_PER_STEP} tokens"
        )
        windows, used, recent = Windows(f"train{self.stage}", self.seed), 0.0, []
        optimizers = optimizers_of(self.model, self.rate)
        for step in range(self.steps):
            began = time.monotonic()
            progress = max(step / self.steps, used / self.budget_seconds)
            if progress >= 1 or self.stopped:
                break
            recent.append(self.train_step(windows, step))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    base = group.setdefault("base", group["lr"])
                    group["lr"] = base * rate_factor(step, progress)
                optimizer.step()
            self.model.zero_grad()
            self.update_average(step)
            took = time.monotonic() - began
            used += took if took < PAUSE_SECONDS else 0.0
            if (step + 1) % SAVE_EVERY == 0:
                self.save()
                self.note(
                    f"step {step + 1:5d}  {used / 60:5.1f} min  progress {progress:.3f}  loss {numpy.mean(recent):.4f}  held-out {held_out_loss(self.averaged_model(), self.stage, batches=2):.4f}"
                )
                recent = []
        self.save()
        final = self.averaged_model()
        self.note(
            f"done: {step + 1} steps, {used / 60:.1f} min, held-out {held_out_loss(final, self.stage):.4f} at 512 tokens, {held_out_loss(final, self.stage, 2048):.4f} at 2,048"
        )

    def stop(self, *_: object) -> None:
        self.stopped = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=SHAPES)
    parser.add_argument("--stage", type=int, choices=[1, 2], required=True)
    parser.add_argument("--seed", type=int, default=1, help="picks the windows; another one to continue")
    parser.add_argument("--steps", type=int, default=2300, help="the schedule ends here,")
    parser.add_argument("--minutes", type=float, default=math.inf, help="or here, whichever comes first")
    parser.add_argument("--rate", type=float, default=0.02)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    run = Run(
        options.name, options.stage, seed=options.seed, steps=options.steps, minutes=options.minutes, rate=options.rate
    )
    signal.signal(signal.SIGTERM, run.stop)
    run.train()


if __name__ == "__main__":
    main()
