"""‖x_i − y_j‖² on all pairs by one matrix product, exact also between points that are close and far from the others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, checked
from ot_gen.measures import widened
from ot_gen.measures.points import comparable

BLOCK = 64  # entries whose least is taken together: a reduction is many times faster than a search
READ = 2**22  # coordinates that are all looked at
SMALL = 2**18  # products up to which double precision takes hardly longer
FAR = 64.0  # squares of norms above so many times their median are those of points far from the others
NARROW = 16  # coordinates below which a search of all entries would take longer than their product
PAIR_ENTRIES = 2**20  # of the pairs that are measured again together
LEAST = 64.0  # times the least normal number: squares that are all smaller keep too few digits
MANY_PAIRS = 16  # one in so many entries of the matrix: beyond it all of them are measured again


@checked
def squared_distances(x: Cloud, y: Cloud) -> Tensor:
    """‖x_i − y_j‖² on all pairs, (n, d), (m, d) -> (n, m), without an (n, m, d) array.

    Example:
        >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[25.]])
    """
    x, y = comparable(x, y)
    return squared_distances_to(y)(x)


def squared_distances_to(y: Tensor) -> Callable[[Tensor], Tensor]:
    """x -> `squared_distances(x, y)`, with the norms of y (m, d) computed once.

    On the line they are squares of differences. Elsewhere ‖x − y‖² = ‖x‖² + ‖y‖² − 2⟨x, y⟩ is one matrix product.
    Between close points it cancels: two points at 10³ from the centre and 1 apart would be .1 wrong in float32. So
    small problems are computed in double precision, and values below √eps of ‖x‖² + ‖y‖² are measured again by their
    differences. They keep at least half of their digits, whatever the clusters. With fewer than 16 coordinates the
    search is left out for large problems where y shows neither clusters nor far atoms. The derivatives are those of
    the expansion, which do not cancel like squares.

    Raises:
        ValueError: when called, squares that overflow in a large problem, or points so close that all underflow.

    Example:
        >>> squared_distances_to(torch.tensor([[3.0, 4.0]]))(torch.zeros(1, 2))
        tensor([[25.]])
        >>> squared_distances_to(torch.tensor([[1e4, 0.0, 0.0], [-1e4, 0.0, 0.0]]))(torch.tensor([[1e4, 1.0, 0.0]]))
        tensor([[1.0000e+00, 4.0000e+08]])
    """
    atoms = widened(y)
    if atoms.shape[1] == 1:
        return _on_the_line(atoms)
    kept: dict[torch.dtype, tuple[Tensor, Tensor, Tensor]] = {}
    searched: list[bool] = []

    def expanded(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """The expansion, (n, m), and the squared norms, (n, 1) and (m,), in this precision."""
        if dtype not in kept:
            # Centring keeps the expansion exact for clouds far from the origin.
            wide = atoms.to(dtype)
            centre = middle(wide) if dtype == atoms.dtype else wide.detach().mean(dim=0)
            wide = wide - centre
            kept[dtype] = centre, wide, wide.square().sum(dim=1)
        centre, wide, norms = kept[dtype]
        x = x.to(dtype) - centre
        sizes = x.square().sum(dim=1, keepdim=True)
        return torch.addmm(norms, x, wide.T, alpha=-2.0).add_(sizes), sizes, norms

    def squared(x: Tensor) -> Tensor:
        x = widened(x)
        small = len(x) * atoms.numel() <= SMALL and atoms.dtype == torch.float32
        gram, sizes, norms = expanded(x, torch.float64 if small else atoms.dtype)
        try:
            cancelled = is_cancelled(x, gram, sizes, norms, small)
            share = float(torch.finfo(gram.dtype).eps) ** 0.5
            gram = _measured_again(gram, x, atoms, share * sizes, share * norms) if cancelled else gram.clamp_min(0)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            gram = gram.clamp_min(0)  # torch.func.vmap shows no numbers, so no entry can be told from the others
        return gram.to(atoms.dtype)

    def is_cancelled(x: Tensor, gram: Tensor, sizes: Tensor, norms: Tensor, small: bool) -> bool:
        """Whether entries of the expansion may have lost their digits."""
        share = float(torch.finfo(gram.dtype).eps) ** 0.5
        if small:  # one look is quicker than a search, which hardly any problem needs
            if not gram.numel():
                return False
            largest = sizes.amax() + norms.amax()
            if is_small(largest, atoms.dtype):
                check_apart(x, atoms)
            return bool(gram.amin() < share * largest)
        check_in_range(norms)
        if is_small(norms):
            check_apart(x, atoms)
        if not searched:
            searched.append(atoms.shape[1] >= NARROW or _far(norms))
        return searched[0] or _close(x, atoms, kept[atoms.dtype][0], share) > 1 / 1024

    return squared


def _on_the_line(atoms: Tensor) -> Callable[[Tensor], Tensor]:
    """`squared_distances_to` atoms (m, 1)."""
    near = is_small((atoms - atoms[:1]).square())

    def squared(x: Tensor) -> Tensor:
        if near:
            check_apart(x, atoms)
        return (widened(x) - atoms.T).square()

    return squared


def middle(y: Tensor) -> Tensor:
    """A centre of points y (m, d), (d,): their mean, or the median of each coordinate where far ones moved the mean.

    Raises:
        ValueError: the mean overflows.

    Example:
        >>> middle(torch.tensor([[0.0], [2.0]])), middle(torch.tensor([0.0, 1.0]).repeat(9)[:, None])
        (tensor([1.]), tensor([0.5000]))
        >>> middle(torch.tensor([1.0] * 20 + [1e8])[:, None])
        tensor([1.])
    """
    y = y.detach()
    centre = y.mean(dim=0)
    if bool(centre.isinf().any()):
        raise ValueError(f"the mean of the points overflows {y.dtype}; rescale the points, or use float64")
    return y.median(dim=0).values if _far((y - centre).square().sum(dim=1)) else centre


def _far(squares: Tensor) -> bool:
    """Whether some squares of norms (m,) are far above most of them."""
    squares = squares.detach()
    return len(squares) > 0 and bool(squares.amax() > FAR * squares.median())


def check_in_range(squares: Tensor) -> None:
    """Raise a `ValueError` where squares of norms are so large that the squares of distances overflow.

    Example:
        >>> check_in_range(torch.tensor([1.0, 1e30]))
    """
    if squares.numel() and bool(squares.amax() > torch.finfo(squares.dtype).max / 8):
        raise ValueError(f"squares of distances overflow {squares.dtype}; rescale the points, or use float64")


def is_small(squares: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Whether squares are all so small that they keep too few digits in a dtype, their own by default.

    Example:
        >>> is_small(torch.tensor([1e-40, 1e-30])), is_small(torch.tensor([1e-40, 0.0]))
        (False, True)
    """
    if not squares.numel():
        return False
    try:
        return bool(squares.detach().amax() < LEAST * torch.finfo(dtype or squares.dtype).tiny)
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        return False  # torch.func.vmap shows no numbers


def check_apart(x: Tensor, y: Tensor) -> None:
    """Raise a `ValueError` where points (*, d) of both differ, and by so little that squares of distances underflow.

    Points that are all equal have distances 0, which are exact.

    Example:
        >>> check_apart(torch.zeros(3, 2), torch.zeros(4, 2))
        >>> check_apart(1e-25 * torch.eye(2), torch.zeros(4, 2))
        Traceback (most recent call last):
        ValueError: points differ by at most 1e-25, whose squares underflow torch.float32; rescale the points, or use \
float64
    """
    clouds = [widened(points.detach()).reshape(-1, points.shape[-1]) for points in (x, y) if points.numel()]
    if not clouds:
        return
    ends = torch.stack([end for cloud in clouds for end in (cloud.amin(dim=0), cloud.amax(dim=0))]).double()
    spread, dtype = float((ends.amax(dim=0) - ends.amin(dim=0)).max()), clouds[0].dtype
    if 0 < spread < (LEAST * torch.finfo(dtype).tiny) ** 0.5:
        remedy = "rescale the points" + ("" if dtype == torch.float64 else ", or use float64")
        raise ValueError(f"points differ by at most {spread:.3g}, whose squares underflow {dtype}; {remedy}")


def is_scattered(y: Tensor) -> bool:
    """Whether a matrix product tells points y (m, d) apart: few of their distances drown in its rounding.

    It looks at a few of the points, and of those far from most of them.

    Example:
        >>> clusters = torch.rand(50, 2) + 1e3 * torch.tensor([1.0, -1.0]).repeat(25)[:, None]
        >>> is_scattered(torch.rand(50, 2)), is_scattered(clusters)
        (True, False)
    """
    few = widened(_few(y.detach()))
    share, centre = 512 * torch.finfo(few.dtype).eps, middle(few)
    if _close(few, few, centre, share) >= 1 / 64:
        return False
    outer = _outer(widened(y.detach()), centre)
    return len(outer) == 0 or _close(outer, outer, centre, share) < 1 / 64


@torch.no_grad()
def _outer(y: Tensor, centre: Tensor) -> Tensor:
    """The points far from most of them; none where the points would take long to read."""
    if y.numel() > READ:
        return y[:0]
    away = torch.linalg.vector_norm(y - centre, dim=1).square()
    return y[away > FAR * away.median()]


def _few(y: Tensor) -> Tensor:
    """Up to 128 of the points, from all places."""
    if len(y) <= 128:
        return y
    # Multiples of the golden ratio fall in step with no pattern of the rows.
    places = torch.arange(128, dtype=torch.float64, device="cpu") * ((5**0.5 - 1) / 2) % 1
    return y[(places * len(y)).long().to(y.device)]


@torch.no_grad()
def _close(x: Tensor, y: Tensor, centre: Tensor, share: float) -> float:
    """How many of the squared distances between a few of the points are below a share of the squared norms."""
    x, y = (_few(points) for points in (x, y))
    x = x[:16]
    distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    of_x, of_y = (torch.linalg.vector_norm(points - centre, dim=1) for points in (x, y))
    reach = share**0.5 * (of_x[:, None] + of_y)
    return int(((distances < reach) & (distances > 0)).sum()) / max(1, distances.numel())


def _measured_again(gram: Tensor, x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """The matrix with its entries below of_x_i + of_y_j, (n, 1) and (m,), made of differences."""
    with torch.no_grad():
        known, x, y, of_x, of_y = (part.detach() for part in (gram, x, y, of_x, of_y))  # of derivatives in forward mode
        blocks = (_least(known) < of_x + of_y.amax()).nonzero()
        if not len(blocks):
            return gram
        place = _small(known, blocks, of_x, of_y)
        measured = _distances(x, y, place).to(known.dtype)
    # Less the known value and more the other: a value put in its place would take its derivative away.
    return gram.flatten().index_add_(0, place, known.take(place), alpha=-1).index_add_(0, place, measured).view_as(gram)


def _least(gram: Tensor) -> Tensor:
    """The least entries of the blocks of each row, the last of which may be short."""
    whole = gram.shape[1] // BLOCK * BLOCK
    parts = [gram[:, :whole].unflatten(1, (-1, BLOCK)).amin(dim=2)] if whole else []
    if whole < gram.shape[1]:
        parts.append(gram[:, whole:].amin(dim=1, keepdim=True))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _small(gram: Tensor, blocks: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """The entries of these blocks below of_x_i + of_y_j, (n, 1) and (m,), counted row by row."""
    m = gram.shape[1]
    i, block = blocks.split(1, dim=1)
    j = torch.arange(BLOCK, device=gram.device).add(block, alpha=BLOCK)
    if m % BLOCK:
        j.clamp_(max=m - 1)  # the last one again and again
    place = j.add(i, alpha=m)
    place = place[gram.take(place) < of_x.take(i) + of_y.take(j)]
    return place.unique_consecutive() if m % BLOCK else place


def _distances(x: Tensor, y: Tensor, place: Tensor) -> Tensor:
    """‖x_i − y_j‖² by differences, at these entries of the matrix."""
    if len(place) * MANY_PAIRS > len(x) * len(y):
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square_().take(place)
    i, j = place // len(y), place % len(y)
    size = max(1, PAIR_ENTRIES // x.shape[1])
    parts = [(x[a] - y[b]).square_().sum(dim=1) for a, b in zip(i.split(size), j.split(size), strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
