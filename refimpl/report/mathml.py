r"""A small subset of LaTeX to MathML, which browsers render and read aloud without any script.

Known: letters, digits, operators, ``_ ^ { } '``, Greek, ``\frac \sqrt \text \operatorname \mathcal \mathbb
\hat \bar \tilde \dot \xrightarrow``, the big operators ``\sum \prod \int`` and ``\max \min \argmin \argmax
\lim \liminf \limsup`` with their limits below, arrows, relations and spaces as listed in `SYMBOLS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "varepsilon": "ε", "eta": "η", "theta": "θ", "kappa": "κ",
    "lambda": "λ", "mu": "μ", "nu": "ν", "pi": "π", "sigma": "σ", "tau": "τ", "omega": "ω", "Delta": "Δ", "Theta": "Θ",
    "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "ell": "ℓ", "infty": "∞", "emptyset": "∅",
}  # fmt: skip
SYMBOLS = {
    "nabla": "∇", "partial": "∂", "cdot": "·", "times": "×", "odot": "⊙", "pm": "±", "cap": "∩", "subset": "⊂",
    "in": "∈", "forall": "∀", "exists": "∃", "le": "≤", "ge": "≥", "ne": "≠", "approx": "≈", "equiv": "≡",
    "sim": "∼", "to": "→", "mapsto": "↦", "leftarrow": "←", "Rightarrow": "⇒", "nRightarrow": "⇏",
    "Leftrightarrow": "⇔", "langle": "⟨", "rangle": "⟩", "|": "‖", "{": "{", "}": "}", "dots": "…", "#": "#",
}  # fmt: skip
SPACES = {",": "0.17em", ";": "0.28em", "quad": "1em"}
THIN_SPACE = '<mspace width="0.17em"/>'
BIG = {"sum": "∑", "prod": "∏", "int": "∫"}
WORDS = {word: word for word in ("max", "min", "lim", "sup", "inf", "log")}
LIMITS = {"argmin": "arg min", "argmax": "arg max", "liminf": "lim inf", "limsup": "lim sup", **WORDS}
ACCENTS = {"hat": "^", "bar": "¯", "tilde": "~", "dot": "˙"}
ALPHABETS = {"mathcal": 0x1D49C, "mathbb": 0x1D538}
IRREGULAR = {
    ("mathcal", "B"): "ℬ", ("mathcal", "I"): "ℐ", ("mathcal", "L"): "ℒ", ("mathcal", "M"): "ℳ",
    ("mathbb", "N"): "ℕ", ("mathbb", "R"): "ℝ", ("mathbb", "C"): "ℂ", ("mathbb", "Z"): "ℤ",
}  # fmt: skip
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[A-Za-z]|\S|\s+")
TEXT = re.compile(r"\\text\{[^}]*\}")
HARD_SPACE = "\N{NO-BREAK SPACE}"
FENCES = "()[]|/" + "‖⟨⟩{}"


def mathml(latex: str) -> str:
    """The formula as a ``<math>`` element; its text alternative is the LaTeX itself.

    Raises
    ------
    ValueError : a command outside the subset, or unbalanced braces.
    """
    body = _Parser(latex).formula()
    return f'<math display="block" alttext="{escape(latex)}">{body}</math>'


class _Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, latex: str) -> None:
        self.latex = latex
        kept = TEXT.sub(lambda match: match.group().replace(" ", HARD_SPACE), latex)
        self.tokens = [token for token in TOKEN.findall(kept) if not token.isspace() or token == HARD_SPACE]

    def formula(self) -> str:
        body = self.row()
        if self.tokens:
            self.fail("a closing brace too many")
        return body

    def fail(self, why: str) -> None:
        raise ValueError(f"formula {self.latex!r}: {why}")

    def row(self) -> str:
        parts = []
        while self.tokens and self.tokens[0] != "}":
            parts.append(self.scripted())
        return "<mrow>" + "".join(parts) + "</mrow>"

    def scripted(self) -> str:
        """An atom with its scripts: below and above for operators with limits, else to the right."""
        name = self.tokens[0].lstrip("\\")
        limits = name in (*BIG, *LIMITS) and name not in ("int", "log")
        base, below, above = self.atom(), "", ""
        while self.tokens and self.tokens[0] in ("_", "^", "'"):
            mark = self.tokens.pop(0)
            if mark == "_":
                below = self.atom()
            else:
                above += "<mo>′</mo>" if mark == "'" else self.atom()
        return _with_scripts(base, below, above, limits) + (THIN_SPACE if name in LIMITS else "")

    def atom(self) -> str:
        if not self.tokens:
            self.fail("ends too early")
        token = self.tokens.pop(0)
        if token == "{":
            return self.group_rest()
        if token.startswith("\\"):
            return self.command(token[1:])
        if token.isalpha():
            return f"<mi>{token}</mi>"
        return f"<mn>{token}</mn>" if token[0].isdigit() else _operator(token)

    def group_rest(self) -> str:
        body = self.row()
        self.close()
        return body

    def close(self) -> None:
        if not self.tokens:
            self.fail("a brace is not closed")
        self.tokens.pop(0)

    def command(self, name: str) -> str:
        if name in BUILDERS:
            return BUILDERS[name](self)
        if name in GREEK:
            return f"<mi>{GREEK[name]}</mi>"
        if name in SYMBOLS:
            return _operator(SYMBOLS[name])
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"/>'
        if name in BIG:
            return f'<mo largeop="true" movablelimits="false">{BIG[name]}</mo>'
        if name in LIMITS:
            return _operator_name(LIMITS[name])
        if name in ACCENTS:
            return f'<mover accent="true">{self.atom()}<mo stretchy="false">{ACCENTS[name]}</mo></mover>'
        if name in ALPHABETS:
            return f"<mi>{_letter(name, self.raw())}</mi>"
        self.fail(f"unknown command \\{name}")
        return ""

    def raw(self) -> str:
        """The text of a group, as it stands."""
        if not self.tokens or self.tokens.pop(0) != "{":
            self.fail("a group is missing")
        taken = []
        while self.tokens and self.tokens[0] != "}":
            taken.append(self.tokens.pop(0))
        self.close()
        return "".join(taken)

    def fraction(self) -> str:
        return f"<mfrac>{self.single()}{self.single()}</mfrac>"

    def single(self) -> str:
        """An atom, of a number its first digit only, as in ``\\frac12``."""
        if self.tokens and self.tokens[0].isdigit():
            self.tokens[:1] = list(self.tokens[0])
        return self.atom()

    def root(self) -> str:
        return f"<msqrt>{self.atom()}</msqrt>"

    def text(self) -> str:
        return f"<mtext>{escape(self.raw())}</mtext>"

    def named(self) -> str:
        return _operator_name(self.raw())

    def arrow(self) -> str:
        return f'<mover><mo stretchy="true">→</mo>{self.atom()}</mover>'


BUILDERS: dict[str, Callable[[_Parser], str]] = {
    "frac": _Parser.fraction,
    "sqrt": _Parser.root,
    "text": _Parser.text,
    "operatorname": _Parser.named,
    "xrightarrow": _Parser.arrow,
}


def _with_scripts(base: str, below: str, above: str, limits: bool) -> str:
    if below and above:
        tag = "munderover" if limits else "msubsup"
        return f"<{tag}>{base}{below}{above}</{tag}>"
    if below:
        tag = "munder" if limits else "msub"
        return f"<{tag}>{base}{below}</{tag}>"
    if above:
        tag = "mover" if limits else "msup"
        return f"<{tag}>{base}{above}</{tag}>"
    return base


def _operator(symbol: str) -> str:
    if symbol == "-":
        symbol = "−"
    return f'<mo stretchy="false">{escape(symbol)}</mo>' if symbol in FENCES else f"<mo>{escape(symbol)}</mo>"


def _operator_name(name: str) -> str:
    return f'<mi mathvariant="normal">{escape(name)}</mi>'


def _letter(alphabet: str, letter: str) -> str:
    """A capital letter in script or double-struck Unicode."""
    return IRREGULAR.get((alphabet, letter)) or chr(ALPHABETS[alphabet] + ord(letter) - ord("A"))
