"""The house: who may import whom, what an import costs, which recipes there are, no traces of a machine."""

import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import grimp
import pytest
from importlinter.cli import lint_imports

import fintok
from fintok.config import PretrainConfig
from fintok.recipes import PRESETS, recipe_path, recipes_folder
from vision.config import NEEDS, load_yaml

HEAVY = ("torch", "lightning", "pandas", "polars", "plotly", "scipy", "sklearn", "pyarrow")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("fintok", "vision", include_external_packages=True, cache_dir=None)


def test_imports_keep_their_direction(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


def test_no_method_imports_another(graph):
    parts = {"vision.methods.base", "vision.methods.codes", "vision.methods.distillation"}
    methods = graph.find_children("vision.methods") - parts
    assert len(methods) == len(NEEDS)
    crossings = {
        (importer, imported)
        for importer in methods
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported in methods
    }
    assert not crossings


def test_only_the_trainer_knows_lightning(graph):
    users = graph.find_modules_that_directly_import("lightning")
    assert users
    assert all(user.startswith("vision.train.") for user in users)


def test_nothing_imports_a_command_line_but_the_front_door(graph):
    assert graph.find_modules_that_directly_import("fintok.cli") <= {"fintok.__main__"}
    assert graph.find_modules_that_directly_import("vision.cli") <= {"fintok.cli"}
    users = graph.find_modules_that_directly_import("cyclopts")
    doors = ("fintok.cli", "fintok.commands.", "vision.cli", "vision.commands.")
    assert all(user.startswith(doors) for user in users)


@pytest.mark.parametrize(
    "code",
    [
        "import fintok",
        "import vision",
        "import fintok.config, vision.config",
        "import fintok.cli",
        "from fintok.cli import run; run(['--help'])",
        "from fintok.cli import run; run(['pretrain', '--help'])",
        "from fintok.cli import run; run(['pretrain', '--print-config'])",
        "from fintok.cli import run; run(['score', '--help'])",
        "from fintok.cli import run; run(['vision', '--help'])",
        "from fintok.cli import run; run(['vision', 'pretrain', '--help'])",
        "from fintok.cli import run; run(['vision', 'pretrain', '--method', 'ibot', '--print-config'])",
    ],
)
def test_it_costs_no_heavy_import(code, root):
    probe = f"{code}\nimport sys\nprint('HEAVY', *[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1].strip() == "HEAVY"


def test_training_needs_no_command_line_no_polars_no_plotly(root):
    code = "import fintok.pretrain, fintok.bundle, vision.train.fit"
    probe = f"{code}\nimport sys\nprint([m for m in ('cyclopts', 'polars', 'plotly') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_reading_and_evaluating_need_no_trainer(root):
    code = "import fintok.report, fintok.evaluate.runner, vision.commands.tasks, vision.commands.features"
    probe = f"{code}\nimport sys\nprint('lightning' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


def test_models_and_figures_of_a_run_do_not_depend_on_the_encoding_of_the_machine(root, tmp_path):
    code = """if True:
        import fintok, pathlib, sys
        from vision.train.metrics import MetricsFile, read_metrics
        fintok.load()
        path = pathlib.Path(sys.argv[1])
        MetricsFile(path).append({"step": 1})
        assert read_metrics(path) == [{"step": 1}]"""
    flags = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    subprocess.run([sys.executable, *flags, "-c", code, str(tmp_path / "run.csv")], cwd=root, check=True)


def test_functions_are_not_hidden_by_their_modules():
    import fintok.audit
    import fintok.evaluate.runner
    import fintok.pretrain
    import fintok.report
    from fintok.evaluate import runner
    from fintok.report import write_report

    for function in (fintok.pretrain, fintok.audit, fintok.evaluate, fintok.report, write_report, runner.evaluate):
        assert isinstance(function, FunctionType)
    assert fintok.evaluate is runner.evaluate


def test_every_public_name_is_there():
    assert all(getattr(fintok, name) is not None for name in fintok.__all__)
    assert set(dir(fintok)) >= set(fintok.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fintok.nonsense


@pytest.mark.parametrize("path", sorted(recipes_folder().rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_builds(path: Path):
    folder = path.parent.relative_to(recipes_folder()).as_posix()
    checked_elsewhere = {"vision/small", "vision/paper"}  # tests/vision/test_recipes.py
    assert folder in {"fintok", *checked_elsewhere}, "a recipe of another kind needs its own check"
    if folder == "fintok":
        load_yaml(PretrainConfig, path)


def test_every_preset_has_its_recipe():
    assert all(recipe_path(preset).is_file() for preset in PRESETS)


def test_no_file_names_a_place_on_somebodys_machine(root):
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    place = re.compile(r"(?<![\w.~$])/(tmp|work|root|home/\w+|Users/\w+)/")
    traces = [
        f"{name}:{number}"
        for name in tracked.stdout.split()
        if Path(name).suffix in {".py", ".md", ".toml", ".yaml", ".txt", ".cfg", ""} and (root / name).is_file()
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1)
        if place.search(line)
    ]
    assert [trace for trace in traces if not trace.startswith("tests/test_architecture.py")] == []
