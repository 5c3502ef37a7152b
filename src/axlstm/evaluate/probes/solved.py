"""Evaluate by probes that have one solution and so no seeds: nearest neighbours, logistic regression, discriminants."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from axlstm.evaluate.probes.affine import discriminant, logistic_regression
from axlstm.evaluate.probes.data import Part, ProbeData
from axlstm.evaluate.probes.knn import vote
from axlstm.evaluate.probes.selection import Check, Judge

Solver = Callable[[Sequence[float], Part, Part, bool], Tensor]

SOLVERS: Mapping[str, Solver] = {
    "neighbours": vote,
    "penalty": logistic_regression,
    "shrinkage": discriminant,
}
"""Ways to logits, by the name of what is chosen by validation.

Each takes candidates, the training part, the part that is asked for, and whether exactly one class is right. It returns
logits ``(len(candidates), n, K)``.
"""


def choose_candidate(
    name: str, candidates: Sequence[float], data: ProbeData, judge: Judge
) -> tuple[float, Check, float]:
    """Find the candidate that scores best on the validation split, its check, and the minutes taken.

    More neighbours than training clips are cut to their number. Of equal candidates the first wins.
    """
    began = time.perf_counter()
    if name == "neighbours":
        candidates = sorted({min(k, len(data.train)) for k in candidates})
    checks = judge.check_members(0, SOLVERS[name](candidates, data.train, data.valid, judge.is_multiclass))
    sign = 1 if judge.maximise else -1
    values = [-math.inf if math.isnan(check.value) else sign * check.value for check in checks]  # NaN: found nothing
    best = max(range(len(candidates)), key=lambda i: (values[i], -i))
    return candidates[best], checks[best], (time.perf_counter() - began) / 60
