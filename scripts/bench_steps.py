"""Rows of ``scripts/bench.py``: the optimizers' steps and group shrinkage, beside the published torch optimizers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from bench import Row

from refimpl.numerics.compare import eps_error
from refimpl.sparsity import L1, AdaBreg, GroupL2, LinBreg


def label(text: str, dtype: Any) -> str:
    """The row's name: what, and the dtype last."""
    return f"{text} {np.dtype(dtype).name}"


def steps(n: int, dtype: Any) -> Iterator[Row]:
    """The fused optimizer steps against torch optimizers with the published arithmetic."""
    rng = np.random.default_rng(0)
    theta, g = rng.standard_normal(n).astype(dtype), (1e-3 * rng.standard_normal(n)).astype(dtype)
    tau, lam, delta, size = 0.1, 0.1, 1.0, theta.itemsize
    for name, opt, passes, operations in (
        ("LinBreg", LinBreg(L1(lam), tau, delta), 4, 6),
        ("LinBreg momentum", LinBreg(L1(lam), tau, delta, momentum=0.9), 6, 9),
        ("AdaBreg", AdaBreg(L1(lam), 1e-3, delta), 8, 17),
    ):
        state = opt.init(theta)
        peer = _TorchBreg(name, theta, g, tau if name != "AdaBreg" else 1e-3, lam, delta)

        def check(opt: Any = opt, peer: _TorchBreg = peer) -> float:
            return eps_error(opt.step(opt.init(theta), g).theta, peer.once().numpy(), 4)

        def ours(opt: Any = opt, state: Any = state) -> None:
            opt.step(state, g, inplace=True)

        counts = {"moved": passes * n * size, "flops": operations * n}
        yield Row(label(f"{name} step, n = {n:.0e}", dtype), ours, peer.once, 7, compare=check, **counts)


class _TorchBreg(torch.optim.Optimizer):
    """The steps as they are published: a torch optimizer, in-place where v, m and s are, one operator a line."""

    def __init__(self, kind: str, theta: np.ndarray, g: np.ndarray, tau: float, lam: float, delta: float):
        p = torch.nn.Parameter(torch.from_numpy(theta.copy()))
        p.grad = torch.from_numpy(g.copy())
        super().__init__([p], {"kind": kind, "lr": tau, "lam": lam, "delta": delta})

    def once(self) -> torch.Tensor:
        """One step; the parameter after it."""
        self.step()
        return self.param_groups[0]["params"][0].data

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """The step of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                state, delta, lam = self.state[p], group["delta"], group["lam"]
                if not state:
                    state |= {"k": 0, "v": p.data / delta + lam * torch.sign(p.data)}
                    state |= {"m": torch.zeros_like(p), "s": torch.zeros_like(p)}
                state["k"] += 1
                _ADVANCE[group["kind"]](state, p.grad.data, group["lr"])
                x = delta * state["v"]
                p.data = torch.sign(x) * torch.clamp(torch.abs(x) - delta * lam, min=0)


def _linbreg(state: dict[str, Any], g: torch.Tensor, tau: float) -> None:
    state["v"].add_(-tau * g)


def _momentum(state: dict[str, Any], g: torch.Tensor, tau: float) -> None:
    state["m"].mul_(0.9).add_((1 - 0.9) * tau * g)
    state["v"].add_(-state["m"])


def _adabreg(state: dict[str, Any], g: torch.Tensor, tau: float) -> None:
    state["m"].mul_(0.9).add_(g, alpha=1 - 0.9)
    state["s"].mul_(0.999).addcmul_(g, g, value=1 - 0.999)
    root = state["s"].sqrt() / (1 - 0.999 ** state["k"]) ** 0.5 + 1e-8
    state["v"].addcdiv_(state["m"], root, value=-tau / (1 - 0.9 ** state["k"]))


_ADVANCE = {"LinBreg": _linbreg, "LinBreg momentum": _momentum, "AdaBreg": _adabreg}


def groups(dtype: Any) -> Iterator[Row]:
    """Group shrinkage of rows and kernels, alone and in a LinBreg step, beside lean and published torch."""
    rng = np.random.default_rng(0)
    for name, shape in (("rows", (2000, 784)), ("kernels", (256, 256, 5, 5))):
        v, g = rng.standard_normal((2, *shape)).astype(dtype)
        J, size = GroupL2(0.5, name), shape[1] if name == "rows" else 25
        flat, tg = (torch.from_numpy(x).reshape(-1, size) for x in (v, g))
        for kind, prox, goal in (("lean", _lean_prox, 2), ("published", _published_prox, 5)):
            weight, opt, wanted = 0.5 * flat.shape[1] ** 0.5, LinBreg(J, 1e-3), goal if dtype == np.float32 else None
            state, tv = opt.init(v), flat.clone()

            def theirs(tv: torch.Tensor = tv, tg: torch.Tensor = tg, prox: Any = prox, weight: float = weight) -> Any:
                tv.add_(-1e-3 * tg)
                return prox(1.0 * tv, weight)

            yield Row(
                label(f"group shrinkage, {name}, torch {kind}", dtype),
                lambda J=J, v=v: J.prox(v),
                lambda p=prox, f=flat, w=weight: p(f, w),
                wanted,
                compare=lambda J=J, v=v, p=prox, f=flat, w=weight: eps_error(
                    J.prox(v).ravel(), p(f, w).numpy().ravel(), 4
                ),
                moved=2 * v.nbytes,
            )
            yield Row(
                label(f"LinBreg step, {name}, torch {kind}", dtype),
                lambda o=opt, s=state, g=g: o.step(s, g, inplace=True),
                theirs,
                wanted,
                moved=4 * v.nbytes,
            )


def _lean_prox(x: torch.Tensor, weight: float) -> torch.Tensor:
    norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x * torch.clamp(1 - weight / norms, min=0)


def _published_prox(x: torch.Tensor, weight: float) -> torch.Tensor:
    """As published: a copy, and only the groups that are not zero are scaled, through an index."""
    out, norms = x.clone(), torch.norm(x, p=2, dim=1).view(-1, 1)
    active = torch.where(norms[:, 0] != 0)[0]
    out[active] = x[active] * torch.clamp(1 - torch.clamp(weight / norms[active], max=1), min=0)
    return out
