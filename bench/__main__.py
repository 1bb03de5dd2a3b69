"""``python -m bench``: every question, or those named; prints one table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import crossing, fleet, layer_walk, mirroring, serving
from bench.table import Row, render

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
QUESTIONS: Mapping[str, Callable[[Path, int, int], list[Row]]] = {
    "walk": lambda folder, size, rounds: layer_walk.run(folder, size // 4, rounds),
    "crossing": crossing.run,
    "mirror": mirroring.run,
    "fleet": fleet.run,
    "serving": serving.run,
}


def parse_size(text: str) -> int:
    """``2G`` and the like; powers of 1024."""
    unit = UNITS.get(text[-1:].upper(), 1)
    return int(text.rstrip("KMGkmg")) * unit


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "questions", nargs="*", metavar="question", help=f"some of: {', '.join(QUESTIONS)} [default: all]"
    )
    parser.add_argument(
        "--size", type=parse_size, default=parse_size("2G"), help="bytes of the layer; K, M, G [default: 2G]"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the fastest counts [default: 3]")
    parser.add_argument(
        "--folder", type=Path, help="where the data goes, five times its size [default: the temporary folder]"
    )
    options = parser.parse_args()
    unknown = set(options.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in options.questions or QUESTIONS:
        print(f"{name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
            rows += QUESTIONS[name](Path(folder), options.size, options.rounds)
    print("\n".join(render(rows)))
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
