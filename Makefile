# The course's commands. Without make (Windows): python tools/tasks.py COMMAND; README.md says which.
#   make LESSONS="02 04" run     some lessons only       make PROFILE=fast run    quicker, coarser
#   make LESSON=04 lesson        everything about one    make HERE=1 run          the active Python
#                                                        (conda, containers) instead of .venv
PYTHON  ?= $(shell command -v python3 || command -v python)
LESSONS ?= $(LESSON)
ifneq ($(HERE),)
PY := $(PYTHON)
else
PY := .venv/bin/python
INSTALLED := .venv/installed
endif
export LESSONS PROFILE HERE
$(if $(PROFILE),$(eval export COURSE_PROFILE := $(PROFILE)))
# What would make an environment install or import elsewhere.
unexport PIP_USER PIP_TARGET PIP_PREFIX PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE MPLBACKEND

.DEFAULT_GOAL := help
.PHONY: help settings run site lab app outputs verdicts lesson test check lint bench clean lock grade grade-demo course wheelhouse scoreboard

help:
	@echo "make run | lab | app | test | check | lesson LESSON=04 | lint | bench | outputs | verdicts | site | clean | lock"; \
	echo "make grade FROM=folder | grade-demo | course DIR=folder | wheelhouse | scoreboard"

# A mistyped lesson, profile or COURSE_… variable is refused before anything is installed.
settings:
	@$(PYTHON) tools/tasks.py settings
.venv/installed: requirements.lock pyproject.toml | settings
	@$(PYTHON) tools/tasks.py install .venv

run: settings $(INSTALLED)       # the site at once, then every lesson executed here
	$(PY) -m tools.lessons run $(LESSONS)
site: settings $(INSTALLED)      # the site from what was executed last, or from the stored outputs
	$(PY) -m tools.lessons site
outputs: settings $(INSTALLED)   # execute in the standard profile, store the outputs in notebooks/
	$(PY) -m tools.lessons outputs $(LESSONS)
verdicts: settings $(INSTALLED)  # do the verdicts hold for three seeds, and for two threads?
	$(PY) -m tools.lessons verdicts $(LESSONS)
scoreboard: $(INSTALLED)         # methods and metrics against the exact truth; stop it and go on any time
	OMP_NUM_THREADS=1 $(PY) -m scoreboard
lesson: settings $(INSTALLED)    # LESSON=04: its rules, style, tests, and an execution
	$(PY) -m tools.lessons lesson $(LESSONS)
lab: settings $(INSTALLED)
	$(PY) -m jupyter lab notebooks
app: settings $(INSTALLED)       # the widget that explains any photograph, as a page of its own
	$(PY) -m voila tools/app.ipynb
test: settings                   # every check, in a fresh environment
	@$(PYTHON) tools/tasks.py test
check: settings $(INSTALLED)     # the quick tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"
lint: $(INSTALLED)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m codespell_lib
bench: $(INSTALLED)              # speed and memory, side by side
	$(PY) -m tests.benchmarks
grade: $(INSTALLED)              # FROM=folder or zip of notebooks; ASSIGNMENT=01
	$(PY) -m tools.grading grade "$(FROM)" --assignment "$(ASSIGNMENT)"
grade-demo: $(INSTALLED)         # a made-up class of a hundred, graded
	$(PY) -m tools.grading demo
course: $(INSTALLED)             # DIR=folder: a ready nbgrader course
	$(PY) -m tools.grading course "$(DIR)"
wheelhouse: $(INSTALLED)         # wheels for Kaggle without internet
	$(PY) -m tools.wheelhouse
clean:
	@$(PYTHON) tools/tasks.py clean
lock:                            # newest versions that fit; needs uv. CUDA's are left to torch
	mkdir -p build && uv pip compile pyproject.toml --universal --all-extras --python-version 3.11 \
	  --no-header --no-annotate --quiet --output-file build/lock
	grep '^#' requirements.lock > build/head; grep -Ev '^(nvidia-|cuda-|triton)' build/lock | cat build/head - > requirements.lock
