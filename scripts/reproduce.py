"""Make every figure and table, then one page that shows them all: ``python scripts/reproduce.py --quick``."""

import argparse
import sys
import time
from pathlib import Path

from refimpl.experiments.catalogue import EXPERIMENTS
from refimpl.experiments.cli import add_run_arguments, make, perform
from refimpl.experiments.gallery import write_gallery


def main() -> int:
    """Run all experiments (or those named), each to its own folder; finished cells are never computed again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    add_run_arguments(parser)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    worst = 0
    for name in arguments.names or EXPERIMENTS:
        start = time.monotonic()
        worst = max(worst, one(name, arguments))
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        if worst == 130:
            return worst
    print(write_gallery(Path(arguments.out), list(EXPERIMENTS)))
    return worst


def one(name: str, arguments: argparse.Namespace) -> int:
    """One experiment; a message and exit code instead of an exception."""
    experiment = EXPERIMENTS[name]
    chosen = argparse.Namespace(**vars(arguments))
    if chosen.data not in experiment.data:
        chosen.data = None
    try:
        run = make(experiment, chosen)
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return perform(experiment, run, chosen)


if __name__ == "__main__":
    sys.exit(main())
