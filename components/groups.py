"""Groups of consecutive members of an axis: the frames of a chunk, the windows of a frame.

Groups differ in size, so tensor operations on whole groups need padding. The indices for it are computed once per batch
on the host; two gathers run on the device.
"""

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
    def of_sizes(cls, sizes: Int64[Tensor, " groups"]) -> "Groups":
        """Cut an axis into consecutive groups of some sizes, each at least 1."""
        places = torch.arange(max(sizes.tolist(), default=0))
        occupied = places < sizes[:, None]
        starts = sizes.cumsum(0) - sizes
        return cls(
            members=torch.where(occupied, starts[:, None] + places, 0),
            occupied=occupied,
            slots=occupied.flatten().nonzero()[:, 0],
            group=torch.repeat_interleave(sizes),
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

    def pad(self, values: Shaped[Tensor, "members *shape"], fill: float) -> Shaped[Tensor, "groups places *shape"]:
        """Return the values of the members group by group, with `fill` in empty places."""
        padded = values.index_select(0, self.members.flatten()).view(*self.members.shape, *values.shape[1:])
        occupied = self.occupied.view(*self.occupied.shape, *[1] * (values.dim() - 1))
        return padded.masked_fill(~occupied, fill)

    def unpad(self, padded: Shaped[Tensor, "groups places *shape"]) -> Shaped[Tensor, "members *shape"]:
        """Return the values of the members from padded groups: the inverse of `pad`."""
        return padded.flatten(0, 1).index_select(0, self.slots)

    def to(self, device: torch.device | str) -> "Groups":
        """Return the same groups with their index tensors on `device`, copied without waiting for them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(
            **{
                name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value.to(device)
                for name, value in values.items()
            }
        )
