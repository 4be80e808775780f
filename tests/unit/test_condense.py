"""Output that comes faster than a notebook takes it: less is sent, the same is seen."""

import pytest

from rexec_jupyter.core.happenings import ClearOutput, Comm, Display, StateChange, TextOutput
from rexec_jupyter.magics.condense import collapse, condense
from rexec_jupyter.magics.excerpt import Excerpt


class Screen:
    """A terminal that knows of line feeds, carriage returns and the way up."""

    def __init__(self):
        self.lines = [""]
        self.row = self.column = 0

    def write(self, text):
        text = text.replace("\r\n", "\n")
        while text:
            if text.startswith("\x1b[A"):
                self.row, text = self.row - 1, text[3:]
                continue
            char, text = text[0], text[1:]
            if char == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif char == "\r":
                self.column = 0
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
                self.column += 1
        return self


BARS = "".join(f"\r{n}%|{'#' * n}" for n in range(40))
NESTED = "".join(
    f"\router {o}" + "".join(f"\n\rinner {i}\x1b[A" for i in range(5)) for o in range(5)
)


@pytest.mark.parametrize(
    "text",
    [
        "plain\nlines\n",
        "windows\r\nlines\r\n",
        BARS,
        f"before {BARS}\nafter",
        "longer\rno",
        "a\r",
        "x\n\r\ny",
        NESTED,
        f"head\n{NESTED}\n\ntail",
        "one\ntwo\x1b[A\rONE",
    ],
)
@pytest.mark.parametrize("before", ["", "there already", "line\n"])
def test_what_is_to_be_seen_stays_the_same(before, text):
    seen = Screen().write(before).write(text)
    short = Screen().write(before).write(collapse(text))
    assert short.lines == seen.lines
    assert short.row == seen.row


def test_progress_bars_shrink_to_what_they_show_last():
    assert collapse(BARS) == f"\r39%|{'#' * 39}"
    assert collapse(NESTED) == "\router 4\ninner 4\x1b[A"
    assert collapse("\r\x1b[31mred\x1b[0m\r\x1b[32mgreen\x1b[0m") == "\r\x1b[32mgreen\x1b[0m"


@pytest.mark.parametrize("text", ["a\rb\x1b[2Kc\rd", "a\b\rb\rc", "\x1b[A\rabove\rabove", "\x1b\r"])
def test_what_is_not_understood_is_left_alone(text):
    assert collapse(text) == text


def test_text_of_a_stream_is_put_together_in_order():
    texts = [TextOutput("stdout", "a"), TextOutput("stdout", "b"), TextOutput("stderr", "c")]
    assert condense([*texts, TextOutput("stdout", "d")]) == [
        *(TextOutput("stdout", "ab"), TextOutput("stderr", "c"), TextOutput("stdout", "d")),
    ]


def test_text_that_goes_to_and_fro_all_the_time_is_sorted_by_stream():
    flood = [TextOutput("stdout", "o"), TextOutput("stderr", "e")] * 100
    assert condense(flood) == [TextOutput("stderr", "e" * 100), TextOutput("stdout", "o" * 100)]


def test_what_was_cleared_at_once_is_never_shown():
    shown = Display("display", {"text/plain": "1"})
    kept = [Display("result", {}), TextOutput("note", "n"), ClearOutput(wait=True)]
    assert condense([TextOutput("stdout", "x"), ClearOutput(), shown, *kept, shown]) == [
        *kept,
        shown,
    ]


def test_of_several_updates_of_a_display_the_last_is_shown():
    first, other, last = (
        Display("update", {"text/plain": text}, transient={"display_id": display})
        for text, display in (("1", "a"), ("2", "b"), ("3", "a"))
    )
    assert condense([first, other, last]) == [other, last]


def state(comm_id, buffers=(), **values):
    content = {"comm_id": comm_id, "data": {"method": "update", "state": values}}
    return Comm("comm_msg", content, {}, list(buffers))


def test_changes_of_a_widget_are_put_together_and_stay_before_what_follows():
    opened = Comm("comm_open", {"comm_id": "c"})
    messages = [state("a", x=1), state("b", x=2), state("a", x=3, y=4), opened, state("a", x=5)]
    assert condense(messages) == [state("a", x=3, y=4), state("b", x=2), opened, state("a", x=5)]


def test_changes_with_buffers_and_turns_of_output_are_left_alone():
    messages = [state("a", x=1), state("a", buffers=[b"x"]), state("a", msg_id="1")]
    assert condense([*messages, state("a", msg_id="")]) == [*messages, state("a", msg_id="")]


def test_states_pass():
    assert condense([StateChange("running")]) == [StateChange("running")]


# ---------------------------------------------------------------- how much is shown


def text(excerpt, *texts):
    admitted = [excerpt.admit(TextOutput("stdout", text)) for text in texts]
    return "".join(one.text for one in admitted if one is not None)


def test_text_is_cut_at_the_end_of_a_line_and_the_rest_is_counted():
    excerpt = Excerpt(10)
    assert text(excerpt, "1234\n", "6789\nabcdef\n", "more") == "1234\n6789\n"
    assert excerpt.hidden == 11


def test_one_endless_line_is_cut_where_it_is_full():
    excerpt = Excerpt(10)
    assert text(excerpt, "x" * 8, "y" * 8) == "x" * 8 + "y" * 2
    assert excerpt.hidden == 6


def test_a_line_that_is_written_over_counts_once():
    excerpt = Excerpt(100)
    bars = [f"\r{number:08}" for number in range(1000)]
    assert text(excerpt, *bars) == "".join(bars)
    assert excerpt.hidden == 0


def test_notes_and_results_are_always_shown():
    excerpt = Excerpt(1)
    text(excerpt, "much")
    for shown in (TextOutput("note", "n"), Display("result", {"text/plain": "r" * 100})):
        assert excerpt.admit(shown) is shown


def test_a_figure_may_be_larger_than_all_text_but_not_any_number_of_them():
    excerpt = Excerpt(10_000)
    figure = Display("display", {"image/png": "x" * 30_000})
    shown = [excerpt.admit(figure) for _ in range(10)]
    assert shown.count(figure) == 3
    assert excerpt.hidden > 200_000
    assert text(excerpt, "fits") == "fits"


def test_a_display_that_changes_takes_its_place_once():
    excerpt = Excerpt(10_000)
    transient = {"display_id": "d"}
    data = {"text/html": "x" * 30_000}
    assert excerpt.admit(Display("display", data, transient=transient))
    for _ in range(20):
        assert excerpt.admit(Display("update", data, transient=transient))


def test_clearing_makes_room():
    excerpt = Excerpt(10)
    text(excerpt, "x" * 20)
    assert excerpt.admit(ClearOutput())
    assert excerpt.hidden == 0
    assert text(excerpt, "y" * 5) == "y" * 5
