"""List rooms of the package and the imports between them, as grimp finds them.

``PYTHONPATH=OTHER/src:. python -m benchmarks.rooms`` lists those of other sources: it imports nothing of the package.
"""

from __future__ import annotations

import sys
from collections import defaultdict


def rooms(package: str = "axlstm") -> int:
    """Print how many rooms a package has, which imports which, and which of them form a circle.

    A room is a module or package right below the package. Imports inside functions count; imports for type checking
    only do not.

    Args:
        package: a package that can be imported here.
    """
    import grimp

    graph = grimp.build_graph(package, exclude_type_checking_imports=True)
    imports: dict[str, set[str]] = defaultdict(set)
    links = 0
    for module in graph.modules - {package}:
        for imported in graph.find_modules_directly_imported_by(module) - {package}:
            importer, target = (name.split(".")[1] for name in (module, imported))
            if importer != target:
                imports[importer].add(target)
                links += 1
    found = sorted({module.split(".")[1] for module in graph.modules - {package}})
    for room in found:
        print(f"{room:14} imports {', '.join(sorted(imports[room])) or 'none'}")
    print(f"{len(found)} rooms, {sum(map(len, imports.values()))} pairs of them, {links} imports between rooms")
    print(f"in a circle: {', '.join(room for room in found if room in _reach(imports, room)) or 'none'}")
    return 0


def _reach(imports: dict[str, set[str]], room: str) -> set[str]:
    """Find all rooms that a room imports, directly or through others."""
    reached: set[str] = set()
    waiting = list(imports[room])
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += imports[other]
    return reached


if __name__ == "__main__":
    sys.exit(rooms())
