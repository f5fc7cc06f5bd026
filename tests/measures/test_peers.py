"""Agreement with PyInform and infomeasure, on series of symbols.

PyInform takes the source first, then the target; trials are rows; results are in bits. Its `k` is
the history of the target, that of the source is one step, and the delay is 1. `condition` holds one
series beside each target, or several in an axis more at the front (ours is at the end), each with
the step that the source has.

infomeasure takes the source first too, knows no trials, and gives nats unless told `base=2`. Its
`dest_hist_len` and `src_hist_len` are the histories of target and source, and `prop_time` is the
delay less 1. It shifts the series by `prop_time` before it looks for histories, so that with a
delay and more past of the target than of the source it leaves out transitions whose steps are all
there. `offset` of its mutual information is how far the first series leads the second. Several
conditions are columns, as here, and take no `prop_time`.

Not compared: infomeasure's "grassberger" is Grassberger's correction of 1988, with psi(n) +
(-1)**n / (n + 1) in place of ln n; ours is that of 2003.
"""

import infomeasure
import naive
import numpy as np
import pyinform
import pytest

import tefast

CLOSE = {"rtol": 0, "atol": 1e-9}


def trials(seed, shape=(6, 25), symbols=3, several=2):
    """Target and source (N, T) and conditions (N, T, Z); the source and conditions have a say."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, symbols, (2, *shape))
    z = rng.integers(0, symbols, (*shape, several))
    follows = rng.random(shape)[:, :-1] < 0.5
    x[:, 1:] = np.where(follows, (y + z[..., 0])[:, :-1] % symbols, x[:, 1:])
    return x, y, z


seeds = pytest.mark.parametrize("seed", range(3))


@seeds
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_pyinform_transfer_entropy_of_trials(seed, k):
    x, y, _ = trials(seed)
    for h, source in ((x, y), (y, x)):
        expected = pyinform.transfer_entropy(source, h, k=k)
        given = {"bins": 3, "target_history": k}
        result = tefast.transfer_entropy(h[..., np.newaxis], source, **given)
        np.testing.assert_allclose(result, [expected], **CLOSE)
        local = tefast.local_transfer_entropy(h[..., np.newaxis], source, **given)[..., 0]
        expected = pyinform.transfer_entropy(source, h, k=k, local=True)
        np.testing.assert_allclose(local, expected, **CLOSE)


@seeds
@pytest.mark.parametrize("k", [1, 2, 3])
def test_pyinform_conditional_transfer_entropy_of_one_trial(seed, k):
    x, y, z = (series[0] for series in trials(seed, (1, 150)))
    for condition in (z[:, 0], z):
        expected = pyinform.transfer_entropy(y, x, k=k, condition=condition.T)
        result = tefast.conditional_transfer_entropy(x, y, condition, 3, target_history=k)
        np.testing.assert_allclose(result, [expected], **CLOSE)


@seeds
@pytest.mark.parametrize("k", [1, 2, 3])
def test_conditional_transfer_entropy_of_trials_where_pyinform_misreads_conditions(seed, k):
    # PyInform takes the conditions of trial i from i N on, not from i T on, N being the number of
    # trials: they are those of other steps unless there is one trial, or as many as steps.
    x, y, z = trials(seed)
    unit, series = x.tolist(), y.tolist()
    for condition in (z[..., :1], z):
        columns = np.moveaxis(condition, -1, 0)
        moves = naive.moves(unit, series, target_history=k, conditions=columns.tolist())
        expected = naive.information([row for _, row in moves])
        result = tefast.conditional_transfer_entropy(
            x[..., np.newaxis], y, condition, 3, target_history=k
        )
        np.testing.assert_allclose(result, [expected], **CLOSE)
    x, y, z = trials(seed, (25, 25))
    expected = pyinform.transfer_entropy(y, x, k=k, condition=np.moveaxis(z, -1, 0))
    result = tefast.conditional_transfer_entropy(x[..., np.newaxis], y, z, 3, target_history=k)
    np.testing.assert_allclose(result, [expected], **CLOSE)


@seeds
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_pyinform_active_information_and_entropy_rate_of_trials(seed, k):
    x, _, _ = trials(seed)
    for ours, theirs in (
        (tefast.active_information, pyinform.active_info),
        (tefast.entropy_rate, pyinform.entropy_rate),
    ):
        result = ours(x[..., np.newaxis], 3, history=k)
        np.testing.assert_allclose(result, [theirs(x, k=k)], **CLOSE)


@seeds
def test_pyinform_mutual_information(seed):
    x, y, _ = trials(seed)
    for delay in (0, 2):
        # It has no delay: steps are shifted beforehand.
        expected = pyinform.mutual_info(x[:, delay:], y[:, : 25 - delay])
        result = tefast.mutual_information(x[..., np.newaxis], y, 3, delay=delay)
        np.testing.assert_allclose(result, [expected], **CLOSE)


APPROACHES = pytest.mark.parametrize(
    ("approach", "bias"), [("discrete", None), ("miller_madow", "miller_madow")]
)


@APPROACHES
@pytest.mark.parametrize("delay", [1, 2, 4])
@pytest.mark.parametrize(("k", "before"), [(1, 1), (1, 3), (2, 2), (3, 1), (4, 3)])
def test_infomeasure_transfer_entropy(k, before, delay, approach, bias):
    x, y, _ = (series[0] for series in trials(0, (1, 200)))
    expected = infomeasure.transfer_entropy(
        y, x, approach=approach, base=2, dest_hist_len=k, src_hist_len=before, prop_time=delay - 1
    )
    # What it leaves out at the beginning.
    skipped = delay - 1 + max(k, before) - max(k, before + delay - 1)
    result = tefast.transfer_entropy(
        x[skipped:], y[skipped:], 3, target_history=k, source_history=before, delay=delay, bias=bias
    )
    np.testing.assert_allclose(result, [expected], **CLOSE)


@APPROACHES
@pytest.mark.parametrize(("k", "before"), [(1, 1), (1, 3), (2, 2), (3, 1)])
def test_infomeasure_conditional_transfer_entropy(k, before, approach, bias):
    x, y, z = (series[0] for series in trials(2, (1, 200)))
    for condition in (z[:, 0], z):
        expected = infomeasure.conditional_transfer_entropy(
            y, x, cond=condition, approach=approach, base=2, dest_hist_len=k, src_hist_len=before
        )
        result = tefast.conditional_transfer_entropy(
            x, y, condition, 3, target_history=k, source_history=before, bias=bias
        )
        np.testing.assert_allclose(result, [expected], **CLOSE)


@APPROACHES
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_infomeasure_mutual_information(delay, approach, bias):
    x, y, _ = (series[0] for series in trials(3, (1, 200)))
    expected = infomeasure.mutual_information(y, x, approach=approach, base=2, offset=delay)
    result = tefast.mutual_information(x, y, 3, delay=delay, bias=bias)
    np.testing.assert_allclose(result, [expected], **CLOSE)
