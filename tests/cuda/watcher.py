"""Watches single operations of torch for what would make a GPU wait, or fail on one."""

import traceback
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REPOSITORY = Path(__file__).parents[2]
# The size of their result, or a number, depends on values: the host waits for the device to learn it.
READS = {
    "aten._local_scalar_dense",
    "aten.nonzero",
    "aten.masked_select",
    "aten.equal",
    "aten.is_nonzero",
    "aten._unique",
    "aten._unique2",
    "aten.unique_dim",
    "aten.unique_consecutive",
    "aten.bincount",
}
COPIES = {"aten._to_copy", "aten.copy_", "aten._copy_from"}
HOST_READ, BLOCKING_COPY, TWO_DEVICES = "host read", "blocking copy", "two devices"
# Nothing is launched for a view, for memory, or for a question about a tensor (`prim`).
_FREE = {
    f"aten.{name}"
    for name in (
        "view",
        "_unsafe_view",
        "as_strided",
        "alias",
        "detach",
        "expand",
        "permute",
        "t",
        "transpose",
        "slice",
        "select",
        "unsqueeze",
        "squeeze",
        "split",
        "split_with_sizes",
        "unbind",
        "unfold",
        "empty",
        "empty_like",
        "new_empty",
        "empty_strided",
        "diagonal",
        "view_as_real",
        "chunk",
        "lift_fresh",
    )
}


class Watcher(TorchDispatchMode):
    """Counts operations, and keeps what makes the host wait for the device or mixes two devices.

    On a CPU everything is read at once; the same reads are counted there as if it were a GPU, with `device="cpu"`.

    Attributes:
        device: kind of the device that computes: `cuda` for pretended tensors, or `cpu`.
        found: (what, operation, place) -> number of times; the place is the line of ours or of a library that asked.
        operations: operation -> number of times, of those that launch something.
    """

    def __init__(self, device="cuda"):
        super().__init__()
        self.device = device
        self.found = Counter()
        self.operations = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = str(func.overloadpacket)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if self._reads(func, name, args, kwargs) and any(tensor.device.type == self.device for tensor in given):
            self._keep(HOST_READ, name)
        out = func(*args, **kwargs)
        if name not in _FREE and not name.startswith("prim"):
            self.operations[name] += 1
        self._compare_devices(name, given, out, args, kwargs)
        return out

    def by_file(self):
        """Return (what, file) -> number of times."""
        files = Counter()
        for (what, _, place), number in self.found.items():
            files[what, place.rpartition(":")[0]] += number
        return dict(files)

    def _reads(self, func, name, args, kwargs):
        if name in ("aten.index", "aten.index_put", "aten.index_put_", "aten._unsafe_index"):
            return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        if name == "aten.repeat_interleave":
            return str(func).endswith("Tensor") and kwargs.get("output_size") is None
        return name in READS

    def _compare_devices(self, name, given, out, args, kwargs):
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        if len({tensor.device.type for tensor in (*given, *made)}) == 1:
            return
        if name in COPIES:
            waits = kwargs.get("non_blocking", args[2] if name == "aten.copy_" and len(args) > 2 else False)
            if not waits:
                self._keep(HOST_READ if made[0].device.type == "cpu" else BLOCKING_COPY, name)
        elif any(tensor.dim() for tensor in given if tensor.device.type == "cpu"):  # numbers may be mixed in
            self._keep(TWO_DEVICES, name)

    def _keep(self, what, name):
        self.found[what, name, _place()] += 1


def _place():
    """Return the file and line that asked: the innermost one outside of torch and of these tests."""
    own = Path(__file__).parent
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if own not in path.parents and "torch" not in path.parts and "jaxtyping" not in path.parts:
            short = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
            return f"{'/'.join(short.parts[-3:])}:{frame.lineno}"
    return "these tests"
