"""Counts the operations that a device would be asked for, without computing them."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode

_WITHOUT_KERNEL = ("aten.empty", "aten.empty_like", "aten.empty_strided", "aten.new_empty", "aten._unsafe_view")


class Launches(TorchDispatchMode):
    """Counts operations by their name; views and empty tensors launch nothing."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).rsplit(".", 1)[0]
        if not function.is_view and name not in _WITHOUT_KERNEL:
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))
