"""The helpers that everything else is measured by: each accepts the right thing and rejects a wrong twin."""

import numpy as np
import pytest

from refimpl.numerics import compare, validate

X = np.array([0.5, -1.25, 3.0])


class TestEpsError:
    def test_counts_units_of_eps_at_the_scale(self):
        eps = np.finfo(float).eps
        assert compare.eps_error(np.array([1.0 + 3 * eps]), np.array([1.0]), scale=1.0) == 3
        assert compare.eps_error(np.array([8.0 + 8 * eps]), np.array([8.0])) == pytest.approx(1, rel=1e-9)

    def test_uses_the_less_precise_dtype(self):
        third = np.array([1 / 3])
        assert compare.eps_error(third.astype(np.float32), third) < 1
        assert compare.eps_error(third.astype(np.float32).astype(float), third) > 1e6

    @pytest.mark.parametrize(
        ("a", "b"),
        [([np.nan], [1.0]), ([np.inf], [-np.inf]), ([np.inf], [1e308]), ([1.0, 2.0], [1.0])],
        ids=["nan", "sign of infinity", "infinity", "shape"],
    )
    def test_mismatch_is_infinite(self, a, b):
        assert compare.eps_error(np.array(a), np.array(b)) == np.inf

    def test_equal_special_values_agree(self):
        special = np.array([np.nan, np.inf, -np.inf, 1.0])
        assert compare.eps_error(special, special.copy()) == 0


def test_ulp_error_counts_spacings():
    x = np.array([1.0, 2.0**40, 1e-300])
    assert compare.ulp_error(np.nextafter(x, np.inf), x) == 1
    assert compare.ulp_error(x.astype(np.float32)[:2], x[:2]) == 0


class TestLadder:
    def test_identity_is_flat_and_near_miss_grows(self):
        def true(dtype):
            x = X.astype(dtype)
            return np.sqrt(x * x), np.abs(x)

        def near_miss(dtype):
            return X.astype(dtype) * dtype(1 + 2.0**-20), X.astype(dtype)

        assert max(compare.ladder(true).values()) <= 1
        errors = list(compare.ladder(near_miss).values())
        assert errors[1] > 1e8 * errors[0]

    def test_says_whether_longdouble_is_wider(self):
        wider = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
        assert compare.longdouble_is_wider() == wider
        assert len(compare.rungs()) == (3 if wider else 2)


class TestDerivatives:
    def test_central_difference_is_exact_for_quadratics(self):
        def f(x):
            return x * x * 0.5 - 3 * x

        assert np.array_equal(compare.central_difference(f, X, np.ones(3)), X - 3)

    @pytest.mark.parametrize("dtype", compare.rungs(), ids=lambda t: np.dtype(t).name)
    def test_complex_step_is_exact_for_analytic_maps(self, dtype):
        x = X.astype(dtype)
        assert compare.eps_error(compare.complex_step(np.exp, x, np.ones_like(x)), np.exp(x)) <= 2

    @pytest.mark.parametrize("dtype", compare.rungs(), ids=lambda t: np.dtype(t).name)
    def test_adjoint_error_accepts_the_transpose_only(self, dtype):
        a = np.arange(6, dtype=dtype).reshape(2, 3) / 8
        v, dy = X.astype(dtype), np.array([1.5, -0.25], dtype)
        assert compare.adjoint_error([a.T @ dy], [v], dy, a @ v) <= 4
        assert compare.adjoint_error([2 * a.T @ dy], [v], dy, a @ v) > 1e5
        assert compare.adjoint_error([-(a.T @ dy)], [v], dy, a @ v) > 1e5


def test_order_of_decay_recovers_the_exponent():
    h = 2.0 ** -np.arange(8)
    assert compare.order_of_decay(h, 3 * h**1.5) == pytest.approx(1.5, abs=1e-12)
    assert compare.order_of_decay(h, 3 * h) != pytest.approx(1.5, abs=0.1)


class TestValidate:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
    def test_keeps_the_precision(self, dtype):
        assert validate.real_array("x", np.ones(2, dtype)).dtype == dtype

    def test_integers_and_lists_become_float64(self):
        assert validate.real_array("x", [1, 2]).dtype == np.float64
        assert validate.real_array("x", np.ones(2, np.uint8)).dtype == np.float64

    @pytest.mark.parametrize("bad", [[1j], [True], ["a"], [None], [[1], [1, 2]], np.ones(2, np.float16), None, {}])
    def test_refuses_what_is_not_real(self, bad):
        with pytest.raises(ValueError, match=r"^x: expected .* got "):
            validate.real_array("x", bad)

    def test_shape_and_axes_are_named(self):
        with pytest.raises(ValueError, match=r"x: expected shape \(any, 3\), got an array of shape \(2, 2\)"):
            validate.real_array("x", np.ones((2, 2)), shape=(None, 3))
        with pytest.raises(ValueError, match="x: expected 1 axes"):
            validate.real_array("x", np.ones((2, 2)), ndim=1)

    @pytest.mark.parametrize("bad", [0, -1.0, np.nan, np.inf, "1", True, None, np.ones(2), 1j])
    def test_positive(self, bad):
        with pytest.raises(ValueError, match="tau: expected a finite number > 0, got"):
            validate.positive("tau", bad)

    def test_numbers_come_back_as_floats(self):
        assert validate.positive("tau", np.float32(0.5)) == 0.5
        assert validate.nonnegative("tau", np.array(0)) == 0.0
        assert validate.real("b", -2) == -2.0
        assert validate.within("r", 0.25, 0, 1) == 0.25

    @pytest.mark.parametrize(
        ("check", "bad"),
        [
            (lambda v: validate.nonnegative("a", v), -1e-300),
            (lambda v: validate.real("a", v), np.nan),
            (lambda v: validate.within("a", v, 0, 1), np.nan),
            (lambda v: validate.within("a", v, 0, 1), 1.0000001),
            (lambda v: validate.integer("a", v, 1, 3), 4),
            (lambda v: validate.integer("a", v, 1, 3), 0),
            (lambda v: validate.integer("a", v, 1), 0),
            (lambda v: validate.integer("a", v), 1.0),
            (lambda v: validate.integer("a", v), True),
            (lambda v: validate.choice("a", v, ("zero", "circular")), "valid"),
            (lambda v: validate.choice("a", v, (1, 2)), True),
            (lambda v: validate.labels("a", v, 2, 10), [0, 10]),
            (lambda v: validate.labels("a", v, 2, 10), [0, -1]),
            (lambda v: validate.labels("a", v, 2, 10), [0.0, 1.0]),
            (lambda v: validate.labels("a", v, 2, 10), [1]),
            (lambda v: validate.nonempty("a", np.asarray(v)), []),
            (lambda v: validate.same_shape("a", np.asarray(v), "b", X), [1.0]),
        ],
    )
    def test_each_check_refuses(self, check, bad):
        with pytest.raises(ValueError, match=r"^a: expected .* got "):
            check(bad)

    def test_good_values_pass(self):
        assert validate.integer("n", np.int32(3), 1, 3) == 3
        assert validate.choice("p", np.inf, (1, 2, np.inf)) == np.inf
        assert validate.labels("y", np.array([0, 9], np.uint8), 2, 10).dtype == np.int64
