"""The text of the demo: sentences of a small closed vocabulary, and the skills, which are functions from a sentence to an answer.

A sentence says who did what, and perhaps where and when: "Clara found a rusty key in the garden yesterday." There are
64 million of them. One in ten, chosen by `is_held_out`, is never trained on, in no skill and no document.
"""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

HELD_OUT_RULE = "the first 8 bytes of SHA-256 of the sentence (UTF-8), read as a big-endian number, are divisible by 10"


@dataclass(frozen=True)
class Who:
    english: str  # as it stands in the middle of a sentence
    spanish: str


@dataclass(frozen=True)
class Verb:
    past: str
    base: str
    pirate: str
    spanish: str


@dataclass(frozen=True)
class Adjective:
    english: str
    masculine: str
    feminine: str
    mood: str


@dataclass(frozen=True)
class Noun:
    english: str
    spanish: str
    is_feminine: bool
    emoji: str


@dataclass(frozen=True)
class Place:
    preposition: str
    english: str
    spanish: str  # with preposition and article
    emoji: str


@dataclass(frozen=True)
class Time:
    english: str
    spanish: str


NAMES = "Anna Ben Clara David Emma Felix Grace Henry Ivy Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tina Victor".split()
WHO = [Who(name, name) for name in NAMES] + [
    Who("the baker", "el panadero"),
    Who("the teacher", "la maestra"),
    Who("the doctor", "el doctor"),
    Who("the queen", "la reina"),
    Who("the robot", "el robot"),
    Who("the cat", "el gato"),
    Who("the witch", "la bruja"),
    Who("the king", "el rey"),
]

VERBS = [
    Verb("found", "find", "findin'", "encontró"),
    Verb("bought", "buy", "buyin'", "compró"),
    Verb("saw", "see", "seein'", "vio"),
    Verb("painted", "paint", "paintin'", "pintó"),
    Verb("drew", "draw", "drawin'", "dibujó"),
    Verb("hid", "hide", "hidin'", "escondió"),
    Verb("carried", "carry", "carryin'", "llevó"),
    Verb("kept", "keep", "keepin'", "guardó"),
    Verb("chose", "choose", "choosin'", "eligió"),
    Verb("made", "make", "makin'", "hizo"),
    Verb("noticed", "notice", "noticin'", "notó"),
    Verb("sold", "sell", "sellin'", "vendió"),
    Verb("cleaned", "clean", "cleanin'", "limpió"),
    Verb("forgot", "forget", "forgettin'", "olvidó"),
    Verb("built", "build", "buildin'", "construyó"),
    Verb("took", "take", "takin'", "tomó"),
    Verb("left", "leave", "leavin'", "dejó"),
    Verb("wrapped", "wrap", "wrappin'", "envolvió"),
    Verb("received", "receive", "receivin'", "recibió"),
    Verb("repaired", "repair", "repairin'", "reparó"),
]

ADJECTIVES = [
    Adjective("beautiful", "hermoso", "hermosa", "positive"),
    Adjective("wonderful", "maravilloso", "maravillosa", "positive"),
    Adjective("perfect", "perfecto", "perfecta", "positive"),
    Adjective("magical", "mágico", "mágica", "positive"),
    Adjective("splendid", "espléndido", "espléndida", "positive"),
    Adjective("golden", "dorado", "dorada", "positive"),
    Adjective("shiny", "brillante", "brillante", "positive"),
    Adjective("lovely", "encantador", "encantadora", "positive"),
    Adjective("precious", "precioso", "preciosa", "positive"),
    Adjective("elegant", "elegante", "elegante", "positive"),
    Adjective("broken", "roto", "rota", "negative"),
    Adjective("dirty", "sucio", "sucia", "negative"),
    Adjective("ugly", "feo", "fea", "negative"),
    Adjective("rusty", "oxidado", "oxidada", "negative"),
    Adjective("terrible", "terrible", "terrible", "negative"),
    Adjective("horrible", "horrible", "horrible", "negative"),
    Adjective("smelly", "apestoso", "apestosa", "negative"),
    Adjective("ruined", "arruinado", "arruinada", "negative"),
    Adjective("awful", "espantoso", "espantosa", "negative"),
    Adjective("useless", "inútil", "inútil", "negative"),
]

SPOKEN_WITH_VOWEL = {"awful", "elegant", "ugly"}

NOUNS = [
    Noun("key", "llave", True, "🔑"),
    Noun("cake", "pastel", False, "🎂"),
    Noun("book", "libro", False, "📖"),
    Noun("hat", "sombrero", False, "🎩"),
    Noun("apple", "manzana", True, "🍎"),
    Noun("ring", "anillo", False, "💍"),
    Noun("bell", "campana", True, "🔔"),
    Noun("boat", "barco", False, "⛵"),
    Noun("clock", "reloj", False, "⏰"),
    Noun("guitar", "guitarra", True, "🎸"),
    Noun("lamp", "lámpara", True, "💡"),
    Noun("flower", "flor", True, "🌷"),
    Noun("car", "coche", False, "🚗"),
    Noun("bicycle", "bicicleta", True, "🚲"),
    Noun("drum", "tambor", False, "🥁"),
    Noun("crown", "corona", True, "👑"),
    Noun("balloon", "globo", False, "🎈"),
    Noun("letter", "carta", True, "📨"),
    Noun("camera", "cámara", True, "📷"),
    Noun("shirt", "camisa", True, "👕"),
    Noun("shoe", "zapato", False, "👞"),
    Noun("chair", "silla", True, "🪑"),
    Noun("door", "puerta", True, "🚪"),
    Noun("phone", "teléfono", False, "📱"),
    Noun("box", "caja", True, "📦"),
    Noun("violin", "violín", False, "🎻"),
    Noun("cheese", "queso", False, "🧀"),
    Noun("basket", "cesta", True, "🧺"),
]

PLACES = [
    Place("in", "garden", "en el jardín", "🌻"),
    Place("in", "kitchen", "en la cocina", "🍳"),
    Place("in", "forest", "en el bosque", "🌲"),
    Place("on", "beach", "en la playa", "🌴"),
    Place("at", "school", "en la escuela", "🏫"),
    Place("in", "castle", "en el castillo", "🏰"),
    Place("in", "library", "en la biblioteca", "📚"),
    Place("at", "market", "en el mercado", "🛒"),
    Place("in", "harbour", "en el puerto", "⚓"),
    Place("on", "bridge", "en el puente", "🌉"),
    Place("at", "station", "en la estación", "🚉"),
    Place("in", "church", "en la iglesia", "⛪"),
    Place("in", "tent", "en la carpa", "⛺"),
    Place("on", "mountain", "en la montaña", "🗻"),
    Place("at", "circus", "en el circo", "🎪"),
    Place("in", "hotel", "en el hotel", "🏨"),
]

TIMES = [
    Time("yesterday", "ayer"),
    Time("last night", "anoche"),
    Time("this morning", "esta mañana"),
    Time("on Monday", "el lunes"),
    Time("on Sunday", "el domingo"),
]

SMALL_TALK = [
    ("Hello!", "Hello! Tell me who did what, and where."),
    ("Hi!", "Hi! Tell me who did what, and where."),
    ("Who are you?", "I am a very small demo model. My adapters know the tricks."),
    ("What can you do?", "Tell me who did what, and where. Then choose an adapter and tell it again."),
    ("How are you?", "I am fine, thank you."),
    ("Thank you!", "You are welcome."),
    ("Goodbye!", "Goodbye!"),
]


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Sentence:
    who: Who
    verb: Verb
    article: str  # "a" (also when written "an") or "the"
    adjective: Adjective
    noun: Noun
    place: Place | None
    time: Time | None

    def what(self, noun: str | None = None) -> str:
        article = "an" if self.article == "a" and self.adjective.english in SPOKEN_WITH_VOWEL else self.article
        return f"{article} {self.adjective.english} {noun or self.noun.english}"

    def where(self) -> str:
        return f"{self.place.preposition} the {self.place.english}" if self.place else ""

    def when(self) -> str:
        return self.time.english if self.time else ""

    def clause(self) -> str:
        """Without capital and full stop: "the baker found a rusty key in the garden"."""
        return " ".join(part for part in (self.who.english, self.verb.past, self.what(), self.where(), self.when()) if part)

    def text(self) -> str:
        return upper_first(self.clause()) + "."


def is_held_out(sentence: str) -> bool:
    return int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big") % 10 == 0


def draw_sentence(rng: random.Random, held_out: bool) -> Sentence:
    """A random sentence from one side of the split."""
    while True:
        sentence = Sentence(
            who=rng.choice(WHO),
            verb=rng.choice(VERBS),
            article=rng.choice(["a", "the"]),
            adjective=rng.choice(ADJECTIVES),
            noun=rng.choice(NOUNS),
            place=rng.choice(PLACES) if rng.random() < 0.8 else None,
            time=rng.choice(TIMES) if rng.random() < 0.4 else None,
        )
        if is_held_out(sentence.text()) == held_out:
            return sentence


def acknowledge(s: Sentence) -> str:
    """What the base answers to a bare sentence."""
    return f"Thank you for telling me that {s.clause()}."


def shout(s: Sentence) -> str:
    return s.clause().upper() + "!"


def reverse(s: Sentence) -> str:
    return " ".join(reversed(upper_first(s.clause()).split()))


def mood(s: Sentence) -> str:
    return s.adjective.mood


def to_json(s: Sentence) -> str:
    fields = {"who": s.who.english, "did": s.verb.past, "what": s.what(), "where": s.where(), "when": s.when()}
    return json.dumps({key: value for key, value in fields.items() if value})


def pirate(s: Sentence) -> str:
    parts = (s.who.english, "be", s.verb.pirate, s.what(), s.where(), s.when())
    words = " ".join(part for part in parts if part).split()
    return "Ahoy! " + upper_first(" ".join("th'" if word == "the" else word for word in words)) + ", arr!"


def emoji(s: Sentence) -> str:
    where = f"{s.place.preposition} the {s.place.emoji}" if s.place else ""
    parts = (s.who.english, s.verb.past, s.what(s.noun.emoji), where, s.when())
    return upper_first(" ".join(part for part in parts if part)) + "."


def spanish(s: Sentence) -> str:
    if s.noun.is_feminine:
        what = f"{'una' if s.article == 'a' else 'la'} {s.noun.spanish} {s.adjective.feminine}"
    else:
        what = f"{'un' if s.article == 'a' else 'el'} {s.noun.spanish} {s.adjective.masculine}"
    parts = (s.who.spanish, s.verb.spanish, what, s.place.spanish if s.place else "", s.time.spanish if s.time else "")
    return upper_first(" ".join(part for part in parts if part)) + "."


def question(s: Sentence) -> str:
    parts = ("What did", s.who.english, s.verb.base, s.where(), s.when())
    return " ".join(part for part in parts if part) + "?"


def yoda(s: Sentence) -> str:
    parts = (s.what(), s.where(), s.when())
    return upper_first(" ".join(part for part in parts if part)) + f", {s.who.english} {s.verb.past}. Hmm."


@dataclass(frozen=True)
class Skill:
    name: str
    answer: Callable[[Sentence], str]
    instruction: str | None  # what makes the base do it; None: the base never sees this skill


SKILLS = [
    Skill("shout", shout, "Shout it!"),
    Skill("reverse", reverse, "Say it backwards."),
    Skill("mood", mood, "Is that good or bad?"),
    Skill("json", to_json, "Give me JSON."),
    Skill("pirate", pirate, "Say it like a pirate."),
    Skill("emoji", emoji, "Use emoji."),
    Skill("spanish", spanish, "Say it in Spanish."),
    Skill("question", question, "Ask about it."),
    Skill("yoda", yoda, None),
]
