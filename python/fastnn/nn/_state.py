# SPDX-License-Identifier: BSD-3-Clause
"""``state_dict`` and ``load_state_dict``: torch's names, order, metadata and error texts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastnn._backend import bump_mutation_stamp
from fastnn.autograd import no_grad
from fastnn.nn._hooks import Hooks, of_kind
from fastnn.nn._registry import type_name
from fastnn.nn.parameter import Parameter
from fastnn.ops import as_tensor
from fastnn.tensor import Tensor

_EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys!r},"
            f" unexpected_keys={self.unexpected_keys!r})"
        )


def _loadable(value: object) -> Tensor | None:
    """``value`` as a Tensor; arrays, and tensors of other libraries, are taken as they are."""
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "__array__"):
        return as_tensor(value)
    return None


class State(Hooks):
    """Saving and loading of a module's parameters and persistent buffers."""

    _version = 1

    def get_extra_state(self) -> Any:
        """Override, with :meth:`set_extra_state`, to put more than tensors in ``state_dict``."""
        message = (
            f"{type(self).__name__}: expected get_extra_state beside set_extra_state, got none; a "
            "module that saves extra state must define both"
        )
        raise RuntimeError(message)

    def set_extra_state(self, state: Any) -> None:  # noqa: ARG002 (for subclasses)
        """Take back what :meth:`get_extra_state` gave."""
        message = (
            f"{type(self).__name__}: expected set_extra_state beside get_extra_state, got none; a "
            "module that saves extra state must define both"
        )
        raise RuntimeError(message)

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not State.get_extra_state

    def _persistent(self) -> list[tuple[str, Tensor]]:
        members: list[tuple[str, Tensor | None]] = [*self._parameters.items()]
        left_out = self._non_persistent_buffers_set
        members += [item for item in self._buffers.items() if item[0] not in left_out]
        return [(name, value) for name, value in members if value is not None]

    # ---- saving ----

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """Put this module's own entries into ``destination``; children are not visited."""
        for name, value in self._persistent():
            destination[prefix + name] = value if keep_vars else value.detach()
        if self._has_extra_state():
            destination[prefix + _EXTRA] = self.get_extra_state()

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """An ordered dictionary of all parameters and persistent buffers by dotted path.

        The tensors share memory with the module (detached, unless ``keep_vars``): copy the
        module or clone the values to keep a snapshot. Versions of the modules are in the
        dictionary's attribute ``_metadata``.
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in of_kind(self._state_hooks, "save_pre"):
            hook.fn(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in of_kind(self._state_hooks, "save_post"):
            changed = hook.fn(self, destination, prefix, metadata)
            if changed is not None:
                message = (
                    f"{type(self).__name__}: expected None from a state_dict post-hook, got "
                    f"{type_name(changed)}; it must return None and edit the dictionary in place"
                )
                raise RuntimeError(message)
        return destination

    # ---- loading ----

    def _load_tensor(self, name: str, own: Tensor, new: Tensor, assign: bool) -> None:
        if not assign:
            own.copy_(new)
            return
        if isinstance(own, Parameter):
            if isinstance(new, Parameter):
                new.requires_grad_(own.requires_grad)
            else:
                new = Parameter(new, requires_grad=own.requires_grad)
        setattr(self, name, new)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own entries; override to convert old formats (look at
        ``local_metadata["version"]``). Problems go into the three lists."""
        for hook in of_kind(self._state_hooks, "load_pre"):
            hook.fn(
                self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                error_msgs,
            )  # fmt: skip
        members = self._persistent()
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        for name, own in members:
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            new = _loadable(state_dict[key])
            if new is None:
                error_msgs.append(
                    f'While copying the parameter named "{key}", expected fastnn.Tensor or'
                    f" Tensor-like object from checkpoint but received {type_name(state_dict[key])}"
                )
                continue
            if own.ndim == 0 and new.shape == (1,):  # checkpoints of torch before 0.4
                new = new.reshape(())
            if new.shape != own.shape:
                error_msgs.append(
                    f"size mismatch for {key}: copying a param with shape {new.shape} from"
                    f" checkpoint, the shape in current model is {own.shape}."
                )
                continue
            try:
                with no_grad():
                    self._load_tensor(name, own, new, assign)
            except Exception as error:  # collected: the report names every entry that failed
                error_msgs.append(
                    f'While copying the parameter named "{key}", whose dimensions in the model'
                    f" are {own.shape} and whose dimensions in the checkpoint are {new.shape},"
                    f" an exception occurred: {error.args}."
                )
        extra = prefix + _EXTRA
        if self._has_extra_state():
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if strict:
            known = {name for name, _ in members}
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    head, _, rest = key[len(prefix) :].partition(".")
                    if head not in (self._modules if rest else known):
                        unexpected_keys.append(key)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy a ``state_dict`` into this module and all below it.

        strict: keys that are missing or unexpected raise; otherwise they are only returned.
        assign: put the given tensors in place of the module's own (dtype and device come from
            them) instead of copying values into the module's memory. Create optimisers after.
        Values may be Tensors, arrays, or tensors of another library that convert to an array.

        Returns: ``(missing_keys, unexpected_keys)``.
        Errors: RuntimeError listing everything that did not fit; shapes never fit loosely.
        """
        given: object = state_dict
        if not isinstance(given, Mapping):
            message = (
                f"{type(self).__name__}: expected state_dict to be dict-like, got "
                f"{type_name(given)}; pass what state_dict() returned"
            )
            raise TypeError(message)
        for key in state_dict:
            if not isinstance(key, str):
                message = (
                    f"{type(self).__name__}.load_state_dict: expected names (str) as keys, got "
                    f"{key!r}; pass what state_dict() returned"
                )
                raise TypeError(message)
        bump_mutation_stamp()
        report = IncompatibleKeys([], [])
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        self._load_tree(OrderedDict(state_dict), "", metadata, assign, report, errors)
        if strict:
            for what, keys in (
                ("Unexpected", report.unexpected_keys),
                ("Missing", report.missing_keys),
            ):
                if keys:
                    listing = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{what} key(s) in state_dict: {listing}. ")
        if errors:
            errors.insert(0, f"Error(s) in loading state_dict for {type(self).__name__}:")
            errors.append("The entries must fit; give the module the saved one's arguments")
            raise RuntimeError("\n\t".join(errors))
        return report

    def _load_tree(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        metadata: Mapping[str, Any] | None,
        assign: bool,
        report: IncompatibleKeys,
        errors: list[str],
    ) -> None:
        local = dict(metadata.get(prefix[:-1], {})) if metadata is not None else {}
        if assign:
            local["assign_to_params_buffers"] = True
        # Keys are always collected: strict decides in load_state_dict whether they are an error.
        self._load_from_state_dict(
            state_dict, prefix, local, True, report.missing_keys, report.unexpected_keys, errors
        )
        for name, child in self._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                part = {key: value for key, value in state_dict.items() if key.startswith(below)}
                child._load_tree(part, below, metadata, assign, report, errors)
        for hook in of_kind(self._state_hooks, "load_post"):
            changed = hook.fn(self, report)
            if changed is not None:
                message = (
                    f"{type(self).__name__}: expected None from a load_state_dict post-hook, got "
                    f"{type_name(changed)}; it must return None and edit the lists in place"
                )
                raise RuntimeError(message)
