"""One training loop for problem (4.4), min L(theta) + lam R(theta), with a pluggable penalty R (Algorithm 2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.problem import CROSS_ENTROPY
from refimpl.setting.losses import Loss
from refimpl.setting.network import Network

Array = np.ndarray
Memory = dict[str, Array]


class Penalty:
    """R(theta) of (4.4) with a gradient, and a memory that travels with the training state; this base is R = 0."""

    def start(self, network: Network, theta: Array, pool: Array, rng: np.random.Generator) -> Memory:
        """The memory before the first step; ``pool`` is the data that pairs may be drawn from."""
        return {}

    def inputs(self, network: Network, theta: Array, x: Array, y: Array, epoch: int, rng: np.random.Generator) -> Array:
        """The inputs the loss is taken at: the batch itself, unless they are attacked first."""
        return x

    def __call__(
        self, network: Network, theta: Array, memory: Memory, pool: Array, rng: np.random.Generator
    ) -> tuple[float, Array, Memory]:
        """(R(theta), its gradient, the next memory)."""
        return 0.0, np.zeros_like(theta), memory


class Record(NamedTuple):
    """One epoch of Algorithm 2: means over its batches of loss, accuracy and penalty; lam; accuracy on the validation
    set.
    """

    epoch: int
    loss: float
    accuracy: float
    lam: float
    penalty: float
    validation: float


class State(NamedTuple):
    """Everything Algorithm 2 needs to continue: the next epoch depends on this value and the data alone."""

    theta: Array
    velocity: Array
    lam: float
    epoch: int
    seed: int
    memory: Memory
    history: tuple[Record, ...]

    def pack(self) -> dict[str, Array]:
        """The state as named arrays, ready for ``numpy.savez``."""
        numbers = {"lam": np.float64(self.lam), "epoch": np.int64(self.epoch), "seed": np.int64(self.seed)}
        memory = {f"memory.{name}": value for name, value in self.memory.items()}
        history = np.array(self.history, float).reshape(-1, len(Record._fields))
        blocks = {"theta": self.theta, "velocity": self.velocity, "history": history}
        return blocks | memory | {name: np.asarray(value) for name, value in numbers.items()}

    @staticmethod
    def unpack(arrays: Mapping[str, Array]) -> "State":
        """The inverse of `pack`; bit for bit."""
        start = len("memory.")
        memory = {name[start:]: arrays[name] for name in arrays if name.startswith("memory.")}
        history = tuple(Record(int(row[0]), *map(float, row[1:])) for row in arrays["history"])
        lam, epoch, seed = float(arrays["lam"]), int(arrays["epoch"]), int(arrays["seed"])
        return State(arrays["theta"], arrays["velocity"], lam, epoch, seed, memory, history)


class Schedule:
    """A rule for lam from epoch to epoch (Section 4.2.3); this base keeps lam.

    ``accuracy`` names the one it looks at, or is None.
    """

    accuracy: Literal["validation", "training"] | None = None

    def first(self, lam: float) -> float:
        """lam of epoch 0."""
        return lam

    def next(self, epoch: int, lam: float, start: float, accuracy: float) -> float:
        """lam of ``epoch``, from that of the epoch before and its accuracy; ``start`` is the lam asked for."""
        return lam


CONSTANT = Schedule()


@dataclass(frozen=True)
class TowardsAccuracy(Schedule):
    """The chapter's rule (Section 4.2.3): after every epoch lam grows if the accuracy exceeds the target,
    shrinks if it is below; by an added increment (not below 0), or by a factor.
    Raises ValueError for a field out of range.
    """

    target: float = 0.95
    change: float = 0.01
    rule: Literal["add", "multiply"] = "add"
    accuracy: Literal["validation", "training"] = "validation"

    def __post_init__(self) -> None:
        validate.within("target", self.target, 0, 1)
        validate.choice("rule", self.rule, ("add", "multiply"))
        validate.choice("accuracy", self.accuracy, ("validation", "training"))
        validate.within("change", self.change, 1.0 if self.rule == "multiply" else 0.0, 1e6)

    def next(self, epoch: int, lam: float, start: float, accuracy: float) -> float:
        """lam +- change, or lam times or over change."""
        direction = int(np.sign(accuracy - self.target))
        return max(lam + direction * self.change, 0.0) if self.rule == "add" else lam * self.change**direction


@dataclass(frozen=True)
class AuthorsSchedule(Schedule):
    """The rule of the code of Bungert et al. 2021: lam = 0 in epochs 0 ... warmup, then the lam asked for, and from
    then on
    every (cooldown + 1)-th epoch + change if the training accuracy exceeds the target, else - change (not below 0).
    Raises ValueError for a field out of range.
    """

    target: float = 0.9
    change: float = 0.0
    warmup: int = 5
    cooldown: int = 1
    accuracy: Literal["validation", "training"] = "training"

    def __post_init__(self) -> None:
        validate.within("target", self.target, 0, 1)
        validate.nonnegative("change", self.change)
        validate.integer("warmup", self.warmup, 0)
        validate.integer("cooldown", self.cooldown, 0)

    def first(self, lam: float) -> float:
        """0."""
        return 0.0

    def next(self, epoch: int, lam: float, start: float, accuracy: float) -> float:
        """0, start, or lam +- change."""
        since = epoch - self.warmup - 1
        if since <= 0:
            return start if since == 0 else 0.0
        if since % (self.cooldown + 1):
            return lam
        return lam + self.change if accuracy > self.target else max(lam - self.change, 0.0)


@dataclass(frozen=True)
class Settings:
    """The hyper-parameters of the loop.

    Attributes
    ----------
    epochs, batch : passes over the data; samples a step (the last batch of an epoch may be smaller).
    eta, momentum : theta <- theta - eta m, m <- momentum m + gradient.
    lam, schedule : the weight of the penalty and its rule from epoch to epoch.
    loss : ell.
    """

    epochs: int = 30
    batch: int = 100
    eta: float = 0.05
    momentum: float = 0.9
    lam: float = 0.0
    schedule: Schedule = CONSTANT
    loss: Loss = CROSS_ENTROPY

    def __post_init__(self) -> None:
        validate.integer("epochs", self.epochs, 0)
        validate.integer("batch", self.batch, 1)
        validate.positive("eta", self.eta)
        validate.within("momentum", self.momentum, 0, 1)
        validate.nonnegative("lam", self.lam)


def train(
    network: Network,
    theta: Array,
    x: Array,
    y: Array,
    penalty: Penalty | None = None,
    *,
    validation: tuple[Array, Array] | None = None,
    pool: Array | None = None,
    state: State | None = None,
    rng: np.random.Generator | int = 0,
    callback: Callable[[State], Any] | None = None,
    **settings: Any,
) -> State:
    """Minimise L(theta) + lam R(theta) (4.4) by SGD with momentum over minibatches; the last state.

    Parameters
    ----------
    theta : the start; its dtype is that of the computation.
    x, y : training data (B, ...) and its labels (B,), or targets (B, ...) of the loss.
    penalty : R; None is R = 0.
    validation : (x, y) for the accuracy after each epoch; by default the training data.
    pool : the data (B, ...) that pairs of X_Lip are drawn from; by default x.
    state : continue from here, up to the same total of ``epochs``: bit for bit what the uninterrupted run gives.
    rng : a seed, or a generator that one is drawn from; every epoch has its own stream.
    callback : called with the state after every epoch.
    settings : the fields of `Settings`.

    Returns
    -------
    state : with ``theta``, ``history`` (one `Record` an epoch) and ``lam``; `State.pack` makes it savable.

    Raises
    ------
    ValueError : lengths of x and y differ, no samples, settings out of range, a schedule that needs an accuracy
        with targets that are no labels.
    """
    s, penalty = Settings(**settings), Penalty() if penalty is None else penalty
    theta = _checked(network, theta, penalty, state)
    x, y = _data(x, y, theta.dtype)
    held_out = (x, y) if validation is None else _held_out(validation, theta.dtype)
    pool = x if pool is None else validate.real_array("pool", pool).astype(theta.dtype, copy=False)
    if s.schedule.accuracy and y.dtype.kind not in "iu":
        validate.fail("y", "integer labels, since the schedule of lam looks at the accuracy", validate.describe(y))
    state = state or _start(network, theta, penalty, pool, s, rng)
    while state.epoch < s.epochs:
        state = _epoch(network, state, x, y, held_out, pool, penalty, s)
        if callback is not None:
            callback(state)
    return state


def _checked(network: Network, theta: Array, penalty: Penalty, state: State | None) -> Array:
    validate.provides("network", network, "vjp", "views")
    validate.provides("penalty", penalty, "start", "inputs", "__call__")
    if state is not None and not isinstance(state, State):
        validate.fail("state", "a State or None", validate.describe(state))
    return validate.real_array("theta", theta, shape=(network.size,))


def _held_out(validation: Any, dtype: Any) -> tuple[Array, Array]:
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        validate.fail("validation", "a pair (x, y) or None", validate.describe(validation))
    x, y = validation
    return _data(x, y, dtype)


def _data(x: Array, y: Array, dtype: Any) -> tuple[Array, Array]:
    x, y = validate.real_array("x", x).astype(dtype, copy=False), validate.array("y", y)
    if x.ndim < 2 or x.size == 0:
        validate.fail("x", "a non-empty batch (B, ...)", validate.describe(x))
    if y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        validate.fail("y", f"as many targets as inputs ({len(x)}, at least 1)", validate.describe(y))
    return x, y if y.dtype.kind in "iu" else y.astype(dtype, copy=False)


def _start(network: Network, theta: Array, penalty: Penalty, pool: Array, s: Settings, rng: Any) -> State:
    seed = None if isinstance(rng, np.random.Generator) else validate.integer("rng", rng, 0)
    seed = int(rng.integers(2**62)) if seed is None else seed
    memory = penalty.start(network, theta, pool, np.random.default_rng([seed, 0, 1]))
    return State(theta.copy(), np.zeros_like(theta), s.schedule.first(s.lam), 0, seed, memory, ())


def _epoch(
    network: Network,
    state: State,
    x: Array,
    y: Array,
    held_out: tuple[Array, Array],
    pool: Array,
    penalty: Penalty,
    s: Settings,
) -> State:
    """Algorithm 2 over one permutation of the data."""
    rng = np.random.default_rng([state.seed, state.epoch, 0])
    theta, velocity, memory = state.theta, state.velocity, state.memory
    sums = np.zeros(3)
    for chosen in np.split(rng.permutation(len(x)), range(s.batch, len(x), s.batch)):
        value, slope, memory = penalty(network, theta, memory, pool, rng)
        batch = penalty.inputs(network, theta, x[chosen], y[chosen], state.epoch, rng)
        outputs, pullback = network.vjp(theta, batch)
        loss, dy = s.loss.value_and_gradient(outputs, y[chosen])
        gradient = pullback(dy, need="parameters")[1]
        sums += len(chosen) * np.array([loss, _accuracy(outputs, y[chosen]), value])
        velocity = theta.dtype.type(s.momentum) * velocity + (gradient + theta.dtype.type(state.lam) * slope)
        theta = theta - theta.dtype.type(s.eta) * velocity  # 4.2.1 Algorithm 2
    loss, accuracy, value = (float(total) for total in sums / len(x))
    checked = _accuracy(network(theta, held_out[0]), held_out[1])
    record = Record(state.epoch, loss, accuracy, state.lam, value, checked)
    seen = accuracy if s.schedule.accuracy == "training" else checked
    lam = s.schedule.next(state.epoch + 1, state.lam, s.lam, seen)
    return State(theta, velocity, lam, state.epoch + 1, state.seed, memory, (*state.history, record))


def _accuracy(outputs: Array, y: Array) -> float:
    """The share of right labels; NaN where the targets are no labels."""
    return float(np.mean(np.argmax(outputs, axis=1) == y)) if y.dtype.kind in "iu" else float("nan")
