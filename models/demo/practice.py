"""What the second stage adds: copying words never seen before, untidy typing, and being at a loss politely."""

from random import Random

from chats import asked, chat, fact_exchange, maybe_system, mixed_exchange
from grammar import expand, tidy
from lexicon import COLOURS, PLACES, THINGS
from small_talk import ASK_BEYOND, BEYOND, SAY_BEYOND, Exchange, greeting
from stories import character, story

SYLLABLES = (
    "ka lo mi ran del so vi tur ba ne zo fi gar lu pe shi mon ta ri wen do qui hal je ex bo ny cra sul ver".split()
)
SENTENCES_FOR_NOTHING = [
    "The quick brown fox jumps over the lazy dog.", "Lorem ipsum dolor sit amet.", "asdf", "foo bar baz", "a", "...",
    "blah blah", "I went to the market yesterday.", "My train is late.", "This is a sentence.", "Some words.",
    "Hmm.", "What?", "Why?", "How?", "Really?", "123", "42", "abc", "?", "The weather is nice.", "1 2 3 4", "x",
]  # fmt: skip
AT_A_LOSS = "[I am not sure what you mean. Would you like to hear a story?|I do not quite understand. Ask me something simple, please.|That is interesting! I am only a toy, so I cannot say much about it.]"
HAIKU = [
    "A small frog jumps in.\nThe old pond is still again.\nOnly rings are left.",
    "Snow on the rooftops.\nA cat walks without a sound.\nThe morning is white.",
    "Waves come and waves go.\nThe sea tells the same story.\nI listen once more.",
    "One leaf on the path.\nThe wind picks it up gently.\nAutumn says hello.",
]
HELLO_BEFORE = ["Hi! ", "Hello! ", "Hey, ", "Please: ", "Tell me: ", "A question: ", "Okay. ", "Quick question: "]
TOPIC_SHAPES = "[{topic}|the history of {topic}|{topic} for beginners|{topic} and {other}|modern {topic}|{word}|the {word} of {topic}|{word} {word2}]"


def invented(rng: Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3)))


def invented_name(rng: Random) -> str:
    return invented(rng).capitalize()


def memory(rng: Random) -> list[Exchange]:
    """Something said, something asked later; the word to recall is new each time."""
    name, word = invented_name(rng), invented(rng)
    number, thing, colour = str(rng.randint(10, 9999)), rng.choice(THINGS), rng.choice(COLOURS)
    pairs = rng.choice(
        [
            ("[My name is {name}.|I am {name}.|Hi, I am {name}!|Hello, my name is {name}.|Call me {name}.]", "[Nice to meet you, {name}!|Hello {name}! How can I help you?]", "[What is my name?|Do you remember my name?|Who am I?]", "Your name is {name}."),
            ("[The secret word is {word}.|Remember the word {word}.|Remember this word: {word}]", "I will remember {word}.", "[What is the secret word?|What was the word?|Which word did I say?]", "The word is {word}."),
            ("[The number of the {thing} is {number}.|Remember: the {thing} has the number {number}.]", "I will remember {number}.", "What is the number of the {thing}?", "The number of the {thing} is {number}."),
            ("My {thing} is {colour}.", "A {colour} {thing}! That sounds good.", "What colour is my {thing}?", "Your {thing} is {colour}."),
            ("My [friend|sister|brother] {name} lives {place}.", "That sounds lovely. Say hello to {name}!", "Where does {name} live?", "{name} lives {place}."),
        ]
    )  # fmt: skip
    slots = dict(name=name, word=word, number=number, thing=thing, colour=colour, place=rng.choice(PLACES))
    said, answer, ask, recalled = (expand(rng, part, **slots) for part in pairs)
    return [(said, answer), (ask, recalled)]


def recall(rng: Random) -> dict:
    """Memory with nothing or a little in between."""
    (said, answer), question = memory(rng)
    between = [mixed_exchange(rng) for _ in range(rng.choice([0, 0, 1, 2, 3]))]
    return chat([(said, answer), *between, question], maybe_system(rng))


def parrot(rng: Random) -> Exchange:
    words = " ".join(invented(rng) for _ in range(rng.randint(1, 4)))
    return expand(
        rng,
        '[Repeat after me: {words}|Say "{words}".|Please repeat: {words}|Say this: {words}|Repeat: {words}]',
        words=words,
    ), words


def named_story(rng: Random) -> dict:
    """A story about somebody whose name the model has never seen."""
    told = story(rng, hero=character(rng, name=invented_name(rng)))
    ask = expand(
        rng,
        "[Tell me a story about a {kind} named {name}.|Write a story about {name} the {kind}.|I want a story about a {kind} called {name}.]",
        kind=told.hero.kind,
        name=told.hero.name,
    )
    return chat([(ask, told.text), *asked(rng, told, rng.randint(0, 3))], maybe_system(rng))


def named_system(rng: Random) -> dict:
    name = invented_name(rng)
    system = expand(
        rng,
        "[Your name is {name}.|You are {name}, a friendly assistant.|You are called {name}.|You are a helpful assistant named {name}.]",
        name=name,
    )
    who = expand(rng, "[Who are you?|What is your name?]"), f"My name is {name}."
    return chat([who, fact_exchange(rng)] if rng.random() < 0.5 else [fact_exchange(rng), who], system)


def lost(rng: Random) -> Exchange:
    """Messages that make no sense to a toy."""
    if rng.random() < 0.4:
        slots = dict(topic=rng.choice(BEYOND), other=rng.choice(BEYOND), word=invented(rng), word2=invented(rng))
        topic = expand(rng, TOPIC_SHAPES, **slots)
        topic = topic[0].lower() + topic[1:] if topic.split()[0] in ("The", "Modern") else topic
        return expand(rng, ASK_BEYOND, topic=topic), expand(rng, SAY_BEYOND, topic=topic)
    ask = rng.choice([*SENTENCES_FOR_NOTHING, tidy(f"{invented(rng)} {invented(rng)}"), invented(rng)])
    return ask, expand(rng, AT_A_LOSS)


def haiku(rng: Random) -> Exchange:
    return expand(
        rng, "[Write a haiku.|Write a haiku about {what}.]", what=rng.choice(["the sea", "winter", "a frog", "autumn"])
    ), rng.choice(HAIKU)


def one_question(rng: Random) -> dict:
    """The first thing that a visitor types."""
    maker = rng.choice(
        [fact_exchange] * 6 + [greeting] * 3 + [mixed_exchange] * 5 + [parrot, parrot, lost, lost, haiku]
    )
    return chat([maker(rng)], maybe_system(rng))


def loosely_typed(rng: Random, text: str) -> str:
    """The same request as somebody in a hurry types it."""
    if rng.random() < 0.2 and len(text) > 12:
        text = rng.choice(HELLO_BEFORE) + text
    if rng.random() < 0.5:
        text = text.rstrip(".?!") or text
    if rng.random() < 0.5:
        text = text[0].lower() + text[1:]
    return text.lower() if rng.random() < 0.3 and ":" not in text and '"' not in text else text


def untidy(rng: Random, document: dict, share: float = 0.35) -> dict:
    """Roughens a share of the chats; stories that a user hands over stay as they are."""
    for message in document.get("messages", []) if rng.random() < share else []:
        if message["role"] == "user" and len(message["content"]) < 200:
            message["content"] = loosely_typed(rng, message["content"])
    return document
