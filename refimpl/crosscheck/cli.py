"""The commands ``refimpl crosscheck`` and ``refimpl vectors``."""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from refimpl.numerics.files import check_writable, write_text
from refimpl.numerics.text import one_line

EPILOG = """examples:
  refimpl crosscheck --list 'sparsity.*'
  refimpl crosscheck sparsity.prox_l1 mymodule:soft --adapter torch
  refimpl crosscheck sparsity.prox_l1 torch.nn.functional:softshrink --adapter torch --set tau=1.0
  refimpl crosscheck sparsity.linbreg.trajectory optim.py:LinBreg --as torch-optimizer
  refimpl crosscheck setting.conv2d.forward --command './conv {in} {out}' --set stride=1 --set kind=convolution

exit status: 0 agrees, 1 differs (or declines every case), 2 bad usage"""
LONGEST = 1e6  # seconds for one case


def add_parser(subparsers: Any) -> None:
    """Add ``crosscheck`` and ``vectors`` to the command line of refimpl."""
    _crosscheck_parser(subparsers)
    vectors = subparsers.add_parser("vectors", help="write test vectors for other languages, or judge their results")
    vectors.add_argument("directory", metavar="DIR", type=Path, help="folder of the vectors")
    vectors.add_argument("--check", action="store_true", help="judge the results in DIR/results instead of writing")
    vectors.add_argument("--only", metavar="PATTERN", default="*", help="targets whose name matches a shell pattern")
    vectors.set_defaults(run=run_vectors)


def _crosscheck_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "crosscheck",
        help="judge your own implementation of one of the operations",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", nargs="?", metavar="TARGET", help="an operation, see --list (with --list: a pattern)")
    parser.add_argument("candidate", nargs="?", metavar="CANDIDATE", help="module:attribute or file.py:attribute")
    parser.add_argument("--list", action="store_true", help="list the targets")
    parser.add_argument("--command", metavar="CMD", help="a program instead: 'prog {in} {out}', both .npz files")
    parser.add_argument("--adapter", choices=("numpy", "torch", "jax"), default="numpy", help="the arrays it takes")
    parser.add_argument(
        "--as", dest="style", choices=("function", "torch-optimizer"), default="function", help="what it is"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="fix an input or a convention")
    parser.add_argument("--examples", type=int, metavar="N", help="cases to draw (100; 25 with --command)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the search (default: %(default)s)")
    parser.add_argument("--time-limit", type=float, default=10.0, metavar="SECONDS", help="for one case (10)")
    parser.add_argument("--json", metavar="FILE", help="write the report as data")
    parser.add_argument("--html", metavar="FILE", help="write the report as one page")
    parser.set_defaults(run=run_crosscheck)


def run_crosscheck(args: argparse.Namespace) -> int:
    """``refimpl crosscheck``: 0 agrees, 1 differs, 2 bad usage."""
    from refimpl.crosscheck import report, targets

    try:
        if args.list:
            found = targets(args.target or "*")
            width = max((len(t.name) for t in found), default=0)
            print("\n".join(f"{t.name:{width}}  {t.relation:10}  {t.what}" for t in found) or "no target matches")
            return 0 if found else 2
        if not args.target:
            raise ValueError("TARGET: expected the name of an operation, see `refimpl crosscheck --list`, got nothing")
        result = _judged(args)
        if result is None:
            return 0
        _write(args, result)
    except (ValueError, OSError) as error:
        print(f"refimpl crosscheck: {one_line(error)}", file=sys.stderr)
        return 2
    print(report.text(result))
    return 0 if result.agrees else 1


def _judged(args: argparse.Namespace) -> Any:
    """The report, or None after describing a target for which no candidate was given."""
    from refimpl.crosscheck import candidates, find, report
    from refimpl.crosscheck.judge import judge
    from refimpl.crosscheck.testing import settle
    from refimpl.crosscheck.worker import Isolated

    target = find(args.target)
    fixed, conventions = settle(target, dict(map(_assignment, args.set)))
    if args.candidate is None and args.command is None:
        print(report.describe(target))
        return None
    if args.candidate is not None and args.command is not None:
        raise ValueError("CANDIDATE: expected either module:attribute or --command, got both")
    _check(args)
    options: dict[str, Any] = {"seed": args.seed, "fixed": fixed, "conventions": conventions}
    if sys.stderr.isatty():
        print(f"judging {args.candidate or args.command} ... (the first time, kernels are compiled)", file=sys.stderr)
    if args.command is not None:
        run = candidates.from_command(target, args.command, args.time_limit)
        return judge(target, run, args.command, examples=args.examples or 25, **options)
    isolated = Isolated(target, args.candidate, args.style, args.adapter, tuple(fixed), args.time_limit)
    with contextlib.closing(isolated):
        return judge(target, isolated, args.candidate, examples=args.examples or 100, **options)


def _check(args: argparse.Namespace) -> None:
    if args.examples is not None and args.examples < 1:
        raise ValueError(f"--examples: expected an integer >= 1, got {args.examples}")
    if args.seed < 0:
        raise ValueError(f"--seed: expected an integer >= 0, got {args.seed}")
    if not 0 < args.time_limit <= LONGEST:
        raise ValueError(f"--time-limit: expected seconds in (0, {LONGEST:g}], got {args.time_limit}")
    for path in (args.json, args.html):
        if path is not None:
            check_writable(path)


def _assignment(word: str) -> tuple[str, Any]:
    """NAME=VALUE; the value is a Python literal, or else a word."""
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise ValueError(f"--set: expected NAME=VALUE, got {word!r}")
    with contextlib.suppress(ValueError, SyntaxError):
        return name, ast.literal_eval(value)
    return name, value


def _write(args: argparse.Namespace, result: Any) -> None:
    from refimpl.crosscheck import report

    if args.json is not None:
        write_text(args.json, json.dumps(report.entries(result), indent=1, allow_nan=False) + "\n")
    if args.html is not None:
        write_text(args.html, report.page(result))


def run_vectors(args: argparse.Namespace) -> int:
    """``refimpl vectors``: 0 written or all results agree, 1 some differ, 2 bad usage."""
    from refimpl.crosscheck import vectors

    try:
        if not args.check:
            count = vectors.write(args.directory, args.only)
            print(f"{count} vectors written to {args.directory}; SCHEMA.md there describes their format")
            return 0
        verdicts = vectors.check(args.directory, args.only)
    except (ValueError, OSError) as error:
        print(f"refimpl vectors: {one_line(error)}", file=sys.stderr)
        return 2
    print(vectors.summary(verdicts))
    return 0 if verdicts and all(v.agrees for v in verdicts) else 1
