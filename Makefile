# Targets set up their own environment in .venv; PYTHON picks the interpreter that makes it (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
LOWEST := .venv-lowest/bin
RUNS ?= runs/demo
KILLS ?= 200
CALLS ?= 10000
SEED ?= 0
TORCH := torch==2.13.0

.PHONY: install docs docs-check demo sweep sweep-check experiments experiments-long test test-fast test-gpu test-lowest fuzz reliability lint format benchmark benchmark-table docs-figures clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("ot_gen needs Python >= 3.11, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# The main job: a solver of each cell and a flow on a toy and on MNIST, then the page that compares them.
demo: install
	$(BIN)/ot-gen -m 'experiment=glob(demo_*)' hydra/launcher=joblib hydra.sweep.dir=$(RUNS)
	$(BIN)/ot-gen-compare $(RUNS)

# Each claim with its expected numbers. Results go to runs/experiments; a script's --update changes what its README shows.
experiments: install
	$(BIN)/python experiments/disjoint_supports/run.py
	$(BIN)/python experiments/duality/run.py
	$(BIN)/python experiments/digit_classifier/run.py

# Those that train for long: an hour and a quarter, about an hour, forty minutes (a minute a run, so leave the machine alone), and an hour.
experiments-long: install
	$(BIN)/python experiments/flow_couplings/run.py
	$(BIN)/python experiments/primal_vs_dual_toy/run.py
	$(BIN)/python experiments/primal_vs_dual_mnist/run.py
	$(BIN)/python experiments/pixel_vs_geodesic/run.py

# Every launcher, the search and every tracker, in environments of their own.
sweep-check:
	$(PYTHON) benchmarks/sweep_check.py

sweep: install
	$(BIN)/ot-gen -m sweep=small hydra/launcher=joblib hydra.sweep.dir=runs/sweep
	$(BIN)/ot-gen-compare runs/sweep

test: install
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# Malformed calls of the library, as many as one likes: make fuzz CALLS=100000 SEED=1
fuzz: install
	FUZZ_CALLS=$(CALLS) $(BIN)/python -m pytest -q tests/test_fuzz.py --hypothesis-seed=$(SEED)

# What docs/reliability.md promises, tried and counted: about twenty minutes. More kills: make reliability KILLS=1000
reliability: install
	$(BIN)/python tests/reliability/run.py --kills $(KILLS) --calls $(CALLS) --seed $(SEED)

test-fast: install
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not slow"

# Those that need a GPU; where torch sees none they are skipped, and say so.
test-gpu: install
	$(BIN)/python -m pytest -q -rs -m gpu

# The same tests with the lowest versions that pyproject.toml allows, but of torch. Compiled first, as pip would: tests take a warning for an
# error, and old packages that are compiled when they are first imported have some.
test-lowest: .venv-lowest/installed
	$(LOWEST)/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not slow"

.venv-lowest/installed: pyproject.toml
	$(PYTHON) -m venv --clear .venv-lowest
	$(LOWEST)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(LOWEST)/python -m pip install --quiet --disable-pip-version-check --no-deps $(TORCH)
	$(LOWEST)/uv pip install --quiet --python $(LOWEST)/python --resolution lowest-direct $(TORCH) -e ".[dev]"
	$(LOWEST)/python -m compileall -q -x /torch/ .venv-lowest/lib
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Side by side with OTT-JAX, POT, GeomLoss, SciPy and lapx, one thread each; two hours in all. Pythae wants an environment of its own:
# see benchmarks/primal_pythae.py.
benchmark: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[benchmark]"
	$(BIN)/python benchmarks/training_overhead.py
	$(BIN)/python benchmarks/exact_plan.py
	$(BIN)/python benchmarks/sinkhorn_divergence.py
	$(BIN)/python benchmarks/primal_speed.py
	$(BIN)/python benchmarks/primal_quality.py --output runs/primal_quality.csv
	$(BIN)/python benchmarks/certificate.py
	$(BIN)/python benchmarks/metric_errors.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/c_transform.py
	$(BIN)/python benchmarks/semidiscrete.py
	$(BIN)/python benchmarks/semidiscrete.py --mnist --reference
	$(BIN)/python benchmarks/w1_pairs.py
	$(BIN)/python benchmarks/w2_maps.py
	$(BIN)/python benchmarks/mixture_potential.py

# The ratios to peers in one table, in at most fifteen minutes: benchmarks/table.json and docs/benchmarks.md.
benchmark-table: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[benchmark]"
	$(BIN)/python benchmarks/table.py --minutes 14

# The site, docs/_build/html/index.html: it opens from the disk. Executes the notebooks: about three minutes on one core.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# Its links, search, navigation, colours and equations, in a Chromium that is on the PATH.
docs-check: docs
	$(BIN)/python -m pytest tests/site

# Redraws the figures of docs/: about four minutes on one core.
docs-figures: install
	$(BIN)/python docs/images_shapes_figure.py
	$(BIN)/python docs/laguerre_figure.py
	$(BIN)/python docs/plotting_figure.py
	$(BIN)/python docs/critic_figure.py
	$(BIN)/python docs/w2_map_figure.py
	$(BIN)/python docs/bridge_figure.py
	$(BIN)/python docs/primal_figure.py
	$(BIN)/python docs/gallery_figures.py
	$(BIN)/python docs/tutorial_figure.py

clean:
	rm -rf .venv .venv-lowest build dist docs/_build docs/generated *.egg-info .mypy_cache .ruff_cache .pytest_cache
