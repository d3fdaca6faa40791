# A thin front: what the commands do is in tools/tasks.py (`python tools/tasks.py --help`).
#   make run                 execute the lessons, build the site      make LESSONS=02 run   some lessons only
#   make lab                 JupyterLab on notebooks/                 make PROFILE=fast run quicker, coarser
#   make test                every check, in a fresh environment      make check            the same in .venv
#   make bench lint tidy outputs site clean
# HERE=1 uses the active Python (conda, containers) instead of .venv; ARGS="…" goes to the tool that is started.

PYTHON ?= $(shell command -v python3 || command -v python)
LESSONS ?=
PROFILE ?=
HERE ?=
ARGS ?=

export LESSONS
export HERE
ifneq ($(strip $(PROFILE)),)
export COURSE_PROFILE := $(PROFILE)
endif

TASKS = run lab test check bench lint tidy outputs site clean lock slug

.DEFAULT_GOAL := help
.PHONY: help $(TASKS)

help:
	@"$(PYTHON)" tools/tasks.py --help

$(TASKS):
	@"$(PYTHON)" tools/tasks.py $@ $(if $(strip $(ARGS)),-- $(ARGS))
