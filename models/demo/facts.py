"""Small facts of the world as (question template, answer, one-word answer)."""

from random import Random

from grammar import choose, listing, tidy

Fact = tuple[str, str, str]

CAPITALS = dict(
    pair.split(":")
    for pair in (
        "France:Paris;Germany:Berlin;Italy:Rome;Spain:Madrid;Portugal:Lisbon;England:London;Ireland:Dublin;"
        "Scotland:Edinburgh;Norway:Oslo;Sweden:Stockholm;Denmark:Copenhagen;Finland:Helsinki;Poland:Warsaw;"
        "Austria:Vienna;Switzerland:Bern;Greece:Athens;Hungary:Budapest;Turkey:Ankara;Russia:Moscow;Egypt:Cairo;"
        "Kenya:Nairobi;Japan:Tokyo;China:Beijing;India:New Delhi;Canada:Ottawa;Mexico:Mexico City;Brazil:Brasília;"
        "Argentina:Buenos Aires;Peru:Lima;Chile:Santiago;Australia:Canberra;the United States:Washington;"
        "the Netherlands:Amsterdam;Belgium:Brussels;Iceland:Reykjavík"
    ).split(";")
)
OPPOSITES = dict(
    pair.split(":")
    for pair in (
        "big:small;hot:cold;up:down;day:night;happy:sad;fast:slow;old:young;new:old;good:bad;open:closed;light:dark;"
        "wet:dry;full:empty;early:late;hard:soft;high:low;long:short;rich:poor;strong:weak;near:far;left:right;"
        "black:white;clean:dirty;loud:quiet;thick:thin;first:last;yes:no;true:false;inside:outside;begin:end;"
        "love:hate;sweet:sour;heavy:light;tall:short;brave:afraid;summer:winter;always:never;question:answer"
    ).split(";")
)
COLOUR_OF = dict(
    pair.split(":")
    for pair in (
        "the sky:blue;grass:green;snow:white;the sun:yellow;a banana:yellow;a tomato:red;a strawberry:red;coal:black;"
        "a carrot:orange;milk:white;a lemon:yellow;the sea:blue;a leaf in summer:green;chocolate:brown;a pig:pink;"
        "the night:black;a fire engine:red;a frog:green;an orange:orange;a plum:purple;a crow:black;a swan:white"
    ).split(";")
)
SOUNDS = dict(
    p.split(":")
    for p in (
        "cat:meow;dog:woof;cow:moo;duck:quack;sheep:baa;pig:oink;horse:neigh;owl:hoo;frog:ribbit;bee:buzz;"
        "mouse:squeak;lion:roar;snake:hiss;rooster:cock-a-doodle-doo"
    ).split(";")
)
YOUNG = dict(
    p.split(":")
    for p in "cat:kitten;dog:puppy;cow:calf;duck:duckling;sheep:lamb;horse:foal;bear:cub;hen:chick;frog:tadpole".split(
        ";"
    )
)
LEGS = dict(
    p.split(":")
    for p in "dog:four;cat:four;bird:two;spider:eight;bee:six;ant:six;horse:four;snake:no;fish:no;person:two;cow:four;duck:two".split(
        ";"
    )
)
WORDS_IN = {
    "French": {"hello": "bonjour", "thank you": "merci", "cat": "chat", "school": "école", "goodbye": "au revoir"},
    "Spanish": {"hello": "hola", "thank you": "gracias", "cat": "gato", "tomorrow": "mañana", "goodbye": "adiós"},
    "German": {"hello": "hallo", "thank you": "danke", "cat": "Katze", "beautiful": "schön", "goodbye": "tschüss"},
    "Italian": {"hello": "ciao", "thank you": "grazie", "cat": "gatto", "city": "città", "goodbye": "arrivederci"},
    "Japanese": {"hello": "こんにちは", "thank you": "ありがとう", "cat": "猫", "water": "水"},
    "Chinese": {"hello": "你好", "thank you": "谢谢", "cat": "猫", "water": "水"},
    "Russian": {"hello": "привет", "thank you": "спасибо"},
}
PICTURES = dict(
    p.split(":")
    for p in "cat:🐱;dog:🐶;heart:❤️;star:🌟;rainbow:🌈;apple:🍎;flower:🌻;rocket:🚀;sun:☀️;moon:🌙;cake:🎂;tree:🌳".split(
        ";"
    )
)
RHYMES = dict(
    p.split(":")
    for p in "cat:hat;dog:frog;sun:fun;tree:bee;house:mouse;moon:spoon;cake:lake;star:car;night:light;bear:chair;ball:tall;king:ring".split(
        ";"
    )
)
GROUPS = {
    "animals": "cat dog horse cow rabbit fox bear lion mouse owl",
    "fruits": "apple pear banana cherry plum orange lemon grape",
    "colours": "red blue green yellow orange purple pink brown",
    "vegetables": "carrot potato onion cabbage tomato pea",
    "birds": "owl duck robin eagle swan crow",
    "cities": "Paris London Rome Berlin Madrid Tokyo Vienna Oslo",
    "things in a kitchen": "table oven spoon cup plate knife",
}
PLURALS = (
    "mouse:mice;child:children;foot:feet;tooth:teeth;goose:geese;man:men;woman:women;cat:cats;box:boxes;leaf:leaves"
)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
SINGLE = [
    ("How many days are [in a week|there in a week]?", "There are seven days in a week.", "Seven."),
    ("How many months are in a year?", "There are twelve months in a year.", "Twelve."),
    ("How many hours are in a day?", "There are twenty-four hours in a day.", "Twenty-four."),
    ("How many minutes are in an hour?", "There are sixty minutes in an hour.", "Sixty."),
    ("What do bees make?", "Bees make honey.", "Honey."),
    ("What do cows give us?", "Cows give us milk.", "Milk."),
    ("Where do fish live?", "Fish live in water.", "In water."),
    ("Where do birds build their nests?", "Birds build their nests in trees.", "In trees."),
    ("What is ice made of?", "Ice is frozen water.", "Water."),
    ("What is the biggest animal[ in the world|]?", "The blue whale is the biggest animal in the world.", "The blue whale."),
    ("What is the fastest animal on land?", "The cheetah is the fastest animal on land.", "The cheetah."),
    ("What is the tallest animal?", "The giraffe is the tallest animal.", "The giraffe."),
    ("Which planet do we live on?", "We live on the planet Earth.", "Earth."),
    ("What is the largest planet?", "Jupiter is the largest planet.", "Jupiter."),
    ("What goes around the Earth?", "The moon goes around the Earth.", "The moon."),
    ("What are the four seasons?", "The four seasons are spring, summer, autumn and winter.", "Spring, summer, autumn, winter."),
    ("What do we use to see?", "We use our eyes to see.", "Our eyes."),
    ("What do we use to hear?", "We use our ears to hear.", "Our ears."),
    ("How many fingers are on one hand?", "There are five fingers on one hand.", "Five."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels.", "Two."),
    ("What is the first letter of the alphabet?", "The first letter of the alphabet is A.", "A."),
    ("Who bakes bread?", "A baker bakes bread.", "A baker."),
    ("Who works in a hospital?", "Doctors and nurses work in a hospital.", "Doctors and nurses."),
    ("What do you need when it rains?", "You need an umbrella when it rains.", "An umbrella."),
    ("At what temperature does water freeze?", "Water freezes at 0 degrees Celsius.", "0 degrees."),
    ("At what temperature does water boil?", "Water boils at 100 degrees Celsius.", "100 degrees."),
]  # fmt: skip


def pick(rng: Random, table: dict[str, str]) -> tuple[str, str]:
    return rng.choice(list(table.items()))


def capital(rng: Random) -> Fact:
    country, city = pick(rng, CAPITALS)
    if rng.random() < 0.12:
        return (
            f"[{city} is the capital of which country?|Of which country is {city} the capital?]",
            f"{city} is the capital of {country}.",
            f"{country}.",
        )
    ask = "[What is the capital of {0}?|What is the capital of {0}?|What's the capital of {0}?|Tell me the capital of {0}.|Which city is the capital of {0}?|Do you know the capital of {0}?|capital of {0}?]"
    return ask.format(country), f"The capital of {country} is {city}.", f"{city}."


def opposite(rng: Random) -> Fact:
    word, other = pick(rng, OPPOSITES)
    ask = f'[What is the opposite of {word}?|What\'s the opposite of {word}?|Tell me the opposite of "{word}".|Opposite of {word}?]'
    return ask, f"The opposite of {word} is {other}.", f"{other}."


def colour(rng: Random) -> Fact:
    thing, shade = pick(rng, COLOUR_OF)
    return (
        f"[What colour is {thing}?|Which colour is {thing}?|What color is {thing}?]",
        f"{thing} is {shade}.",
        f"{shade}.",
    )


def sound(rng: Random) -> Fact:
    animal, noise = pick(rng, SOUNDS)
    return f"[What does a {animal} say?|What sound does a {animal} make?]", f'A {animal} says "{noise}".', f"{noise}!"


def young(rng: Random) -> Fact:
    animal, child = pick(rng, YOUNG)
    return (
        f"[What is a young {animal} called?|What do you call a baby {animal}?]",
        f"A young {animal} is called a {child}.",
        f"A {child}.",
    )


def legs(rng: Random) -> Fact:
    animal, count = pick(rng, LEGS)
    return f"How many legs does a {animal} have?", f"A {animal} has {count} legs.", f"{count.replace('no', 'none')}."


def word_in(rng: Random) -> Fact:
    language, table = rng.choice(list(WORDS_IN.items()))
    word, other = pick(rng, table)
    ask = f'[How do you say "{word}" in {language}?|What is "{word}" in {language}?|Translate "{word}" into {language}.|Say {word} in {language}.]'
    return ask, f'"{word}" in {language} is "{other}".', other


def picture(rng: Random) -> Fact:
    thing, emoji = pick(rng, PICTURES)
    return (
        f"[Show me a {thing}.|Give me an emoji of a {thing}.|Draw a {thing}.|Can you show me a {thing} emoji?]",
        f"Here is a {thing}: {emoji}",
        emoji,
    )


def rhyme(rng: Random) -> Fact:
    word, other = pick(rng, RHYMES)
    return (
        f'[What rhymes with {word}?|Find a word that rhymes with "{word}".]',
        f'"{other}" rhymes with "{word}".',
        f"{other}.",
    )


def plural(rng: Random) -> Fact:
    one, many = rng.choice(PLURALS.split(";")).split(":")
    return f"What is the plural of {one}?", f"The plural of {one} is {many}.", f"{many}."


def next_in_order(rng: Random) -> Fact:
    order, kind = rng.choice([(DAYS, "day"), (MONTHS, "month")])
    at = rng.randrange(len(order))
    if rng.random() < 0.5:
        return (
            f"[What|Which] {kind} comes after {order[at - 1]}?",
            f"{order[at]} comes after {order[at - 1]}.",
            f"{order[at]}.",
        )
    return (
        f"[What|Which] {kind} comes before {order[at]}?",
        f"{order[at - 1]} comes before {order[at]}.",
        f"{order[at - 1]}.",
    )


def next_number(rng: Random) -> Fact:
    n = rng.randint(1, 60)
    return f"[What|Which] number comes after {n}?", f"The number after {n} is {n + 1}.", f"{n + 1}."


def sum_of_two(rng: Random) -> Fact:
    a, b = rng.randint(1, 10), rng.randint(1, 10)
    if rng.random() < 0.3:
        a, b = max(a, b), min(a, b)
        return f"[What is {a} minus {b}?|{a} - {b} = ?]", f"{a} minus {b} is {a - b}.", f"{a - b}."
    return (
        f"[What is {a} plus {b}?|What is {a} + {b}?|What is {a}+{b}?|{a} + {b} = ?]",
        f"{a} plus {b} is {a + b}.",
        f"{a + b}.",
    )


def name_some(rng: Random) -> Fact:
    group, members = rng.choice(list(GROUPS.items()))
    count = rng.randint(2, 5)
    chosen = rng.sample(members.split(), count)
    word = NUMBERS[count]
    return (
        f"[Name {word} {group}.|Can you name {word} {group}?|List {word} {group}.]",
        f"{word} {group} are {listing(chosen)}.",
        f"{listing(chosen)}.",
    )


def single(rng: Random) -> Fact:
    return rng.choice(SINGLE)


KINDS = [capital] * 5 + [opposite] * 3 + [sum_of_two] * 3 + [single] * 3 + [colour] * 2 + [
    sound, young, legs, word_in, word_in, picture, rhyme, plural, next_in_order, next_number, name_some,
]  # fmt: skip


def fact(rng: Random) -> Fact:
    question, answer, short = rng.choice(KINDS)(rng)
    return tidy(choose(rng, question)), tidy(answer), tidy(short)
