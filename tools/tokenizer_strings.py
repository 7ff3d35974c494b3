"""Seeded random and adversarial strings for tokenizers: one generator per kind of trouble, mixed.

Only code points that Unicode 14 assigned: about later ones the libraries of both sides know different things.
"""

import random
import unicodedata

from golden_corpus import CODE, PROSE

assert unicodedata.unidata_version == "14.0.0", "Python 3.11 has the character database that the strings are made for"

# First and last code point of stretches that hold letters, digits, marks or signs of one script.
SCRIPTS = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x180, 0x24F), (0x250, 0x2FF), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF),
    (0x600, 0x6FF), (0x700, 0x7FF), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xB7F), (0xB80, 0xDFF), (0xE00, 0xEFF), (0xF00, 0xFFF),
    (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x16FF), (0x1780, 0x17FF), (0x1800, 0x18AF),
    (0x1D00, 0x1DBF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x23FF), (0x2460, 0x27BF), (0x2C00, 0x2DFF),
    (0x2E80, 0x2FDF), (0x3000, 0x30FF), (0x3100, 0x33FF), (0x4E00, 0x9FA5), (0xA000, 0xA4CF), (0xA640, 0xABFF), (0xAC00, 0xD7FB),
    (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFE6F), (0xFF00, 0xFFFD), (0x10000, 0x105BF), (0x10800, 0x10FFF),
    (0x11000, 0x11FFF), (0x12000, 0x1254F), (0x1D000, 0x1D7FF), (0x1E000, 0x1E95F), (0x1EC70, 0x1F1FF), (0x1F300, 0x1FAFF),
    (0x20000, 0x2A6DF), (0x2F800, 0x2FA1D), (0xE0001, 0xE01EF), (0xF0000, 0xF00FF),
]  # fmt: skip
WHITE_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
LIKE_WHITE_SPACE = "\u180e\u200b\u200c\u200d\u2060\ufeff\x1c\x1f\xad"
QUOTES = "'\u2019\u02bc`\u00b4"
ENDINGS = ["s", "t", "re", "ve", "m", "ll", "d", "S", "LL", "Re", "\u017f", "sx", "l", "r"]
STAND_INS = ["\u2581", "\u0120", "\u010a", "\u0100", "\u0143", "\u0144", "<0x41>", "<0x0A>", "<0xE4>", "<0xFF>", "<0x0a>", "<0x", "\ufffd"]


def is_assigned(character):
    return unicodedata.category(character) not in ("Cn", "Cs")


def assigned(first, last):
    return [chr(point) for point in range(first, last + 1) if is_assigned(chr(point))]


BLOCKS = [assigned(first, last) for first, last in SCRIPTS]
MARKS = [character for block in BLOCKS for character in block if unicodedata.category(character)[0] == "M"]
DIGITS = [character for block in BLOCKS for character in block if unicodedata.category(character)[0] == "N"]
COMPOSITES = [character for block in BLOCKS for character in block if unicodedata.decomposition(character)]
EMOJI = [character for character in assigned(0x1F300, 0x1FAFF) + assigned(0x2600, 0x27BF) if unicodedata.category(character) == "So"]
TEXT = PROSE + "\n" + CODE


class Strings:
    """Draws strings. `specials` are texts of added tokens; `corpus` is running text to cut slices from."""

    def __init__(self, seed, specials, corpus=TEXT, longest=80):
        self.random = random.Random(seed)
        self.specials = sorted(specials)
        self.corpus = corpus
        self.longest = longest
        self.kinds = [
            (self.slice, 4), (self.words, 4), (self.script, 4), (self.marks, 3), (self.emoji, 3), (self.spaces, 4), (self.digits, 3),
            (self.contractions, 2), (self.near_special, 5), (self.broken_bytes, 2), (self.any_points, 2), (self.stand_ins, 2),
            (self.controls, 1), (self.repeated, 2), (self.punctuation, 3), (self.mixture, 10),
        ]  # fmt: skip

    def draw(self):
        return self.pick_kind()()[: self.longest]

    def pick_kind(self):
        kinds, weights = zip(*self.kinds)
        return self.random.choices(kinds, weights)[0]

    def some(self, alphabet, least=1, most=12):
        return "".join(self.random.choices(alphabet, k=self.random.randint(least, most)))

    def slice(self):
        start = self.random.randrange(len(self.corpus))
        return "".join(filter(is_assigned, self.corpus[start : start + self.random.randint(1, self.longest)]))

    def words(self):
        letters = self.random.choice(["abcdefghij", "etaoinshrdlu", "ABCdef", "xyzXYZ_", "\u00e4\u00f6\u00fc\u00dfab", "\u0431\u044b\u0441\u0442\u0440"])
        gaps = self.random.choice([" ", "  ", "\n", ", ", "-", "_", "\u00a0", " \u2581"])
        return gaps.join(self.some(letters) for _ in range(self.random.randint(1, 8)))

    def script(self):
        block = self.random.choice(BLOCKS)
        return " ".join(self.some(block, 1, 10) for _ in range(self.random.randint(1, 4)))

    def marks(self):
        bases = self.random.choice(["aeiou", "q ", "\u0915\u0938", "\u1100\u1161\u11a8\uac00", "".join(COMPOSITES[:400]), "".join(COMPOSITES)])
        return "".join(self.random.choice(bases) + self.some(MARKS, 0, 4) for _ in range(self.random.randint(1, 8)))

    def emoji(self):
        parts = []
        for _ in range(self.random.randint(1, 6)):
            parts.append(self.random.choice(EMOJI))
            parts.append(self.random.choice(["", "", "\ufe0f", "\ufe0e", "\u200d", chr(0x1F3FB + self.random.randrange(5)), " "]))
        parts.append(self.random.choice(["", "1\ufe0f\u20e3", "\U0001f1e9\U0001f1ea", "\U0001f3f4\U000e0067\U000e007f"]))
        return "".join(parts)

    def spaces(self):
        parts = []
        for _ in range(self.random.randint(1, 5)):
            parts.append(self.random.choice(WHITE_SPACE) * self.random.randint(1, 9) if self.random.random() < 0.5 else self.some(WHITE_SPACE, 1, 5))
            parts.append(self.random.choice(["", "a", "word", "1", ".", self.random.choice(LIKE_WHITE_SPACE), "\u4e2d"]))
        return "".join(parts)

    def digits(self):
        separators = ["", ".", ",", " ", "e", "x", "\u00bd", "-"]
        return "".join(
            self.some(self.random.choice(["0123456789", DIGITS]), 1, 9) + self.random.choice(separators) for _ in range(self.random.randint(1, 5))
        )

    def contractions(self):
        return " ".join(
            self.some("abIYou", 0, 4) + self.random.choice(QUOTES) * self.random.randint(1, 2) + self.random.choice(ENDINGS)
            for _ in range(self.random.randint(1, 5))
        )

    def near_special(self):
        parts = []
        for _ in range(self.random.randint(1, 4) if self.specials else 0):
            special = self.random.choice(self.specials)
            at = self.random.randrange(len(special))
            parts.append(
                self.random.choice(
                    [special, special, special * 2, special[:at], special[at:], special.upper(), special[:at] + " " + special[at:],
                     special[:at] + special[at + 1 :], special + "\u0301", " " + special + " ", "\n" + special]
                )
            )  # fmt: skip
            parts.append(self.random.choice(["", "", " ", "  ", "a", "\n", "\u2581", "1"]))
        return "".join(parts)

    def broken_bytes(self):
        data = bytearray("".join((self.words(), self.emoji(), self.script())).encode())
        for _ in range(self.random.randint(1, 6)):
            data[self.random.randrange(len(data))] = self.random.randrange(256)
        return "".join(filter(is_assigned, bytes(data).decode("utf-8", "replace")))

    def any_points(self):
        tops = (0x80, 0x800, 0x3000, 0x10000, 0x110000)
        points = (chr(self.random.randrange(self.random.choice(tops))) for _ in range(24))
        return "".join(filter(is_assigned, points))

    def stand_ins(self):
        return "".join(self.random.choice(STAND_INS) + self.random.choice(["", " ", "a", "A"]) for _ in range(self.random.randint(1, 8)))

    def controls(self):
        return self.some([chr(point) for point in (*range(0x20), *range(0x7F, 0xA0))] + ["a", " "], 1, 16)

    def repeated(self):
        unit = self.random.choice(["a", " ", "\n", "0", "-", "=", "\u2581", "ab", "\u00e9", "\U0001f600", "\u0301", "'", ". ", "\r\n", "\t"])
        return self.random.choice(["", "x", " "]) + unit * self.random.randint(8, self.longest) + self.random.choice(["", "x", "\n"])

    def punctuation(self):
        return "".join(
            self.some(self.random.choice([".,;:!?", "(){}[]<>", "-=+*/&|", "\u2026\u2014\u3002\u300c\u00ab", "\"'`", "$\u20ac\u00a7#@_"]), 1, 4)
            + self.random.choice(["", " ", "\n", "a", "\n\n", "  "])
            for _ in range(self.random.randint(1, 8))
        )

    def mixture(self):
        return "".join(self.pick_kind()()[: self.random.randint(1, 24)] for _ in range(self.random.randint(2, 5)))


def distinct_strings(count, **options):
    """`count` different strings; the first is empty."""
    strings = Strings(**options)
    found = {"": None}
    while len(found) < count:
        found[strings.draw()] = None
    return list(found)
