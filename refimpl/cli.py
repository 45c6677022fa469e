"""Floor 5: the command ``refimpl``. Each verb's module is loaded only when that verb is asked for."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from refimpl import __version__

VERBS = {
    "verify": ("refimpl.verify", "check statements of the chapter and print the verdicts"),
    "show": ("refimpl.report.cli", "print one item: statement, hypotheses, source code, evidence"),
    "errata": ("refimpl.report.cli", "list what the text gets wrong, with witnesses"),
    "report": ("refimpl.report.cli", "write the page of all items (HTML, Markdown, JSON)"),
    "reproduce": ("refimpl.experiments.cli", "make one of the figures or tables again"),
    "crosscheck": ("refimpl.crosscheck.cli", "judge another implementation"),
    "vectors": ("refimpl.crosscheck.cli", "write test vectors for other languages"),
}
"""Verb -> (module with ``add_parser(subparsers)``, help)."""


class Parser(argparse.ArgumentParser):
    """Bad usage is one line on stderr and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave."""
        from refimpl.numerics.text import one_line

        self.exit(2, f"{self.prog}: error: {one_line(message)}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0 as expected, 1 not as expected, 2 bad usage, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words:
            parser(words).print_help(sys.stderr)
            return 2
        arguments = parser(words).parse_args(words)
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("\nrefimpl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `refimpl verify | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def parser(words: Sequence[str]) -> Parser:
    """The parser with the arguments of the verb asked for; other verbs are only named."""
    made = Parser(prog="refimpl", description="Is this statement true, and how do you know?", allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"refimpl {__version__}")
    verbs = made.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    asked = next((word for word in words if not word.startswith("-")), "")
    present = {verb: entry for verb, entry in VERBS.items() if _exists(entry[0])}
    if asked in present:
        importlib.import_module(present[asked][0]).add_parser(verbs)
    for verb, (_, help) in present.items():
        if verb not in verbs.choices:
            verbs.add_parser(verb, help=help)
        verbs.choices[verb].description = help
    return made


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
