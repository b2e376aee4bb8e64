"""What objects show of themselves: a line, and HTML that stands alone."""

import re
import sys
import warnings
from html.parser import HTMLParser

import pytest
import torch
from fuzzing.subjects import OBJECTS, Case, cases
from torch import nn

import ot_gen as og
from ot_gen import data, evaluation
from ot_gen.display import Span, card, curve, pictures, scatter, spans, structure

MOST = 400  # characters of a repr
LARGE = {  # as users have them: repr of some of these took a page, or a hundred
    "progress": lambda: og.Progress(5000, 5000, 640_000, 12.0, [{"step": i, "value": 1 / i} for i in range(1, 5001)]),
    "dataset": lambda: data.Dataset(
        *(og.Empirical(torch.rand(5000, 2)) for _ in range(2)), None, *(torch.arange(5000) % 3 for _ in range(2))
    ),
    "images": lambda: data.Dataset(*(og.Empirical(torch.rand(90, 3 * 64 * 64)) for _ in range(2)), (3, 64, 64)),
    "names": lambda: data.Dataset(
        *(og.Empirical(torch.rand(9, 2)) for _ in range(2)),
        *(None, torch.arange(9), torch.arange(9)),
        class_names=tuple(f"<b>{'long' * 30}{k}" for k in range(9)),
    ),
    "exact plan": lambda: og.exact_plan(torch.rand(300, 200)),
    "entropic plan": lambda: og.sinkhorn_plan(torch.rand(100, 150), epsilon=0.5),
    "network": lambda: og.UNetVelocity((1, 28, 28)),
    "model": lambda: og.Pushforward(og.ConvGenerator(8, (1, 28, 28), 16), og.standard_gaussian(8)),
    "mixture": lambda: og.gaussian_mixture(torch.randn(500, 2), 0.5),
    "solver": lambda: og.PrimalSolver(
        og.FeatureCost(og.MLP(2, 99, (9, 9, 9)), og.SquaredEuclidean()),
        og.EncoderCoupling(og.FlowEncoder(og.MLP(2, None, (9, 9, 9)), 2, layers=9), og.KL(), 1.0),
    ),
    "measurements": lambda: evaluation.Measurements(
        9, {f"metric{i}": evaluation.Measured(*[1 / 3] * 4) for i in range(30)}, {"a": "<i>" * 99}
    ),
    "certificate": lambda: _certificate(reference=_certificate()),
    "doubtful": lambda: _certificate(converged=False, doubt="<script>", message="m" * 999),
    "ensemble": lambda: og.LatentGeometry([og.MLP(2, 3, (4,)) for _ in range(30)], codes=torch.rand(40, 2)),
    "pullback": lambda: og.LatentGeometry(lambda z: z, std=nn.Linear(2, 2), ridge=0.1),
}
SHOWN = ["progress", "dataset", "images", "names", "exact plan", "entropic plan", "measurements", "certificate"]
SHOWN += ["doubtful", "ensemble", "pullback"]


def _certificate(**more):
    zero = torch.zeros(100_000)
    return og.Certificate(og.Euclidean(), 1.0, 0.01, 1.1, 0.01, 0.95, (0.9, 1.2), 0.1, zero, **more)


class Balance(HTMLParser):
    """Fails where tags do not close in order, or something would run or be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "style", "link", "iframe", "b" * 3)
        for name, value in attributes:
            assert not name.startswith("on")
            assert "url(" not in (value or "") and "http" not in (value or "")
            assert name not in ("src", "href") or value.startswith("data:image/png;base64,")
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


def texts(html):
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return " ".join(parser.texts)


def assert_short(thing):
    words = repr(thing)
    assert len(words) < MOST and "\n" not in words, words[:1000]


# --- the contract ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_says_what_it_is_in_a_line(name):
    thing = OBJECTS[name]()
    if type(thing).__module__.startswith("ot_gen"):
        assert_short(thing)
        assert type(thing).__name__ in repr(thing)


CALLS = [case for case in cases() if "." not in case.name]


@pytest.mark.slow
@pytest.mark.parametrize("case", CALLS, ids=[case.name for case in CALLS])
def test_whatever_a_public_name_returns_is_no_page(case: Case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, arguments = case.make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        came = call(**arguments)
    if isinstance(came, torch.optim.Optimizer):
        return
    if type(came).__module__.startswith("ot_gen"):
        assert_short(came)
        if hasattr(came, "_repr_html_"):
            texts(came._repr_html_())


@pytest.mark.parametrize("name", LARGE)
def test_large_objects_are_as_short(name):
    assert_short(LARGE[name]())


@pytest.mark.parametrize("name", SHOWN)
def test_html_stands_alone_whole_and_escaped_without_matplotlib_or_a_draw(name, monkeypatch):
    thing, state = LARGE[name](), torch.get_rng_state()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    html = thing._repr_html_()
    assert texts(html)
    assert len(html) < 300_000
    assert torch.equal(torch.get_rng_state(), state)
    assert "#fff" not in html and "color:black" not in html  # text takes the page's colour, light or dark


def test_a_plan_solves_no_dual_to_show_itself():
    plan = og.exact_plan(torch.rand(5, 5))
    lazy = og.transport.plan.SparsePlan(plan.C, plan.bound, lambda: 1 / 0, plan.entries)
    assert "5 x 5" in repr(lazy) and "5 pairs" in repr(lazy)
    assert "dual" not in texts(lazy._repr_html_())


def test_both_kinds_of_plans_shade_blocks_of_rows_and_columns_by_their_masses():
    for plan in (og.exact_plan(torch.rand(300, 200)), og.sinkhorn_plan(torch.rand(130, 97), epsilon=0.5)):
        assert "<img" in plan._repr_html_()
        assert_short(plan.pairs)


def test_what_is_told_is_so():
    progress = LARGE["progress"]()
    assert repr(progress) == "Progress(step 5,000 of 5,000, 640,000 images, 12 s, value=0.0002)"
    assert "<svg" in progress._repr_html_() and "value (log)" in texts(progress._repr_html_())
    assert repr(og.Progress(3)) == "Progress(step 0 of 3, 0 images, 0 s)"
    judgement = evaluation.Judgement(50, 1.5, 0.5, 2.5, 0.25, 0.01)
    assert repr(judgement) == "Judgement(n=50, w1=1.5 ± 0.01, w1_floor=0.5, w2_squared=2.5, w2_squared_floor=0.25)"
    assert "1.5 ± 0.01" in texts(judgement._repr_html_())
    certificate = LARGE["certificate"]()
    assert "real data, the floor" in texts(certificate._repr_html_())
    doubtful = texts(LARGE["doubtful"]()._repr_html_())
    assert "Not converged" in doubtful and "not warranted: <script>" in doubtful
    assert "3 classes" in texts(LARGE["dataset"]()._repr_html_()).replace("classes 3", "3 classes").replace("  ", " ")


def test_a_network_prints_its_layers_and_shows_a_line():
    net = og.MLP(2, 784, hidden=(400, 400))
    assert repr(net) == "MLP(3 Linear, 2 ReLU, 475,984 parameters)"
    assert str(net).count("Linear(") == 3
    assert structure(og.Pushforward(net, og.standard_gaussian(2))).count("Linear(") == 3
    assert repr(net) == "MLP(3 Linear, 2 ReLU, 475,984 parameters)"  # the tree is shown where it is asked for
    assert "Lazy" in repr(og.NoisyEncoder(nn.Sequential(nn.LazyLinear(2)), 0.1))


# --- drawings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "drawn",
    [
        curve([], "x", "y"),
        curve([(0, float("nan"))], "x", "y"),
        spans([]),
        spans([Span("a", 0.0, float("inf"))]),
        scatter({"": torch.full((3, 2), torch.nan)}, ("x", "y")),
    ],
)
def test_nothing_is_drawn_of_nothing(drawn):
    assert drawn == ""


@pytest.mark.parametrize(
    "drawn",
    [
        curve([(1, 2.0)], "step", "value", 0.5),
        curve([(i, -(10.0**i)) for i in range(300)], "<x>", "&y"),
        spans([Span("<a>", 5.0, 5.0), Span("b", -1e9, 3e9, real=True)]),
        scatter({"<a>": torch.ones(3, 2) * 1e30, "b": torch.randn(3, 2)}, ("x", "y")),
        pictures(torch.rand(3, 4).fill_(torch.nan), (1, 2, 2)),
        pictures(torch.rand(1, 3 * 500 * 700), (3, 500, 700)),
        card("<b>", "&", note="<i>"),
    ],
)
def test_drawings_are_whole_and_hold_no_nan(drawn):
    texts(drawn)
    assert not re.search(r'="[^"]*\b(nan|inf)\b', drawn)
    assert len(drawn) < 300_000
