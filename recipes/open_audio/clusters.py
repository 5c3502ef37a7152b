"""Cluster recordings that share audio: exact copies, and re-encodings that fingerprints find."""

from __future__ import annotations

from collections.abc import Sequence

from recipes.open_audio.fingerprint import Fingerprint
from recipes.open_audio.matching import find_matches


def clusters_of(digests: Sequence[str], fingerprints: Sequence[Fingerprint]) -> list[int]:
    """Find the cluster of each recording; a cluster has the number of its first member."""
    parents = list(range(len(digests)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    def join(one: int, other: int) -> None:
        first, second = sorted((root(one), root(other)))
        parents[second] = first

    seen: dict[str, int] = {}
    for number, digest in enumerate(digests):
        join(number, seen.setdefault(digest, number))
    first_of = sorted(set(seen.values()))  # exact copies have equal fingerprints: one of them is compared
    for match in find_matches([fingerprints[number] for number in first_of]):
        join(first_of[match.query], first_of[match.found])
    return [root(number) for number in range(len(digests))]
