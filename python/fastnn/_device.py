# SPDX-License-Identifier: BSD-3-Clause
"""`fastnn.device`: where a tensor's memory is."""

from __future__ import annotations


def _unknown(given: object, error: type[Exception]) -> Exception:
    message = (
        f"device: expected 'cpu', 'cuda' or 'cuda:N', got {given!r}; write 'cuda' for a GPU, "
        "'cuda:1' for the second"
    )
    return error(message)


class device:
    """``device('cpu')`` or ``device('cuda')``, with an index for the GPU (``'cuda:1'``)."""

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        if isinstance(type, device):
            self.type, self.index = type.type, type.index
            return
        given: object = type
        if not isinstance(given, str):
            raise _unknown(given, TypeError)
        kind, _, number = type.partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise _unknown(type, RuntimeError)
        self.type = kind
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (
            ")" if self.index is None else f", index={self.index})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))
