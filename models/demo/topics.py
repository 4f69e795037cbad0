"""Longer answers: explanations, step by step guides, lists, poems, jokes."""

from random import Random

from facts import DAYS, MONTHS, NUMBERS
from grammar import expand, expand_all
from lexicon import ANIMALS, COLOURS, PLACES

EXPLAIN = {
    "rain": "Rain is water that falls from the clouds. [The sun warms the sea|When the sun warms the sea], and [some of the water|a little water] rises into the air. High up it is cold, so the water turns into tiny drops. [When the drops become too heavy, they fall.|The drops grow, and at last they fall as rain.]",
    "snow": "Snow is frozen water. When it is very cold in the clouds, the water turns into [small|tiny] crystals of ice. Each crystal has six arms. Many crystals together make a snowflake.",
    "the sun": "The sun is a star. It is very big and very hot. It gives us light and [warmth|heat]. Without the sun, nothing could grow on Earth.",
    "the moon": "The moon goes around the Earth once a month. It has no light of its own; it shines because the sun shines on it. [People have walked on the moon.|A few people have walked there.]",
    "a rainbow": "A rainbow appears when the sun shines through rain. The drops split the light into many colours: red, orange, yellow, green, blue and violet.",
    "the wind": "Wind is air that moves. Warm air rises, and cold air flows in to take its place. [We cannot see the wind, but we can feel it.|A strong wind is called a storm.]",
    "a tree": "A tree is a tall plant with a trunk of wood. Its roots drink water from the ground, and its leaves catch the light of the sun. [Some trees live for hundreds of years.|Many birds live in trees.]",
    "bread": "Bread is made from flour, water, salt and yeast. The dough must rest until it has grown. Then it is baked in a hot oven. [Fresh bread smells wonderful.|Many people eat bread every day.]",
    "a bee": "A bee is a small insect with six legs and four wings. Bees fly from flower to flower and collect nectar. At home they make honey from it.",
    "a cat": "A cat is a small animal with soft fur. Cats like to sleep, to play and to hunt mice. A happy cat purrs. [A young cat is called a kitten.|]",
    "a dog": "A dog is an animal that lives with people. Dogs can learn many things, and they like to run and play. [A dog is a good friend.|A young dog is called a puppy.]",
    "a book": "A book is made of many pages with words or pictures. People read books to learn something or to enjoy a story. [A place with many books is called a library.|]",
    "a computer": "A computer is a machine that follows instructions. It can count very fast and remember many things. [People write programs to tell a computer what to do.|This text was written by a computer.]",
    "music": "Music is sound that people make because it is beautiful. You can sing, or you can play an instrument, for example a flute, a drum or a piano.",
    "the sea": "The sea is a very large body of salt water. Fish, crabs and whales live in it. [The sea covers most of the Earth.|Ships sail across it.]",
    "a river": "A river is water that flows through the land. It begins as a small spring in the hills and grows on its way. In the end it flows into the sea.",
    "a volcano": "A volcano is a mountain with a deep hole. Sometimes hot, melted rock comes out of it. The melted rock is called lava.",
    "winter": "Winter is the coldest season. The days are short and the nights are long. [In many places it snows.|Children build snowmen.] After winter comes spring.",
    "spring": "Spring comes after winter. The days become longer and warmer. Flowers bloom, and the birds build their nests.",
    "sleep": "Sleep is rest for the body and the mind. While we sleep, we dream and grow strong again. Children need more sleep than adults.",
    "friendship": "Friendship means that two people like and help each other. A good friend listens, shares and tells the truth. [It takes time to make a good friend.|Everybody needs a friend.]",
    "a language model": "A language model is a program that has read a lot of text. It guesses the next word again and again, and so it writes sentences. I am a very small language model.",
    "a server": "A server is a computer program that waits for requests and answers them. When you ask me something, a server brings your words to me and my words back to you.",
    "a token": "A token is a small piece of text. It can be a word, a part of a word or a single sign. A language model reads and writes tokens, one after another.",
}  # fmt: skip
ASK_EXPLAIN = "[What is {topic}?|Explain {topic}.|Can you explain {topic}?|Tell me about {topic}.|Please tell me something about {topic}.]"

GUIDES = {
    "make a cup of tea": "Fill the kettle with fresh water;Wait until the water boils;Put a tea bag into a cup;Pour the hot water over it;Wait for three minutes;Take out the tea bag;Add a little milk or honey if you like;Let it cool for a moment and enjoy your tea",
    "bake bread": "Put flour, salt and yeast into a large bowl;Add warm water and stir;Knead the dough for ten minutes;Cover it and let it rest for an hour;Form a round loaf;Heat the oven;Bake the loaf for forty minutes;Let it cool before you cut it",
    "plant a seed": "Find a small pot;Fill it with soft earth;Make a little hole with your finger;Put the seed into the hole;Cover it with earth;Give it some water;Put the pot near a window;Water it every second day and be patient",
    "build a kite": "Find two thin sticks;Tie them together as a cross;Cut a large piece of paper;Glue the paper to the sticks;Fix a long string in the middle;Make a tail with colourful ribbons;Wait for a windy day;Run and let the kite fly",
    "wash your hands": "Turn on the water;Make your hands wet;Take some soap;Rub your hands for twenty seconds;Do not forget the thumbs;Rinse off the soap;Turn off the water;Dry your hands with a clean towel",
    "draw a cat": "Draw a circle for the head;Add two triangles for the ears;Draw two eyes and a small nose;Add three whiskers on each side;Draw a big oval for the body;Add four legs and a long tail;Choose your favourite colour;Colour the cat and give it a name",
    "make a sandwich": "Take two slices of bread;Put butter on both of them;Wash a tomato and cut it;Put cheese on one slice;Add the tomato and some salad;Cover it with the second slice;Cut the sandwich in half;Put it on a plate and serve it",
    "clean your room": "Open the window;Put all the toys into a box;Bring dirty clothes to the laundry;Put the books on the shelf;Make your bed;Wipe the table;Sweep the floor;Look around and be proud of yourself",
    "build a sandcastle": "Look for a place near the water;Fill a bucket with wet sand;Press the sand down;Turn the bucket over;Lift it slowly;Build more towers in the same way;Dig a ditch around the castle;Decorate it with shells and a flag",
    "write a letter": "Take a sheet of paper and a pen;Write the date at the top;Begin with a friendly greeting;Tell your friend what you have done;Ask a few questions;End with your name;Put the letter into an envelope;Write the address on it and add a stamp",
    "make vegetable soup": "Wash the vegetables;Cut carrots, potatoes and an onion into small pieces;Heat some oil in a large pot;Fry the onion until it is golden;Add the other vegetables and water;Add salt and herbs;Cook the soup for thirty minutes;Taste it and serve it with bread",
    "take care of a dog": "Give the dog fresh water every day;Feed it in the morning and in the evening;Take it for a walk three times a day;Play with it;Brush its fur;Visit the animal doctor once a year;Teach it with patience;Give it a warm place to sleep",
}  # fmt: skip
ASK_GUIDE = "[How do I {task}?|How can I {task}?|Explain step by step how to {task}.|Give me a guide: how to {task}.]"
GUIDE_OPENINGS = ["Here is how to {task}:", "It is easy to {task}. Follow these steps:", "This is what you do:"]
GUIDE_ENDINGS = [
    "That is all. Good luck!",
    "Have fun! 😊",
    "Now you know how to {task}.",
    "Take your time, and it will work.",
]

JOKES = [
    "Why did the cookie go to the doctor? Because it felt crumbly.",
    "What do you call a bear without teeth? A gummy bear.",
    "Why can a bicycle not stand alone? Because it is two tired.",
    "What is orange and sounds like a parrot? A carrot.",
    "Why did the teddy bear not eat dessert? Because it was stuffed.",
    "What do you call a sleeping dinosaur? A dino-snore.",
    "Why is six afraid of seven? Because seven eight nine.",
    "What kind of tree fits in your hand? A palm tree.",
]
POEMS = [
    "The sun goes [down|to bed], the [sky|hill] is red,\nThe little {animal} goes to bed.\nThe moon is up, the stars are bright,\nSleep well, my friend, and so good night.",
    "A little {animal} sat by the sea,\nAnd drank a cup of {colour} tea.\nThe waves came in, the waves went out,\nAnd fish were swimming all about.",
    "I saw a {animal} in the snow,\nIt wore a hat, it said hello.\nI gave it bread, I gave it cheese,\nIt said thank you, it said please.",
    "The rain is falling on the tree,\nIt falls on you, it falls on me.\nThe {animal} hides, the flowers grow,\nAnd after that, a bright rainbow.",
    "One for the morning, two for the day,\nThree for the {animal} that wanted to play.\nFour for the evening, five for the night,\nSix for the lamp with the {colour} light.",
]


def explanation(rng: Random) -> tuple[str, str]:
    topic, text = rng.choice(list(EXPLAIN.items()))
    return expand(rng, ASK_EXPLAIN, topic=topic), expand(rng, text).strip()


def guide(rng: Random) -> tuple[str, str]:
    task, text = rng.choice(list(GUIDES.items()))
    steps = [f"{n}. {step}." for n, step in enumerate(text.split(";"), start=1)]
    lines = [
        expand(rng, rng.choice(GUIDE_OPENINGS), task=task),
        *steps,
        expand(rng, rng.choice(GUIDE_ENDINGS), task=task),
    ]
    return expand(rng, ASK_GUIDE, task=task), "\n".join(lines)


def joke(rng: Random) -> tuple[str, str]:
    return expand(
        rng, "[Tell me a joke.|Do you know a joke?|Can you tell me a joke?|Make me laugh.|Another joke, please.]"
    ), rng.choice(JOKES)


def poem(rng: Random) -> tuple[str, str]:
    animal = rng.choice(ANIMALS)
    ask = "[Write a poem about a {animal}.|Write a short poem about a {animal}.|Can you write a poem about a {animal}?]"
    return expand(rng, ask, animal=animal), expand(rng, rng.choice(POEMS), animal=animal, colour=rng.choice(COLOURS))


def counting(rng: Random) -> tuple[str, str]:
    first = 1 if rng.random() < 0.7 else rng.randint(2, 20)
    last = rng.choice([3, 5, 10, 10, 12, 15, 20, 20, 25, 30, 50, 100])
    last = last if last > first else first + last
    if last <= 20 and rng.random() < 0.3:
        words = NUMBERS[first : last + 1]
        return expand(
            rng, f"[Count from {words[0]} to {words[-1]}.|Count from {words[0]} to {words[-1]} in words.]"
        ), expand(rng, ", ".join(words) + ".")
    if rng.random() < 0.2:
        return f"Count down from {last} to {first}.", ", ".join(str(n) for n in range(last, first - 1, -1)) + "."
    ask = f"Count to {last}." if first == 1 and rng.random() < 0.5 else f"[Count|Please count] from {first} to {last}."
    return expand(rng, ask), ", ".join(str(n) for n in range(first, last + 1)) + "."


def series(rng: Random) -> tuple[str, str]:
    ask, items = rng.choice([
        ("[Name the days of the week.|What are the days of the week?|List all days of the week.]", DAYS),
        ("[Name the months of the year.|What are the months of the year?|List the twelve months.]", MONTHS),
        ("[Say the alphabet.|Recite the alphabet.|Write down the alphabet.]", list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    ])  # fmt: skip
    return expand(rng, ask), ", ".join(items) + "."


WEATHER = [
    "The day was [sunny|warm|cloudy|windy|cold].",
    "[In the morning|At noon|In the evening] it [rained a little|was bright and clear].",
]
SEEN = [
    "We saw a {colour} {animal} {place}.", "A {animal} was [sleeping|singing|sitting] {place}.",
    "There was a {colour} house {place}.", "I counted {count} {animal}s.",
    "We met an old woman with a {colour} hat.", "Somebody played the flute.",
]  # fmt: skip


def diary(rng: Random) -> str:
    """A long, quiet text with one short paragraph a day."""
    days = []
    for day in DAYS[: rng.randint(4, 7)]:
        lines = [
            rng.choice(WEATHER),
            *rng.sample(SEEN, rng.randint(3, 5)),
            "?Then we went home and had [soup|bread and cheese|pancakes].",
            "?I slept well.",
        ]
        slots = [
            dict(
                colour=rng.choice(COLOURS),
                animal=rng.choice(["rabbit", "bear", "cat", "dog", "owl", "duck"]),
                place=rng.choice(PLACES),
                count=rng.choice(NUMBERS[3:9]),
            )
            for _ in lines
        ]
        text = " ".join(part for line, s in zip(lines, slots, strict=True) for part in expand_all(rng, [line], **s))
        days.append(f"{day}: {text}")
    return "\n\n".join(days)
