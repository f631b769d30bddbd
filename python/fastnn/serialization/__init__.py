# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn.save`` and ``fastnn.load``: tensors and plain data in a file, without pickle.

Files are safetensors, whatever they are called: the tensors by their names, and the rest of the
object as JSON in the metadata. A ``state_dict`` that was saved is read by torch with
``safetensors.torch.load_file``. What ``torch.save`` wrote is read too, by an interpreter of our own
that knows tensors and plain data and runs no code of the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastnn.serialization.files import write_atomically
from fastnn.serialization.places import Places
from fastnn.serialization.source import Malformed, Source, TensorFileError, opened
from fastnn.serialization.tensor_file import MAX_HEADER, encode_arrays, read_tensors
from fastnn.serialization.torch_file import is_torch_zip, looks_legacy, read_torch
from fastnn.serialization.tree import Packer, Unpacker

__all__ = ["TensorFileError", "load", "save"]

_START = 262  # bytes by which the kinds of files are told apart
_OBJECT = "object"  # what a file of `save` calls its tree


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,  # noqa: ARG001 - torch's; nothing is pickled
    pickle_protocol: int = 2,  # noqa: ARG001
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write an object to a file, as safetensors whatever the file's suffix is.

    obj: tensors and Parameters, numbers, texts, truth values, None, and dicts (OrderedDict and
         Counter too), lists and tuples of them: a ``state_dict`` of a module, an optimiser or a
         schedule, or a tree of these. NumPy's numbers become Python's.
    f:   a path, or a file opened with mode "wb". A file at the path is replaced at once when the
         new one is whole on the disk: a failed save leaves the old one.

    A tensor in a state_dict has its name there; further down, the names of the way are joined by
    "/". Tensors that are the same memory come back as one Tensor; other views are stored as
    tensors of their own. A list, dict or tuple that is in the object several times is stored at its
    first place and comes back as one. ``pickle_module`` and ``pickle_protocol`` are torch's and
    change nothing.

    Errors: TypeError for anything else, and for what holds itself, with its place in the object;
    OSError if it cannot be written.
    """
    packer = Packer()
    tree = packer(obj)
    content = encode_arrays(packer.arrays, {"about": {_OBJECT: tree}})
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER:
        message = (
            f"save: expected numbers and texts of up to {MAX_HEADER} bytes in an object, got "
            f"{length}; put large lists of numbers into tensors"
        )
        raise ValueError(message)
    if isinstance(f, str | os.PathLike):
        write_atomically(Path(f), content)
    elif hasattr(f, "write"):
        f.write(content)
    else:
        message = (
            f"save: expected a path or a file opened with mode 'wb', got {type(f).__name__}; "
            "write save(obj, 'name.safetensors')"
        )
        raise TypeError(message)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,  # noqa: ARG001 - torch's; nothing is unpickled
    *,
    weights_only: bool | None = None,  # noqa: ARG001 - always so
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read the object of a file that `save`, ``torch.save`` or another program has written.

    f:            a path, or a file opened with mode "rb", which is read from its position on.
    map_location: the device that tensors come to: a device or its name, a dict of names, or a
                  function of a storage and the name of its device that returns the storage, its
                  ``cpu()`` or ``cuda()``, or None. Left out: the device that they were saved from.
    mmap:         map the file into memory and load a tensor's pages when they are touched; what is
                  changed stays in memory. Checksums are not looked at then.
    weights_only, pickle_module, and encoding, errors, fix_imports of unpickling: torch's; whatever
    they are, no code of a file is run.

    Files of ``torch.save`` may hold what a state_dict needs: tensors (views that share a storage
    go on sharing it), Parameters, numbers, texts and containers of them. Other files of
    safetensors give a dict of their tensors by name.

    Errors: TensorFileError (a ValueError) for a file that is damaged, or needs anything else,
    which is named; OSError if it cannot be read; RuntimeError if ``map_location`` chose a device
    that is not there.
    """
    unknown = sorted(pickle_load_args.keys() - {"encoding", "errors", "fix_imports"})
    if unknown:
        message = (
            f"load: expected map_location, weights_only or mmap as keyword, got {unknown[0]}; "
            "leave it out"
        )
        raise TypeError(message)
    places = Places(map_location)
    with opened("load", f, "c" if mmap else None) as source:
        start = source.bytes(0, min(_START, source.size))
        if is_torch_zip(start):
            return read_torch(source, places)
        if looks_legacy(start):
            message = (
                f"load: expected safetensors or a file of torch.save since 1.6, got {source.name}, "
                "a pickle, which fastnn never runs; load it in torch and save it again"
            )
            raise TensorFileError(message)
        return _object(source, places)


def _object(source: Source, places: Places) -> Any:
    file = read_tensors("load", source)
    about = file.about if isinstance(file.about, dict) else {}
    try:
        if _OBJECT in about:
            return Unpacker(file.tensors, places.place)(about[_OBJECT])
        if "tree" in about:  # a checkpoint of fastnn.train
            return Unpacker(file.tensors, places.place)(about["tree"])
        return {name: places.place(tensor, "cpu") for name, tensor in file.tensors.items()}
    except Malformed as error:
        message = (
            f"load: expected a whole file of fastnn.save, got {source.name}, which is damaged: "
            f"{error}; take an undamaged copy"
        )
        raise TensorFileError(message) from None
