"""Change the thresholds of a classifier that is on the disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from axlstm.collection.classifiers.classifier import DESCRIPTION, Classifier, load_classifier, read_description
from axlstm.errors import ConfigError
from axlstm.files import write_atomically
from axlstm.seals import OBJECT_KEY, seal_object


def set_thresholds(folder: Path, thresholds: Mapping[str, float]) -> Classifier:
    """Write other thresholds into the folder of a classifier, and return it with them.

    What its card and its report say of precision and recall stays that of the threshold that was set in training.

    Args:
        thresholds: probabilities by label; the other labels keep theirs.

    Raises:
        ConfigError: a label that the classifier does not have, or a threshold that is no probability.
        DataError, DamageError: as `axlstm.collection.classifiers.classifier.load_classifier`.
        WriteError: the disk is full or fails.
    """
    known = load_classifier(folder)
    for label, value in thresholds.items():
        if label not in known.labels:
            raise ConfigError(f"label {label!r}: not one of the classifier's, which are {', '.join(known.labels)}")
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ConfigError(f"threshold {value:g}: expected a probability from 0 to 1")
    about = {name: value for name, value in read_description(folder).items() if name != OBJECT_KEY}
    pairs = zip(known.labels, about["thresholds"], strict=True)
    about["thresholds"] = [float(thresholds.get(label, value)) for label, value in pairs]
    write_atomically(folder / DESCRIPTION, (json.dumps(seal_object(about), indent=1) + "\n").encode())
    return load_classifier(folder)
