"""Every example of the user's guide does what it says, in a real notebook kernel."""

import re
from pathlib import Path

import click

from rexec_jupyter.cli.root import root as command_line
from rexec_jupyter.magics import options
from rexec_jupyter.magics.commands import COMMANDS
from tests.notebook.kernel import running_kernel

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "notebook.md").read_text("utf-8")
FENCE = re.compile(r"(?:<!-- raises (\w+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


def examples(*languages):
    return [(error, code) for error, kind, code in FENCE.findall(GUIDE) if kind in languages]


def test_every_example_of_the_guide_runs_in_a_notebook(environment, tmp_path):
    settings = {"XDG_CONFIG_HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    with running_kernel(**environment | settings) as kernel:
        for error, code in examples("ipython", "python"):
            cell = kernel.run(code)
            ended = cell.error.partition(":")[0]
            assert ended == error, f"{code}\n{cell.error}\n{cell.traceback}\n{cell.stderr}"
            assert "UsageError" not in cell.stderr, f"{code}\n{cell.stderr}"
            if re.search(r"^\S.*[=<>]= |^samples.max", code.splitlines()[-1]):
                assert cell.text in ("", "True", "np.True_"), f"{code}\n{cell.text}"


def test_every_option_that_the_guide_names_exists():
    known = {flag for action in options.actions() for flag in action.option_strings}
    table = GUIDE[GUIDE.index("## Options") : GUIDE.index("`%%rexec?` has them all")]
    named = {
        word for code in re.findall(r"`(-[^`]+)`", table) for word in re.findall(r"^-+[\w-]+", code)
    }
    assert len(named) > 15
    assert named <= known


def test_every_subcommand_that_the_guide_names_exists():
    named = set(re.findall(r"%rexec ([a-z]+)", GUIDE))
    assert len(named) > 15
    assert named <= set(COMMANDS)


def test_every_command_that_the_guide_names_exists():
    known = set(command_line.list_commands(click.Context(command_line)))
    named = {line.split()[1] for _, code in examples("sh") for line in code.splitlines()}
    assert named
    assert named | {"completion"} <= known


def test_every_link_of_the_guide_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
