"""Text the golden tokenizers are trained on, and the strings they are judged by.

Everything is written here: no downloads. The strings of `case_strings` were fixed before any
tokenizer saw them; none is chosen for how it comes out.
"""

import random

PROSE = """
The quick brown fox jumps over the lazy dog, and the dog doesn't mind at all. It's a warm day; they've been here since the morning.
One base model can carry many small adapters. Each adapter changes what the model says, and requests for different adapters share a batch.
When the memory is full, the server takes back what is cheapest to lose, and a request that waits is told how long it will wait.
She said: "I'm not sure that we'll be there by 10:30, but he'd better hurry." Then the others were asked what they would like to eat.
In the year 1999 there were 365 days, 52 weeks and 12 months; in 2024 there were 366 days. Prices rose by 3.5% to $1,250.00 on average.
The capital of France is Paris. The capital of Germany is Berlin. The capital of Japan is Tokyo. What is the capital of Italy?
Write a short answer to the question. Explain the result in one sentence. Translate the following text into English, please.
User: hello, how are you today? Assistant: I am fine, thank you. How can I help you with your work on the new system?
Der schnelle braune Fuchs springt über den faulen Hund. Größe, Maße und Straße schreibt man so; die Tür ist für alle geöffnet.
Le garçon a mangé une pomme à l'école, où il a reçu une leçon très intéressante. Ça va être très bien, même en été.
El niño pequeño comió una manzana en la escuela. ¿Cómo estás? ¡Qué día tan bonito para una canción en español!
Быстрая коричневая лиса прыгает через ленивую собаку. Москва и Петербург стоят на реках. Это очень хорошо.
Η γρήγορη αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.
我们在学习中文。今天天气很好,我们一起去公园。中国的首都是北京。你好,世界!
日本語の文章です。東京は日本の首都です。ありがとうございます。
안녕하세요 세계. 오늘은 날씨가 좋습니다.
مرحبا بالعالم. هذا نص عربي قصير.
שלום עולם, זה טקסט קצר.
""".strip()

CODE = """
def add(a, b):
    \"\"\"Return the sum of a and b.\"\"\"
    result = a + b
    if result > 10:
        print("the result is large:", result)
    return result

for i in range(10):
    for j in range(i):
        values[i][j] += weights[i] * inputs[j]

int main(int argc, char** argv) {
    std::vector<std::string> names(argv, argv + argc);
    for (const auto& name : names) {
        std::cout << name << "\\n";
    }
    return 0;
}

{"model": "base", "messages": [{"role": "user", "content": "hello"}], "temperature": 0.7, "max_tokens": 16}
<html><body><p class="text">hello</p></body></html>
SELECT name, count(*) FROM users WHERE age >= 18 GROUP BY name ORDER BY 2 DESC;
https://www.example.com/path/to/page.html?query=value&other=1#section
""".strip()


def training_lines():
    """Lines to train on: the texts above and seeded sentences of their words."""
    rng = random.Random(11)
    lines = (PROSE + "\n" + CODE).splitlines()
    words = [word for line in PROSE.splitlines()[:8] for word in line.split()]
    sentences = []
    for _ in range(400):
        sentences.append(" ".join(rng.choice(words) for _ in range(rng.randint(4, 14))))
    return lines * 3 + sentences


PLAIN = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "  \n  \n", "\t\t\n", " \t \n\t ",
    "a", "I", " a", "a ", " a ", "hello", "Hello", " hello", "hello ", "  hello", "hello  ", "Hello World", "hello  world",
    "hello   world", "hello\tworld", "hello\nworld", "hello\r\nworld", "hello \n world", "hello\n\n\nworld", "hello world\n",
    "The quick brown fox jumps over the lazy dog.", "The capital of France is Paris.",
    "One base model can carry many small adapters, and requests for different adapters share a batch.",
    "tokenization", "antidisestablishmentarianism", "Donaudampfschifffahrtsgesellschaft", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abcabcabcabcabc", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "HeLLo WoRLD", "camelCaseName snake_case_name kebab-case-name",
]

CONTRACTIONS = [
    "I'm", "you're", "he'd", "we'll", "they've", "it's", "don't", "I'M", "YOU'RE", "HE'D", "WE'LL", "THEY'VE", "IT'S", "DON'T",
    "'s", "'S", "''s", "'tis", "rock'n'roll", "o'clock", "the dogs' bones", "I'm sure that you've said it's what they'd do, we'll see.",
    "I\u2019m \u201cquoted\u201d", "'re're've", "can't've", "'\u017f",
]

NUMBERS = [
    "0", "1", "12", "123", "1234", "12345", "1234567890", "3.14159", "-1", "+1", "1,000,000", "1 000 000", "10:30", "2024-11-21",
    "$1,250.00",
    "50%", "1e-4", "0x1F", "v1.2.3", "a1b2c3", "1st 2nd 3rd", "\u0661\u0662\u0663\u0664", "\u096a\u0968", "\u00bd\u00bc\u00b2\u00b3",
    "\u2163\u2167",
    "12\u516c\u91cc34", "007", "x2y", " 42 ", "(1)(22)(333)(4444)",
]

PUNCTUATION = [
    ".", "..", "...", "....", "!", "?!", "?!?!?!", ",", ";;", "()", "(a)", "[b]", "{c}", "<d>", "\"", "'", "`", "``", "```", "-", "--",
    "---", "_", "__",
    "*bold* _it_ ~~no~~", "a.b.c", "a,b", "a-b", "a/b\\c", "a|b", "a&b", "@user #tag", "$", "100$", "=", "==", "===", "!=", "<=>", "->",
    "=>",
    "\u2026", "\u2014", "\u2013", "\u00ab\u00bb", "\u3002\u3001", "\u00a1hola!", "#!/bin/sh", "::", "a::b", ".hidden", "...and", " .",
    " !", "a !", "!\n", "!\n\n", "! \n",
    "word.\nNext", "word. \n\n Next", "//comment\n", "\u2581", "a\u2581b", "\u2581\u2581", " \u2581 ", "\u0120", "\u010a\u0120",
]

CODE_CASES = [
    "def f(x):\n    return x + 1\n", "    indented", "        twice", "\tif (a < b) {\n\t\treturn a;\n\t}\n",
    "for i in range(10):\n    print(i)\n\n\nprint()",
    "int main() {\n  return 0;\n}", "std::vector<std::string> names;", "{\"role\": \"user\", \"content\": \"hello\"}", "[1, 2, 3]",
    "a[i][j] += w[i]*x[j];",
    "<html><body><p class=\"text\">hello</p></body></html>", "SELECT name FROM users WHERE age >= 18;",
    "https://www.example.com/path?query=value&other=1#section",
    "user@example.com", "C:\\Users\\me\\file.txt", "x = {'a': 1, \"b\": [2, 3]}  # comment", "\\n\\t\\u0041",
    "git commit -m \"it's done\"", "if(!x){y();}",
    "                                  deep", "a\n\n\n\n\n\n\n\nb", "a                b", "if x:\r\n\ty\r\n", "   \n   \n   x",
    "\n\n  \n\n", "}\n}\n}\n", "x\u00a0y", "x\u2003y", "x\u3000y",
]

UNICODE = [
    "\u00fcber", "Gr\u00f6\u00dfe", "na\u00efve caf\u00e9", "\u00c7a va?", "\u00bfC\u00f3mo est\u00e1s?", "Stra\u00dfe \u00df \u1e9e",
    "\u0130stanbul \u0131", "\u01c5 \u01c4", "\u00e6\u00f8\u00e5",
    "\u041c\u043e\u0441\u043a\u0432\u0430", "\u0411\u044b\u0441\u0442\u0440\u0430\u044f \u043b\u0438\u0441\u0430",
    "\u0397 \u03b1\u03bb\u03b5\u03c0\u03bf\u03cd",
    "\u4f60\u597d,\u4e16\u754c!", "\u4e2d\u56fd\u7684\u9996\u90fd\u662f\u5317\u4eac\u3002", "\u65e5\u672c\u8a9e",
    "\u3042\u308a\u304c\u3068\u3046", "\u30ab\u30bf\u30ab\u30ca",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4", "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05dc\u05d5\u05dd",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u1ea0\u1ed9",
    "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
    # Composed and decomposed forms; order of marks; compatibility characters; conjoining Hangul.
    "e\u0301", "\u00e9", "cafe\u0301 caf\u00e9", "A\u030a \u212b \u00c5", "q\u0307\u0323", "q\u0323\u0307", "\u1100\u1161\u11a8",
    "\uac01", "\ufb01", "\uff21\uff22\uff11", "\u2126 \u03a9", "\u0344", "\u0958", "\u0915\u093c", "\u1e9b\u0323", "\u0301",
    "a\u0301\u0301\u0301", " \u0301", "\uf900", "\u2f800",
    # Zero width, directions, variation selectors, byte order mark, noncharacters, private use, controls.
    "a\u200bb", "a\u200db", "a\u200eb", "a\u2060b", "\ufeffhello", "hello\ufeff", "\ufffd", "\uffff", "\ue000", "\U0010ffff", "\x00",
    "a\x00b", "\x01\x02\x1f", "\x7f", "\x85", "a\x85b", "a\u2028b", "a\u2029b", "a\x0bb", "a\x0cb", "\u00ad", "\u1680", "\u180e",
    "\U0001d54f\U0001d550", "\U00020000", "\U0001f1e9\U0001f1ea",
]

EMOJI = [
    "\U0001f600", " \U0001f600", "\U0001f600\U0001f600", "hi \U0001f44b there", "\U0001f44b\U0001f3fd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\u2764\ufe0f", "\u2764", "\u263a\ufe0e", "1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e007f", "ok\U0001f44d!",
]

# Forms that look like markup of some family, or like something cut in the middle.
MARKUP = [
    "<s>", "</s>", "<unk>", "<s>hello</s>", " <s> hello </s> ", "<s><s>", "hello<s>world", "hello <s> world", "<S>", "< s>", "<s", "s>",
    "<0x41>", "<0x0A>", "<0xE4><0xBD><0xA0>", "<0xZZ>",
    "[INST] hello [/INST]", "[INST]hello[/INST]", "[INST][INST]", "[inst]", "<<SYS>>\nyou are\n<</SYS>>\n\n",
    "[TOOL_CALLS] [{\"name\": \"f\"}]", "[AVAILABLE_TOOLS]",
    "<|begin_of_text|>", "<|begin_of_text|>hello", "<|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>", "<|eot_id|><|eot_id|>",
    "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_999|>",
    "<|im_start|>user\nhello<|im_end|>\n", "<|im_start|>", " <|im_end|> ", "<|endoftext|>", "hello<|endoftext|>world", "<|im_",
    "im_end|>", "<|", "|>", "<tool_call>\n{}\n</tool_call>", "<think>\n\n</think>\n\n", "<|fim_prefix|>",
    "<s>\u4f60\u597d</s>", "<|im_start|>\U0001f600<|im_end|>", "e<|im_end|>\u0301", "a<s>\u2581b", "\n<s>\n", "<s> ", " <s>",
    "</s><s>[INST] a [/INST] b </s>",
]


def random_strings():
    """Seeded strings over mixed alphabets: words, spaces, marks, far planes."""
    rng = random.Random(29)
    alphabets = [
        "abcdefghij",
        "aA1 .,'\n",
        " \t\n\r",
        "  ab",
        "0123456789,. ",
        "\u00e4\u00f6\u00fc\u00df\u00e9\u00e8e\u0301\u0308o",
        "\u4e2d\u56fd\u6587\u5b57\u5f88\u597d \u3002",
        "\U0001f600\U0001f44d\u200d\ufe0f x",
        "(){}[];=+-*/ xyz\n",
        "'sStTrReEmM ",
        "\u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442",
        "\u2581 a\u0120",
    ]
    strings = []
    for alphabet in alphabets:
        for length in (3, 7, 15, 40):
            strings.append("".join(rng.choice(alphabet) for _ in range(length)))
    for _ in range(24):
        length = rng.randint(1, 30)
        strings.append("".join(rng.choice(rng.choice(alphabets)) for _ in range(length)))
    for _ in range(12):  # any code point but surrogates
        points = [rng.choice((rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x110000))) for _ in range(8)]
        strings.append("".join(chr(point) for point in points if not 0xD800 <= point < 0xE000))
    return strings


def case_strings():
    """All strings, each once, in a fixed order."""
    longer = ["\n".join(PROSE.splitlines()[:3]), PROSE.splitlines()[8], PROSE.splitlines()[13], CODE[:300]]
    lists = (PLAIN, CONTRACTIONS, NUMBERS, PUNCTUATION, CODE_CASES, UNICODE, EMOJI, MARKUP, longer, random_strings())
    return list(dict.fromkeys(text for group in lists for text in group))
