# SPDX-License-Identifier: BSD-3-Clause
"""Changes to the tree and the tensors of a checkpoint, for tests of damaged ones."""

from __future__ import annotations

import json

from safetensors import safe_open
from safetensors.numpy import load_file, save_file


def rewrite(path, change):
    """The file again, after ``change(tree, arrays)``."""
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["fastnn"])
    arrays = load_file(path)
    change(about["about"]["tree"], arrays)
    save_file(arrays, path, metadata={"fastnn": json.dumps(about)})


def at(tree, *keys):
    for key in keys:
        tree = tree[key]
    return tree


def drop(*keys):
    return lambda tree, _: at(tree, *keys[:-1]).pop(keys[-1])


def put(value, *keys):
    return lambda tree, _: at(tree, *keys[:-1]).__setitem__(keys[-1], value)


def array(name, value):
    return lambda _, arrays: arrays.__setitem__(name, value)
