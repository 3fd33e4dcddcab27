"""The ready-made specs, which people name without a path: `airgap bundle arm64-builder`."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def ready_made() -> dict[str, Path]:
    """Return the name and the file of each ready-made spec.

    A wheel has them in the package, a checkout beside it.
    """
    folders = (_PACKAGE / "bundles", _PACKAGE.parent / "bundles")
    paths = (path for folder in folders for path in sorted(folder.glob("*.toml")))
    return {path.stem: path for path in paths}


def summary(spec: Path) -> str:
    """Return the first sentence of a spec's comment."""
    words = []
    for line in spec.read_text().splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    return " ".join(words).partition(": ")[0].partition(". ")[0].rstrip(".")
