r"""The formula of an item for the page, in the small LaTeX that `refimpl.report.mathml` renders.

They stand in ``formulas.txt``, a line each: ``id :: formula``. Where the text errs the formula is the
corrected one; the printed one stands with the erratum.
"""

import functools
from importlib import resources


@functools.cache
def formulas() -> dict[str, str]:
    """id -> LaTeX, for the items that have a formula."""
    text = resources.files("refimpl.report").joinpath("formulas.txt").read_text(encoding="utf-8")
    return dict(line.split(" :: ", 1) for line in text.splitlines() if line)
