"""What libraries show from remote code looks, and moves, as it does locally."""

import re

import pytest

from tests.notebook.kernel import SECONDS, running_kernel
from tests.waiting import wait_for_file

DISPLAY = "from IPython.display import clear_output, display\n"


def test_a_display_moves_on_within_its_cell(kernel, gate):
    cell = kernel.start(
        f"%%rexec -q\n{DISPLAY}handle = display('one', display_id=True)\n{wait_for_file(gate)}"
        "handle.update('two')\ndisplay('three', display_id=handle.display_id, update=True)"
    )
    kernel.read_until(lambda: cell.displays, SECONDS, cell)
    gate.touch()
    cell.wait()
    (shown,) = cell.of("display_data")
    updates = cell.of("update_display_data")
    assert updates[-1]["data"]["text/plain"] == "'three'"
    assert {update["transient"]["display_id"] for update in updates} == {
        shown["transient"]["display_id"]
    }


def test_cleared_output_is_cleared(kernel, gate):
    cell = kernel.start(
        f"%%rexec -q\n{DISPLAY}print('old', flush=True)\n{wait_for_file(gate)}"
        "clear_output(wait=True)\nprint('new')"
    )
    cell.wait_for("old\n")
    gate.touch()
    cell.wait()
    (cleared,) = [i for i, (kind, _) in enumerate(cell.messages) if kind == "clear_output"]
    before, (_, clear), after = (
        cell.messages[:cleared],
        cell.messages[cleared],
        cell.messages[cleared + 1 :],
    )
    assert clear["wait"]
    assert "".join(content["text"] for _, content in before) == "old\n"
    assert "".join(content["text"] for _, content in after) == "new\n"


def test_a_table_keeps_its_style(kernel):
    cell = kernel.run(
        "%%rexec\nimport pandas as pd\n"
        "pd.DataFrame({'a': [1, 2]}).style.background_gradient(cmap='viridis')"
    )
    assert "background-color: #" in cell.result["text/html"]


def test_several_figures_come_in_order_and_as_they_were_asked_for(kernel):
    cell = kernel.run(
        "%%rexec -q\n%config InlineBackend.figure_formats = ['svg']\n"
        "import matplotlib.pyplot as plt\nfor title in ('first', 'second'):\n"
        "    plt.figure()\n    plt.title(title)\n    plt.show()\n    print(title)"
    )
    assert ["image/svg+xml" in display for display in cell.displays] == [True, True]
    assert cell.kinds == ["display_data", "stdout", "display_data", "stdout"]


def test_a_plotly_figure_is_shown_as_what_jupyter_knows(kernel):
    cell = kernel.run(
        "%%rexec -q\nimport plotly.io as pio\npio.renderers.default = 'plotly_mimetype'\n"
        "import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[1, 2])).show()"
    )
    assert "data" in cell.displays[0]["application/vnd.plotly.v1+json"]


def test_rich_tables_have_colours(kernel):
    cell = kernel.run(
        "%%rexec -q\nfrom rich.console import Console\nfrom rich.table import Table\n"
        "table = Table('name')\ntable.add_row('[red]ada[/red]')\n"
        "Console(force_jupyter=True).print(table)"
    )
    assert "ada" in cell.displays[0]["text/html"]
    assert "color: " in cell.displays[0]["text/html"]


def last_line(text):
    return re.split(r"[\r\n]", text.strip())[-1].strip()


def test_a_progress_bar_of_text_ends_full_and_takes_few_messages(kernel):
    cell = kernel.run(
        "%%rexec -q\nfrom tqdm import tqdm\nimport time\n"
        "for _ in tqdm(range(2000), mininterval=0):\n    time.sleep(0.0002)"
    )
    assert last_line(cell.stderr).startswith("100%|")
    assert len(cell.of("stream")) < 200  # the longer it takes the more there are
    assert len(cell.stderr) < 20_000


def test_nested_progress_bars_keep_their_lines(kernel):
    cell = kernel.run(
        "%%rexec -q\nfrom tqdm import tqdm\n"
        "for _ in tqdm(range(3), desc='outer', mininterval=0):\n"
        "    for _ in tqdm(range(50), desc='inner', mininterval=0, leave=False):\n        pass"
    )
    assert "outer: 100%" in cell.stderr
    assert len(cell.stderr) < 5000


def test_output_of_a_flood_is_capped_in_the_cell_and_complete_in_the_log(kernel):
    cell = kernel.run(
        "%%rexec -j flood\nline = 'x' * 99\nfor _ in range(100_000):\n    print(line)\nprint('end')"
    )
    assert 900_000 < len(cell.stdout) <= 1_000_000
    assert len(cell.of("stream")) < 100
    (place,) = {
        content["transient"]["display_id"]
        for kind, content in cell.messages
        if "display_data" in kind and "more, `%rexec logs" in content["data"].get("text/plain", "")
    }
    told = [c for k, c in cell.messages if c.get("transient", {}).get("display_id") == place]
    assert told[-1]["data"]["text/plain"].startswith("… 9.0 MB more, `%rexec logs ")
    log = kernel.run("%rexec logs --tail 1 " + kernel.value("flood.id[:8]").strip("'"))
    assert log.text == "end"


def test_a_flood_leaves_the_stop_button_working(kernel):
    cell = kernel.start("%%rexec\nwhile True:\n    print('x' * 1000)")
    cell.wait_for("xxx")
    cell.wait_for_status("running")
    kernel.interrupt()
    cell.wait()
    assert cell.error.startswith("KeyboardInterrupt")
    assert len(cell.stdout) <= 1_000_000
    assert len(cell.of("stream")) < 200


@pytest.mark.parametrize("setting", ["REXEC_NONINTERACTIVE=1", "REXEC_STATUS=none"])
def test_where_nobody_watches_a_slow_cell_shows_its_output_alone(environment, setting):
    name, _, value = setting.partition("=")
    with running_kernel(**environment | {name: value}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        cell = kernel.run("%%rexec\nimport time\ntime.sleep(1.2)\nprint('done')")
        assert cell.stdout == "done\n"
        assert cell.status == []


def test_the_status_can_be_plain_text(environment):
    with running_kernel(**environment | {"REXEC_STATUS": "text"}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        cell = kernel.run("%%rexec --progress-after 0\nimport time\ntime.sleep(0.3)")
        assert cell.status[-1].startswith("✓ default")
        assert not any("text/html" in c["data"] for c in cell.of("update_display_data"))


def test_late_output_of_a_cell_stays_below_it(kernel, gate):
    cell = kernel.run(
        f"%%rexec --bg -j late -q\n{DISPLAY}{wait_for_file(gate)}"
        "print('late text', flush=True)\ndisplay('late display')"
    )
    other = kernel.run(f"import pathlib; pathlib.Path({str(gate)!r}).touch(); late.result()")
    cell.wait_for("late text")
    kernel.read_until(lambda: cell.displays, SECONDS, cell)
    assert cell.displays[0]["text/plain"] == "'late display'"
    assert other.stdout == ""
    assert other.displays == []
