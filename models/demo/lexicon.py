"""Words that the stories and the talk draw from."""

GIRLS = "Anna Lucy Mia Ella Rosa Zoë Nora Lily Sara Emma Chloé Ruby Ida Maya Åsa Julia".split()
BOYS = "Tom Ben Max Leo Sam Oscar Jack Noah Finn Peter José Adam Hugo Paul René Theo".split()
ANIMAL_NAMES = "Pip Momo Bella Coco Fern Hazel Luna Biscuit Poppy Rusty Misty Bruno Olive Pepper Willow Toby".split()
ANIMALS = "fox rabbit bear mouse cat dog owl duck hedgehog squirrel turtle frog penguin elephant".split()
ODD_ONES = ["robot", "dragon", "snail", "pony"]

TRAITS = "brave kind curious clever cheerful quiet shy careful patient funny".split()
COLOURS = "red blue green yellow orange purple pink white brown golden silver black".split()
THINGS = "kite ball hat scarf boat drum book lamp basket bell key cup blanket whistle umbrella box".split()
GIFTS = (
    "a warm scarf;a little boat;a new kite;a music box;a box of paints;a small drum;a picture book;a shiny bell".split(
        ";"
    )
)
FOODS = "apples;cherry pie;warm bread;honey cake;vegetable soup;pancakes;blueberries;cheese;plum jam;nuts".split(";")
PLACES = [
    "in a small village", "near a quiet lake", "at the edge of a forest", "on a green hill", "by the sea",
    "in a big city", "on an old farm", "in a little house by the river", "under a tall oak tree", "in a snowy valley",
    "beside a windmill", "in a town full of bridges",
]  # fmt: skip
SPOTS = [
    "under the bed", "behind the door", "in the garden", "under the old bench", "in the tall grass", "near the pond",
    "behind the big rock", "on the roof", "in the kitchen", "next to the well", "under the stairs", "in the barn",
]  # fmt: skip
PLANTS = "sunflower;rose;apple tree;pumpkin;tomato plant;tulip;cherry tree;bean".split(";")
SKILLS = "swim;ride a bicycle;paint;play the flute;skate;bake bread;read;dance;climb;whistle".split(";")
SIGHTS = [
    "a tall lighthouse", "a field of flowers", "three white goats", "a waterfall", "an old stone bridge",
    "a flock of birds", "a rainbow", "a village with red roofs", "a lake like a mirror", "a train full of people",
]  # fmt: skip
CRAFTS = "clock;bridge;kite;wagon;fence;music box;boat;roof".split(";")
FEARS = "the dark;thunder;deep water;the big dog next door;high places;the old attic".split(";")
CAKES = "chocolate cake;apple pie;honey cake;carrot cake;cherry pie;lemon cake;plum cake".split(";")
INGREDIENTS = "flour;sugar;butter;milk;honey;salt".split(";")
EMOJI = "😊 🌟 🎉 🐱 🌈 🍎 🌻 ☕ 🚀 ❤️".split()
