"""Floor 3: every numbered statement of the chapter as an executable check.

>>> find("4.26")
[Claim("Theorem 4.26", ...), ...]
>>> find("4.26")[0].verify(examples=100, seed=0).verdict
'holds'
"""

import functools
import importlib
import warnings

from refimpl.claims.claim import REGISTRY, Claim, Erratum, Evidence
from refimpl.claims.search import Result, verify

__all__ = ["Claim", "Erratum", "Evidence", "Result", "all_claims", "broken_rooms", "find", "verify"]

ROOMS = (
    "setting",
    "setting_layers",
    "setting_descent",
    "robustness",
    "pixel_distances",
    "digits",
    "adversarial_training",
    "lipschitz",
    "quotients",
    "lipschitz_training",
    "existence",
    "convex_analysis",
    "proximal_operators",
    "prox_of_norms",
    "bregman_iterations",
    "bregman_limits",
    "inverse_scale_space",
    "linearized_bregman",
    "mirror_descent",
    "linbreg",
    "assumptions",
    "convergence",
    "loss_decay_numbers",
    "convergence_norm",
    "convergence_bregman",
    "convergence_steps",
    "sparse_starts",
    "sparse_training",
    "fourier",
    "spectral_padding",
    "operators",
    "nemytskii",
    "convertibility",
    "spectral_training",
    "equivariance",
    "aliasing",
)


def broken_rooms() -> dict[str, str]:
    """Room -> message, for the modules of claims that cannot be imported (normally none)."""
    return {room: message for room in ROOMS if (message := _load(room))}


def all_claims() -> list[Claim]:
    """Every claim, in the order of the chapter; warns when a room cannot be imported."""
    for room, message in broken_rooms().items():
        warnings.warn(f"the checks of refimpl.claims.{room} are missing: {message}", RuntimeWarning, stacklevel=2)
    return sound_claims()


def sound_claims() -> list[Claim]:
    """Every claim of the rooms that can be imported, in the order of the chapter."""
    from refimpl import chapter

    broken = {f"{__name__}.{room}" for room in broken_rooms()}
    order = {item.id: i for i, item in enumerate(chapter.ITEMS)}
    sound = [c for c in REGISTRY if _is_room(c.body.__module__) and c.body.__module__ not in broken]
    return sorted(sound, key=lambda c: order.get(c.id, len(order)))


def find(query: str) -> list[Claim]:
    """The claims of an item: "4.26", "Theorem 4.26", "(4.19)" or the name of a check."""
    from refimpl import chapter
    from refimpl.numerics import validate

    ids = {item.id for item in chapter.find(validate.text("query", query))}
    return [c for c in all_claims() if c.id in ids or c.name == query]


def _is_room(module: str) -> bool:
    return module.startswith(f"{__name__}.")


@functools.cache
def _load(room: str) -> str:
    """Import a room once; "" or the message of what went wrong."""
    try:
        importlib.import_module(f"{__name__}.{room}")
    except Exception as error:  # whatever a broken module raises, the other rooms still count
        return f"{type(error).__name__}: {error}"
    return ""
