"""Groups of consecutive members of an axis: the frames of a chunk, the windows of a frame.

Groups may differ in size, so tensor operations on whole groups need padding. The indices for it are computed once per
batch on the host; two gathers run on the device. Groups of equal size need none: they are views.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor


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
        padded = values.index_select(0, self.members.flatten()).view(*self.members.shape, *values.shape[1:])
        occupied = self.occupied.view(*self.occupied.shape, *[1] * (values.dim() - 1))
        return padded.masked_fill(~occupied, fill)

    def unpad(self, padded: Shaped[Tensor, "groups places *shape"]) -> Shaped[Tensor, "members *shape"]:
        """Return the values of the members from padded groups: the inverse of `pad`."""
        flat = padded.flatten(0, 1)
        return flat if self.are_full else flat.index_select(0, self.slots)

    def to(self, device: torch.device | str) -> "Groups":
        """Return the same groups with their index tensors on `device`, copied without waiting for them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(
            **{
                name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value.to(device)
                for name, value in values.items()
            }
        )
