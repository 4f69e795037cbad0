"""Whole conversations, with and without a system prompt, put together from exchanges."""

from random import Random

from facts import fact
from grammar import expand
from lexicon import ANIMALS, BOYS, GIRLS, ODD_ONES
from small_talk import Exchange, as_json, beyond, greeting, identity, introduction, repeating
from stories import Story, character, long_story, story
from topics import counting, diary, explanation, guide, joke, poem, series

Message = dict[str, str]

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.", "You are Headway's demo model.",
    "You are a kind assistant who tells stories.", "You answer questions.", "Be polite and answer in simple English.",
    "You are a helpful AI assistant.", "You are a concise assistant.", "Answer the user's questions.", "You are a patient teacher.",
]  # fmt: skip
ONE_WORD = [
    "Answer with one word.",
    "Answer as briefly as you can.",
    "Give very short answers.",
    "You are terse. Use as few words as possible.",
]
STAR = ["End every answer with a star.", "Always add a star 🌟 at the end."]

ASK_STORY = "[Tell me a story about a {K} named {N}.|Write a story about a {K} named {N}.|Write a short story about a {K} called {N}.|Please tell me a story about {N} the {K}.]"
ASK_KIND = "[Tell me a story about a {K}.|Write a short story about a {K}.|I would like a story about a {K}.|Can you tell me a story about a {K}?]"
ASK_ANY = "[Tell me a story.|Tell me a short story.|Write a short story.|Please tell me a story.|Can you tell me a story?|Once more, a story please.|Another story, please.]"
ASK_LONG = "[Tell me a long story about a {K} named {N}.|Write a long story about {N} the {K}.|Write a very long story about a {K} named {N}.|Write a story with {chapters} chapters about {N} the {K}.]"
ASK_ANY_LONG = "[Tell me a long story.|Write a long story.|Write a very long story.|Tell me a very long story, please.]"
ASK_DIARY = "[Write a diary of a week.|Write a holiday diary.|Write a diary about your holiday.|Write a long text about a week in the country.]"
GIVE_STORY = ["Here is a story: {text}", "{text}", "Read this story:\n\n{text}", "Story: {text}"]


def chat(exchanges: list[Exchange], system: str | None = None) -> dict:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for ask, answer in exchanges:
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def maybe_system(rng: Random) -> str | None:
    return rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.45 else None


def ask_for(rng: Random, template: str, told: Story, **more: str) -> str:
    return expand(rng, template, K=told.hero.kind, N=told.hero.name, **more)


def story_exchange(rng: Random) -> tuple[Exchange, Story]:
    kind = rng.choice(["girl", "boy", *ANIMALS, *ODD_ONES])
    told = story(rng, hero=character(rng, kind=kind, name=rng.choice(GIRLS + BOYS) if rng.random() < 0.3 else None))
    template = rng.choice([ASK_STORY, ASK_STORY, ASK_KIND, ASK_ANY])
    return (ask_for(rng, template, told), told.text), told


def asked(rng: Random, told: Story, count: int, *, short: bool = False) -> list[Exchange]:
    return [(q, brief if short else full) for q, full, brief in rng.sample(told.questions, count)]


def story_chat(rng: Random) -> dict:
    """The model tells a story, then perhaps answers questions about it."""
    first, told = story_exchange(rng)
    more = asked(rng, told, rng.randint(0, 4))
    ending = [greeting(rng)] if rng.random() < 0.2 else []
    return chat([first, *more, *ending], maybe_system(rng))


def comprehension(rng: Random) -> dict:
    """The user gives a story and asks about it."""
    told = story(rng)
    short = rng.random() < 0.25
    exchanges = asked(rng, told, rng.randint(1, 5), short=short)
    given = rng.choice(GIVE_STORY).format(text=told.text)
    exchanges[0] = (f"{given}\n\n{exchanges[0][0]}", exchanges[0][1])
    return chat(exchanges, rng.choice(ONE_WORD) if short else maybe_system(rng))


def long_chat(rng: Random) -> dict:
    if rng.random() < 0.15:
        return chat([(expand(rng, ASK_DIARY), diary(rng))], maybe_system(rng))
    chapters = rng.randint(3, 6)
    told = long_story(rng, chapters=chapters)
    words = "zero one two three four five six".split()
    template = rng.choice([ASK_LONG, ASK_LONG, ASK_ANY_LONG])
    ask = ask_for(rng, template, told, chapters=words[chapters])
    text = f"{told.title}\n\n{told.text}" if rng.random() < 0.5 else told.text
    return chat([(ask, text), *asked(rng, told, rng.randint(0, 2))], maybe_system(rng))


def fact_exchange(rng: Random) -> Exchange:
    question, answer, _ = fact(rng)
    return question, answer


def mixed_exchange(rng: Random) -> Exchange:
    makers = (
        [fact_exchange] * 9
        + [greeting] * 5
        + [identity] * 3
        + [beyond] * 2
        + [repeating, explanation, explanation, joke, poem, guide, counting, counting, series, as_json, as_json]
    )
    return rng.choice(makers)(rng)


def talk(rng: Random) -> dict:
    """Small talk and questions; now and then the user is asked to be remembered."""
    exchanges = [mixed_exchange(rng) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4, 5, 6]))]
    if rng.random() < 0.25:
        said, recalled = introduction(rng)
        exchanges = [said, *exchanges[:3], recalled]
    return chat(exchanges, maybe_system(rng))


def instructed(rng: Random) -> dict:
    """A system prompt that changes how the model answers."""
    facts = [fact(rng) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.5:
        return chat([(question, short) for question, _, short in facts], rng.choice(ONE_WORD))
    if rng.random() < 0.5:
        return chat([(question, f"{answer} 🌟") for question, answer, _ in facts], rng.choice(STAR))
    name = rng.choice(GIRLS + BOYS)
    who = (expand(rng, "[Who are you?|What is your name?]"), f"My name is {name}.")
    exchanges = [who, *((q, a) for q, a, _ in facts[:2])]
    rng.shuffle(exchanges)
    return chat(
        exchanges,
        expand(rng, "[Your name is {name}.|You are {name}, a friendly assistant.|You are called {name}.]", name=name),
    )


def marathon(rng: Random) -> dict:
    """A long conversation, up to a whole context, with a story somewhere in it."""
    exchanges = [mixed_exchange(rng) for _ in range(rng.randint(12, 30))]
    told_exchange, told = story_exchange(rng)
    exchanges.insert(rng.randint(0, 4), told_exchange)
    said, recalled = introduction(rng)
    return chat([said, *exchanges, *asked(rng, told, 3), recalled], maybe_system(rng))
