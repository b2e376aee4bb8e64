"""The magnification factor over a plane of codes, as numbers and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, checked
from ot_gen.display import record_line
from ot_gen.geometry.curves import check_axes
from ot_gen.geometry.latent import LatentGeometry
from ot_gen.geometry.metrics import log_volume
from ot_gen.measures import widened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


@final
@dataclass(frozen=True, repr=False)
@checked
class VolumeMap:
    """log √det M at the centres of the cells of a grid.

    Attributes:
        values: (rows, columns): rows go up with z₂, columns to the right with z₁; −inf where M is singular.
        bounds: the lower left and the upper right corner of the grid, (2, 2).
    """

    values: Tensor
    bounds: Tensor

    def __repr__(self) -> str:
        return record_line(self, bounds=self.bounds.tolist())

    def plot(self, axes: Axes, **style: Any) -> AxesImage:
        """Draw the map into matplotlib axes, with z₁, z₂ as their names; curves and codes may follow over it.

        The darkest and the brightest colour stand at the quantiles .005 and .995 of the finite values, so a few extreme
        cells do not take all contrast. Cells where M is singular stay blank. The colour bar is left to the
        caller: `axes.figure.colorbar(image, label="log √det M(z)")`.

        Args:
            axes: where to draw.
            style: for `Axes.imshow`, over the map's own.
        """
        check_axes(axes)
        values = self.values.detach().cpu().double()
        finite = values[torch.isfinite(values)]
        if len(finite):
            low, high = torch.quantile(finite, finite.new_tensor([0.005, 0.995])).tolist()
            style = {"vmin": low, "vmax": high} | style
        (left, bottom), (right, top) = self.bounds.tolist()
        style = {"cmap": "Greys", "aspect": "auto", "interpolation": "nearest"} | style
        shown = torch.where(torch.isfinite(values), values, torch.nan).numpy()
        image = axes.imshow(shown, origin="lower", extent=(left, right, bottom, top), **style)
        axes.set_xlabel("z₁")
        axes.set_ylabel("z₂")
        return image


@checked
def volume_map(geometry: LatentGeometry, bounds: Tensor, size: Count = 100) -> VolumeMap:
    """log √det M over a rectangle of a latent plane: how much a cell is magnified on its way to the data. No graph.

    Args:
        geometry: of a latent space with k = 2.
        bounds: the lower left and the upper right corner, (2, 2).
        size: cells along either side.

    Raises:
        ValueError: bounds that span no rectangle of a plane, size < 1, or a metric that is not finite in it.

    Source: Bishop, Svensén, Williams, Magnification factors for the GTM, 1997, https://doi.org/10.1049/cp:19970703

    Example:
        >>> square = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
        >>> volume_map(LatentGeometry(lambda z: 3 * z), square, 2).values.exp().round()
        tensor([[9., 9.],
                [9., 9.]])
    """
    bounds = widened(bounds)
    if bounds.shape != (2, 2) or not bool((bounds[1] > bounds[0]).all()) or not bool(torch.isfinite(bounds).all()):
        raise ValueError(
            "a volume map needs the lower left and the upper right corner of a rectangle, (2, 2), got "
            f"{bounds.tolist()}; for k > 2 compute geo.log_volume on a plane of your choice"
        )
    share = (torch.arange(size, dtype=bounds.dtype, device=bounds.device) + 0.5) / size
    z1, z2 = (bounds[0] + share[:, None] * (bounds[1] - bounds[0])).T
    cells = torch.cartesian_prod(z2, z1).flip(1)
    with torch.no_grad():
        values = log_volume(geometry.metric_field.matrix(cells)).reshape(size, size)
    if bool(values.isnan().any() | values.isposinf().any()):
        raise ValueError(
            f"the metric holds NaN or Inf in {int((values.isnan() | values.isposinf()).sum())} of {size * size} cells; "
            "choose narrower bounds"
        )
    return VolumeMap(values, bounds)
