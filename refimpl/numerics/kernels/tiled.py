"""Convolution forward and its kernel gradient by the register tile; the input gradient is a forward pass, too.

The images of one sample are turned into channels-last pixels, squares of vectors at a time, and copied into a padded
image, see `kernels.channels`; sums leave out the rows of zeros above and below. Samples are independent and summed in
order: results do not depend on how a batch is split among threads.
"""

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels import channels
from refimpl.numerics.kernels.channels import part_of_square
from refimpl.numerics.kernels.microkernel import panel
from refimpl.numerics.kernels.team import share, task, units
from refimpl.numerics.kernels.vectors import WIDTH, buffer, lanes_of

CACHED = 24 * 1024  # bytes of the kernel that should stay in the first cache


@kernel
def forward(team, x, w, bias, down, across, high, wide, sh, sw, y):
    """y[b, o, i, j] = bias[o] + sum_{di, dj, c} xp[i sh + di, j sw + dj, c] w[v, di, dj, c, o] for the padded image xp.

    x (B, C, H, W); w (panels v, kh, kw, C, width), see `panels`; bias (panels, width); xp has high x wide pixels;
    y (B, O, Ho, Wo).
    """
    share(team, len(x), 1, task(_forward, (x, w, bias, down, across, high, wide, sh, sw, y)))


@kernel
def _forward(begin, end, x, w, bias, down, across, high, wide, sh, sw, y):
    V, kh, kw, C, width = w.shape
    O, Ho, Wo = y.shape[1:]
    pixels, two = Ho * Wo, width * x.itemsize > WIDTH
    row, line, ap, depth, step = wide * C, Wo * width, sw * C, kw * C, kw * C * width
    band = max(1, min(Ho, CACHED // (line * x.itemsize)))  # rows of y that stay in the first cache
    xp, out = np.zeros((1, high, wide, C), x.dtype), buffer(band * line, x)
    xs, ws, start, ys = xp.reshape(-1), w.reshape(-1), bias.reshape(-1), y.reshape(-1)
    first, last = down[0, 0], down[-1, 0] + down[-1, 2]  # rows of xp that hold pixels
    together = max(1, min(kh, CACHED // (step * x.itemsize)))  # kernel rows whose part of w stays in the first cache
    for n in range(begin, end):
        channels.last(x[n : n + 1], down, across, xp)
        for v in range(V):
            for top in range(0, Ho, band):
                rows, to = min(band, Ho - top), (n * O + v * width) * pixels + top * Wo
                for di in range(0, kh, together):
                    for i in range(rows):
                        r, c0 = (top + i) * sh, i * line
                        u = max(di, first - r)
                        count, a0, b0 = min(di + together, kh, last - r) - u, (r + u) * row, (v * kh + u) * step
                        s, s0, sp = (out, c0, width) if di else (start, v * width, 0)
                        panel(out, c0, width, s, s0, sp, xs, a0, row, ap, 1, ws, b0, step, width, count, depth, Wo, two)
                channels.transpose(out, 0, width, rows * Wo, min(width, O - v * width), ys, to, pixels)


@kernel
def kernel_gradient(team, x, dy, down, across, high, wide, sh, sw, dw):
    """dw[p, v, di, dj, c, o] = sum_{b, i, j} xp[i sh + di, j sw + dj, c] dy[b, v, o, i, j], samples in their order.

    dw (parts p of the batch, panels v, kh, kw, C, width), parts not empty. Threads share the parts, or else the panels.
    """
    parts, V = dw.shape[:2]
    work = task(_kernel_gradient, (x, dy, down, across, high, wide, sh, sw, dw))
    share(team, parts * V, V if parts > 1 else 1, work)


@kernel
def _kernel_gradient(begin, end, x, dy, down, across, high, wide, sh, sw, dw):
    V, kh, kw, C, width = dw.shape[1:]
    B, O, Ho, Wo = dy.shape
    row, line, ak, depth, pixels, two = wide * C, Wo * width, sw * C, kw * C, Ho * Wo, width * x.itemsize > WIDTH
    ar, xp, g = sh * row, np.zeros((1, high, wide, C), x.dtype), buffer(pixels * width, x)
    first, last = down[0, 0], down[-1, 0] + down[-1, 2]  # rows of xp that hold pixels
    g[:], xs, dys, ds, zeros = 0, xp.reshape(-1), dy.reshape(-1), dw.reshape(-1), np.zeros(width, x.dtype)
    for p in range(begin // V, -(-end // V)):
        left, right, top = max(begin - p * V, 0), min(end - p * V, V), p * B // len(dw)
        for n in range(top, (p + 1) * B // len(dw)):
            channels.last(x[n : n + 1], down, across, xp)
            for v in range(left, right):
                dy0, filled = (n * O + v * width) * pixels, min(width, O - v * width)
                channels.transpose(dys, dy0, pixels, filled, pixels, g, 0, width)
                for di in range(kh):
                    c0 = ((p * V + v) * kh + di) * depth * width
                    low = max(0, -(-(first - di) // sh))
                    rows = min(Ho, -(-(last - di) // sh)) - low
                    a0, b0 = (low * sh + di) * row, low * line
                    s, s0, sp = (ds, c0, width) if n > top else (zeros, 0, 0)
                    panel(ds, c0, width, s, s0, sp, xs, a0, ar, 1, ak, g, b0, line, width, rows, Wo, depth, two)


def shape_of_panels(shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    """(kh, kw, A, O) -> (panels, kh, kw, A, width): the last axis in panels of two vectors (one where one will do)."""
    lanes = lanes_of(dtype)
    width = lanes if shape[-1] <= lanes else 2 * lanes
    return -(-shape[-1] // width), *shape[:-1], width


@kernel
def panels(team, w, out):
    """out[v, di, dj, c, o] = w[di, dj, c, v width + o], zeros where w ends."""
    share(team, len(out) * out.shape[3], _channels(out), task(_panels, (w, out)))


@kernel
def _panels(begin, end, w, out):
    K, C, width, lanes = w.shape[0] * w.shape[1], w.shape[2], out.shape[4], WIDTH // w.itemsize
    forth, sc, so = _steps(w)
    for k in range(begin, end):
        v, c = k // C, k % C
        tile, part = out[v, :, :, c], w[:, :, c, v * width :][:, :, :width]
        start = c * sc + v * width * so
        if forth != 0 and start + (part.shape[2] - 1) * so + K + lanes <= w.size:  # vectors reach beyond the taps
            s0, d0 = (start, v * K) if forth > 0 else (start - K + 1, v * K + K - 1)  # from w[0, 0, 0, 0] on
            for i in range(0, part.shape[2], lanes):
                for t in range(0, K, lanes):
                    few, at = min(lanes, part.shape[2] - i), ((d0 + forth * t) * C + c) * width + i
                    part_of_square(out, at, forth * C * width, w, s0 + i * so + t, so, few, min(lanes, K - t))
        else:
            _copy(part, tile)
        tile[:, :, part.shape[2] :] = 0


@kernel
def unpanel(team, tiles, w):
    """The inverse: w[di, dj, c, v width + o] = tiles[v, di, dj, c, o]."""
    share(team, len(tiles) * tiles.shape[3], _channels(tiles), task(_unpanel, (tiles, w)))


@kernel
def _unpanel(begin, end, tiles, w):
    K, C, width, lanes = w.shape[0] * w.shape[1], w.shape[2], tiles.shape[4], WIDTH // w.itemsize
    forth, sc, so = _steps(w)
    for k in range(begin, end):
        v, c = k // C, k % C
        part = w[:, :, c, v * width :][:, :, :width]
        if forth > 0 and sc == K and c < C - 1 and k < end - 1:  # vectors reach into channel c + 1, which comes later
            for i in range(0, part.shape[2], lanes):
                for t in range(0, K, lanes):
                    s0, d0 = ((v * K + t) * C + c) * width + i, c * K + (v * width + i) * so + t
                    part_of_square(w, d0, so, tiles, s0, C * width, min(lanes, K - t), min(lanes, part.shape[2] - i))
        else:
            _copy(tiles[v, :, :, c, : part.shape[2]], part)


@kernel
def _steps(w):
    """How far apart taps (forth, +-1) and channels of kernels w (kh, kw, C, O) in one piece of memory lie.

    forth = 0 where the taps of a kernel are not one run, or so few that transposes of vectors would not pay.
    """
    K, n = w.shape[0] * w.shape[1], w.itemsize
    down, forth, sc, so = w.strides[0] // n, w.strides[1] // n, w.strides[2] // n, w.strides[3] // n
    whole = (sc == K and so == K * w.shape[2]) or (so == K and sc == K * w.shape[3])
    run = abs(forth) == 1 and down == w.shape[1] * forth and WIDTH // n // 2 <= K
    return (forth if ENABLED and whole and run else 0), sc, so


@kernel
def _copy(src, dst):
    """dst = src, or the beginning of it. An assignment of arrays takes seconds to compile."""
    for i in range(src.shape[0]):
        for j in range(src.shape[1]):
            for k in range(src.shape[2]):
                dst[i, j, k] = src[i, j, k]


@kernel
def _channels(tiles):
    """How many channels of a panel are worth another thread."""
    return units(channels.GRAIN, tiles.shape[1] * tiles.shape[2] * tiles.shape[4])
