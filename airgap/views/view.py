"""From inner objects to views, and from views to JSON.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Image:
...     name: str
...     size: int
>>> to_json([view_of(Image, Image("alpine", 1), size=2)])
'[{"name": "alpine", "size": 2}]'
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from typing import Any, TypeVar

_View = TypeVar("_View")


def view_of(view: type[_View], source: object, **others: object) -> _View:
    """Return a view of an object.

    Args:
        view: The class of the view, a dataclass.
        source: Has an attribute for each field of the view that is not among `others`.
        others: The fields that have another name or form in `source`.
    """
    names = (field.name for field in fields(view))  # type: ignore[arg-type]
    values = {name: others[name] if name in others else getattr(source, name) for name in names}
    return view(**values)


def to_json(document: object) -> str:
    """Return the JSON of a view, or of a list or mapping of views."""
    return json.dumps(document, default=_plain)


def _plain(value: Any) -> object:  # noqa: ANN401 - whatever json does not know
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(type(value).__name__)
