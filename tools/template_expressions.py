"""Random templates from a small grammar of the supported constructs, for comparison with jinja2: most render, many fail in both."""

import random

VARIABLES = {
    "text": "Hello, World",
    "spaced": "  a b\tc \n",
    "odd": "\u00dcber \u4f60\u597d \U0001f600 \"q\" 'r' \\ <b>&\u00a0\u01c6\u00df\u0130",
    "empty": "",
    "digits": " 42 ",
    "n": 7,
    "m": -3,
    "zero": 0,
    "f": 2.5,
    "g": -0.125,
    "big": 1e17,
    "yes": True,
    "no": False,
    "nothing": None,
    "numbers": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "mixed": [1, "x", None, 2.0, True, [1]],
    "none_at_all": [],
    "rows": [{"k": "x", "v": 2, "w": {"z": [1]}}, {"k": "Y", "v": 1}, {"k": "x", "v": 3.5, "w": None}],
    "table": {"b": 1, "A": [1, None], "c": {"d": "e"}, "items": "mine"},
    "hollow": {},
}

TEXTS = ["text", "spaced", "odd", "empty", "digits", "'ab'", '"a-b_c d"', "'x' 'y'", "'\\n\\t\\x41\\u00e9\\101'", "table.c.d", "rows[0].k"]
NUMBERS = ["n", "m", "zero", "f", "g", "big", "1", "0", "-2", "10", "3.0", "1e3", "yes", "no", "rows[1]['v']", "1_000"]
LISTS = ["numbers", "words", "mixed", "none_at_all", "rows", "[1, 'a']", "(1, 2)", "range(4)", "range(5, 0, -2)", "table.A", "(1,)", "()", "[[1, 2], [3]]"]
DICTS = ["table", "hollow", "{'a': 1, 2: 'b'}", "rows[0]", "dict(a=1)", "table.c"]
OTHERS = ["nothing", "missing", "none", "table.missing", "true", "False"]

TEXT_METHODS = [
    "strip()", "lstrip()", "rstrip()", "strip('lo H')", "lstrip('H ')", "rstrip('d\\n')", "split()", "split(',')", "split(' ', 1)", "split('l')",
    "rsplit(' ', 1)", "rsplit('l', 2)", "splitlines()", "splitlines(true)", "split(sep='o')", "split(maxsplit=1)", "upper()", "lower()",
    "title()", "capitalize()", "startswith('He')", "startswith(('x', ' '))", "endswith('d')", "endswith('\\n')", "find('l')", "find('zz')",
    "count('l')", "count('')", "replace('l', 'L')", "replace('l', '', 1)", "replace('', '-')", "join(words)", "join(['x', 'y'])", "join(numbers)",
    "join('abc')", "removeprefix('Hell')", "removesuffix('ld')", "format(1)", "nothing()",
]  # fmt: skip
DICT_METHODS = ["items()", "keys()", "values()", "get('a')", "get('b', 5)", "get('zz')", "get('zz', 'q')", "copy()", "items", "pop('a')", "get(2)"]
LIST_METHODS = ["index(1)", "count(1)", "copy()", "append(1)", "index('A')"]
FILTERS = [
    "trim", "upper", "lower", "title", "capitalize", "length", "string", "list", "first", "last", "reverse", "sort", "sort(reverse=true)",
    "sort(case_sensitive=true)", "unique", "unique | list", "join", "join(', ')", "join('-', attribute='k')", "tojson", "tojson(indent=2)",
    "tojson(ensure_ascii=true)", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "int", "int(5)", "float", "float(1.5)", "default('d')", "default('d', true)", "d", "replace('l', 'L')", "replace('', '.')", "map('upper')",
    "map('upper') | list", "map(attribute='k') | list", "map(attribute='w.z', default='?') | list", "map(attribute='w') | list",
    "map('string') | join('+')", "map('default', 'x') | list",
    "select | list", "select('number') | list", "select('>', 1) | list", "reject('none') | list", "reject | list", "selectattr('k', 'equalto', 'x') | list",
    "selectattr('w') | list", "selectattr('v', '>=', 2) | map(attribute='v') | list", "rejectattr('k', 'eq', 'Y') | list", "rejectattr('w') | list",
    "selectattr('k', 'in', ['x']) | list | length", "selectattr('w', 'defined') | list", "selectattr('k') | first", "select('string') | first",
    "min", "max", "min(attribute='v')", "max(case_sensitive=true)", "dictsort", "dictsort(true)",
    "dictsort(by='value')", "dictsort(reverse=true)", "items | list", "items", "indent", "indent(2, true)", "indent('>>', blank=true)", "count",
    "title | lower", "upper | reverse", "first | upper", "list | last", "list | length", "sort | first",
    "tojson | length", "map('length') | list", "map('first') | list", "map('tojson') | join(',')", "map('int') | list",
]  # fmt: skip
TESTS = [
    "defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true", "false", "odd", "even",
    "callable", "divisibleby(2)", "divisibleby 3", "in numbers", "in 'abc'", "in [1, 'a', none]", "eq(1)", "eq 'x'", "equalto(7)", "ne 1", "lt 3",
    "gt(2)", "ge 1", "le 2", "sameas none", "sameas true", "not none", "not defined", "not string", "in table", "==(7)",
]  # fmt: skip
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FORMATS = ["'{{}} {{}}'.format({0}, {1})", "'<{{}}>'.format({0})", "'{{{{}}}}'.format()", "'{{}}{{}}'.format({0})", "({0} | string | safe + {1} | string) ~ '<'", "({1} | string + {0} | safe) ~ {1}"]
SLICES = ["[0]", "[-1]", "[1:]", "[:2]", "[::-1]", "[1:-1]", "[::2]", "[-2:]", "[5:1:-1]", "[9]", "['k']", "['b']", "[:0]", "[n]", "[none:2]", "[1:][0]", "['missing']"]

STATEMENTS = [
    "{%- for x in @1 %}[{{ x }}{{ loop.index }}{{ loop.last }}]{%- else %}none{%- endfor %}",
    "{% for x in @1 if x %}\n  {{ loop.revindex }}/{{ loop.length }} {{ x }}\n{% endfor %}\nend",
    "{% for k, v in @1 %}{{ k }}={{ v }};{% endfor %}",
    "{% for x in @1 %}{% if loop.first %}{% continue %}{% elif loop.index > 3 %}{% break %}{% endif %}{{ loop.previtem }}>{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% set x = @1 %}{% if x %}T{% else %}F{% endif %}{{ x if x is defined else 'undefined' }}",
    "{% set ns = namespace(a=@1, b=1) %}{% for i in range(3) %}{% set ns.b = ns.b + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}",
    "{% macro show(a, b=@1) %}({{ a }}|{{ b }}){% endmacro %}{{ show(@2) }}{{ show(1, 2) }}{{ show(1, b=2) }}",
    "{% macro show(a) %}{{ a }}{% endmacro %}{{ show(@1, 1) }}",
    "{% macro show(a) %}{{ a }}{{ b }}{% endmacro %}{% set b = @1 %}{{ show(1) }}{{ show() }}",
    "{% set a, b = @1, @2 %}{{ b }}{{ a }}",
    "{% set x %}\n  {{ @1 }}\n{% endset %}[{{ x }}]{% set y %}a{{ @2 }}{% endset %}{{ y | upper }}",
    "{% with a = @1, b = @2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "  {%- if @1 -%}  yes  {%- elif @2 +%}  maybe  {%- else %}\n  no\n  {%- endif %}  \n",
    "{% raw %}{{ x }}{% endraw %}{{ @1 }}{# comment #}\n  {#- other -#}  x",
    "{% generation %}{{ @1 }}{% endgeneration %}",
    "{% if @1 is string %}{{ @1 | from_json }}{% else %}ok{% endif %}",
    "{% set x = @1 | map('string') %}{% if x %}true{% endif %}{{ x | join(',') }}{{ x | list }}",
    "{% set x = table.items() %}{{ x | length }}{{ x | list }}{{ x | list }}{{ (x | first)[0] }}{{ @1 }}",
    "{{ raise_exception('Refused: ' ~ @1) }}",
    "{% set loop_messages = @1 %}{% set ns = namespace(found=false) %}{% for m in loop_messages %}{% if m is mapping and m.k == 'x' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}",
    "{{ [@1, @2] | tojson(indent=4) }}\n{{ {'a': @1} }}",
]  # fmt: skip


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def leaf(self):
        kind = self.random.choices([TEXTS, NUMBERS, LISTS, DICTS, OTHERS], [4, 3, 4, 2, 1])[0]
        return self.random.choice(kind)

    def expression(self, depth):
        if depth <= 0:
            return self.leaf()
        inner = self.expression(depth - 1)
        choice = self.random.randrange(12)
        if choice < 3:
            return f"{inner} | {self.random.choice(FILTERS)}"
        if choice < 5:
            methods = self.random.choices([TEXT_METHODS, DICT_METHODS, LIST_METHODS], [6, 2, 1])[0]
            return f"({inner}).{self.random.choice(methods)}"
        if choice == 5:
            return f"({inner}) is {self.random.choice(TESTS)}"
        if choice < 8:
            operator = self.random.choice(BINARY)
            if operator == "%":  # of strings it is not supported
                return f"({self.random.choice(NUMBERS)}) % ({self.random.choice(NUMBERS)})"
            return f"{self.bracketed(inner)} {operator} {self.bracketed(self.expression(depth - 1))}"
        if choice == 8:  # of what is no constant: folding those, Jinja takes what can't be sliced for undefined
            sliced = self.random.choice([inner, self.leaf()])
            if "range(" in sliced:  # slices of ranges are not supported
                sliced = f"[{sliced}]"
            return f"(missing_too or {sliced}){self.random.choice(SLICES)}"
        if choice == 9:
            return f"({self.random.choice(FORMATS).format(f'({inner})', f'({self.leaf()})')})"
        if choice == 10:
            return f"({inner} if {self.expression(depth - 1)} else {self.leaf()})"
        return self.random.choice(["not {0}", "-{0}", "[{0}, 1]", "{{'k': {0}}}", "({0}, )", "{0} < 3 <= 7", "+{0}"]).format(inner)

    def bracketed(self, text):
        return f"({text})" if self.random.random() < 0.7 else text

    def matching(self):
        """A filter, test or method on a value of a type that it takes."""
        if self.random.random() < 0.5:
            return f"({self.random.choice(TEXTS)}).{self.random.choice(TEXT_METHODS)}"
        return f"{self.random.choice(LISTS)} | {self.random.choice(FILTERS)}"

    def template(self):
        choice = self.random.random()
        if choice < 0.2:
            return self.random.choice(STATEMENTS).replace("@1", self.expression(1)).replace("@2", self.leaf())
        if choice < 0.5:
            return f"{{{{ {self.matching()} }}}}"
        return f"{{{{ {self.expression(self.random.randrange(1, 4))} }}}}"


def random_templates(count, seed):
    generator = Generator(seed)
    return [generator.template() for _ in range(count)]
