"""The app and the library: what it may import, what it costs, what its command refuses."""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from fintok import InputError
from fintok.cli import run
from fintok_dashboard.command import dashboard
from fintok_dashboard.reading import Reading

# fintok's own names, the classes of its results, its plots, what results are calibrated and continued with
USED = {
    "fintok", "fintok.score_result", "fintok.regime_result", "fintok.tokenizer", "fintok.counterfactual",
    "fintok.tails", "fintok.readings", "fintok.calibration", "fintok.files", "fintok.groups", "fintok.signature",
    "fintok.plots.counterfactual", "fintok.plots.regimes", "fintok.plots.theme", "fintok.plots.vocabulary",
}  # fmt: skip


def test_the_dashboard_imports_no_more_of_fintok_than_it_says_and_nothing_of_vision(root):
    for path in sorted((root / "apps" / "dashboard" / "fintok_dashboard").rglob("*.py")):
        allowed = USED | ({"fintok.commands.options", "fintok.bundle"} if path.name == "command.py" else set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = {name for name in names if name.split(".")[0] in ("fintok", "vision")}
            assert ours <= allowed, f"{path.name} imports {ours - allowed}"


def test_all_that_a_reading_holds_is_read(root):
    package = root / "apps" / "dashboard" / "fintok_dashboard"
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    for field in fields(Reading):
        assert re.search(rf"\.{field.name}\b", code), field.name


def test_plotly_js_in_the_assets_draws_what_the_pages_ask_for(root):
    from plotly.offline import get_plotlyjs_version

    package = root / "apps" / "dashboard" / "fintok_dashboard"
    script = (package / "assets" / "plotly-cartesian.min.js").read_text(encoding="utf-8")
    assert f"(cartesian - minified) v{get_plotlyjs_version().split('.')[0]}." in script[:200]
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert set(re.findall(r"\bgo\.([A-Z]\w+)\(", code)) <= {"Figure", "Scatter", "Bar", "Heatmap", "Box"}


def test_each_package_is_typed_and_the_licence_names_what_is_shipped(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    targets = project["tool"]["hatch"]["build"]["targets"]
    assert all((root / package / "py.typed").is_file() for package in targets["wheel"]["packages"])
    assert "/.ci/run" in targets["sdist"]["include"]
    assert (root / ".ci" / "run").is_file()
    script = root / "apps" / "dashboard" / "fintok_dashboard" / "assets" / "plotly-cartesian.min.js"
    assert "Licensed under the MIT license" in script.read_text(encoding="utf-8")[:200]
    assert "BSD 3-Clause License" in (root / "fintok" / "data" / "README.md").read_text(encoding="utf-8")
    assert project["project"]["license"] == "Apache-2.0 AND BSD-3-Clause AND MIT"


def test_its_help_imports_neither_dash_nor_torch(root):
    code = "from fintok.cli import run; run(['dashboard', '--help'])\nimport sys\n"
    probe = f"{code}print('HEAVY', *[m for m in ('torch', 'dash', 'pandas', 'polars', 'plotly') if m in sys.modules])"
    environment = {"PYTHONPATH": f"{root}:{root / 'apps' / 'dashboard'}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].strip() == "HEAVY"


def test_without_the_extra_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("fintok_dashboard.command.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "fintok\[dashboard\]"'):
        dashboard(model=tmp_path, panel=tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--groups", "nowhere"], "nowhere: there is no such file or folder"),
        (["--host", "0.0.0.0"], "demand a --token"),
        (["--user", "ann"], "--user and --password go together"),
        (["--store", "nonsense"], "--store is not a database"),
        (["--scores", "missing.parquet"], "missing.parquet: there is no such file"),
        (["--port", "99999999"], "--port 99999999 is no port; choose one of 1 to 65,535, or 0 for a free one"),
        (["--port", "-1"], "--port -1 is no port"),
        (["--scores", "regimes.csv"], "regimes.csv: there is no column 'symbol'; give a table with date, symbol"),
        (["--regimes", "groups.csv"], "groups.csv: there is no column 'date'; give a table with date, regime"),
        (["--groups", "regimes.csv"], "regimes.csv: there is no column 'group' among 'date', 'regime'"),
        (["--groups", "groups.csv"], "groups.csv: none of its symbols is in the panel"),
        (["--date", "day"], "prices.csv: there is no column 'day'"),
    ],
)
def test_wrong_use_ends_with_a_sentence_before_anything_is_served(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.setattr("fintok_dashboard.server.serve", lambda desk, access, port: pytest.fail("it serves"))
    monkeypatch.chdir(tmp_path)
    Path("regimes.csv").write_text("date,regime,name,p_0,p_1\n2020-01-01,0,calm,1,0\n")
    Path("groups.csv").write_text("symbol,group\nC,banks\n")
    panel = tmp_path / "prices.csv"
    panel.write_text("date,A,B\n2020-01-01,1,2\n2020-01-02,2,1\n")
    given = ["--model", str(tmp_path), "--panel", str(panel), *words]
    assert run(["dashboard", *given]) == 2
    assert said in capsys.readouterr().err


def test_without_a_model_a_folder_of_tables_has_its_cache_beside_it(tmp_path, monkeypatch):
    desks = []
    monkeypatch.setattr("fintok_dashboard.server.serve", lambda desk, access, port: desks.append(desk))
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "prices.csv").write_text("date,A,B\n2020-01-01,1,2\n2020-01-02,2,1\n")
    monkeypatch.chdir(tmp_path / "prices")
    dashboard(panel=Path("."))
    assert desks[0].sources.cache == tmp_path / "prices-dashboard"


def test_without_a_model_the_one_that_comes_with_fintok_reads_and_keeps_beside_the_panel(tmp_path, monkeypatch):
    desks = []
    monkeypatch.setattr("fintok_dashboard.server.serve", lambda desk, access, port: desks.append(desk))
    panel = tmp_path / "prices.csv"
    panel.write_text("date,A,B\n2020-01-01,1,2\n2020-01-02,2,1\n")
    dashboard(panel=panel)
    sources = desks[0].sources
    assert sources.cache == tmp_path / "prices-dashboard"
    assert (sources.cache / "marks.sqlite").is_file()
    assert (sources.model / "bundle.json").is_file()
