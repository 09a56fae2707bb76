"""Groups of consecutive members of an axis: the frames of a chunk, the windows of a frame.

Groups may differ in size, so tensor operations on whole groups need padding. The indices for it are computed once per
batch on the host; two gathers run on the device, and two others in the backward pass. Groups of equal size need none:
they are views.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor


class _Laid(torch.autograd.Function):
    """Rows at their places, and a number in empty ones."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, slots: Tensor, members: Tensor, occupied: Tensor, fill: float) -> Tensor:
        ctx.save_for_backward(slots, members, occupied)
        empty = ~occupied.view(-1, *[1] * (rows.dim() - 1))
        return rows.index_select(0, members).masked_fill(empty, fill)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Taken.apply(gradient, *ctx.saved_tensors), None, None, None, None


class _Taken(torch.autograd.Function):
    """The rows from their places."""

    @staticmethod
    def forward(ctx: Any, places: Tensor, slots: Tensor, members: Tensor, occupied: Tensor) -> Tensor:
        ctx.save_for_backward(slots, members, occupied)
        return places.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Laid.apply(gradient, *ctx.saved_tensors, 0.0), None, None, None


@dataclass
class Places:
    """Rows that lie at some of many places, each at one.

    Since each has one place, laying and taking are gathers whose gradients are each other. The gradient that torch has
    for a gather adds rows by index instead: slowly on CUDA, and in any order.

    Attributes:
        slots: index of the place of each row.
        members: index of the row at every place; arbitrary in empty places.
        occupied: mask of the places that have a row.
    """

    slots: Int64[Tensor, " rows"]
    members: Int64[Tensor, " places"]
    occupied: Bool[Tensor, " places"]

    @classmethod
    def of_slots(cls, slots: Int64[Tensor, " rows"], places: int) -> "Places":
        """Return the rows that have their places, of which none occurs twice, among a number of places; on the host."""
        members, occupied = torch.zeros(places, dtype=torch.int64), torch.zeros(places, dtype=torch.bool)
        members[slots], occupied[slots] = torch.arange(len(slots)), True
        return cls(slots, members, occupied)

    def lay(self, rows: Shaped[Tensor, "rows *shape"], fill: float = 0.0) -> Shaped[Tensor, "places *shape"]:
        """Return the rows at their places, and `fill` in empty ones."""
        laid: Tensor = _Laid.apply(rows, self.slots, self.members, self.occupied, fill)
        return laid

    def take(self, places: Shaped[Tensor, "places *shape"]) -> Shaped[Tensor, "rows *shape"]:
        """Return the rows from their places: the inverse of `lay`."""
        taken: Tensor = _Taken.apply(places, self.slots, self.members, self.occupied)
        return taken

    def to(self, device: torch.device | str) -> "Places":
        """Return the same places with their tensors on `device`, copied without waiting for them."""
        return type(self)(
            **{field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)}
        )


@dataclass
class Groups:
    """An axis cut into groups of consecutive members.

    Attributes:
        members: index of the member at every place of every group; arbitrary in empty places.
        occupied: mask of the places that have a member.
        slots: index of the place of each member in the flattened (groups, places).
        group: index of the group of each member.
    """

    members: Int64[Tensor, "groups places"]
    occupied: Bool[Tensor, "groups places"]
    slots: Int64[Tensor, " members"]
    group: Int64[Tensor, " members"]

    @classmethod
    def of_sizes(cls, sizes: Int64[Tensor, " groups"] | Sequence[int]) -> "Groups":
        """Cut an axis into consecutive groups of some sizes, each at least 1; plain integers can be compiled too."""
        known = sizes.tolist() if isinstance(sizes, Tensor) else list(sizes)
        sizes = torch.tensor(known, dtype=torch.int64)
        longest = max(known, default=0)
        places = torch.arange(longest)
        occupied = places < sizes[:, None]
        starts = sizes.cumsum(0) - sizes
        group = torch.repeat_interleave(sizes, output_size=sum(known))
        return cls(
            members=torch.where(occupied, starts[:, None] + places, 0),
            occupied=occupied,
            slots=torch.arange(sum(known)) + (longest * torch.arange(len(known)) - starts).index_select(0, group),
            group=group,
        )

    @classmethod
    def equal(cls, groups: int, size: int, device: torch.device) -> "Groups":
        """Cut an axis into groups of equal size, directly on the device."""
        members = torch.arange(groups * size, device=device)
        return cls(
            members=members.view(groups, size),
            occupied=torch.ones(groups, size, dtype=torch.bool, device=device),
            slots=members,
            group=members // size,
        )

    @property
    def are_full(self) -> bool:
        """Whether every place of every group has a member; known from shapes, without reading values."""
        return len(self.slots) == self.members.shape[0] * self.members.shape[1]

    @property
    def visible(self) -> Bool[Tensor, "groups places"] | None:
        """Mask of the members for an attention within groups; None if every place has one, so that none is needed."""
        return None if self.are_full else self.occupied

    def pad(self, values: Shaped[Tensor, "members *shape"], fill: float) -> Shaped[Tensor, "groups places *shape"]:
        """Return the values of the members group by group, with `fill` in empty places."""
        if self.are_full:
            whole: Tensor = values.unflatten(0, tuple(self.members.shape))
            return whole
        laid: Tensor = self._places.lay(values, fill).unflatten(0, tuple(self.members.shape))
        return laid

    def unpad(self, padded: Shaped[Tensor, "groups places *shape"]) -> Shaped[Tensor, "members *shape"]:
        """Return the values of the members from padded groups: the inverse of `pad`."""
        flat = padded.flatten(0, 1)
        return flat if self.are_full else self._places.take(flat)

    def total(self, values: Shaped[Tensor, "members *shape"]) -> Shaped[Tensor, "groups *shape"]:
        """Return the sum over the members of each group."""
        return self.pad(values, 0.0).sum(1)

    def spread(self, values: Shaped[Tensor, "groups *shape"]) -> Shaped[Tensor, "members *shape"]:
        """Return the value of its group for every member."""
        return self.unpad(values[:, None].expand(-1, self.members.shape[1], *values.shape[1:]))

    @property
    def _places(self) -> Places:
        return Places(self.slots, self.members.flatten(), self.occupied.flatten())

    def to(self, device: torch.device | str) -> "Groups":
        """Return the same groups with their index tensors on `device`, copied without waiting for them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(
            **{
                name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value.to(device)
                for name, value in values.items()
            }
        )
