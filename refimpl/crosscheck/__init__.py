"""Floor 4: judges other people's implementations.

>>> from refimpl.crosscheck import assert_agrees
>>> assert_agrees("sparsity.prox_l1", my_soft_shrinkage)

==============  =====================================================================
target          an operation: inputs, reference, relation, tolerance, conventions
case            one set of inputs by name
candidate       a function, an optimizer class, or a command that claims to be the target
mistake         a wrong twin of the reference, with a name
k               tolerance in units of eps * scale
==============  =====================================================================
"""

from refimpl.crosscheck.judge import Report
from refimpl.crosscheck.target import Target, find, targets
from refimpl.crosscheck.testing import assert_agrees, check, parametrize

__all__ = ["Report", "Target", "assert_agrees", "check", "find", "parametrize", "targets"]
