"""Short stories from plots. A story knows facts about itself, so that questions about it can be asked."""

from dataclasses import dataclass, field
from random import Random

from grammar import expand, expand_all
from lexicon import (
    ANIMAL_NAMES,
    ANIMALS,
    BOYS,
    CAKES,
    COLOURS,
    CRAFTS,
    FEARS,
    FOODS,
    GIFTS,
    GIRLS,
    INGREDIENTS,
    ODD_ONES,
    PLACES,
    PLANTS,
    SIGHTS,
    SKILLS,
    SPOTS,
    THINGS,
    TRAITS,
)  # fmt: skip
from plots import ENDINGS, OPENINGS, PLOTS


@dataclass
class Character:
    name: str
    kind: str
    they: str
    them: str
    their: str


@dataclass
class Story:
    title: str
    text: str
    hero: Character
    slots: dict[str, str]
    questions: list[tuple[str, str, str]] = field(default_factory=list)  # question, full answer, short answer


def character(rng: Random, *, kind: str | None = None, name: str | None = None, but: str = "") -> Character:
    kind = kind or rng.choice(["girl", "boy", *rng.choices(ANIMALS, k=3), rng.choice(ODD_ONES)])
    female = kind == "girl" or (kind != "boy" and rng.random() < 0.5)
    names = GIRLS if kind == "girl" else BOYS if kind == "boy" else ANIMAL_NAMES
    name = name or rng.choice([n for n in names if n != but])
    if name in GIRLS + BOYS:
        female = name in GIRLS
    return Character(name, kind, *(("she", "her", "her") if female else ("he", "him", "his")))


def draw_slots(rng: Random, hero: Character, friend: Character) -> dict[str, str]:
    first, second, third = rng.sample(SPOTS, 3)
    near, far = rng.sample(SIGHTS, 2)
    return {
        "N": hero.name, "K": hero.kind, "they": hero.they, "them": hero.them, "their": hero.their,
        "F": friend.name, "FK": friend.kind, "fthey": friend.they, "fthem": friend.them, "ftheir": friend.their,
        "trait": rng.choice(TRAITS), "colour": rng.choice(COLOURS), "thing": rng.choice(THINGS),
        "gift": rng.choice(GIFTS), "food": rng.choice(FOODS), "place": rng.choice(PLACES), "spot1": first,
        "spot2": second, "spot3": third, "plant": rng.choice(PLANTS), "skill": rng.choice(SKILLS), "near": near,
        "far": far, "craft": rng.choice(CRAFTS), "fear": rng.choice(FEARS), "cake": rng.choice(CAKES),
        "missing": rng.choice(INGREDIENTS), "count": rng.choice("three four five six seven".split()),
    }  # fmt: skip


BASIC_QUESTIONS = [
    ("[Who is the story about?|Who is the main character?]", "The story is about {N}, a {trait} {K}.", "{N}."),
    ("What is the name of the {K}?", "The name of the {K} is {N}.", "{N}."),
    ("What kind of [animal or person|character] is {N}?", "{N} is a {trait} {K}.", "A {K}."),
    ("Where did {N} live?", "{N} lived {place}.", "{place}."),
    ("Who was {N}'s friend?", "{N}'s friend was {F} the {FK}.", "{F}."),
]


def questions(rng: Random, templates: list[tuple[str, str, str]], slots: dict[str, str]) -> list[tuple[str, str, str]]:
    return [tuple(expand(rng, part, **slots) for part in triple) for triple in templates]


def plot_text(rng: Random, beats: list[str], slots: dict[str, str]) -> str:
    """Beats as one or two paragraphs."""
    lines = expand_all(rng, beats, **slots)
    cut = rng.randint(3, len(lines) - 2)
    return " ".join(lines) if rng.random() < 0.5 else " ".join(lines[:cut]) + "\n\n" + " ".join(lines[cut:])


def story(rng: Random, *, hero: Character | None = None, plot: str | None = None) -> Story:
    hero = hero or character(rng)
    friend = character(rng, but=hero.name)
    slots, name = draw_slots(rng, hero, friend), plot or rng.choice(list(PLOTS))
    chosen = PLOTS[name]
    opening = expand(rng, rng.choice(OPENINGS), **slots)
    body = plot_text(rng, chosen["beats"], slots)
    text = f"{opening} {body} {expand(rng, rng.choice(ENDINGS), **slots)}"
    asked = questions(rng, BASIC_QUESTIONS + chosen["questions"], slots)
    return Story(expand(rng, chosen["title"], **slots), text, hero, slots, asked)


NEXT_DAY = [
    "The next [morning|day], the sun was [warm|bright] and {N} [was ready for something new|woke up early].",
    "[A week|Some days] later, {N} had another adventure.",
    "When [spring|summer|autumn|winter] came, {N} was a little older, but still as {trait} as before.",
]


def long_story(rng: Random, *, hero: Character | None = None, chapters: int = 4) -> Story:
    """Several plots about the same hero, as chapters."""
    hero = hero or character(rng)
    plots = rng.sample(list(PLOTS), chapters)
    first = story(rng, hero=hero, plot=plots[0])
    parts = [f"Chapter 1: {first.title}\n\n{first.text}"]
    for number, plot in enumerate(plots[1:], start=2):
        slots = draw_slots(rng, hero, character(rng, but=hero.name)) | {"trait": first.slots["trait"]}
        title = expand(rng, PLOTS[plot]["title"], **slots)
        text = f"{expand(rng, rng.choice(NEXT_DAY), **slots)} {plot_text(rng, PLOTS[plot]['beats'], slots)}"
        parts.append(f"Chapter {number}: {title}\n\n{text}")
    parts[-1] += " " + expand(rng, rng.choice(ENDINGS), **first.slots)
    title = expand(rng, "The [adventures|story|days] of {N} the {K}", **first.slots)
    return Story(title, "\n\n".join(parts), hero, first.slots, first.questions)
