"""Pictures of what users hold, into matplotlib axes: each takes `ax=`, and returns the axes."""

from ot_gen.plot.latent import codes, geodesics
from ot_gen.plot.points import samples, trajectories
from ot_gen.plot.training import curve
from ot_gen.plot.transport import cells, intervals, plan

__all__ = ["cells", "codes", "curve", "geodesics", "intervals", "plan", "samples", "trajectories"]
