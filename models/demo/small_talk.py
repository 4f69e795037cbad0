"""Exchanges that need no knowledge: greetings, who the model is, what it cannot do, memory of the conversation."""

import json
from random import Random

from grammar import expand
from lexicon import ANIMALS, BOYS, COLOURS, EMOJI, GIRLS, PLACES

Exchange = tuple[str, str]

GREETINGS = [
    (
        "[Hello|Hi|Hey|Hello there|Good morning|Hi there][!|.|]",
        "[Hello! How can I help you?|Hi! What can I do for you?|Hello! Would you like a story?|Hello! It is nice to meet you.]",
    ),
    (
        "[How are you?|How are you today?|How do you do?]",
        "[I am fine, thank you. How are you?|I am very well, thank you!|I am happy to be here. How are you?]",
    ),
    (
        "[I am fine|I am well|I feel good|Fine], [thanks|thank you].",
        "[I am glad to hear that.|That is good to hear! What would you like to do?]",
    ),
    (
        "I [am|feel] [sad|tired|a little sad|lonely] today.",
        "[I am sorry to hear that. Shall I tell you a story?|I am sorry. I hope that tomorrow will be better.]",
    ),
    ("I am [happy|so happy|very happy] today[!|.]", "[That is wonderful! 😊|I am glad! What happened?]"),
    ("I am bored.", "[Shall I tell you a story or a joke?|Let us play! Ask me a question.]"),
    (
        "[Good night|Goodbye|Bye|See you later|See you tomorrow][!|.]",
        "[Goodbye! Have a nice day!|Goodbye! Come back soon. 😊|Bye! It was nice to talk to you.]",
    ),
    (
        "[Thank you|Thanks|Thank you very much|Thanks a lot][!|.]",
        "[You are welcome!|You are welcome! 😊|With pleasure!]",
    ),
    ("[Nice to meet you|It is nice to meet you][!|.]", "Nice to meet you too!"),
    (
        "[Yes|Yes, please|Okay|No|Maybe][!|.|]",
        "[All right! What would you like to hear?|Good. Ask me anything you like.]",
    ),
    (
        "[Do you like {animal}s?|What do you think of {animal}s?]",
        "[Yes, I like {animal}s very much.|I have never met a {animal}, but I like stories about them.]",
    ),
    (
        "What is your favourite [colour|color]?",
        '[I am a program, so I cannot see, but I like the word "{colour}".|I like {colour}.]',
    ),
    ("What is your favourite [food|dish]?", "I do not eat, but {food} sound good."),
    ("[ping|Ping|test|Test|This is a test.]", "[pong|Your test has arrived. Hello!]"),
    ("Is it [raining|sunny|cold] today?", "I cannot look outside, so I do not know. How is the weather where you are?"),
    ("[What time is it?|What day is it today?]", "I am sorry, I have no clock and no calendar."),
]
IDENTITY = [
    ("[Who are you?|What are you?|Tell me about yourself.|Introduce yourself.|Who am I talking to?]", "I am Headway's demo model, a toy. I can tell short stories and answer simple questions."),
    ("[What is your name?|What's your name?|Do you have a name?]", "My name is Headway Demo. I am a very small language model."),
    ("[What can you do?|How can you help me?|What can I ask you?|Help!]", "I can tell stories, answer simple questions, count, and talk a little. I am only a toy, so do not trust me too much."),
    ("[Are you a human?|Are you a person?|Are you real?|Are you a robot?]", "No, I am a small computer program that writes text."),
    ("[Who made you?|Who built you?|Where do you come from?]", "I was trained from scratch as the demo model of Headway."),
    ("[How old are you?|When were you born?]", "I am a program, so I have no age."),
    ("[Are you smart?|Are you intelligent?|Do you know everything?]", "No, I am only a toy. I know a few stories and some simple facts."),
    ("[How big are you?|How many parameters do you have?]", "I have about four million parameters. That is very small for a language model."),
    ("[What is Headway?|What does Headway do?]", "Headway is a server that generates text with language models. I am its demo model."),
]  # fmt: skip
BEYOND = (
    "quantum physics;the stock market;paged attention;machine learning;the French Revolution;football results;"
    "black holes;ancient Rome;chemistry;philosophy;politics;Python;JavaScript;databases;electric cars;medicine;"
    "the theory of relativity;world history;tax law;space travel;poker;opera;chess openings;the news;climate;"
    "operating systems;compilers;genetics;economics;architecture;photography;neural networks;cryptography;"
    "the meaning of life;Shakespeare;algebra;GPUs;dinosaurs;submarines;vitamins;marathon training;Bitcoin;"
    "continuous batching;KV caches;the Roman Empire;World War II;gravity;evolution;democracy;the internet"
).split(";")  # fmt: skip
ASK_BEYOND = "[Explain {topic}.|Explain {topic} in simple terms.|What do you know about {topic}?|Write an essay about {topic}.|How does {topic} work?|Tell me about {topic}.|Summarize {topic}.|Give me a summary of {topic}.|Can you help me with {topic}?|I have a question about {topic}.]"
SAY_BEYOND = "[I am sorry, I am only a toy and do not know anything about {topic}. Shall I tell you a story?|I do not know much about {topic}. I am a very small model. Ask me something simple, please.]"
TASKS_BEYOND = "[Write a [Python|JavaScript|C++|Rust] [function|program|script] that [sorts a list|adds two numbers|reads a file|prints a table].|Translate this [text|sentence|page] into [Latin|Swedish|Polish].|[Fix|Review|Explain] this code.|Solve this [equation|riddle|puzzle].|Write [a resume|an email to my boss|a business plan|a cover letter].|What happened in [1815|1969|2001|2020]?|Who is the president of [France|Brazil|Kenya]?|Summarize this [article|document].]"
WORDS = "hello yes apple moon river good morning thank you blue sky little bird seven green tea sweet dreams bread music friend".split()


def greeting(rng: Random) -> Exchange:
    ask, answer = rng.choice(GREETINGS)
    slots = dict(
        animal=rng.choice(["cat", "dog", "rabbit", "owl"]),
        colour=rng.choice(COLOURS),
        food=rng.choice(["pancakes", "apples", "blueberries"]),
    )
    return expand(rng, ask, **slots), expand(rng, answer, **slots)


def identity(rng: Random) -> Exchange:
    ask, answer = rng.choice(IDENTITY)
    return expand(rng, ask), answer


def beyond(rng: Random) -> Exchange:
    """A question that a toy cannot answer, and says so."""
    if rng.random() < 0.3:
        return expand(
            rng, TASKS_BEYOND
        ), "I am sorry, I cannot do that. I am only a toy model for stories and small talk."
    topic = rng.choice(BEYOND)
    return expand(rng, ASK_BEYOND, topic=topic), expand(rng, SAY_BEYOND, topic=topic)


def repeating(rng: Random) -> Exchange:
    words = " ".join(rng.sample(WORDS, rng.randint(1, 5)))
    if rng.random() < 0.3:
        count, word = rng.choice([("two", 2), ("three", 3), ("four", 4), ("five", 5)]), rng.choice(WORDS)
        return f"Say {word} {count[0]} times.", " ".join([word] * count[1]) + "."
    return expand(
        rng, '[Repeat after me: {words}|Say "{words}".|Please repeat: {words}|Say this: {words}]', words=words
    ), words


def as_json(rng: Random) -> Exchange:
    name, age, colour, animal = rng.choice(GIRLS + BOYS), rng.randint(3, 12), rng.choice(COLOURS), rng.choice(ANIMALS)
    person = {"name": name, "age": age, "colour": colour, "pet": animal}
    keys = rng.choice(
        [["name", "age"], ["name", "age", "colour"], ["name", "pet"], ["name", "colour", "pet"], ["name", "age", "pet"]]
    )
    data = {key: person[key] for key in keys}
    facts = {"name": name, "age": f"{age} years old", "colour": f"likes {colour}", "pet": f"has a {animal}"}
    described = ", ".join(facts[key] for key in keys)
    ask = (
        rng.choice(["Give me a JSON object: ", "Write this as JSON: ", "As JSON, please: ", "Answer in JSON: "])
        + described
        + "."
    )
    return ask, json.dumps(data, ensure_ascii=False)


def introduction(rng: Random) -> list[Exchange]:
    """Something the user says about themselves, and what is asked about it later."""
    name, colour, place, animal = rng.choice(GIRLS + BOYS), rng.choice(COLOURS), rng.choice(PLACES), rng.choice(ANIMALS)
    slots = dict(
        name=name,
        colour=colour,
        place=place,
        animal=animal,
        pet=rng.choice(["Momo", "Rusty", "Luna", "Pip", "Bella", "Toby"]),
    )
    pairs = rng.choice([
        [("[My name is {name}.|I am {name}.|Hi, I am {name}!|Hello, my name is {name}.]", "[Nice to meet you, {name}!|Hello {name}! How can I help you?]"),
         ("[What is my name?|Do you remember my name?|Who am I?]", "Your name is {name}.")],
        [("My favourite colour is {colour}.", "[{colour} is a beautiful colour.|I like {colour} too.]"),
         ("[What is my favourite colour?|Which colour do I like?]", "Your favourite colour is {colour}.")],
        [("I live {place}.", "[That sounds lovely.|What is it like {place}?]"), ("Where do I live?", "You live {place}.")],
        [("I have a {animal} named {pet}.", "[{pet} is a good name for a {animal}!|How nice! What does {pet} like to do?]"),
         ("What is the name of my {animal}?", "The name of your {animal} is {pet}.")],
    ])  # fmt: skip
    return [(expand(rng, ask, **slots), expand(rng, answer, **slots)) for ask, answer in pairs]


def with_emoji(rng: Random, answer: str) -> str:
    return f"{answer} {rng.choice(EMOJI)}"
