# SPDX-License-Identifier: BSD-3-Clause
"""``map_location``: on which device the tensors of a file come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import _backend
from fastnn._device import device as Device
from fastnn.serialization.source import Malformed
from fastnn.tensor import Tensor

__all__ = ["Places", "StoredMemory"]


class StoredMemory:
    """What a function given as ``map_location`` gets, and returns: memory on a device.

    ``lambda storage, location: storage`` leaves it on the CPU, ``storage.cuda()`` moves it.
    """

    def __init__(self, device: Device) -> None:
        self.device = device

    def cpu(self) -> StoredMemory:
        """On the CPU."""
        return StoredMemory(Device("cpu"))

    def cuda(self, device: int | None = None) -> StoredMemory:
        """On a GPU."""
        return StoredMemory(Device("cuda", device))


class Places:
    """Where what was saved on a device goes to: ``map_location`` of `fastnn.load`."""

    def __init__(self, map_location: Any) -> None:
        self._given = map_location
        known = isinstance(map_location, str | Device | Mapping) or callable(map_location)
        if map_location is not None and not known:
            message = (
                "load: expected a device, a dict of devices or a function as map_location, got "
                f"{type(map_location).__name__}; write map_location='cpu'"
            )
            raise TypeError(message)
        if isinstance(map_location, str):
            self._given = Device(map_location)

    def _wanted(self, location: str) -> str:
        given = self._given
        if given is None:
            return location
        if isinstance(given, Device):
            return str(given)
        if isinstance(given, Mapping):
            return str(given.get(location, location))
        memory = given(StoredMemory(Device("cpu")), location)
        if memory is None:  # as it was saved
            return location
        if not isinstance(memory, StoredMemory):
            message = (
                "load: expected map_location to return the storage it was given, or its cpu() or "
                f"cuda(), got {type(memory).__name__}; return one of these or None"
            )
            raise TypeError(message)
        return str(memory.device)

    def device(self, location: str) -> Device:
        """The device for what was saved on ``location``. Raises Malformed if it is not there, and
        RuntimeError if ``map_location`` chose one that is not."""
        wanted = self._wanted(location)
        try:
            found = Device(wanted)
            if wanted != location and found.type != "cpu":
                _backend.move(np.empty(0, np.float32), found.type)
        except RuntimeError:
            if wanted != location:  # the file is whole; what was asked for is not there
                message = (
                    f"load: expected a device that is in use as map_location, got {wanted!r:.40}; "
                    "pass map_location='cpu'"
                )
                raise RuntimeError(message) from None
            problem = f"it has tensors on {wanted!r:.40}, no device here: pass map_location='cpu'"
            raise Malformed(problem) from None
        return found

    @staticmethod
    def put(tensor: Tensor, device: Device) -> Tensor:
        """A tensor of the file on that device. Raises Malformed if it is not there."""
        if device.type == tensor.device.type:
            return tensor
        try:
            return Tensor._wrap(_backend.move(tensor.array, device.type))
        except RuntimeError:
            problem = (
                f"it has tensors on {str(device)!r}, and no GPU is in use: pass map_location='cpu'"
            )
            raise Malformed(problem) from None

    def place(self, tensor: Tensor, location: str) -> Tensor:
        """What was saved on ``location``, where it is wanted."""
        return self.put(tensor, self.device(location))
